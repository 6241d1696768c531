"""Training views as the references of a model, and the depths that they see."""

import torch

from unrender.data.capture import is_cut_out
from unrender.data.views import Views
from unrender.fields.ray_coordinates import RayCoordinates
from unrender.geometry.bounds import visible_ball
from unrender.geometry.coverage import coverage
from unrender.imaging.files import to_bytes
from unrender.rendering.plane_sweep import depth_range, middle_cameras
from unrender.rendering.reference_views import ReferenceViews

NEAR, FAR = 0.8, 2.0
"""Factors on the depths that a plane sweep finds nearest and farthest, for what it misses."""
NEAREST = 0.05
"""Least distance of a point from a camera, in radii of the ball that the cameras look at."""


def references_of(views: Views, nearest: int) -> ReferenceViews:
    """All views as references, each of which has `nearest` others, fewer than all."""
    width, height = views.cameras.sizes.rows.amax(0).tolist()
    made = ReferenceViews((len(views), views.store.channels, height, width), nearest)
    made.put_cameras(views.cameras)
    for k in range(len(views)):
        made.put_image(k, to_bytes(views.store[k]))
    return made


def describe_scene(views: Views, coordinates: RayCoordinates) -> tuple[float, float]:
    """Set the coordinates of rays, and return the inverse distances of the farthest and the
    nearest point that the views see.

    Where cameras look one way, rays are told by two planes, and a plane sweep of the views in
    the middle finds the distances. Elsewhere they are those of the ball that is seen, and up to
    infinity where the images have a background.
    """
    cameras, chosen = views.cameras, middle_cameras(views.cameras)
    if coverage(cameras).one_way and len(chosen) > 1 and not cameras.sizes.mixed:
        some = views.select(chosen)
        near, middle, far = depth_range(some.images[..., :3], some.cameras)
        coordinates.use_planes(cameras, middle)
        return 1 / (FAR * far), 1 / (NEAR * near)
    ball = views.ball
    if ball is None:
        center, size = visible_ball(cameras)
        ball = torch.cat([center, center.new_tensor([size])])
    coordinates.use_plucker(ball)
    radius = float(ball[3])
    apart = (cameras.centers - ball[:3]).norm(dim=1)
    near = max(float(apart.min()) - radius, NEAREST * radius)
    farthest = 1 / (float(apart.max()) + radius) if is_cut_out(views) else 0.0
    return farthest, 1 / near
