"""Pictures of several sizes in the frames of cameras, what is behind them, and warnings."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unrender.api.fit import fit
from unrender.api.pose import as_pictures, background_of, in_frame, placed, unlike
from unrender.data.dataset import Dataset
from unrender.geometry.cameras import Cameras
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.methods.gaussian_splatting import GaussianSplatting
from unrender.rendering.renderer import PoseEstimate, Rendering


def picture(width: int, height: int) -> Tensor:
    return torch.rand(height, width, 4, generator=torch.Generator().manual_seed(width))


@pytest.mark.parametrize(("width", "height"), [(12, 8), (8, 12), (12, 12), (12, 5)])
def test_the_middle_of_a_picture_is_the_middle_of_its_frame(width: int, height: int) -> None:
    """What sticks out is cropped, and what is missing unknown; nothing is scaled."""
    given = picture(width, height)
    frame = placed(given, 12, 8)
    assert frame.shape == (8, 12, 4)
    known = ~frame[..., 0].isnan()
    assert int(known.sum()) == min(width, 12) * min(height, 8)
    inside = frame[known].view(min(height, 8), min(width, 12), 4)
    top, left = max(height - 8, 0) // 2, max(width - 12, 0) // 2
    assert torch.equal(inside, given[top : top + 8, left : left + 12])
    above, below = known.any(1).nonzero()[0], 7 - known.any(1).nonzero()[-1]
    assert abs(int(above - below)) <= 1


def test_a_picture_of_the_same_shape_is_resized() -> None:
    frame = in_frame(picture(24, 16), 12, 8)
    torch.testing.assert_close(frame[0, 0], picture(24, 16)[:2, :2].mean((0, 1)))
    assert frame.isfinite().all()


def test_pictures_of_several_sizes_are_refined_as_each_would_be(small_scene: Dataset) -> None:
    run = fit("box", small_scene, steps=8, progress=False, bins=8)
    options = RenderAndCompare(coarse_steps=2, fine_steps=2, pixels=8)
    cameras = small_scene.test.cameras[:3]
    images = list(small_scene.test.images[:3])
    images[1] = images[1][4:-4]  # Of another shape: its camera's frame is kept.
    together = run.pose(images, start=cameras, options=options)
    assert together.cameras.sizes.one == cameras.sizes.one
    for k, image in enumerate(images):
        alone = run.pose(image, start=cameras[k], options=options)
        torch.testing.assert_close(
            together.cameras.world_from_camera[k], alone.cameras.world_from_camera[0]
        )


def stub(opacity: float, **more: Any) -> Any:
    """A run that renders a constant opacity."""

    def render(cameras: Cameras) -> Rendering:
        shape = len(cameras), cameras.height, cameras.width
        return Rendering(torch.zeros(*shape, 3), torch.full(shape, opacity), torch.ones(shape))

    cameras = Cameras.look_at([(4, 0, 1), (0, 4, 1)], size=(40, 30))
    record = SimpleNamespace(cameras=SimpleNamespace(cameras=cameras), evaluation={})
    parts: dict[str, Any] = {
        "renderer": render,
        "cameras": cameras,
        "record": record,
        "method": GaussianSplatting(),
        "image_size": None,
        "opaque": False,
        "device": torch.device("cpu"),
        "view_ranges": {},
        "metrics": [],
    }
    return SimpleNamespace(**(parts | more))


def test_a_run_knows_whether_the_background_belongs_to_its_scene() -> None:
    opaque, cut_out = torch.ones(8, 8, 4), torch.zeros(8, 8, 4)
    assert background_of(stub(1.0), [opaque], None) is None
    assert torch.equal(background_of(stub(0.1), [opaque], None), torch.ones(3))  # pyright: ignore[reportArgumentType]
    assert background_of(stub(0.1), [cut_out], None) is None
    told = stub(0.1, view_ranges={"opaque": True}, opaque=True)
    assert background_of(told, [opaque], None) is None
    recorded = stub(1.0, view_ranges={"background": [0.0, 0.0, 0.0]})
    assert torch.equal(background_of(recorded, [opaque], None), torch.zeros(3))  # pyright: ignore[reportArgumentType]
    assert torch.equal(background_of(stub(1.0), [opaque], "white"), torch.ones(3))  # pyright: ignore[reportArgumentType]
    assert background_of(stub(0.1), [opaque], "opaque") is None


def test_a_picture_of_something_else_is_told_by_its_misfit() -> None:
    cameras = Cameras.look_at([(4, 0, 1), (0, 4, 1)])
    zero = torch.zeros(2)
    found = PoseEstimate(cameras, torch.zeros(2, 3), zero, torch.tensor([0.003, 0.1]))
    run = stub(1.0, metrics=[{"step": 1.0, "psnr": 26.0}])
    assert unlike(run, found, 0) is None
    assert "10.0 dB" in (unlike(run, found, 1) or "")
    run.record.evaluation = {"psnr": 40.0}
    assert "held-out views at 40.0 dB" in (unlike(run, found, 0) or "")
    run.record.evaluation, run.metrics = {}, []
    assert unlike(run, found, 1) is None


def test_photographs_are_read_upright(tmp_path: Path) -> None:
    """A phone writes how it was held as an orientation in EXIF."""
    image = Image.fromarray(np.full((6, 10, 3), 128, np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "held.jpg", exif=exif)
    (read,) = as_pictures(tmp_path / "held.jpg")
    assert read.shape == (10, 6, 4)
