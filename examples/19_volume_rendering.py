"""Volume rendering from a pixel to a fitted scene: rays, samples, transmittance, and a box.

    python examples/19_volume_rendering.py

Writes volume_rendering.png: the grid of pixels, rays with stratified samples, their color and
depth, and a box that was fitted to twelve such images, beside the true one. `unrender fit
nerf-fast` is the next step: the same loop, with a network in place of the box.
"""

from typing import Any

import matplotlib.pyplot as plt
import torch

import unrender as ur
from unrender.geometry import bounds, paths
from unrender.rendering.volume import compositing, medium, proposals
from unrender.report import plots, rays3d
from unrender.shapes.implicit import sdf

STEPS, SIZE, SMALL = 300, 48, 8
generator = torch.Generator().manual_seed(0)
origin = torch.zeros(3)

# By hand: three bins of length 1, whose optical depths are their densities. Each weight is
# transmittance times opacity.
density = torch.tensor([[0.5, 2.0, 0.0]])
weights = compositing.depth_weights(density)
print("weights of three bins:", [round(w, 4) for w in weights[0].tolist()],
      f"and {1 - float(weights.sum()):.4f} is transmitted: exp(−2.5)")  # fmt: skip

# The true scene: a box of orange fog, and cameras all around it.
center, sides = torch.tensor([0.2, -0.15, 0.1]), torch.tensor([0.7, 1.1, 0.5])
solid = sdf.translated(sdf.box(sides / 2), center)
true_box = medium.soft_solid(solid, torch.tensor([0.9, 0.4, 0.1]), 8.0, 0.0005)
poses = paths.spherical_shell(12, (3.9, 4.1), generator, (-1.2, 1.2))
cameras = ur.Cameras.from_focal(poses, 1.4 * SIZE, SIZE, SIZE)
renderer = medium.medium_renderer(true_box, origin, 1.8, bins=512)
views = ur.Views(cameras, renderer(cameras).rgba.clamp(0, 1))

# A box that starts in the wrong position, fitted to these images by volume rendering.
run = ur.fit("box", views, steps=STEPS, progress=False)
begun: Any = run.method.build(views, generator)
model: Any = run.model
first = begun.center.detach(), begun.sides.detach()
fitted = model.center.detach(), model.sides.detach()
for name, start, value, truth in zip(
    ("center", "sides"), first, fitted, (center, sides), strict=True
):
    print(f"{name}: from {[round(v, 2) for v in start.tolist()]}",
          f"to {[round(v, 4) for v in value.tolist()]},",
          f"error at most {float((value - truth).abs().max()):.4f}")  # fmt: skip

# One more camera with few pixels, whose rays can be drawn.
camera = ur.Cameras.look_at((1.9, -1.6, 1.0), fov=39.3, size=(SMALL, SMALL))
row = torch.stack([torch.arange(0.5, SMALL, 1.0), torch.full((SMALL,), SMALL / 2)], dim=1)
rays = camera.rays(torch.zeros(SMALL, dtype=torch.long), row)
interval = proposals.RayInterval(*bounds.intersect_ball(rays, origin, 0.9, 0.0))
edges = medium.even_bins(interval, 12)
samples = medium.points_at(rays, medium.stratified(edges, generator))

with plt.rc_context(plots.STYLE):
    figure = plt.figure(figsize=(14, 8.4), layout="constrained")
    rays3d.draw_pixel_grid(figure.add_subplot(2, 3, 1), SMALL, SMALL)
    axes = rays3d.space(figure, (2, 3, 2))
    rays3d.draw_image_plane(axes, camera, 0.8)
    colors = rays3d.place_colors(row, SMALL, SMALL)
    rays3d.draw_rays(axes, rays, colors, edges, samples)
    rays3d.draw_box(axes, center, sides, "#444444")
    axes.set_title("rays of a row of pixels, and stratified samples", fontsize=11)
    axes.view_init(28, -110)
    axes.set_aspect("equal")

    image = renderer(camera.resized(160, 160))
    depth = torch.where(image.opacity > 0.05, image.depth, torch.nan)[0]
    panels = ((image.over("white")[0].clamp(0, 1), "color"), (depth, "mean distance"))
    for position, (picture, title) in zip((3, 4), panels, strict=True):
        panel = figure.add_subplot(2, 3, position)
        shown = panel.imshow(picture.numpy(), cmap="viridis")
        panel.set_title(title)
        panel.axis("off")
        if picture.ndim == 2:
            figure.colorbar(shown, ax=panel, shrink=0.8, label="scene units")

    # Along the middle ray: transmittance, and where the light comes from.
    middle = camera.rays(torch.tensor([0]), torch.tensor([[SMALL / 2, SMALL / 2]]))
    interval = proposals.RayInterval(*bounds.intersect_ball(middle, origin, 0.9, 0.0))
    fine = medium.even_bins(interval, 300)
    distance = medium.stratified(fine, None)
    thick, _ = true_box(medium.points_at(middle, distance)[0])
    share = compositing.depth_weights(thick[None] * fine.diff(dim=1))[0]
    panel = figure.add_subplot(2, 3, 5)
    curves = {
        "density (× 8 per scene unit)": thick / 8,
        "transmittance": 1 - share.cumsum(0),
        "accumulated weight": share.cumsum(0) / share.sum(),
    }
    for name, values in curves.items():
        panel.plot(distance[0], values, label=name)
    panel.set(
        xlabel="distance along the middle ray (scene units)",
        ylabel="value",
        title="density, transmittance, weights",
    )
    panel.legend(loc="center right", frameon=True, framealpha=0.9)

    axes = rays3d.space(figure, (2, 3, 6))
    boxes = {"initial": (first, "gray"), "true": ((center, sides), "black")}
    boxes["fitted"] = (fitted, plots.PALETTE[1])
    for name, ((middles, lengths), color) in boxes.items():
        rays3d.draw_box(axes, middles, lengths, color, name)
    axes.legend()
    axes.set_title(f"after {STEPS} steps the fitted box is the true one", fontsize=11)
    axes.set_aspect("equal")
# Tight: labels of 3D axes lie outside of what the layout reserves.
figure.savefig("volume_rendering.png", dpi=110, bbox_inches="tight")
