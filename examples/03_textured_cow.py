"""A textured mesh under four kinds of shading, and on a turntable.

    python examples/03_textured_cow.py [MESH]

Writes textured_cow.png and cow.gif. Without MESH it takes Spot, by Keenan Crane, if that is in
../shared, and else a textured sample of the tests.
"""

import sys
from pathlib import Path

import unrender as ur

HERE = Path(__file__).resolve().parent
CANDIDATES = (
    HERE.parents[1] / "shared/data/meshes/spot_textured/cow.obj",
    HERE.parent / "tests/samples/meshes/ring.obj",
)
default = next(path for path in CANDIDATES if path.exists())
cow = ur.Mesh.load(sys.argv[1] if len(sys.argv) > 1 else default)
print(cow)

side = ur.turntable(36).cameras(cow)[5]
panels = {}
for shading in ("none", "flat", "gouraud", "phong"):
    # A texture seen from afar has detail below the pixel: nine samples for each.
    rendering = ur.render(cow, side, size=320, supersample=3, shading=shading)
    panels[shading] = rendering.over("white")[0]
ur.save_panels("textured_cow.png", panels)
ur.render(cow, ur.turntable(36), progress=False).save("cow.gif", fps=18)
print("textured_cow.png, cow.gif")
