"""From one image to a shape, three ways: points, a mesh and voxels, by trained networks.

    python examples/11_predict_three_ways.py

Writes predict_three_ways.png. Everything here is small, so that it runs in two minutes;
benchmarks/shapes.py trains networks of a useful size.
"""

from typing import Any

import torch

import unrender as ur
from unrender.data.image_shape import make_shapes, pairs

chairs = pairs.split("chairs", *make_shapes.make_shapes("chair", count=200, views=8, size=48))
options: dict[str, dict[str, Any]] = {
    "points": {"steps": 300},
    "mesh": {"steps": 300, "level": 3, "samples": 768},
    "voxels": {"steps": 400, "channels": 64},
}
# One image of a held-out chair.
image = chairs.test.rgba(pairs.Draw(torch.tensor([3]), torch.tensor([False])))
panels = {"image": image[0, ..., :3] + 1 - image[0, ..., 3:]}
for kind, own in options.items():
    run = ur.fit(f"image-to-{kind}-fast", chairs, encoder_width=16, progress=False, **own)
    score = run.evaluate().f1[-1]
    print(f"{kind}: {run.steps} steps, F1 at 5% of the size {score:.2f}")
    view = ur.turntable(8)
    panels[kind] = ur.render(run.predict(image), view, size=192, progress=False).over()[1]
ur.save_panels("predict_three_ways.png", panels)
