"""Facts about a dataset's cameras and images, and warnings about likely mistakes in them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unrender.data.origin import HERE, in_words
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.geometry.bounds import are_parallel, focus_point, visible_ball
from unrender.geometry.cameras import Cameras
from unrender.imaging.resize import area_average

SAME_POSE = 1e-6
"""Cameras closer than this coincide: positions as a fraction of the mean distance to the focus,
and the rotations' matrices."""
SMALL = 8
SAME_IMAGE = 1e-4
"""Images whose 8×8 thumbnails differ by less than this (Euclidean distance) are the same."""
OFF_CENTER = 0.15
"""Principal points further off the center than this fraction of the image are unusual."""


@dataclass(frozen=True)
class Summary:
    """Facts by name, and warnings as sentences."""

    facts: dict[str, str]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What was adjusted when the data were read."""


def summarize(views: Views) -> Summary:
    """Facts and warnings about the views' cameras, images and points."""
    facts = {"views": str(len(views))}
    facts |= _size(views)
    facts |= camera_facts(views.cameras)
    if views.origin != HERE:
        facts["origin"] = f"{in_words(views.origin)} in the coordinates of the data"
    if views.points is not None:
        facts["points"] = f"{len(views.points)}"
    warnings = camera_warnings(views.cameras, views.names)
    warnings += _image_warnings(views)
    if views.points is not None and len(views.points):
        warnings += _point_warnings(views.cameras, views.points)
    return Summary(facts, tuple(warnings))


def _size(views: Views) -> dict[str, str]:
    if not views.has_alpha:
        color = views.background
        kind = "RGB" if color is None else f"RGB on {[round(c, 2) for c in color.tolist()]}"
    else:
        transparent = views.store.transparent()
        kind = f"RGBA, {transparent:.0%} of pixels not opaque" if transparent else "RGB, opaque"
    return {"size": f"{views.cameras.sizes} pixels", "images": kind}


def camera_facts(cameras: Cameras) -> dict[str, str]:
    """Positions, viewing directions and intrinsics of the cameras, in words."""
    focal, center = cameras.focal, focus_point(cameras)
    distance = (cameras.centers - center).norm(dim=1)
    _, radius = visible_ball(cameras)
    x, y = cameras.intrinsics[:, :2, 2].mean(0).tolist()
    facts = {
        "focal length": f"{_range(focal)} pixels ({_range(cameras.fov)}° horizontally)",
        "principal point": f"{x:.1f}, {y:.1f} pixels on average",
    }
    if are_parallel(cameras):
        facts["focus point"] = "none: the cameras are parallel"
    else:
        facts |= {
            "focus point": ", ".join(f"{x:.3g}" for x in center.tolist()),
            "distance to focus": _range(distance),
            "scene radius": f"{radius:.3g}",
        }
    if len(cameras) > 1:
        nearest = _distances(cameras.centers).amin(1)
        facts["nearest-camera distance"] = (
            f"{_range(nearest)} (median {float(nearest.median()):.3g})"
        )
        axes = cameras.rotations[:, :, 2]
        angles = (axes @ axes.T).clamp(-1, 1).acos().rad2deg()
        facts["largest angle between two"] = f"{float(angles.max()):.0f}°"
    return facts


def time_facts(cameras: Cameras, ids: ViewIds | None, held_out: int) -> dict[str, str]:
    """Times and ids of views in words, the last `held_out` of which are held out."""
    facts: dict[str, str] = {}
    times = cameras.times
    if times is not None and len(times):
        moments, count = times.unique(return_counts=True)
        split = torch.arange(len(times)) >= len(times) - held_out
        film = split.long() if ids is None else 2 * ids.camera + split
        ordered = all(bool((times[film == k].diff() >= 0).all()) for k in film.unique())
        order = "in the order of the views" if ordered else "not in the order of the views"
        one = f"one moment, {float(moments[0]):g}"
        several = f"{len(moments)} moments from {moments[0]:g} to {moments[-1]:g}, {order}"
        facts["times"] = one if len(moments) == 1 else several
        low, high = int(count.min()), int(count.max())
        facts["views per moment"] = f"{low}" if low == high else f"{low} to {high}"
        if len(moments) > 2:
            facts["time between moments"] = _range(moments.diff())
    if ids is not None and len(ids):
        kinds = ((ids.appearance, "appearance"), (ids.deformation, "moment"))
        counts = [(len(each.unique()), name) for each, name in (*kinds, (ids.camera, "camera"))]
        facts["ids"] = ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for n, name in counts)
    return facts


