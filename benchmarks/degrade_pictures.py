"""The pictures of degradations in docs/captures.md: one photograph of the mouse.

    python benchmarks/degrade_pictures.py

They are of one size, as a film is.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

import unrender
from unrender.report.pictures import write_picture

ROOT = Path(__file__).parents[1]
SCENE = ROOT.parent / "shared/data/real_scenes/mouse_colmap"
FEW, SHOWN, SIZE = 12, 6, (240, 180)
CONDITIONS: tuple[dict[str, Any], ...] = (
    {},
    {"photons": 50.0, "read_noise": 3.0},
    {"photons": 400.0, "read_noise": 3.0, "underexposure": 3.0},
    {"motion_blur": 12.0},
    {"defocus": 8.0},
    {"downscale": 8},
    {"jpeg": 5},
    {"video": 42},
)
COLUMNS = 4


def main() -> None:
    """Draw one view under all conditions, and the options above each."""
    data = unrender.load(SCENE, downscale=2)
    data = unrender.Dataset.of_views(data.train.by_size()[-1][:FEW], "mouse")
    for number, first in enumerate(range(0, len(CONDITIONS), COLUMNS), 1):
        images: list[Tensor] = []
        labels: list[str] = []
        for options in CONDITIONS[first : first + COLUMNS]:
            found = unrender.degrade(data, **options).train[SHOWN]
            images.append(found.resized(*SIZE).over("white")[0])
            words = [f"--{name.replace('_', '-')} {value:g}" for name, value in options.items()]
            labels.append(", ".join(words) or "as it is")
        file = ROOT / f"docs/captures/degraded_{number}.jpg"
        write_picture(file, [("", images)], heads=labels)


if __name__ == "__main__":
    main()
