"""Weights of view models in the package: written from a run, they are its averaged weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import unrender as ur
from unrender.data.view_sets.objects import ObjectStream
from unrender.errors import InputError
from unrender.evaluation.view_sets import score_view_sets, split
from unrender.methods.presets import view_models

SMALL = {"width": 24, "heads": 3, "depth": 1, "encoder_depth": 1, "batch": 2}
OBJECTS = ObjectStream(("car",), 4, 0, 3, 16)


def test_written_weights_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"image_size": 16, "pool_size": 4, "fresh": 0, "views": 3}
    run = ur.fit(
        "view-regression", "objects", out=tmp_path / "run", steps=3, progress=False,
        **SMALL, **options,
    )  # fmt: skip
    monkeypatch.setattr(view_models, "WEIGHTS", tmp_path)
    with pytest.raises(InputError, match="not in this version"):
        view_models.shipped("regression")
    view_models.write_weights(tmp_path / "run", tmp_path / "view-regression.safetensors")
    shipped = view_models.shipped("regression")
    assert shipped.method == run.method
    batch = OBJECTS.draw(1, 3, 0, torch.Generator().manual_seed(0))
    views, cameras = split(batch, 0, 1)
    found = shipped.novel_views(views, cameras, torch.Generator())
    expected = run.fitted.novel_views(views, cameras, torch.Generator())
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
    # The file is read wherever a run is.
    again = view_models.open_view_model(tmp_path / "view-regression.safetensors", "flow", "cpu")
    assert torch.equal(again.novel_views(views, cameras, torch.Generator()), found)


def test_damaged_weights_of_the_package_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (view_models.WEIGHTS / "view-regression.safetensors").read_bytes()
    (tmp_path / "view-regression.safetensors").write_bytes(whole[:100_000])
    monkeypatch.setattr(view_models, "WEIGHTS", tmp_path)
    with pytest.raises(InputError, match=r"damaged.*install the package again"):
        view_models.shipped("regression")


def test_files_that_are_not_own_weights_are_none(tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\x00\x00")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("cut.safetensors", "other.safetensors", "absent.safetensors"):
        assert not view_models.has_weights(tmp_path / name)


@pytest.mark.parametrize("file", sorted(view_models.WEIGHTS.glob("*.safetensors")), ids=str)
def test_the_weights_in_the_package_are_small_and_beat_the_floors(file: Path) -> None:
    assert file.stat().st_size < 6.5e6
    kind = file.stem.removeprefix("view-")
    assert kind in ("regression", "flow")
    fitted = view_models.open_view_model(None, kind, "cpu")
    assert fitted.image_size == 32
    pool = ObjectStream((), 1, 0, 3, 32).held_out(8)
    scores = score_view_sets(fitted.novel_views, pool)
    assert scores["psnr"] > scores["copy_psnr"] + 2
