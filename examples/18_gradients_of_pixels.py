"""Derivatives of pixels when a mesh moves, by three renderers, against finite differences.

    python examples/18_gradients_of_pixels.py

Writes gradients_of_pixels.png: the image, the ground-truth derivative for a move to the right,
and those of plain rasterization, antialiased edges and soft rasterization. Red grows, blue
decreases.
"""

import torch

import unrender as ur
from unrender.inverse.light_from_shading import light_from_shading
from unrender.studies import gradient_pictures, gradient_scenes, gradient_techniques, gradients

SIDE = 48
_, sphere, ring = gradient_scenes.gradient_scenes()
true = gradient_techniques.truth(ring, SIDE, torch.Generator().manual_seed(0), rays=8, passes=2)
renderers = {
    "plain rasterization": gradient_techniques.rasterized(ring, SIDE, antialias=False),
    "antialiased edges": gradient_techniques.rasterized(ring, SIDE),
    "soft rasterization": gradient_techniques.softened(ring, SIDE, blur=0.5),
}
limit = float(true.derivatives[0].abs().quantile(0.98))


def shown(derivatives: torch.Tensor) -> torch.Tensor:
    """The derivative by the position along x, red where it is positive."""
    return gradient_pictures.diverging(derivatives[0].mean(2), limit)


panels = {"image": true.image.clamp(0, 1), "ground truth": shown(true.derivatives)}
for name, draw in renderers.items():
    found = gradient_techniques.derivatives(draw)
    position, _, color, _ = gradients.relative_errors(found, true.derivatives).tolist()
    print(f"{name}: relative error {position:.2f} by position, {color:.2f} by color")
    panels[name] = shown(found)
ur.save_panels("gradients_of_pixels.png", panels)

# A light needs no gradient descent: the shading of a known surface is linear in it.
normals = torch.nn.functional.normalize(sphere.mesh.vertices, dim=1)
to_light = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 2.0]), dim=0)
shading = 0.2 + 0.7 * (normals @ to_light).clamp_min(0)[:, None].expand(-1, 3)
even, light = light_from_shading(0.5 * shading, normals, torch.full_like(normals, 0.5))
print(
    f"light from {[round(-each, 3) for each in light.direction.tolist()]}, intensity "
    f"{float(light.color[0]):.3f}, ambient {float(even.color[0]):.3f}"
)
