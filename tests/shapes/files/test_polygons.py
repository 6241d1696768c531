"""Concave polygons: their triangles cover them once, whatever the plane."""

from pathlib import Path

import pytest
import torch

from unrender.notes import collected
from unrender.shapes.files import polygons
from unrender.shapes.files.meshes import read_mesh
from unrender.shapes.files.polygons import triangulate

OUTLINES = {
    "convex": [(0, 0), (2, 0), (3, 1), (1, 3)],
    "dart": [(0, 0), (2, 0), (2, 2), (1, 0.5)],
    "dart from its reflex corner": [(1, 0.5), (0, 0), (2, 0), (2, 2)],
    "L": [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)],
    "comb": [(0, 0), (5, 0), (5, 3), (4, 3), (4, 1), (3, 1), (3, 3), (2, 3), (2, 1), (1, 1),
             (1, 3), (0, 3)],
    "hole by a bridge": [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1),
                         (1, 1)],
}  # fmt: skip


def placed(outline: list[tuple[float, float]], shift: float = 0.0) -> torch.Tensor:
    """The outline in some plane of space."""
    generator = torch.Generator().manual_seed(1)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator).double())
    flat = torch.tensor([[x, y, 0.0] for x, y in outline], dtype=torch.float64)
    return flat @ turn.T + shift


def areas(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    a, b, c = vertices[faces].unbind(1)
    return torch.linalg.cross(b - a, c - a) / 2


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shift", [0.0, 1e5])
@pytest.mark.parametrize("name", list(OUTLINES))
def test_triangles_cover_a_polygon_once(name: str, shift: float, turned: bool) -> None:
    outline = OUTLINES[name][::-1] if turned else OUTLINES[name]
    x, y = torch.tensor(outline, dtype=torch.float64).unbind(1)
    area = float((x * y.roll(-1) - x.roll(-1) * y).sum()) / 2
    vertices = placed(outline, shift)
    faces, owner = triangulate(
        Path("a.obj"), vertices, torch.arange(len(outline)), torch.tensor([len(outline)])
    )
    assert len(faces) == len(outline) - 2
    assert owner.tolist() == [0] * len(faces)
    found = areas(vertices, faces)
    # All of one side, and as large together: none overlaps or sticks out.
    assert float(found.sum(0).norm()) == pytest.approx(abs(area), rel=1e-6)
    assert float(found.norm(dim=1).sum()) == pytest.approx(abs(area), rel=1e-6)


def test_polygons_of_all_kinds_keep_their_order() -> None:
    outlines = list(OUTLINES.values())
    counts = torch.tensor([3, *(len(outline) for outline in outlines), 2, 3])
    vertices = torch.cat([placed(outline) for outline in [outlines[0][:3], *outlines]])
    corners = torch.cat([torch.arange(len(vertices)), torch.tensor([0, 1, 0, 1, 2])])
    with collected() as notes:
        faces, owner = triangulate(Path("a.obj"), vertices, corners, counts)
    assert torch.equal(owner, owner.sort().values)
    assert torch.equal(owner.bincount(), (counts - 2).clamp_min(0))
    assert faces[0].tolist() == [0, 1, 2]
    assert faces[-1].tolist() == [len(corners) - 3, len(corners) - 2, len(corners) - 1]
    assert notes == ["a.obj: 1 faces of fewer than 3 corners are left out"]


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outlines that cross themselves, with repeated corners and NaN, end."""
    generator = torch.Generator().manual_seed(0)
    vertices = torch.randn(300, 3, generator=generator).double()
    vertices[7] = float("nan")
    corners = torch.randint(300, (900,), generator=generator)
    faces, _ = triangulate(Path("a.obj"), vertices, corners, torch.tensor([400, 500]))
    assert len(faces) == 896
    assert int(faces.min()) >= 0
    assert int(faces.max()) < 900
    assert polygons.MAX_TESTS < 10**10
    # Rows beyond the vertices are refused by those who call.
    faces, _ = triangulate(Path("a.obj"), vertices, corners + 9, torch.tensor([400, 500]))
    assert len(faces) == 896


@pytest.mark.parametrize("ending", [".obj", ".off", ".ply"])
def test_every_format_cuts_them(tmp_path: Path, ending: str) -> None:
    outline = OUTLINES["comb"]
    places = "".join(f"{x} {y} 0\n" for x, y in outline)
    rows = " ".join(map(str, range(12)))
    head = "ply\nformat ascii 1.0\nelement vertex 12\nproperty float x\nproperty float y\n"
    head += (
        "property float z\nelement face 1\nproperty list uchar int vertex_index\nend_header\n"
    )
    text = {
        ".obj": places.replace("\n", "\nv ").join(["v ", ""])[:-2]
        + "f " + " ".join(map(str, range(1, 13))) + "\n",
        ".off": f"OFF\n12 1 0\n{places}12 {rows}\n",
        ".ply": f"{head}{places}12 {rows}\n",
    }[ending]  # fmt: skip
    path = tmp_path / f"a{ending}"
    path.write_text(text)
    mesh = read_mesh(path, "z")
    assert len(mesh.faces) == 10
    found = areas(mesh.vertices, mesh.faces)
    assert float(found[:, 2].min()) > 0
    assert float(found[:, 2].sum()) == pytest.approx(11)
