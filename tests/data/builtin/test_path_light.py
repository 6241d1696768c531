"""Path tracing of the built-in scenes."""

import hashlib
import math
import os
from pathlib import Path

import pytest
import torch

from unrender.data.builtin import make_scene, path_light, render_scene
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell

SIZE = 24


def cameras(num: int = 1) -> Cameras:
    generator = torch.Generator().manual_seed(5)
    poses = spherical_shell(num, (4.0, 4.0), generator, elevation=(0.5, 0.9))
    return Cameras.from_focal(poses, 0.5 * SIZE / math.tan(0.6911112 / 2), SIZE, SIZE)


def path(paths: int, name: str = "hotdog") -> Views:
    return render_scene(name, cameras(), 2, "path", paths)


@pytest.mark.parametrize("name", ["bricks", "chair", "hotdog"])
def test_shapes_are_the_same_in_any_light(name: str) -> None:
    direct = render_scene(name, cameras(), 2)
    lit = path(2, name)
    assert torch.equal(direct.images[..., 3], lit.images[..., 3])
    for field in ("masks", "depths", "normals"):
        assert torch.equal(getattr(direct, field), getattr(lit, field))
    color, alpha = lit.images[..., :3], lit.images[..., 3:]
    assert color.isfinite().all()
    assert ((color >= 0) & (color <= alpha + 1e-6)).all()
    # About as bright, but not the same.
    ratio = float(color.sum() / direct.images[..., :3].sum())
    assert 0.7 < ratio < 1.3
    assert (color - direct.images[..., :3]).abs().max() > 0.02


@pytest.mark.parametrize(("name", "mean"), [("bricks", 54.98785), ("chair", 29.36719)])
def test_direct_light_is_as_it_was(name: str, mean: float) -> None:
    """The mean of the 8-bit values; rounding may differ on other CPUs."""
    image = render_scene(name, cameras(), 2).images
    assert torch.equal(image, render_scene(name, cameras(), 2, "direct", paths=9).images)
    assert float((image * 255).round().mean()) == pytest.approx(mean, abs=0.01)


def test_a_view_is_always_the_same_image() -> None:
    assert torch.equal(path(2).images, path(2).images)
    both = render_scene("hotdog", cameras(2), 2, "path", 2)
    assert torch.equal(both.images[:1], path(2).images)


def test_more_paths_are_nearer_to_the_mean() -> None:
    """Four times as many paths at least halve the error."""
    true = path(256).images
    errors = [float((path(n).images - true).square().mean().sqrt()) for n in (1, 4, 16)]
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]


def test_directions_are_drawn_about_their_axis() -> None:
    """Directions have unit length and the given angle to the axis."""
    for axis in ((0.0, 0.0, -1.0), (0.6, 0.0, 0.8), (-0.48, 0.6, -0.64)):
        for z, turn in ((0.2, 0.1), (0.9, 4.0), (1.0, 2.0)):
            found = torch.tensor(path_light.direction_around(axis, z, turn))
            assert float(found.norm()) == pytest.approx(1, abs=1e-6)
            assert float(found @ torch.tensor(axis)) == pytest.approx(z, abs=1e-6)


def test_random_numbers_fill_every_dimension_evenly() -> None:
    for dimension in range(5 * path_light.BOUNCES):
        drawn = [path_light._uniform(7, dimension, k) for k in range(2000)]
        counts = torch.histc(torch.tensor(drawn), 20, 0, 1)
        assert counts.min() > 90
        assert counts.max() < 110
    # Over seeds, at one sample, too: the start is random.
    starts = torch.tensor([path_light._uniform(seed, 3, 0) for seed in range(4000)])
    assert torch.histc(starts, 10, 0, 1).min() > 320


def test_the_cache_tells_the_lights_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNRENDER_CACHE", str(tmp_path))
    scenes = [
        make_scene("chair", 12, 1, 1, 1),
        make_scene("chair", 12, 1, 1, 1, "path", 1),
        make_scene("chair", 12, 1, 1, 1, "path", 2),
    ]
    assert len(os.listdir(tmp_path)) == 3
    assert len({hashlib.sha256(s.train.images.numpy().tobytes()).digest() for s in scenes}) == 3
    again = make_scene("chair", 12, 1, 1, 1, "path", 1)
    assert torch.equal(again.train.images, scenes[1].train.images)
    assert len(os.listdir(tmp_path)) == 3


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="paths 0"):
        render_scene("chair", cameras(), 2, "path", 0)
