"""Where the object is that posed views show, and how large."""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.geometry.bounds import framed_radius, scene_center
from unrender.geometry.cameras import Cameras

NEAREST = 0.5
"""Where nothing says how large an object is, it is taken to reach at most that share of the way
to the nearest camera."""


def object_ball(views: Views) -> Float[Tensor, "4"]:
    """Center and radius of the object that posed views show.

    It is the views' ball, or else about the point at which their cameras look: of one camera
    the point of its optical axis nearest to the origin. The radius is then that of a ball that
    fits in the images.
    """
    if views.ball is not None:
        return views.ball
    cameras = views.cameras
    center = scene_center(cameras) if len(cameras) > 1 else _foot(cameras)
    nearest = float((cameras.centers - center).norm(dim=1).min())
    radius = min(framed_radius(cameras, center), NEAREST * nearest)
    return torch.cat([center, center.new_tensor([radius])])


def _foot(camera: Cameras) -> Float[Tensor, "3"]:
    """The point of the optical axis nearest to the origin, or the origin if that is behind."""
    eye, forward = camera.centers[0], camera.rotations[0, :, 2]
    along = -(eye @ forward)
    return eye + along * forward if float(along) > 0 else torch.zeros_like(eye)
