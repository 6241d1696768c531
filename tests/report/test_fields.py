"""The page that compares fields, made by its command and opened in a browser."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from unrender.app.commands.compare_fields import compare_fields
from unrender.errors import InputError
from unrender.fields.field import IMAGE_KINDS
from unrender.imaging.files import write_image
from unrender.training.data_kinds.image import FITTED


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "waves.png"
    y, x = torch.meshgrid(torch.linspace(0, 3, 20), torch.linspace(0, 4, 30), indexing="ij")
    write_image(path, torch.stack([x.sin(), y.sin(), (x * y).cos()], dim=2) / 2 + 0.5)
    return path


@pytest.mark.fit
def test_comparison_of_all_kinds(
    photo: Path,
    tmp_path: Path,
    opened: Callable[[Path], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The page is whole in a browser, and asks nothing of the network."""
    out = tmp_path / "all"
    compare_fields(photo, out, steps=20, pixels=64, device="cpu")
    assert capsys.readouterr().out.strip() == str(out / "index.html")
    best = min(
        json.loads((out / kind / "evaluation.json").read_text())["mse"] for kind in IMAGE_KINDS
    )
    document = opened(out / "index.html")
    assert f"{best:.4g}" in document
    for kind in IMAGE_KINDS:
        assert f"<code>{kind}</code>" in document
        assert (out / kind / FITTED).exists()
    assert 'data-ready="true"' in document
    assert "image/gif" in document
    assert not re.search(r"https?://", re.sub(r"base64,[\w+/=]*", "", document))
    with Image.open(out / "progress.gif") as film:
        assert film.n_frames > 5  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InputError, match="exists already"):
        compare_fields(photo, out)


@pytest.mark.fit
def test_comparison_by_time(command: Callable[..., str], photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "all"
    brief = ("--minutes", 0.001, "--pixels", 64, "--device", "cpu")
    said = command("compare-fields", "--image", photo, "--out", out, *brief)
    assert said.strip().endswith("index.html")
    page = (out / "index.html").read_text()
    assert "0.001 minutes" in page
    assert all(kind in page for kind in IMAGE_KINDS)
    with pytest.raises(InputError, match="--pixels 0"):
        compare_fields(photo, tmp_path / "other", pixels=0)
