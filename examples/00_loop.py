"""The loop in a page: a scene from images, images from poses, and poses from images.

    python examples/00_loop.py

Everything here is small, so that it runs in about a minute on two cores; `unrender demo` runs
the same steps at a useful size.
"""

from typing import Any

import unrender as ur

SIZE = 32
data = ur.load("chair", downscale=160 // SIZE)

# Images → scene: a NeRF with a small hash grid.
small: dict[str, Any] = {
    "log2_table_size": 14,
    "finest": 64,
    "step_size": 0.0165,
    "occupancy_cells": 64,
}
scene = ur.fit("instant-ngp-fast", data, minutes=0.25, **small)
print(f"images → scene: {scene.evaluate().psnr:.1f} dB on held-out views")

# Scene → posed images → pose flow: a flow-matching transformer whose source is the pose.
views = scene.make_views(500, size=SIZE, supersample=2)
flow = ur.fit("sit", views, minutes=0.4, width=128, depth=3)

# Poses → images, by integrating the flow forward.
print(f"poses → images: {flow.evaluate(data).psnr:.1f} dB by the flow")

# Images → poses, by integrating it backward; then refined by render-and-compare on the scene.
test = data.test[:8]
poses = flow.pose(test)
rotation, _ = poses.errors(test.cameras)
print(f"images → poses: {rotation.median():.2f}° median rotation error by the flow")
rotation, _ = scene.pose(test, start=poses).errors(test.cameras)
print(f"images → poses: {rotation.median():.2f}° refined on the scene")
