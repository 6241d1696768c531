"""One photograph as four fields over the plane, fitted with as many steps each.

    python examples/12_fit_a_picture.py

Writes fit_a_picture.png. `unrender compare-fields` fits all kinds at a useful length, and makes
a page of how they learn and what their derivatives are.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import skimage.data
import torch
from unrender.api.field_tasks import evaluate_picture, fit_picture, fitted_picture

from unrender.data.picture import Picture
from unrender.fields.field import FieldKind
from unrender.imaging.files import write_image
from unrender.imaging.resize import area_average
from unrender.methods.image_field import ImageField
from unrender.training.fit import FitOptions

SIZE, STEPS = 160, 300
KINDS: tuple[FieldKind, ...] = ("mlp", "siren", "grid", "hash")

photograph = torch.from_numpy(skimage.data.astronaut()).float() / 255
picture = Picture("astronaut", area_average(photograph[None], SIZE, SIZE)[0])
shown = [picture.pixels]
with TemporaryDirectory() as folder:
    for kind in KINDS:
        method = ImageField(field=kind, pixels=512, resolution=96, finest=SIZE)
        options = FitOptions(steps=STEPS)
        run, fit = fit_picture(picture, method, Path(folder) / kind, options, show=False)
        scores = evaluate_picture(run, picture)
        numbers = f"{scores['parameters']:,} numbers"
        print(f"{kind:8} {scores['psnr']:.1f} dB, {numbers}, {fit.seconds:.1f} s")
        shown.append(fitted_picture(run))
write_image(Path("fit_a_picture.png"), torch.cat(shown, dim=1))
