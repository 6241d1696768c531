"""The rendering equation: light that is followed from surface to surface.

    python examples/16_path_tracing.py

Writes path_tracing.png: a room by light of its lamp alone, by light that met one more surface,
by all of it; and how the noise falls with the paths of a pixel.
"""

from dataclasses import replace
from pathlib import Path

import torch

from unrender.imaging.color import display_from_linear
from unrender.imaging.files import write_image
from unrender.rendering.light.path_tracer import PathOptions, path_radiance
from unrender.rendering.light.scene import build
from unrender.studies.spectrum import spectrum_scene

scene, camera = spectrum_scene()
room, cameras = build(scene), camera(112)
options = PathOptions(samples=64)

pictures: list[torch.Tensor] = []
for depth, light in (
    (2, "of the lamp alone"),
    (3, "and by one more surface"),
    (12, "and by all"),
):
    found = path_radiance(room, cameras, replace(options, max_depth=depth))
    pictures.append(display_from_linear(found.color[0].clamp(0, 1)))
    print(f"light {light}: mean radiance {found.color.mean():.3f}")

fewer = path_radiance(room, cameras, replace(options, samples=4, max_depth=12))
for samples, own in ((4, fewer), (64, found)):
    noise = float(own.error.square().mean().sqrt())
    print(
        f"{samples:2} paths a pixel: error {noise:.3f}, times √paths {noise * samples**0.5:.2f}"
    )
pictures.insert(2, display_from_linear(fewer.color[0].clamp(0, 1)))
write_image(Path("path_tracing.png"), torch.cat(pictures, dim=1))
print("path_tracing.png: direct, one bounce, all with 4 paths a pixel, all with 64")
