"""Studies and experiments by name: one question, one command, one page each.

Studies evaluate a trained pose flow or view models, or fit models to a film; experiments need
no run and create their own data.
"""

from collections.abc import Callable
from pathlib import Path

from unrender.report.findings import write_findings
from unrender.studies.ablations import Ablations
from unrender.studies.distillation import Distillation
from unrender.studies.film_study import FilmStudy, FilmSubject
from unrender.studies.gradients import Gradients
from unrender.studies.interpolation import Interpolation
from unrender.studies.inverse_problems import InverseProblems
from unrender.studies.inversion import Inversion
from unrender.studies.loop import Loop
from unrender.studies.moving_scenes import MovingScenes
from unrender.studies.novel_views import NovelViews
from unrender.studies.ntk import TangentKernel
from unrender.studies.reconstruction import Reconstruction
from unrender.studies.robustness import Robustness
from unrender.studies.study import Experiment, Study, Subject
from unrender.studies.turntable import Turntable
from unrender.studies.view_study import ViewStudy, ViewSubject

STUDIES: dict[str, Study] = {
    "reconstruction": Reconstruction(),
    "robustness": Robustness(),
    "inversion": Inversion(),
    "interpolation": Interpolation(),
    "turntable": Turntable(),
    "loop": Loop(),
    "ablations": Ablations(),
}

VIEW_STUDIES: dict[str, ViewStudy] = {
    "novel-views": NovelViews(),
    "distillation": Distillation(),
}

FILM_STUDIES: dict[str, FilmStudy] = {"moving-scenes": MovingScenes()}

EXPERIMENTS: dict[str, Experiment] = {
    "ntk": TangentKernel(),
    "gradients": Gradients(),
    "inverse-problems": InverseProblems(),
}


def write_study(study: Study, subject: Subject, folder: Path) -> Path:
    """Run a study, and write its page, CSV table and images; returns the page's path."""
    name = next(name for name, each in STUDIES.items() if type(each) is type(study))
    return write_findings(study.run(subject), folder, name)


def write_view_study(study: ViewStudy, subject: ViewSubject, folder: Path) -> Path:
    """Run a study of view models, and write what `write_study` does; returns the page."""
    name = next(name for name, each in VIEW_STUDIES.items() if type(each) is type(study))
    return write_findings(study.run(subject), folder, name)


def write_film_study(study: FilmStudy, subject: FilmSubject, folder: Path) -> Path:
    """Run a study of a film, and write what `write_study` does; returns the page."""
    name = next(name for name, each in FILM_STUDIES.items() if type(each) is type(study))
    return write_findings(study.run(subject), folder, name)


def write_experiment(
    experiment: Experiment, folder: Path, seed: int = 0, say: Callable[[str], None] = print
) -> Path:
    """Run an experiment, and write its page, CSV table and images; returns the page's path."""
    name = next(name for name, each in EXPERIMENTS.items() if type(each) is type(experiment))
    return write_findings(experiment.run(seed, say), folder, name)
