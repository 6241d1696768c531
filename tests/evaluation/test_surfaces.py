"""Surface metrics on shapes with known values."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from unrender.errors import InputError
from unrender.evaluation.dtu import Observed, in_world, read_observed, read_table, score_scan
from unrender.evaluation.surfaces import (
    psnr_inside,
    score_visible,
    silhouette_iou,
    thinned,
    visible_points,
)
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.shapes.mesh import Mesh, join_meshes
from unrender.shapes.primitives import icosphere
from unrender.shapes.sampling import sample_surface

BALL = icosphere(4)


def cameras(count: int = 12, elevation: tuple[float, float] = (0.0, 1.2)) -> Cameras:
    poses = spherical_shell(count, (4.0, 4.0), torch.Generator().manual_seed(0), elevation)
    return Cameras.from_focal(poses, 110.0, 80, 80)


def test_silhouettes_overlap() -> None:
    found, true = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)
    found[0, :2], true[0, 1:3] = 1, 1
    found[1, :2], true[1, :2] = 1, 1
    assert silhouette_iou(found, true).tolist() == pytest.approx([1 / 3, 1, 1])


def test_only_pixels_inside_count() -> None:
    truth = torch.rand(2, 5, 5, 3, generator=torch.Generator().manual_seed(0))
    inside = torch.zeros(2, 5, 5, dtype=torch.bool)
    inside[:, 1:3, 1:3] = True
    rendered = torch.where(inside[..., None], truth + 0.1, 0.0)
    assert psnr_inside(rendered, truth, inside).tolist() == pytest.approx([20, 20], abs=1e-3)
    inside[1] = False
    with pytest.raises(InputError, match="view 1"):
        psnr_inside(rendered, truth, inside)


def test_visible_points_are_on_the_side_of_the_cameras() -> None:
    points = visible_points(BALL, cameras(), 0.02)
    assert float((points.norm(dim=1) - 1).abs().max()) < 5e-3
    # Cameras at distance 4 on the upper half see no lower than this.
    assert float(points[:, 2].min()) > -math.sqrt(1 - 1 / 16) - 1e-2
    assert len(thinned(points, 0.02)) == len(points)
    assert len(thinned(points, 0.2)) < len(points) / 10


def test_a_larger_sphere_is_as_far_off_as_it_is_larger() -> None:
    larger = Mesh(1.05 * BALL.vertices, BALL.faces)
    scores = score_visible(larger, BALL, cameras())
    assert scores.accuracy == pytest.approx(0.05, abs=2e-3)
    assert scores.completeness == pytest.approx(0.05, abs=2e-3)
    assert scores.chamfer_percent == pytest.approx(5 / math.sqrt(12), rel=0.05)
    assert score_visible(BALL, BALL, cameras()).chamfer_percent < 1e-3


def test_what_no_camera_sees_does_not_count() -> None:
    inner = Mesh(0.5 * BALL.vertices, BALL.faces)
    hidden = score_visible(join_meshes([BALL, inner]), BALL, cameras())
    assert hidden.chamfer_percent < 1e-3
    # The canary: outside, the same ball counts.
    away = Mesh(0.5 * BALL.vertices + torch.tensor([0.0, 0.0, 1.2]), BALL.faces)
    assert score_visible(join_meshes([BALL, away]), BALL, cameras()).chamfer_percent > 0.5


def test_what_is_missing_counts() -> None:
    above = BALL.vertices[BALL.faces][..., 2].mean(1) < 0.3
    cut = Mesh(BALL.vertices, BALL.faces[above])
    scores = score_visible(cut, BALL, cameras())
    assert scores.completeness > 0.1


def test_what_no_camera_sees_at_all_is_refused() -> None:
    far = Mesh(BALL.vertices + 100, BALL.faces)
    with pytest.raises(InputError, match="no camera"):
        score_visible(far, BALL, cameras())


# DTU: a ball of 30 mm that is scanned from above.


def scan(radius: float = 30.0, count: int = 60_000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return radius * torch.nn.functional.normalize(
        torch.randn(count, 3, generator=generator), dim=1
    )


def ball(radius: float) -> Mesh:
    return Mesh(radius * BALL.vertices, BALL.faces)


def test_distances_are_in_millimetres() -> None:
    scores = score_scan(ball(31.0), scan(), spacing=1.0)
    # Samples of the scan are about 0.2 mm apart, and the faces lie a little within the ball.
    assert scores.accuracy == pytest.approx(1.0, abs=0.1)
    assert scores.completeness == pytest.approx(1.0, abs=0.35)
    assert scores.chamfer == pytest.approx((scores.accuracy + scores.completeness) / 2)


def test_far_points_count_as_none_of_the_surface() -> None:
    away = Mesh(BALL.vertices + 100, BALL.faces)
    alone = score_scan(ball(31.0), scan(), spacing=1.0)
    both = score_scan(join_meshes([ball(31.0), away]), scan(), spacing=1.0)
    assert both.accuracy == pytest.approx(alone.accuracy, abs=0.02)


def test_only_what_the_scanner_looked_at_counts() -> None:
    """Half of the mesh is 10 mm too far out; unobserved parts do not count."""
    vertices = torch.where(BALL.vertices[:, :1] > 0, 30 * BALL.vertices, 40 * BALL.vertices)
    mesh = Mesh(vertices, BALL.faces)
    cells = torch.zeros(9, 17, 17, dtype=torch.bool)
    cells[5:] = True
    observed = Observed(cells, torch.tensor([-40.0, -80.0, -80.0]), 10.0)
    assert score_scan(mesh, scan(), observed, spacing=1.0).accuracy < 0.5
    assert score_scan(mesh, scan(), spacing=1.0).accuracy > 3
    table = torch.tensor([1.0, 0.0, 0.0, -5.0])
    assert score_scan(mesh, scan(), None, table, 1.0).completeness < 1
    assert score_scan(mesh, scan(), None, -table, 1.0).completeness > 3


def test_nothing_to_compare_is_refused() -> None:
    nowhere = Observed(torch.ones(2, 2, 2, dtype=torch.bool), torch.full((3,), 500.0), 1.0)
    with pytest.raises(InputError, match="the mesh"):
        score_scan(ball(30.0), scan(), nowhere, spacing=1.0)
    below = torch.tensor([0.0, 0.0, 1.0, -500.0])
    with pytest.raises(InputError, match="the scan"):
        score_scan(ball(30.0), scan(), None, below, 1.0)


def test_the_unit_sphere_is_moved_to_the_world() -> None:
    scale = torch.diag(torch.tensor([30.0, 30.0, 30.0, 1.0], dtype=torch.float64))
    scale[:3, 3] = torch.tensor([5.0, 0.0, 0.0])
    moved = in_world(BALL, scale)
    torch.testing.assert_close(moved.vertices, 30 * BALL.vertices + torch.tensor([5.0, 0, 0]))
    shifted = scan() + torch.tensor([5.0, 0, 0])
    assert score_scan(moved, shifted, spacing=1.0).accuracy < 0.3


def test_the_data_set_s_files_are_read(tmp_path: Path) -> None:
    cells = np.zeros((4, 5, 6), np.uint8)
    cells[1:3] = 1
    box = np.array([[-1.0, -2.0, -3.0], [1.0, 2.0, 3.0]])
    savemat(tmp_path / "ObsMask1_10.mat", {"ObsMask": cells, "BB": box, "Res": 0.5})
    savemat(tmp_path / "Plane1.mat", {"P": np.array([[0.0], [0.0], [1.0], [-2.0]])})
    observed = read_observed(tmp_path / "ObsMask1_10.mat")
    inside = torch.tensor([[-0.5, -2.0, -3.0], [-1.0, -2.0, -3.0], [-0.5, -2.0, -3.3]])
    assert observed.contains(inside).tolist() == [True, False, False]
    assert read_table(tmp_path / "Plane1.mat").tolist() == [0, 0, 1, -2]


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.mat"
    path.write_bytes(b"not a file of MATLAB")
    with pytest.raises(InputError, match=r"mask\.mat"):
        read_observed(path)
    savemat(path, {"ObsMask": np.zeros((2, 2)), "BB": np.zeros((2, 3)), "Res": 1.0})
    with pytest.raises(InputError, match="shape"):
        read_observed(path)
    savemat(path, {"P": np.array([1.0, np.nan, 0, 0])})
    with pytest.raises(InputError, match="finite"):
        read_table(path)
    with pytest.raises(InputError, match="no numeric array"):
        read_observed(path)
    with pytest.raises(InputError, match="not a MATLAB file"):
        read_table(tmp_path / "missing.mat")


def test_sampling_is_what_thinning_expects() -> None:
    drawn = sample_surface(ball(30.0), 20_000, torch.Generator().manual_seed(0)).points
    kept = thinned(drawn, 2.0)
    assert bool(torch.isin(kept, drawn).all())
    cubes = (kept / 2.0).floor()
    assert len(cubes.unique(dim=0)) == len(kept)
