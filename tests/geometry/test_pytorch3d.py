"""PyTorch3D's cameras: both conventions project points to the same pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import se3_exp, so3_exp
from unrender.geometry.pytorch3d import (
    from_pytorch3d,
    ndc_from_pixels,
    pixels_from_ndc,
    to_pytorch3d,
)

SIZES = [(640, 480), (300, 500), (64, 64)]


def seen_there(
    points: torch.Tensor,
    rotation: torch.Tensor,
    translation: torch.Tensor,
    focal: torch.Tensor,
    principal: torch.Tensor,
) -> torch.Tensor:
    """NDC as PyTorch3D's PerspectiveCameras define it: f x / z + p of x_world R + T."""
    local = points @ rotation + translation[:, None]
    return focal[:, None] * local[..., :2] / local[..., 2:] + principal[:, None]


def any_cameras(seed: int, width: int, height: int) -> Cameras:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    matrix = torch.diag_embed(torch.cat([300 * uniform(4, 2) + 100, torch.ones(4, 1)], dim=1))
    matrix[:, :2, 2] = uniform(4, 2) * torch.tensor([width, height])
    twist = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    return Cameras(se3_exp(twist), matrix, width, height)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from(SIZES), st.booleans())
def test_there_and_back(seed: int, size: tuple[int, int], in_ndc: bool) -> None:
    cameras = any_cameras(seed, *size)
    again = from_pytorch3d(*to_pytorch3d(cameras, in_ndc), *size, in_ndc=in_ndc)
    torch.testing.assert_close(again.world_from_camera, cameras.world_from_camera)
    torch.testing.assert_close(again.intrinsics, cameras.intrinsics)
    pixels = torch.rand(9, 2, dtype=torch.float64) * 100
    torch.testing.assert_close(pixels_from_ndc(ndc_from_pixels(pixels, *size), *size), pixels)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from(SIZES))
def test_points_are_seen_in_the_same_place(seed: int, size: tuple[int, int]) -> None:
    cameras = any_cameras(seed, *size)
    local = torch.randn(4, 50, 3, dtype=torch.float64)
    local[..., 2] = local[..., 2].abs() + 0.5
    rotations, centers = cameras.rotations[:, None], cameras.centers[:, None]
    points = (rotations @ local[..., None])[..., 0] + centers
    index = torch.arange(4)[:, None].expand(4, 50)
    pixels, _ = cameras.project(index, points)
    ndc = seen_there(points, *to_pytorch3d(cameras))
    torch.testing.assert_close(ndc, ndc_from_pixels(pixels, *size))


@pytest.mark.parametrize(
    ("pixel", "ndc"),
    [
        ((0, 0), (4 / 3, 1)),
        ((640, 480), (-4 / 3, -1)),
        ((320, 240), (0, 0)),
        ((80.0, 480.0), (1, -1)),
    ],
)
def test_the_shorter_side_reaches_from_minus_one_to_one(
    pixel: tuple[float, float], ndc: tuple[float, float]
) -> None:
    found = ndc_from_pixels(torch.tensor(pixel, dtype=torch.float32), 640, 480)
    torch.testing.assert_close(found, torch.tensor(ndc, dtype=torch.float32))


OPENCV = [
    # R by rows, t, focal length and principal point of OpenCV; a point, and its pixel by hand.
    ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], (0, 0, 3), 100, (320, 240), (0.3, 0.6, 0), (330, 260)),
    (
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        (0.3, -0.3, 3.0),
        115,
        (320.3, 240.5),
        (0.5, 1.0, -0.2),
        (320.3 + 115 * 0.8 / 4, 240.5 + 115 * -0.1 / 4),
    ),
    (
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        (-0.15, 0.1, 4.0),
        105,
        (318, 241),
        (0.4, 1.0, 0.65),
        (318 + 105 * 0.5 / 5, 241 + 105 * 0.5 / 5),
    ),
    (
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        (0.0, 0.0, 4.0),
        120,
        (322, 242),
        (0.0, 0.0, 1.0),
        (322 + 120 * 1 / 4, 242),
    ),
]
"""The rotations, shifts and lenses of PyTorch3D's own test of cameras from OpenCV."""


