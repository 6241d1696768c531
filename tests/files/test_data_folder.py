"""Files that data name: found as other programs find them, and nowhere that was not meant."""

from pathlib import Path

import pytest

from unrender.errors import InputError
from unrender.files.data_folder import DataFolder

ENDINGS = (".png", ".jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scene = tmp_path / "above" / "parent" / "scene"
    names = ("scene/images/a 1.PNG", "scene/images/r.0.png", "photos/b.jpg", "../far/c.png")
    for name in (*names, "scene/images/._a 1.png"):
        file = scene.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return scene


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("images/a 1.PNG", "images/a 1.PNG"),
        ("./images/a 1", "images/a 1.PNG"),
        ("images/a 1.png", "images/a 1.PNG"),
        ("Images/A 1.png", "images/a 1.PNG"),
        ("images\\a 1.PNG", "images/a 1.PNG"),
        (".\\images\\a 1", "images/a 1.PNG"),
        ("images/a%201.PNG", "images/a 1.PNG"),
        ("images%5Ca%201", "images/a 1.PNG"),
        ("images/r.0", "images/r.0.png"),
        ("images/r.0.jpg", "images/r.0.png"),
        ("../photos/b.jpg", "../photos/b.jpg"),
        ("images/../../photos/b", "../photos/b.jpg"),
        ("/home/other/scene/images/a 1.PNG", "images/a 1.PNG"),
        ("C:\\Users\\other\\images\\a 1.png", "images/a 1.PNG"),
        ("file:///old/images/r.0.png", "images/r.0.png"),
    ],
)
def test_names_as_other_machines_write_them(folder: Path, name: str, found: str) -> None:
    data = DataFolder(folder)
    path = data.find("here", "`file_path`", name, ENDINGS)
    assert path is not None
    assert path.is_file()
    assert data.name(path) == found


def test_full_paths_are_read_where_they_are_or_said_to_be_elsewhere(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = DataFolder(folder)
    beside = folder.parent / "photos/b.jpg"
    assert data.find("here", "`file_path`", str(beside), ENDINGS) == beside
    data.tell(folder / "t.json")
    assert not caplog.messages
    for name in ("/old/images/r.0.png", "/old/images/a 1.PNG"):
        data.find("here", "`file_path`", name, ENDINGS)
    data.tell(folder / "t.json")
    (line,) = caplog.messages
    assert "'/old/images/r.0.png' is read from the folder of the data" in line
    assert "images/r.0.png, and 1 more likewise" in line


@pytest.mark.parametrize("name", ["images/none", "images/._a 1.png.png", "", "x\0", 3, "."])
def test_what_is_not_there(folder: Path, name: object) -> None:
    data = DataFolder(folder)
    if isinstance(name, str) and name and "\0" not in name:
        assert data.find("here", "`file_path`", name, ENDINGS) is None
    else:
        with pytest.raises(InputError, match="not a file name"):
            data.find("here", "`file_path`", name, ENDINGS)


@pytest.mark.parametrize(
    "name",
    ["../../far/c.png", "images/../../../far/c", "..\\..\\far\\c.png", "%2e%2e/%2E./far/c"],
)
def test_far_files_need_to_be_allowed(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"leaves .*--outside"):
        DataFolder(folder).find("here", "`file_path`", name, ENDINGS)
    found = DataFolder(folder, outside=True).find("here", "`file_path`", name, ENDINGS)
    assert found == folder.parent.parent / "far/c.png"


def test_a_far_full_path_needs_to_be_allowed(folder: Path) -> None:
    far = folder.parent.parent / "far/c.png"
    with pytest.raises(InputError, match=r"leaves .*--outside"):
        DataFolder(folder).find("here", "`file_path`", str(far), ENDINGS)
    assert DataFolder(folder, outside=True).find("here", "x", str(far), ENDINGS) == far


def test_links_lead_where_they_were_put_and_names_too_long_are_not_there(folder: Path) -> None:
    (folder / "linked").symlink_to(folder.parent.parent / "far")
    found = DataFolder(folder).find("here", "`file_path`", "linked/c", ENDINGS)
    assert found == folder / "linked/c.png"
    assert DataFolder(folder).find("here", "`file_path`", "x" * 5000, ENDINGS) is None


def test_a_folder_below_the_root_does_not_allow_everything() -> None:
    with pytest.raises(InputError, match="leaves"):
        DataFolder(Path("/tmp")).find("here", "`file_path`", "../etc/hostname", ENDINGS)
