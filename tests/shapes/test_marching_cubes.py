"""Surfaces found block by block: closed, where they belong, and the same as on a whole grid."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.shapes import marching_cubes as marching
from unrender.shapes.implicit.differences import central_differences
from unrender.shapes.implicit.sdf import (
    SDF,
    box,
    interpolated,
    plane,
    sphere,
    torus,
    translated,
    union,
)
from unrender.shapes.marching_cubes import triangle_table, zero_level_set
from unrender.shapes.mesh import Mesh, edges_of, is_watertight
from unrender.shapes.voxels import VoxelGrid


def volume(mesh: Mesh) -> float:
    """Positive, if faces are counterclockwise as seen from outside."""
    return float(torch.linalg.det(mesh.vertices[mesh.faces].double()).sum()) / 6


def components(mesh: Mesh) -> int:
    """Vertices − edges + faces is 2 for each sphere."""
    return (len(mesh.vertices) - len(edges_of(mesh.faces).vertices) + len(mesh.faces)) // 2


@pytest.mark.parametrize("cells", [8, 30, 65])
def test_a_sphere_is_closed_and_where_it_should_be(cells: int) -> None:
    mesh = zero_level_set(sphere(0.4), 0.5, cells, lipschitz=1.0)
    size = 1 / cells
    assert is_watertight(mesh.faces)
    assert components(mesh) == 1
    assert float((mesh.vertices.norm(dim=1) - 0.4).abs().max()) < 0.5 * size**2 / 0.4
    assert volume(mesh) == pytest.approx(4 / 3 * torch.pi * 0.4**3, rel=4 * size**2 / 0.4**2)


def test_a_plane_is_exact() -> None:
    """Linear functions are interpolated without error; the box' walls close it."""
    mesh = zero_level_set(plane((0.6, 0.0, 0.8), 0.1), 1.0, 16, lipschitz=1.0)
    inner = mesh.vertices[(mesh.vertices.abs() < 0.85).all(1)]
    assert len(inner) > 50
    torch.testing.assert_close(
        inner[:, 0] * 0.6 + inner[:, 2] * 0.8, torch.full((len(inner),), 0.1)
    )
    assert is_watertight(mesh.faces)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([8, 17, 24]))
def test_noise_is_closed(seed: int, cells: int) -> None:
    """All 256 cases meet their neighbours, the ambiguous ones too."""
    noise = VoxelGrid.cube(
        torch.randn(9, 9, 9, generator=torch.Generator().manual_seed(seed)), 1.0
    )
    mesh = zero_level_set(lambda points: interpolated(noise, points), 1.0, cells, lipschitz=1e9)
    assert is_watertight(mesh.faces)
    assert bool((edges_of(mesh.faces).num_faces == 2).all())


def test_a_case_and_its_surface_part_inside_from_outside() -> None:
    """Each edge with one end inside, and no other, has a vertex; no case but two has none."""
    for case, rows in enumerate(triangle_table().tolist()):
        used = {edge for row in rows for edge in row if edge >= 0}
        crossed = {
            k for k, (a, b) in enumerate(marching.EDGES) if (case >> a & 1) != (case >> b & 1)
        }
        assert used == crossed


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same mesh as from one block that is the whole lattice."""
    shape = union(torus(0.3, 0.1), translated(box((0.05, 0.1, 0.2)), (0.1, 0.0, 0.2)))
    few = zero_level_set(shape, 0.5, 32, lipschitz=1.0)
    monkeypatch.setattr(marching, "MIN_BLOCK", 32)
    whole = zero_level_set(shape, 0.5, 32, lipschitz=1.0)
    assert torch.equal(few.faces, whole.faces)
    torch.testing.assert_close(few.vertices, whole.vertices, rtol=0, atol=1e-7)


def test_thin_parts_are_found_by_their_distance() -> None:
    """A pin between the corners of blocks: seen by a slope, and lost without one."""
    pin = translated(box((0.3, 0.008, 0.008)), (0.0, 0.0156, 0.0156))
    known = zero_level_set(pin, 0.5, 128, lipschitz=1.0)
    assert volume(known) == pytest.approx(0.6 * 0.016**2, rel=0.3)
    assert len(zero_level_set(pin, 0.5, 128).faces) == 0


def test_each_corner_is_asked_once() -> None:
    seen: list[Tensor] = []

    def watched(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        seen.append(points)
        return sphere(0.4)(points)

    zero_level_set(watched, 0.5, 128, lipschitz=1.0)
    asked = torch.cat(seen[1:])
    assert len(asked.unique(dim=0)) == len(asked)
    assert len(asked) < 129**3 / 3


def test_empty_and_full() -> None:
    assert len(zero_level_set(sphere(-1.0), 0.5, 16, lipschitz=1.0).faces) == 0
    full = zero_level_set(sphere(9.0), 0.5, 16, lipschitz=1.0)
    assert is_watertight(full.faces)
    assert float(full.vertices.abs().amax(1).min()) > 0.5 - 1 / 16


def test_refuses_what_is_not_finite() -> None:
    def broken(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        return torch.where(points[:, 0] > 0, torch.nan, 1.0)

    with pytest.raises(InputError, match="contain NaN or Inf"):
        zero_level_set(broken, 0.5, 16)
    with pytest.raises(InputError, match="cells a side"):
        zero_level_set(sphere(0.3), 0.5, 1)


@pytest.mark.parametrize("shape", [sphere(0.3), torus(0.3, 0.1), plane((0.0, 1.0, 0.0), 0.1)])
def test_differences_are_the_gradient(shape: SDF) -> None:
    points = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points.requires_grad_()
    (exact,) = torch.autograd.grad(shape(points).sum(), points)
    found = central_differences(shape, points.detach(), 1e-5)
    torch.testing.assert_close(found, exact, atol=1e-6, rtol=1e-6)
