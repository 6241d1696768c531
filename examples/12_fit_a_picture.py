"""One photograph as four neural fields, fitted with as many steps each.

    python examples/12_fit_a_picture.py

Writes fit_a_picture.png. `unrender compare-fields` fits all kinds at a useful length, and
writes a page of how they learn and what their derivatives look like.
"""

import skimage.data
import torch

import unrender as ur

STEPS = 300

# Every third pixel of 512×512.
target = torch.from_numpy(skimage.data.astronaut()[::3, ::3].copy()).float() / 255
panels = {"target": target}
for kind in ("mlp", "siren", "grid", "hash"):
    run = ur.fit("image-field", target, steps=STEPS, field=kind, resolution=96, finest=160,
                 progress=False)  # fmt: skip
    scores = run.evaluate()
    name = f"{kind}: {scores.psnr:.1f} dB"
    print(f"{name}, {scores.parameters:,} parameters, {run.seconds:.1f} s")
    panels[name] = run.image()
ur.save_panels("fit_a_picture.png", panels)