def camera_warnings(cameras: Cameras, names: tuple[str, ...] = ()) -> list[str]:
    """Unusual properties of cameras, which may be errors; `names` are those of the views."""
    found: list[str] = []
    if len(cameras) == 1:
        return ["There is only one view: a scene cannot be reconstructed from it."]
    center = focus_point(cameras)
    local = (center - cameras.centers)[:, None] @ cameras.rotations
    scale = float((cameras.centers - center).norm(dim=1).mean())
    one_place = _distances(cameras.centers) <= SAME_POSE * scale
    away = local[:, 0, 2] <= 0
    # Views of a panorama look all around: it is enough that one of them faces it.
    behind = int((away & ~(one_place & ~away).any(1)).sum())
    if behind:
        found.append(
            f"{behind} of {len(cameras)} cameras look away from the focus point of most: "
            "their axes may follow another convention, or their projections may be negated."
        )
    same = one_place & (_distances(cameras.rotations.flatten(1)) <= SAME_POSE)
    same &= _one_time(cameras)
    for a, b in (same & _same_sizes(cameras)).triu(1).nonzero()[:1].tolist():
        found.append(
            f"Same camera pose: {_name(names, a)} and {_name(names, b)}; one may be a copy."
        )
    focal = cameras.focal
    if float(focal.max() / focal.min()) > 1.5:
        found.append(
            f"Focal lengths differ by a factor of {float(focal.max() / focal.min()):.1f}."
        )
    off = (cameras.intrinsics[:, :2, 2] / cameras.sizes.rows - 0.5).abs().amax()
    if float(off) > OFF_CENTER:
        found.append(
            f"A principal point is {float(off):.0%} of the image size off the center: the "
            "intrinsics may be for another image size."
        )
    ratio = cameras.intrinsics[:, 1, 1] / cameras.intrinsics[:, 0, 0]
    if float((ratio - 1).abs().max()) > 0.1:
        found.append("Pixels are not square: the images may be stretched.")
    return found


def _distances(points: Float[Tensor, "points channels"]) -> Float[Tensor, "points points"]:
    """Distances between all pairs, infinite from a point to itself.

    `torch.cdist` would compute them by a matrix product for more than 25 points, which leaves
    no correct digit of distances that are small compared with the points' norms.
    """
    apart = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.fill_diagonal_(torch.inf)


def _image_warnings(views: Views) -> list[str]:
    found: list[str] = []
    small: list[Tensor] = []
    for k in range(len(views)):
        image = views.store[k]
        small.append(area_average(image, SMALL, SMALL).flatten())
        if not found and image.amax() == image.amin():
            found.append(
                f"One constant color: {_name(views.names, k)}; the image may be empty."
            )
    same = (_distances(torch.stack(small)) < SAME_IMAGE) & _one_time(views.cameras)
    for a, b in (same & _same_sizes(views.cameras)).triu(1).nonzero()[:1].tolist():
        found.append(f"Same image: {_name(views.names, a)} and {_name(views.names, b)}.")
    return found


def _same_sizes(cameras: Cameras) -> Bool[Tensor, "cameras cameras"]:
    """Pairs of one image size: a scene may have the same view at several."""
    rows = cameras.sizes.each(len(cameras))
    return (rows[:, None] == rows).all(2)


def _one_time(cameras: Cameras) -> Bool[Tensor, "cameras cameras"]:
    """Pairs of views at one time: at others, a camera or a scene may stand still."""
    times = cameras.centers[:, 0] * 0 if cameras.times is None else cameras.times
    return times[:, None] == times


def _name(names: tuple[str, ...], index: int) -> str:
    return names[index] if names else f"view {index}"


def _point_warnings(cameras: Cameras, points: Float[Tensor, "points 3"]) -> list[str]:
    """A warning if many points are outside all images: they may be in another frame."""
    some = points[:: max(1, len(points) // 2000)]
    visible = torch.zeros(len(some), dtype=torch.bool)
    for k in range(len(cameras)):
        pixel, depth = cameras.project(torch.full((len(some),), k), some)
        size = torch.tensor(cameras.sizes[k])
        visible |= (depth > 0) & ((pixel >= 0) & (pixel < size)).all(1)
    share = float(visible.float().mean())
    if share < 0.9:
        return [
            f"Only {share:.0%} of the points are visible to any camera: they may belong to "
            "another scene or frame."
        ]
    return []


def _range(values: Tensor) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.4g}" if high - low < 1e-3 * abs(high) else f"{low:.4g} to {high:.4g}"
