"""The rendering equation: path tracing, bounce by bounce.

    python examples/16_path_tracing.py

Writes path_tracing.png: a room with direct light only, with one bounce, and with all bounces;
and how noise decreases with the number of paths per pixel.
"""

from dataclasses import replace

import torch

import unrender as ur
from unrender.imaging.color import display_from_linear
from unrender.rendering.light import path_tracer, scene
from unrender.studies.spectrum import spectrum_scene

room, camera_of_size = spectrum_scene()
built, cameras = scene.build(room), camera_of_size(160)
options = path_tracer.PathOptions(samples=64)


def traced(samples: int, max_depth: int) -> tuple[torch.Tensor, float]:
    """An image, and the root mean square of its estimated error."""
    own = replace(options, samples=samples, max_depth=max_depth)
    radiance = path_tracer.path_radiance(built, cameras, own)
    print(f"at most {max_depth - 1:2} surfaces, {samples:2} paths per pixel: mean radiance "
          f"{radiance.color.mean():.3f}")  # fmt: skip
    image = display_from_linear(radiance.color[0].clamp(0, 1))
    return image, float(radiance.error.square().mean().sqrt())


panels = {
    "direct light": traced(64, 2)[0],
    "one bounce": traced(64, 3)[0],
}
for samples in (4, 64):
    image, noise = traced(samples, 12)
    panels[f"all bounces, {samples} paths per pixel"] = image
    print(
        f"{samples:2} paths per pixel: error {noise:.3f}, × √paths {noise * samples**0.5:.2f}"
    )
ur.save_panels("path_tracing.png", panels)
