"""Scenes with images of several sizes, some upright and some across, from fit to page."""

import dataclasses
from pathlib import Path

import golden
import pytest
import torch
from inputs import sample

import unrender as ur
from unrender.api.fit import fit_to
from unrender.api.run import Run
from unrender.app.commands.render import render
from unrender.app.inspect import inspect
from unrender.app.outcome import keep_evaluation
from unrender.data.builtin import render_scene
from unrender.data.dataset import Dataset
from unrender.data.views import Views, joined
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.methods.presets import PRESETS
from unrender.report.inspect import write_inspection
from unrender.training.fit import FitOptions
from unrender.training.method import Progress

ACROSS, UPRIGHT = (24, 16), (14, 20)
FIELDS = (
    "box", "dvgo-fast", "gaussian-splatting-fast", "instant-ngp-fast", "light-field-fast",
    "mesh-from-views", "mip-nerf-fast", "mip-nerf-360-fast", "nerf-fast", "nerfacto-fast",
    "neus-fast", "plenoxels-fast", "volsdf-fast",
)  # fmt: skip


def bricks(count: int, size: tuple[int, int], seed: int) -> Views:
    """The built-in bricks as an SLR camera sees them."""
    poses = spherical_shell(count, (3.9, 4.1), torch.Generator().manual_seed(seed), (0.1, 1.2))
    cameras = Cameras.from_focal(poses, 1.3 * max(size), *size)
    views = render_scene("bricks", cameras, 2)
    names = tuple(f"{size[0]}-{seed}-{k}.png" for k in range(count))
    return dataclasses.replace(views, names=names)


@pytest.fixture(scope="module")
def scene() -> Dataset:
    """A phone held across, and another one upright."""
    train, test = (
        joined([bricks(count, ACROSS, seed), bricks(count, UPRIGHT, seed + 1)])
        for count, seed in ((5, 0), (2, 10))
    )
    return Dataset("mixed", train, test)


