"""`unrender novel-views --run FILE`, with miniatures of published checkpoints and others."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from zero123_checkpoints import Sizes, tensors, write

Command = Callable[..., str]
pytestmark = pytest.mark.fit


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    image = Image.new("RGBA", (48, 48))
    image.paste((200, 120, 40, 255), (10, 10, 38, 38))
    image.save(path)
    return path


def test_a_checkpoint_makes_views_of_a_photograph(
    command: Command, photograph: Path, tmp_path: Path
) -> None:
    content = tensors(Sizes(width=8, image_width=8), average=False)
    run, out = write(tmp_path / "x.ckpt", content), tmp_path / "views.png"
    words = ("--frames", 1, "--steps", 1, "--device", "cpu")
    command("novel-views", photograph, "--run", run, "--out", out, *words)
    with Image.open(out) as image:
        assert image.size[0] >= 256


def test_what_is_none_is_refused_in_one_line(
    refused: Command, photograph: Path, tmp_path: Path
) -> None:
    run, out = tmp_path / "x.ckpt", tmp_path / "views.png"

    def line() -> str:
        words = ("--run", run, "--out", out, "--device", "cpu")
        found = refused("novel-views", photograph, *words)
        assert found.startswith(f"unrender: {run}: ")
        assert not out.exists()
        return found

    content = tensors(average=False)
    run.write_bytes(write(run, content).read_bytes()[:100_000])
    assert "truncated" in line()
    content.pop("cc_projection.bias")
    write(run, content)
    assert "lacks 1 tensor: `cc_projection.bias`" in line()
    write(run, {"weight": torch.ones(1)})
    assert "has no `cc_projection.weight`" in line()
