"""What lies around a bounding sphere, behind the object inside of it."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.fields.ball import Ball
from unrender.geometry.cameras import Rays
from unrender.kernels.composite import composite_dense
from unrender.rendering.renderer import Rendering
from unrender.rendering.volume.proposals import RayInterval, even_edges

BINS = 24
NEAR = 0.05
FAR = 1e3
"""Far end of the background, in radii of the bounding sphere."""

Background = Callable[
    [Float[Tensor, "rays bins 3"], Float[Tensor, "rays 3"]],
    tuple[Float[Tensor, "rays bins"], Float[Tensor, "rays bins 3"]],
]
"""Density per radius and color at points in the ball's frame, seen along directions."""


def over_background(
    front: Rendering,
    background: Background,
    ball: Ball,
    rays: Rays,
    generator: torch.Generator | None,
) -> Rendering:
    """Composite an object over the background, in bins of equal disparity from the sphere on.

    With a generator, bins are jittered. It takes the place of NeRF++'s inverted sphere (Zhang
    et al. 2020), which NeuS and VolSDF use.
    """
    _, leave = ball.intersect(rays, NEAR)
    near = leave / ball.radius
    interval = RayInterval(near, torch.full_like(near, FAR), "disparity")
    edges = even_edges(len(near), BINS, generator).to(near.device)
    t = interval.distance(edges)
    middles = interval.distance((edges[:, 1:] + edges[:, :-1]) / 2)
    origins = ball.to_unit(rays.origins)
    points = origins[:, None] + middles[..., None] * rays.directions[:, None]
    density, color = background(points, rays.directions)
    back = composite_dense(density, color, t)
    through = 1 - front.opacity
    opacity = front.opacity + through * back.opacity
    depth = front.opacity * front.depth
    depth = depth + through * back.opacity * ball.radius * back.mean_distance
    return Rendering(
        front.color + through[:, None] * back.color,
        opacity,
        depth / opacity.clamp_min(1e-6),
        front.normals,
    )