@pytest.fixture(scope="module")
def photographs(scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "mixed"
    scene.train.save(folder)
    return folder


def test_mixed_views_are_those_of_their_halves(scene: Dataset) -> None:
    train = scene.train
    assert repr(train).startswith("Views(10 × 24×16 and 14×20 RGBA, fov ")
    assert repr(scene) == "Dataset(mixed: train=10 views of 24×16 and 14×20, test=4)"
    halves = train.by_size()
    assert [half.cameras.sizes.one for half in halves] == [UPRIGHT, ACROSS]
    assert torch.equal(train[:5].images, halves[1].images)
    assert torch.equal(train[7].over("red"), halves[0][2].over("red"))
    batch = train.sample_pixels(500, torch.Generator().manual_seed(0))
    view, place = (
        batch.rays.camera_index,
        train.cameras.project(
            batch.rays.camera_index, batch.rays.origins + batch.rays.directions
        )[0],
    )
    for k, pixel, color in zip(view.tolist(), place.long().tolist(), batch.rgba, strict=True):
        assert torch.equal(train[k].images[0, pixel[1], pixel[0]], color)


@pytest.mark.fit
@pytest.mark.parametrize("name", FIELDS)
def test_every_radiance_field_goes_all_the_way(
    scene: Dataset, photographs: Path, tmp_path: Path, name: str
) -> None:
    method = golden.reduced(name)
    assert not PRESETS[name].method().finds_poses
    options = FitOptions(steps=3, device="cpu")
    data = ur.load(photographs, hold_out=5)
    assert data.train.store.pixels.dtype == torch.uint8
    assert data.train.cameras.sizes.mixed
    fit_to(method, data, options, out=tmp_path / "run", progress=False)
    run = Run.open(tmp_path / "run", "cpu")
    assert torch.equal(run.cameras.sizes.rows, data.train.cameras.sizes.rows)
    evaluation = run.evaluation()
    assert len(evaluation.scores["views"]) == len(data.test)
    assert evaluation.scores["sizes"] == data.test.cameras.sizes.rows.tolist()
    for file in keep_evaluation(run, evaluation):
        assert file.stat().st_size
    made = run.render(scene.test.cameras[3], progress=False)
    assert made.color.shape == (1, 20, 14, 3)
    assert run.render(scene.test.cameras[0], size=12, progress=False).color.shape[2] == 12
    with pytest.raises(InputError, match="several sizes"):
        run.render(scene.test.cameras, progress=False)


@pytest.mark.fit
def test_a_fit_to_one_size_may_be_told_in_either_way(scene: Dataset) -> None:
    """The losses of mixed views are those of a loop over their pixels."""
    method = golden.reduced("gaussian-splatting")
    generator = torch.Generator().manual_seed(0)
    model = method.build(scene.train, generator)
    seen: set[tuple[int, int]] = set()
    for step in range(8):
        state = generator.get_state()
        index = int(torch.randint(len(scene.train), (), generator=generator))
        generator.set_state(state)
        losses = method.losses(model, scene.train, Progress(step, 0.0), generator)
        generator.set_state(state)
        alone = scene.train[index]
        again = method.losses(
            model, joined([alone] * len(scene.train)), Progress(step, 0.0), generator
        )
        assert torch.equal(losses["color"], again["color"])
        seen.add(alone.cameras.sizes.one)
    assert seen == {ACROSS, UPRIGHT}


def test_saving_and_reading_gives_the_same(scene: Dataset, photographs: Path) -> None:
    found = ur.load(photographs, hold_out=0).train
    assert torch.equal(found.cameras.sizes.rows, scene.train.cameras.sizes.rows)
    torch.testing.assert_close(found.cameras.intrinsics, scene.train.cameras.intrinsics)
    for k, view in enumerate(found):
        torch.testing.assert_close(view.images, scene.train[k].images, rtol=0, atol=1 / 255)
    half = ur.load(photographs, hold_out=0, downscale=2).train
    assert str(half.cameras.sizes) == "12×8 and 7×10"
    torch.testing.assert_close(
        half[9].images, found[9].resized(7, 10).images, rtol=0, atol=1 / 255
    )


@pytest.mark.fit
def test_pages_show_both(photographs: Path, tmp_path: Path) -> None:
    found = inspect(photographs)
    assert found.summary.facts["size"] == "24×16 and 14×20 pixels"
    for file in write_inspection(tmp_path, "mixed", found.summary, found.cameras, found.views):
        assert file.stat().st_size
    assert ur.load(photographs)._repr_html_().count("<img") == 1
    assert found.views is not None
    assert (found.views._repr_png_() or b"").startswith(b"\x89PNG")


@pytest.mark.fit
def test_runs_are_compared_and_rendered(photographs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ur.fit("box", photographs, hold_out=5, steps=3, out=run, progress=False)
    page = tmp_path / "compare.html"
    ur.compare([run, run], out=page, progress=False)
    assert "24×16 and 14×20 pixels" in page.read_text()
    folder, clip = tmp_path / "views", tmp_path / "clip.gif"
    for out in (folder, clip):
        render(run, out, cameras="test", quiet=True)
    assert len(list(folder.glob("color_*.png"))) == 2
    assert clip.stat().st_size


REFUSED = {
    "pose flow": lambda scene, _: ur.fit("sit", scene, steps=1, progress=False),
    "npz": lambda scene, path: scene.train.save(path / "views.npz"),
    "one tensor": lambda scene, _: scene.train.images,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_needs_one_size_says_so_in_a_line(
    scene: Dataset, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(InputError) as caught:
        REFUSED[kind](scene, tmp_path)
    text = str(caught.value)
    assert "24×16 and 14×20" in text
    assert "\n" not in text
    assert ":" in text


def test_a_capture_keeps_upright_photographs_upright() -> None:
    data = ur.load(sample("real_scenes/mouse_colmap"))
    sizes = data.train.cameras.sizes
    assert sizes.mixed
    assert {width > height for width, height in sizes.rows.tolist()} == {True, False}
    assert data.train.store.pixels.dtype == torch.uint8
    assert data.train.store.opaque
