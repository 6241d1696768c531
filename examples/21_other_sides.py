"""One image of a thing → its other sides, and a scene of them.

    python examples/21_other_sides.py [PHOTO]

Writes other_sides.png: other sides of the built-in chair, which the package's view models were
not trained on, as the regression expects them and as the flow samples them, and the scene that
is distilled from the same image. PHOTO is a photograph of one object, cut out or on a plain
background.
"""

import sys

import unrender as ur

photo = sys.argv[1] if len(sys.argv) > 1 else ur.load("chair", downscale=4).test.rgba[10]
around = ur.turntable(8)
made = {
    kind: ur.novel_views(photo, around, model=kind, progress=False)
    for kind in ("regression", "flow")
}
inputs = made["regression"].inputs
scene = ur.fit("distilled", inputs, steps=300, input_share=0.1, progress=False)
images = {kind: views.frames() for kind, views in made.items()}
images["distilled"] = scene.render(made["flow"].cameras, progress=False).over("white")
labels = [f"{name}, {45 * k}°" for name in images for k in range(len(around))]
frames = [frame for each in images.values() for frame in each]
ur.save_panels("other_sides.png", dict(zip(labels, frames, strict=True)), columns=len(around))
