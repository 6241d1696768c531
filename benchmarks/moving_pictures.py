"""Pictures of docs/moving_scenes.md that show the built-in moving scene.

python benchmarks/moving_pictures.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import unrender as ur
from unrender.app.commands.inspect import inspect
from unrender.geometry.paths import evenly
from unrender.report.pictures import write_picture

FOLDER = Path(__file__).parents[1] / "docs/moving_scenes"
MOMENTS = 6


def main() -> None:
    """Draw the two films at the same moments, and their cameras over time."""
    FOLDER.mkdir(exist_ok=True)
    data = ur.load("lamp")
    times = data.train.cameras.times
    assert times is not None
    shown = evenly(MOMENTS, len(data.train))
    rows = [
        (name, [views[k].over("white")[0] for k in shown])
        for name, views in (("hand-held camera", data.train), ("second camera", data.test))
    ]
    heads = [f"time {float(times[k]):.2f}" for k in shown]
    write_picture(FOLDER / "lamp.jpg", rows, 160, heads)
    with TemporaryDirectory() as folder:
        inspect(Path("lamp"), Path(folder), quiet=True)
        (FOLDER / "cameras.png").write_bytes((Path(folder) / "cameras.png").read_bytes())


if __name__ == "__main__":
    main()
