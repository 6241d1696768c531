"""What pixels do when a mesh moves, by three ways to draw it, against finite differences.

    python examples/18_gradients_of_pixels.py

Writes gradients_of_pixels.png: the image, the true derivative by a move to the right, and those
of plain rasterization, of antialiased edges and of soft ones. Red grows, blue falls.
"""

from pathlib import Path

import torch

from unrender.inverse.light_from_shading import light_from_shading
from unrender.report.pictures import write_picture
from unrender.studies.gradient_pictures import diverging
from unrender.studies.gradient_scenes import gradient_scenes
from unrender.studies.gradient_techniques import derivatives, rasterized, softened, truth
from unrender.studies.gradients import relative_errors

SIDE = 48
triangle, sphere, ring = gradient_scenes()
true = truth(ring, SIDE, torch.Generator().manual_seed(0), rays=8, passes=2)
techniques = {
    "plain rasterization": rasterized(ring, SIDE, antialias=False),
    "antialiased edges": rasterized(ring, SIDE),
    "soft rasterization": softened(ring, SIDE, blur=0.5),
}
rows = [true.derivatives]
for name, draw in techniques.items():
    found = derivatives(draw)
    position, _, color, _ = relative_errors(found, true.derivatives).tolist()
    print(f"{name}: error {position:.2f} by position, {color:.2f} by colour")
    rows.append(found)
limit = float(true.derivatives[0].abs().quantile(0.98))
pictures = [true.image.clamp(0, 1), *(diverging(row[0].mean(2), limit) for row in rows)]
write_picture(
    Path("gradients_of_pixels.png"),
    [("moved to\nthe right", torch.stack(pictures))],
    heads=["image", "truth", "plain", "antialiased", "soft"],
)

# A light needs no descent: what it does to a known surface is linear in it.
normals = torch.nn.functional.normalize(sphere.mesh.vertices, dim=1)
to_light = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 2.0]), dim=0)
shading = 0.2 + 0.7 * (normals @ to_light).clamp_min(0)[:, None].expand(-1, 3)
even, light = light_from_shading(0.5 * shading, normals, torch.full_like(normals, 0.5))
print(
    f"light from {[round(-each, 3) for each in light.direction.tolist()]}, "
    f"{float(light.color[0]):.3f} strong, with {float(even.color[0]):.3f} from everywhere"
)
