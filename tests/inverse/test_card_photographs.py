"""`unrender process --card`: cameras of photographs of a card, whatever else is among them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from card_pictures import SIZE, card_cameras, card_picture
from PIL import Image

import unrender as ur
from unrender.errors import InputError
from unrender.geometry.poses import so3_distance
from unrender.imaging.files import write_image
from unrender.inverse.card_photographs import turned_alike

COUNT = 6
WIDTH, HEIGHT = 400, 300


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photographs of the card, of which one is upside down, and one of the table alone."""
    folder = tmp_path_factory.mktemp("card") / "photographs"
    folder.mkdir()
    for k, camera in enumerate(card_cameras(COUNT, WIDTH, HEIGHT)):
        picture = card_picture(camera)
        write_image(folder / f"{k}.png", picture.flip(0, 1) if k == 2 else picture)
    write_image(folder / "table.png", card_picture(card_cameras(1, WIDTH, HEIGHT), card=False))
    return folder


@pytest.mark.fit
def test_cameras_are_found_in_the_unit_of_the_card(
    photographs: Path, command: Callable[..., str], tmp_path: Path
) -> None:
    out = command("process", photographs, "--out", tmp_path / "scene", "--card", "85.6x53.98")
    assert "Cameras found for 6 of 7 images (86%)." in out
    assert "Left out table.png: no outline of a card: show all of it" in out
    assert "Next: unrender fit auto --data" in out
    data = ur.load(tmp_path / "scene")
    assert {*[entry.name for entry in (tmp_path / "scene").iterdir()]} == {
        "train", "test", "transforms_train.json", "transforms_test.json",
    }  # fmt: skip
    true = card_cameras(COUNT).world_from_camera
    found = torch.cat(
        [data.test.cameras.world_from_camera, data.train.cameras.world_from_camera]
    )
    true[2, :, :2] *= -1  # Its camera was upside down.
    angle = so3_distance(found[:, :, :3], true[:, :, :3]).rad2deg()
    assert float(angle.median()) < 0.2
    assert float(angle.max()) < 0.5
    assert float((found[:, :, 3] - true[:, :, 3]).norm(dim=1).max()) < 0.02 * 190
    assert float(data.train.cameras.focal[0]) == pytest.approx(460, rel=0.02)


@pytest.mark.fit
def test_photographs_across_and_upright_have_cameras_of_their_own(tmp_path: Path) -> None:
    """Both see the print the same way up, whichever side looks longer."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    parts = card_cameras(3, WIDTH, HEIGHT), card_cameras(3, HEIGHT, WIDTH)
    for name, cameras in zip("ab", parts, strict=True):
        for k, camera in enumerate(cameras):
            write_image(folder / f"{name}{k}.png", card_picture(camera))
    data = ur.process(folder, tmp_path / "scene", card=SIZE, layout="nerfies", progress=False)
    found = torch.cat([data.test.cameras.centers, data.train.cameras.centers])
    true = torch.cat([cameras.centers for cameras in parts])
    nearest = torch.cdist(found, true).amin(1)
    assert float(nearest.max()) < 0.03 * 190


def test_nothing_is_written_without_a_card(photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    for k in range(3):
        Image.open(photographs / "table.png").save(folder / f"{k}.png")
    with pytest.raises(InputError, match=r"found in 0 of 3 images.*0\.png: no outline"):
        ur.process(folder, tmp_path / "scene", card=SIZE, progress=False)
    assert not (tmp_path / "scene").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--card", "85"), "--card 85: give width and height, such as 85.6x53.98"),
        (("--card", "0x5"), "card 0x5: give width and height"),
        (("--card", "1x50"), "one side is over ten times the other"),
        (("--card", "2x1", "--layout", "colmap"), "a card makes no COLMAP model; give blender"),
    ],
)
def test_cards_that_are_none_are_refused(
    words: tuple[str, ...],
    message: str,
    photographs: Path,
    refused: Callable[..., str],
    tmp_path: Path,
) -> None:
    out = tmp_path / "scene"
    assert message in refused("process", photographs, "--out", out, *words)
    assert not out.exists()


def test_prints_are_turned_until_they_look_alike() -> None:
    card = torch.rand(32, 48, 3, generator=torch.Generator().manual_seed(0))
    half = card.rot90(2, (0, 1))
    assert turned_alike([card, half, 0.5 * card, half + 0.1], 2) == [0, 2, 0, 2]
    assert turned_alike([half, card], 2) == [0, 2]
    square = torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(1))
    quarters = [square.rot90(k, (0, 1)) for k in range(4)]
    assert turned_alike(quarters, 4) == [0, 3, 2, 1]
    assert turned_alike([], 2) == []
