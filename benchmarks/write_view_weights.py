"""Write the weights of a view model, as the package has them, from the run of its training.

    unrender fit view-regression --data objects --steps 20000 --out REGRESSION
    unrender fit view-flow --data objects --weights REGRESSION --steps 20000 --out FLOW
    python benchmarks/write_view_weights.py REGRESSION FLOW

docs/novel_views.md says what they were trained on and what they can do.
"""

import argparse
from pathlib import Path

from unrender.methods.presets.view_models import WEIGHTS, write_weights
from unrender.training.run_folder import RunFolder


def main() -> None:
    """Write one file for each run, named after its method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="runs of view-regression, view-flow")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder to write to")
    options = parser.parse_args()
    for run in options.runs:
        name = RunFolder.open(run).config["method"]["name"]
        file = options.out / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_weights(run, file)
        print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
