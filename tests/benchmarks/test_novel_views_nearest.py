"""The rows of the benchmark of novel views from N photographs."""

from pathlib import Path

import novel_views_nearest
import pytest
from novel_views_nearest import read_scene, rows
from novel_views_photographs import sheet
from view_models import FakeFlow, Oracle, fitted

from unrender.api.view_sources import ViewSource
from unrender.data.dataset import Dataset
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image

pytestmark = pytest.mark.fit


def test_there_is_a_row_for_every_way_and_count(
    small_scene: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(novel_views_nearest, "FIELD", "box")
    scene = ViewSource("small", small_scene.train, small_scene.test[:2], False)
    models = {"oracle": fitted(Oracle()), "flow": fitted(FakeFlow())}
    found = list(rows(scene, models, counts=(1, 5, 99), side=16, steps=2))
    by_count = {
        count: {row["way"]: row for row in found if row["inputs"] == count}
        for count in (1, 5, 30)
    }
    assert len(found) == sum(map(len, by_count.values()))
    # Of one input, all choices are the same; a model is not given more inputs than ten.
    assert set(by_count[5]) - set(by_count[1]) == {
        "nearest input by rotation",
        *(
            f"{name}, {way}"
            for name in models
            for way in ("nearest by rotation", "4 nearest", "random", "all")
        ),
    }
    assert set(by_count[5]) - set(by_count[30]) == {f"{name}, all" for name in models}
    for every in by_count.values():
        assert every["truth"]["psnr"] is None
        assert every["truth"]["ssim"] == pytest.approx(1)
        assert every["oracle, nearest"]["psnr"] > every["nearest input"]["psnr"]


def test_a_scene_that_is_not_here_is_left_out() -> None:
    assert read_scene("/no/such/scene") is None


def test_photographs_make_a_sheet(small_scene: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "chair.png"
    write_image(path, unpremultiply(small_scene.train.images[0]))
    models = {"oracle": fitted(Oracle()), "flow": fitted(FakeFlow())}
    image = sheet({"chair": path}, models, azimuths=(90, 180))
    # Two rows of three panels.
    assert image.shape[1] > 3 * 128
    assert image.shape[0] > 2 * 128
