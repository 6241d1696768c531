"""Every study by name: one question about a flow, one command, one page."""

from pathlib import Path

from unrender.studies.ablations import Ablations
from unrender.studies.findings import write_findings
from unrender.studies.interpolation import Interpolation
from unrender.studies.inversion import Inversion
from unrender.studies.loop import Loop
from unrender.studies.reconstruction import Reconstruction
from unrender.studies.robustness import Robustness
from unrender.studies.study import Study, Subject
from unrender.studies.turntable import Turntable

STUDIES: dict[str, Study] = {
    "reconstruction": Reconstruction(),
    "robustness": Robustness(),
    "inversion": Inversion(),
    "interpolation": Interpolation(),
    "turntable": Turntable(),
    "loop": Loop(),
    "ablations": Ablations(),
}


def write_study(study: Study, subject: Subject, folder: Path) -> Path:
    """Carry a study out, and write its page, table and pictures; returns the page's path."""
    name = next(name for name, each in STUDIES.items() if type(each) is type(study))
    return write_findings(study.run(subject), folder, name)
