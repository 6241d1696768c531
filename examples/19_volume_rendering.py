"""Volume rendering from a pixel to a fitted scene: rays, samples, transmittance, and a box.

    python examples/19_volume_rendering.py

Writes volume_rendering.png: the grid of pixels, rays with stratified samples, what they see in
colour and depth, and a box that was found from twelve such pictures, beside the true one.
`unrender fit nerf` is the next step: the same loop, with a network in the place of the box.
"""

from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from unrender.data.views import Views
from unrender.files import replacing
from unrender.geometry.bounds import intersect_ball
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.poses import look_at
from unrender.methods.box import Box
from unrender.rendering.volume.compositing import bin_weights
from unrender.rendering.volume.medium import (
    even_bins,
    medium_renderer,
    points_at,
    soft_solid,
    stratified,
)
from unrender.rendering.volume.proposals import RayInterval
from unrender.report.plots import PALETTE, STYLE
from unrender.report.rays3d import (
    draw_box,
    draw_image_plane,
    draw_pixel_grid,
    draw_rays,
    place_colors,
    space,
)
from unrender.shapes.implicit.sdf import box, translated
from unrender.training.method import Progress

STEPS, SIZE, SMALL = 300, 48, 8
generator = torch.Generator().manual_seed(0)
origin = torch.zeros(3)

# By hand: three bins of length 1. What is left of the light behind each, and what each sends.
density = torch.tensor([[0.5, 2.0, 0.0]])
weights = bin_weights(density, torch.tensor([[0.0, 1.0, 2.0, 3.0]]))
print("weights of three bins:", [round(w, 4) for w in weights[0].tolist()],
      f"and {1 - float(weights.sum()):.4f} goes through: exp(−2.5)")  # fmt: skip

# The true scene: a box of orange fog, seen by cameras all around it.
center, sides = torch.tensor([0.2, -0.15, 0.1]), torch.tensor([0.7, 1.1, 0.5])
true_box = soft_solid(
    translated(box(sides / 2), center), torch.tensor([0.9, 0.4, 0.1]), 8.0, 0.0005
)
poses = spherical_shell(12, (3.9, 4.1), generator, (-1.2, 1.2))
cameras = Cameras.from_focal(poses, 1.4 * SIZE, SIZE, SIZE)
renderer = medium_renderer(true_box, origin, 1.8, bins=512)
views = Views(cameras, renderer(cameras).rgba.clamp(0, 1))

# A box that begins in the wrong place, moved by what rays of those pictures say.
method = Box()
model = method.build(views, generator)
first = model.center.detach().clone(), model.sides.detach().clone()
optimizer = method.optimizer(model)
rates = [group["lr"] for group in optimizer.param_groups]
for step in range(STEPS):
    progress = Progress(step, step / STEPS)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * method.learning_rate(progress)
    optimizer.zero_grad()
    method.losses(model, views, progress, generator)["color"].backward()
    optimizer.step()
    method.after_step(model, optimizer, progress)
found = model.center.detach(), model.sides.detach()
for name, begun, value, truth in zip(
    ("centre", "sides"), first, found, (center, sides), strict=True
):
    print(f"{name}: from {[round(v, 2) for v in begun.tolist()]}",
          f"to {[round(v, 4) for v in value.tolist()]},",
          f"off by {float((value - truth).abs().max()):.4f} at most")  # fmt: skip

# One more camera of few pixels, whose rays can be drawn.
aside = look_at(torch.tensor([[1.9, -1.6, 1.0]]), origin[None], torch.tensor([0.0, 0.0, 1.0]))
camera = Cameras.from_focal(aside, 1.4 * SMALL, SMALL, SMALL)
row = torch.stack([torch.arange(0.5, SMALL, 1.0), torch.full((SMALL,), SMALL / 2)], dim=1)
rays = camera.rays(torch.zeros(SMALL, dtype=torch.long), row)
edges = even_bins(RayInterval(*intersect_ball(rays, origin, 0.9, 0.0)), 12)
samples = points_at(rays, stratified(edges, generator))

with rc_context(STYLE):
    figure = Figure(figsize=(14, 8.4), layout="constrained")
    draw_pixel_grid(figure.add_subplot(2, 3, 1), SMALL, SMALL)
    axes = space(figure, (2, 3, 2))
    draw_image_plane(axes, camera, 0.8)
    colors = place_colors(row, SMALL, SMALL)
    draw_rays(axes, rays, colors, edges, samples)
    draw_box(axes, center, sides, "#444444")
    axes.set_title("a row of pixels: rays and stratified samples", fontsize=11)
    axes.view_init(28, -110)
    axes.set_aspect("equal")

    image = renderer(camera.resized(160, 160))
    color = image.over(torch.ones(3))[0].clamp(0, 1)
    depth = torch.where(image.opacity > 0.05, image.depth, torch.nan)[0]
    panels = ((color, "emission and absorption: colour"), (depth, "mean distance"))
    for place, (picture, title) in zip((3, 4), panels, strict=True):
        panel = figure.add_subplot(2, 3, place)
        shown = panel.imshow(picture.numpy(), cmap="viridis")
        panel.set_title(title)
        panel.axis("off")
        if picture.ndim == 2:
            figure.colorbar(shown, ax=panel, shrink=0.8)

    # Along the middle ray: how much gets through, and where the light comes from.
    middle = camera.rays(torch.tensor([0]), torch.tensor([[SMALL / 2, SMALL / 2]]))
    fine = even_bins(RayInterval(*intersect_ball(middle, origin, 0.9, 0.0)), 300)
    distance = stratified(fine, None)
    thick, _ = true_box(points_at(middle, distance)[0])
    share = bin_weights(thick[None], fine)[0]
    panel = figure.add_subplot(2, 3, 5)
    curves = {
        "density / 8": thick / 8,
        "transmittance": 1 - share.cumsum(0),
        "light so far": share.cumsum(0) / share.sum(),
    }
    for (name, values), series in zip(curves.items(), PALETTE, strict=False):
        panel.plot(distance[0].tolist(), values.tolist(), color=series, label=name)
    panel.set(xlabel="distance along the middle ray", title="where the light comes from")
    panel.legend(loc="center right")

    axes = space(figure, (2, 3, 6))
    for (middles, lengths), series, name in (
        (first, PALETTE[4], "start"),
        ((center, sides), "#444444", "true"),
        (found, PALETTE[1], "found"),
    ):
        draw_box(axes, middles, lengths, series, name)
    axes.legend()
    axes.set_title(f"after {STEPS} steps the found box lies on the true one", fontsize=11)
    axes.set_aspect("equal")
with replacing(Path("volume_rendering.png")) as temporary:
    figure.savefig(temporary, format="png", dpi=90, facecolor="white")
