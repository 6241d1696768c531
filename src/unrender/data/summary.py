"""What a set of views is, in numbers, and what looks wrong with it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.geometry.bounds import focus_point, visible_ball
from unrender.geometry.cameras import Cameras

SAME_PLACE = 1e-6
"""Centres nearer than this, in mean distances to the focus, count as one."""
OFF_CENTER = 0.15
"""Principal points this far off the middle, in widths, are worth a look."""


@dataclass(frozen=True)
class Summary:
    """Facts by name, and warnings in sentences."""

    facts: dict[str, str]
    warnings: tuple[str, ...]


def summarise(views: Views) -> Summary:
    """Of the views' cameras, images and points."""
    facts = {"views": str(len(views))}
    facts |= _size(views)
    facts |= camera_facts(views.cameras)
    if views.points is not None:
        facts["points"] = f"{len(views.points)}"
    warnings = camera_warnings(views.cameras)
    warnings += _image_warnings(views)
    if views.points is not None and len(views.points):
        warnings += _point_warnings(views.cameras, views.points)
    return Summary(facts, tuple(warnings))


def _size(views: Views) -> dict[str, str]:
    sizes = [f"{v.cameras.width}×{v.cameras.height}" for v in (views, *views.smaller)]
    if not views.has_alpha:
        color = views.background
        behind = "RGB" if color is None else f"RGB on {[round(c, 2) for c in color.tolist()]}"
    else:
        cut = float((views.images[..., 3] < 1).float().mean())
        behind = f"RGBA, {cut:.0%} of it not opaque" if cut else "RGB, opaque"
    return {"size": ", ".join(sizes) + " pixels", "images": behind}


def camera_facts(cameras: Cameras) -> dict[str, str]:
    """Where cameras stand, and how they see."""
    focal, center = cameras.focal, focus_point(cameras)
    distance = (cameras.centers - center).norm(dim=1)
    angle = 2 * torch.atan(cameras.width / (2 * focal)).rad2deg()
    _, radius = visible_ball(cameras)
    place = cameras.intrinsics[:, :2, 2].mean(0).tolist()
    facts = {
        "focal length": f"{_range(focal)} pixels ({_range(angle)}° across)",
        "principal point": f"{place[0]:.1f}, {place[1]:.1f} pixels in the mean",
        "cameras look at": ", ".join(f"{x:.3g}" for x in center.tolist()),
        "distance from there": _range(distance),
        "radius that they see": f"{radius:.3g}",
    }
    if len(cameras) > 1:
        apart = torch.cdist(cameras.centers, cameras.centers)
        nearest = (apart + torch.diag(torch.full((len(apart),), torch.inf))).amin(1)
        facts["to the next camera"] = (
            f"{_range(nearest)} (median {float(nearest.median()):.3g})"
        )
        axes = cameras.rotations[:, :, 2]
        turned = (axes @ axes.T).clamp(-1, 1).acos().rad2deg()
        facts["largest angle between two"] = f"{float(turned.max()):.0f}°"
    return facts


def camera_warnings(cameras: Cameras) -> list[str]:
    """What is odd about cameras that are no error."""
    found: list[str] = []
    if len(cameras) == 1:
        return ["There is one view only: nothing can be learnt from it but its own picture."]
    center = focus_point(cameras)
    local = (center - cameras.centers)[:, None] @ cameras.rotations
    behind = int((local[:, 0, 2] <= 0).sum())
    if behind:
        found.append(
            f"{behind} of {len(cameras)} cameras look away from the point that most look at: "
            "their axes may be in another convention, or their projections negated."
        )
    scale = float((cameras.centers - center).norm(dim=1).mean())
    apart = torch.cdist(cameras.centers, cameras.centers).triu(1)
    apart[torch.tril(torch.ones_like(apart)).bool()] = torch.inf
    for a, b in (apart <= SAME_PLACE * scale).nonzero()[:1].tolist():
        found.append(f"Views {a} and {b} were taken from one place: one may be a copy.")
    focal = cameras.focal
    if float(focal.max() / focal.min()) > 1.5:
        found.append(f"Focal lengths differ by {float(focal.max() / focal.min()):.1f} times.")
    size = torch.tensor([cameras.width, cameras.height])
    off = (cameras.intrinsics[:, :2, 2] / size - 0.5).abs().amax()
    if float(off) > OFF_CENTER:
        found.append(
            f"A principal point lies {float(off):.0%} of the image off its middle: the "
            "intrinsics may be for another size."
        )
    ratio = cameras.intrinsics[:, 1, 1] / cameras.intrinsics[:, 0, 0]
    if float((ratio - 1).abs().max()) > 0.1:
        found.append("Pixels are not square: the images may be stretched.")
    return found


def _image_warnings(views: Views) -> list[str]:
    found: list[str] = []
    flat = views.images.flatten(1)
    for k in ((flat.amax(1) - flat.amin(1)) == 0).nonzero()[:1, 0].tolist():
        found.append(f"Image {_name(views, k)} is one colour: it may be empty.")
    small = views.resized(min(8, views.cameras.width), min(8, views.cameras.height))
    tiny = small.images.flatten(1)
    same = torch.cdist(tiny, tiny).triu(1)
    same[torch.tril(torch.ones_like(same)).bool()] = torch.inf
    for a, b in (same < 1e-4).nonzero()[:1].tolist():
        found.append(f"Images {_name(views, a)} and {_name(views, b)} are the same picture.")
    return found


def _name(views: Views, index: int) -> str:
    return views.names[index] if views.names else str(index)


def _point_warnings(cameras: Cameras, points: Float[Tensor, "points 3"]) -> list[str]:
    """Points that no camera sees speak of another frame or model."""
    some = points[:: max(1, len(points) // 2000)]
    seen = torch.zeros(len(some), dtype=torch.bool)
    for k in range(len(cameras)):
        pixel, depth = cameras.project(torch.full((len(some),), k), some)
        size = torch.tensor([cameras.width, cameras.height])
        seen |= (depth > 0) & ((pixel >= 0) & (pixel < size)).all(1)
    share = float(seen.float().mean())
    if share < 0.9:
        return [
            f"Only {share:.0%} of the points are seen by any camera: are they of this scene?"
        ]
    return []


def _range(values: Tensor) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.4g}" if high - low < 1e-3 * abs(high) else f"{low:.4g} to {high:.4g}"
