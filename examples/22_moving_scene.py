"""A film → a scene that moves: time stops, the camera stops, and a mesh that moves.

    python examples/22_moving_scene.py [FILM]

Fits the built-in desk lamp, which bends and turns, for 45 seconds, and writes stopped.gif (the
camera moves around one moment), still.gif (the moments from one place), lamp.glb (its mesh with
an animation) and moving_scene.png. FILM is other data with times.
"""

import sys

import torch

import unrender as ur

data = ur.load(sys.argv[1]) if len(sys.argv) > 1 else ur.load("lamp", downscale=2)
run = ur.fit("nerfies-fast", data, minutes=0.75, progress=False)
print(run, run.evaluate())

times = data.train.cameras.times
assert times is not None, "data without times are no film"
first, last = map(float, times.aminmax())
middle = (first + last) / 2
stopped = run.render(ur.turntable(12).at_times(middle), progress=False)
still = run.render(
    data.test.cameras[0].at_times(torch.linspace(first, last, 12)), progress=False
)
stopped.save("stopped.gif", fps=6)
still.save("still.gif", fps=6)

moving = run.mesh_sequence(12, upright=False, progress=False)
moving.save("lamp.glb", fps=6)
print(moving)
shown = (0, 3, 6)
frames = {f"time stopped, frame {k}": stopped.over()[k] for k in shown}
frames |= {f"camera stopped, frame {k}": still.over()[k] for k in shown}
for k in shown:
    mesh = ur.render(moving[k], data.test.cameras[0], progress=False)
    frames[f"mesh, frame {k}"] = mesh.over()[0]
ur.save_panels("moving_scene.png", frames, columns=len(shown))
