"""One scene under seven shading models, and its page."""

from pathlib import Path

import pytest
import torch

from unrender.app.commands.spectrum import spectrum as show_spectrum
from unrender.errors import InputError
from unrender.rendering.light.path_tracer import PathOptions, path_radiance
from unrender.shapes.primitives import cube
from unrender.studies.spectrum import Stage, spectrum, spectrum_scene

SIZE = 24


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    scene, camera = spectrum_scene()
    return {stage.name: stage for stage in spectrum(scene, camera(SIZE), 4)}


def test_stages_are_in_order(stages: dict[str, Stage]) -> None:
    assert list(stages) == [
        "flat", "Gouraud", "Phong", "shadows", "occlusion", "direct light", "path traced",
    ]  # fmt: skip
    for stage in stages.values():
        assert stage.image.shape == (SIZE, SIZE, 3)
        assert stage.image.isfinite().all()
        assert 0 <= float(stage.image.min()) <= float(stage.image.max()) <= 1
        assert stage.seconds > 0


def test_stages_add_or_remove_light(stages: dict[str, Stage]) -> None:
    """Shadows and occlusion only darken the image; indirect light only brightens it."""

    def mean(name: str) -> float:
        return float(stages[name].image.mean())

    # The ray-traced stages have more samples per pixel at edges than the rasterized ones.
    assert (stages["occlusion"].image <= stages["shadows"].image + 1e-5).all()
    assert mean("occlusion") < mean("shadows") < mean("Phong") + 0.02
    assert mean("path traced") > mean("direct light")


def test_the_ceiling_receives_only_indirect_light(stages: dict[str, Stage]) -> None:
    """The lamp emits downward, so the ceiling is black with direct light only."""
    corner = 0, slice(2, SIZE - 2)
    assert float(stages["direct light"].image[corner].max()) == 0
    assert float(stages["path traced"].image[corner].mean()) > 0.02


def test_the_scene_accepts_any_mesh() -> None:
    scene, camera = spectrum_scene(cube(torch.rand(6, 3)))
    found = path_radiance(scene, camera(16), PathOptions(samples=4))
    assert found.color.isfinite().all()
    assert torch.equal(found.opacity, torch.ones_like(found.opacity))


@pytest.mark.fit
def test_the_command_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    show_spectrum(out, size=16, samples=2)
    assert "path traced" in capsys.readouterr().out
    page = out.read_text()
    assert page.count("<img") >= 7
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_bad_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="change the ending"):
        show_spectrum(tmp_path / "page.png")
    with pytest.raises(InputError, match="--size 2"):
        show_spectrum(tmp_path / "page.html", size=2)
    with pytest.raises(InputError, match="samples 0"):
        show_spectrum(tmp_path / "page.html", size=16, samples=0)
