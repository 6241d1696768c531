"""The study of moving scenes writes its page, and its kernel widths follow the octaves."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from unrender.data.builtin.lamp import make_lamp
from unrender.errors import InputError
from unrender.studies import write_film_study
from unrender.studies.film_study import FilmSubject
from unrender.studies.moving_scenes import MovingScenes, kernel_width


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film") / "small"
    make_lamp(size=16, frames=4, supersample=1).save(folder)
    return folder


def test_each_octave_narrows_the_kernel_and_an_open_window_is_none() -> None:
    widths = [kernel_width(octaves, float(octaves)) for octaves in (2, 4, 6)]
    assert widths[0] > 2 * widths[1] > 4 * widths[2]
    # A closed window leaves the points themselves, however many octaves there are.
    closed = [kernel_width(octaves, 0.0) for octaves in (2, 6)]
    assert closed[0] == pytest.approx(closed[1], rel=0.1)
    opening = [kernel_width(4, alpha) for alpha in (1.0, 2.0, 3.0, 4.0)]
    assert opening == sorted(opening, reverse=True)


def test_the_page_shows_each_variant_and_finished_fits_are_used_again(
    film: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    subject = FilmSubject(str(film), tmp_path / "runs", say=said.append)
    study = MovingScenes(only=("static field", "no window"), octaves=(2,), fit_steps=2)
    page = write_film_study(study, subject, tmp_path)
    text = page.read_text()
    for words in ("static field", "no window", "kernel width"):
        assert words in text
    with (tmp_path / "moving-scenes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == ["static field", "no window", "m = 2"]
    assert all(float(row["PSNR, dB"]) > 0 for row in rows)
    assert len(said) == 3
    write_film_study(study, replace(subject), tmp_path)
    assert len(said) == 3


def test_what_is_no_film_is_refused(scene_folder: Path, tmp_path: Path) -> None:
    study = MovingScenes(fit_steps=1)
    subject = FilmSubject(str(scene_folder), tmp_path / "runs")
    with pytest.raises(InputError, match="has no times that differ: give a film"):
        study.run(subject)
    with pytest.raises(InputError, match=r"--only 'elastic': choose among 'static field'"):
        MovingScenes(only=("elastic",)).run(subject)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(InputError, match="deformation_frequencies 300: give at most 256"):
        MovingScenes(octaves=(300,))