@pytest.mark.parametrize("case", OPENCV)
def test_cameras_of_opencv(case: tuple[list[list[int]], *tuple[object, ...]]) -> None:
    rows, shift, focal, center, place, pixel = (
        torch.tensor(part, dtype=torch.float64)[None] for part in case
    )
    # What PyTorch3D documents for cameras of OpenCV, by its own formulas.
    flip = torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)
    lens = focal[:, None].expand(1, 2) / 240
    principal = -(center - torch.tensor([320.0, 240.0])) / 240
    theirs = rows.mT * flip, shift * flip, lens, principal
    cameras = from_pytorch3d(*theirs, 640, 480)
    found, _ = cameras.project(torch.tensor([0]), place)
    torch.testing.assert_close(found, pixel)
    ndc = seen_there(place[:, None], *theirs)[:, 0]
    torch.testing.assert_close(pixels_from_ndc(ndc, 640, 480), pixel)
    # And [R | t] of OpenCV is camera-from-world, as it stands.
    torch.testing.assert_close(cameras.rotations[0].mT, rows[0])
    for here, there in zip(to_pytorch3d(cameras), theirs, strict=True):
        torch.testing.assert_close(here, there)


PROJECTED = [
    (
        (-1.6336234226511284, -1.009804818052615, 0.4160736184401035),
        (1.626905, -1.5187958, -4.6009063),
        (-1.0406556, -4.6370989, 0.6160261, -2.2859802, 19, 16),
        [
            ((0.7610377, 0.121675, 0.4438632), (1.0145014, -2.9284953)),
            ((0.3336743, 1.4940791, -0.2051583), (1.0724146, -3.4080993)),
            ((0.3130677, -0.8540957, -2.5529898), (1.7917063, -6.7793572)),
            ((2.2697546, -1.4543657, 0.0457585), (1.4910298, -1.7436687)),
        ],
    ),
    (
        (-1.624698671197051, 1.2717319528620892, 0.026455585547038436),
        (-0.7416676, -0.9513922, 1.2411273),
        (-0.6674566, -0.4250565, 0.0366092, -0.1661673, 11, 19),
        [
            ((0.9182028, -0.1588005, -0.9640634), (0.4141589, 0.5870938)),
            ((-1.9907788, 0.0897307, 0.1148539), (0.5208963, -0.2684058)),
            ((-0.3640868, 1.3439544, -0.818221), (1.7229771, 0.3713118)),
            ((0.0827099, -1.2910585, -0.6611042), (0.069312, 0.1164213)),
        ],
    ),
]
"""What cv2.projectPoints gave, among the figures that PyTorch3D's own tests hold: rotation
vector, shift, (fx, fy, cx, cy, height, width), and points with their pixels."""


@pytest.mark.parametrize(("turn", "shift", "lens", "pairs"), PROJECTED)
def test_figures_of_opencv_itself(
    turn: tuple[float, ...],
    shift: tuple[float, ...],
    lens: tuple[float, ...],
    pairs: list[tuple[tuple[float, ...], tuple[float, ...]]],
) -> None:
    rotation = so3_exp(torch.tensor([turn], dtype=torch.float64))
    fx, fy, cx, cy, height, width = lens
    flip = torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)
    half = min(width, height) / 2
    cameras = from_pytorch3d(
        rotation.mT * flip,
        torch.tensor([shift], dtype=torch.float64) * flip,
        torch.tensor([[fx, fy]], dtype=torch.float64) / half,
        torch.tensor([[width / 2 - cx, height / 2 - cy]], dtype=torch.float64) / half,
        int(width),
        int(height),
    )
    points, pixels = (torch.tensor(x, dtype=torch.float64) for x in zip(*pairs, strict=True))
    found, _ = cameras.project(torch.zeros(len(points), dtype=torch.long), points)
    torch.testing.assert_close(found, pixels, atol=1e-4, rtol=0)
    ndc = seen_there(points[None], *to_pytorch3d(cameras))[0]
    torch.testing.assert_close(
        pixels_from_ndc(ndc, int(width), int(height)), pixels, atol=1e-4, rtol=0
    )


def test_skew_is_refused() -> None:
    cameras = any_cameras(0, 64, 64)
    cameras.intrinsics[1, 0, 1] = 2.0
    with pytest.raises(InputError, match="skew"):
        to_pytorch3d(cameras)
