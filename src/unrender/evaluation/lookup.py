"""Baselines without learning: the nearest or a random training view.

A method that has learned something outperforms them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.lifting import pose_numbers
from unrender.geometry.bounds import scene_center
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import so3_distance
from unrender.imaging.resize import area_average
from unrender.rendering.renderer import Images, PoseEstimate, PoseEstimator, Renderer, Rendering

ROWS_AT_ONCE = 1024
"""Rows compared at once, on either side, which bounds the memory."""
FEW_NUMBERS = 64
SAMPLE = 256
"""Number of views, or pairs of views, for estimating expected errors."""


def nearest_view_renderer(views: Views) -> Renderer:
    """A renderer that returns the image of the view with the nearest pose, resized.

    The distance is Euclidean over the twelve numbers of [R | t], with t from the point at which
    the views look, in units of their mean distance from it. Depth is unknown and 0 everywhere.
    """
    images = views.rgba
    center = scene_center(views.cameras)
    radius = (views.cameras.centers - center).norm(dim=1).mean().clamp_min(1e-12)
    shift = center / radius
    numbers = pose_numbers(views.cameras, radius)
    numbers[:, 9:] -= shift

    def render(cameras: Cameras) -> Rendering:
        queries = pose_numbers(cameras.to(numbers.device), radius)
        queries[:, 9:] -= shift
        found = images[nearest(queries, numbers)].to(cameras.device)
        rgba = area_average(found, cameras.width, cameras.height)
        return Rendering(rgba[..., :3], rgba[..., 3], torch.zeros_like(rgba[..., 3]))

    return render


def nearest_view_estimator(views: Views) -> PoseEstimator:
    """An estimator that returns the pose of the view with the nearest image.

    The distance is Euclidean over premultiplied RGBA, after resizing images to the views' size.
    The expected errors are the median pose distances between a view and the view with the
    nearest image, over at most 256 views. They are the same for all images, and too small for
    images that differ more from the views than the views from each other. Raises InputError for
    fewer than two views, and for images of another aspect ratio.
    """
    if len(views) < 2:
        raise InputError(
            f"{len(views)} views: expected errors are measured between views: give at least 2"
        )
    pixels = views.rgba.flatten(1)
    sample = torch.linspace(0, len(views) - 1, min(SAMPLE, len(views))).round().long()
    sample = sample.to(pixels.device)
    neighbour = nearest(pixels[sample], pixels, sample)
    rotation, translation = _median_errors(
        views.cameras.select(sample), views.cameras.select(neighbour)
    )
    own_width, own_height = views.cameras.width, views.cameras.height

    def estimate(images: Images) -> PoseEstimate:
        height, width = images.shape[1:3]
        if height * own_width != width * own_height:
            raise InputError(
                f"images of {width}x{height}: the views have {own_width}x{own_height}: crop "
                "them to the same aspect ratio"
            )
        small = area_average(images, own_width, own_height).to(pixels)
        found = views.cameras.select(nearest(small.flatten(1), pixels)).to(images.device)
        return _constant_estimate(found.resized(width, height), rotation, translation)

    return estimate


def random_pose_estimator(cameras: Cameras, generator: torch.Generator) -> PoseEstimator:
    """An estimator that returns the pose of a random camera for every image.

    The expected errors are the median pose distances of 256 random pairs of cameras.
    """
    pairs = torch.randint(len(cameras), (2, SAMPLE), generator=generator)
    first, second = pairs.to(cameras.device)
    rotation, translation = _median_errors(cameras.select(first), cameras.select(second))

    def estimate(images: Images) -> PoseEstimate:
        num, height, width, _ = images.shape
        drawn = torch.randint(len(cameras), (num,), generator=generator)
        found = cameras.select(drawn.to(cameras.device)).to(images.device)
        return _constant_estimate(found.resized(width, height), rotation, translation)

    return estimate


def nearest(
    queries: Float[Tensor, "queries numbers"],
    known: Float[Tensor, "known numbers"],
    left_out: Int[Tensor, "queries"] | None = None,
) -> Int[Tensor, "queries"]:
    """Index of the known row nearest to each query, excluding `left_out`.

    Rows are compared in batches of bounded memory. For rows of more than 64 numbers,
    differences below a thousandth of a row's norm are lost in rounding.
    """
    # Matrix products are fourteen times as fast, but lose the last digits.
    exact = queries.shape[1] <= FEW_NUMBERS
    mode = "donot_use_mm_for_euclid_dist" if exact else "use_mm_for_euclid_dist"
    found: list[Tensor] = []
    for part in torch.arange(len(queries), device=queries.device).split(ROWS_AT_ONCE):
        least = queries.new_full((len(part),), torch.inf)
        index = torch.zeros_like(part)
        for start in range(0, len(known), ROWS_AT_ONCE):
            group = known[start : start + ROWS_AT_ONCE]
            distance = torch.cdist(queries[part], group, compute_mode=mode)
            if left_out is not None:
                column = torch.arange(distance.shape[1], device=part.device) + start
                distance[left_out[part, None] == column] = torch.inf
            value, place = distance.min(1)
            better = value < least
            least = torch.where(better, value, least)
            index = torch.where(better, place + start, index)
        found.append(index)
    return torch.cat(found)


def _median_errors(ours: Cameras, truth: Cameras) -> tuple[float, float]:
    """Median rotation and translation errors, in radians and in scene units."""
    rotation = so3_distance(ours.rotations, truth.rotations).median()
    return rotation.item(), (ours.centers - truth.centers).norm(dim=1).median().item()


def _constant_estimate(cameras: Cameras, rotation: float, translation: float) -> PoseEstimate:
    errors = cameras.centers.new_ones(2, len(cameras))
    return PoseEstimate.isotropic(cameras, rotation * errors[0], translation * errors[1])
