"""Light fields of the front door: images focused and blurred afterwards, without a fit."""

import math
from pathlib import Path

import torch

from unrender.api.cameras import CameraPath, as_cameras
from unrender.data.dataset import Dataset
from unrender.data.load import load_dataset
from unrender.data.options import LoadOptions
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.camera_grid import CameraGrid
from unrender.geometry.cameras import Cameras
from unrender.notes import note
from unrender.rendering.light_field import LightField
from unrender.rendering.plane_sweep import focus_depth, middle_cameras
from unrender.rendering.renderer import Rendering, concatenated, supersampled
from unrender.training.progress import told_progress


def refocus(
    source: "Dataset | Views | str | Path",
    cameras: "Cameras | CameraPath | None" = None,
    *,
    focus: float | tuple[float, ...] | None = None,
    aperture: float | None = None,
    frames: int = 60,
    size: int | tuple[int, int] | None = None,
    supersample: int = 1,
    progress: bool = True,
) -> Rendering:
    """Render a light field with a lens of its own, straight from its images, without a fit.

    Args:
        source: Views whose cameras stand in rows and columns and look one way, a dataset with
            such training views, or the folder of one, all of whose views are used.
        cameras: From where; by default the camera in the middle of the grid.
        focus: Depth of what is sharp: its distance from the plane in which the cameras stand,
            in their unit. Two depths for a sweep from one to the other. By default the depth
            at which the images in the middle agree best, which a note says.
        aperture: Diameter of the lens in the unit of the cameras' positions; what is off the
            focal plane is blurred. By default a pinhole, which interpolates between the four
            nearest cameras.
        frames: Images of a sweep without `cameras`.
        size: Pixels of the longer side, or (width, height); by default the cameras' own.
        supersample: Rays per side of each pixel.
        progress: Whether to show a progress bar for more than one image.

    Raises InputError for views that are no grid, an aperture that is not positive and a focus
    that is not in front of the cameras.

    Nine images of one gray, seen from three rows and three columns:

    >>> import torch
    >>> import unrender as ur
    >>> eyes = [(0.1 * x, 0.0, 0.1 * z) for z in (1, 0, -1) for x in (-1, 0, 1)]
    >>> ahead = [(x, 1.0, z) for x, _, z in eyes]
    >>> cameras = ur.Cameras.look_at(eyes, ahead, size=(48, 32))
    >>> views = ur.Views(cameras, torch.full((9, 32, 48, 3), 0.5), torch.ones(3))
    >>> ur.refocus(views, focus=3.0, aperture=0.1)
    Rendering(1 × 48×32)
    """
    depths = checked_lens(focus, aperture)
    for name, value in (("frames", frames), ("supersample", supersample)):
        if value < 1:
            raise InputError(f"{name} {value}: give at least 1")
    label, views = _views(source)
    field = light_field(label, views)
    sweep = len(depths) > 1
    if cameras is None:
        index = torch.full((frames if sweep else 1,), field.grid.middle)
        found = as_cameras(views.cameras.select(index), views, size)
    else:
        found = as_cameras(cameras, views, size)
    if not depths:
        depths = (estimated_focus(label, views),)
    planes = _sweep(depths, len(found))
    _tell_outside(label, field, found, aperture)
    parts: list[Rendering] = []
    with torch.no_grad(), told_progress("render", "frame", progress and len(found) > 1) as tell:
        for camera, depth in zip(found, planes, strict=True):
            renderer = supersampled(field.renderer(depth, aperture or 0.0), supersample)
            parts.append(renderer(camera))
            tell(len(parts), len(found))
    rendering = concatenated(parts)
    return Rendering(rendering.color, rendering.opacity, rendering.depth, cameras=found)


def checked_lens(
    focus: float | tuple[float, ...] | None, aperture: float | None
) -> tuple[float, ...]:
    """The focal depths that were given: none, one, or two for a sweep. InputError."""
    if aperture is not None and not 0 < aperture < math.inf:
        raise InputError(
            f"aperture {aperture:g}: give a diameter above 0, or leave it out for a pinhole"
        )
    depths = () if focus is None else focus if isinstance(focus, tuple) else (focus,)
    if len(depths) > 2:
        raise InputError(f"focus: {len(depths)} depths; give one, or two for a sweep")
    for depth in depths:
        if not 0 < depth < math.inf:
            raise InputError(
                f"focus {depth:g}: is not in front of the cameras: give a depth above 0"
            )
    return depths


def light_field(label: str, views: Views) -> LightField:
    """The light field of views; notes say what is not regular in their grid. InputError."""
    grid = CameraGrid.of(label, views.cameras)
    rows, columns = len(grid.rows), len(grid.columns)
    if grid.num_holes:
        note(
            f"{label}: nearest images stand in for {grid.num_holes} missing in a grid of "
            f"{rows} rows and {columns} columns"
        )
    if grid.uneven:
        note(
            f"{label}: the {rows} rows and {columns} columns of the grid are not evenly "
            "spaced: images are interpolated where they are"
        )
    store = views.store if views.has_alpha else views.with_alpha().store
    return LightField(views.cameras, store.__getitem__, grid)


def estimated_focus(label: str, views: Views) -> float:
    """The depth at which the images in the middle agree best; a note says it. InputError."""
    chosen = middle_cameras(views.cameras)
    some = views.select(chosen)
    if some.cameras.sizes.mixed:
        raise InputError(f"{label}: has images of several sizes: give a focus")
    depth = focus_depth(some.images[..., :3], some.cameras)
    note(
        f"{label}: focused at depth {depth:.4g}, where its images agree best: --focus moves it"
    )
    return depth


def _views(source: object) -> tuple[str, Views]:
    """What messages name, and the views of a light field. InputError."""
    if isinstance(source, str | Path):
        return str(source), load_dataset(source, LoadOptions(hold_out=0)).train
    if isinstance(source, Dataset):
        return source.name, source.train
    if isinstance(source, Views):
        return "views", source
    raise InputError(
        f"{type(source).__name__}: is no light field: give a folder, a Dataset or Views"
    )


def _sweep(depths: tuple[float, ...], count: int) -> list[float]:
    """A focal plane for each frame, evenly spaced in inverse depth."""
    if len(depths) == 1:
        return [depths[0]] * count
    inverse = torch.linspace(1 / depths[0], 1 / depths[1], count, dtype=torch.float64)
    return (1 / inverse).tolist()


def _tell_outside(
    label: str, field: LightField, cameras: Cameras, aperture: float | None
) -> None:
    """Say if cameras, or their lenses, reach beyond the grid."""
    frame = field.grid.frame
    places = ((cameras.centers - frame[:, 3]) @ frame[:, :3])[:, :2]
    outside = int((~field.grid.contains(places)).sum())
    if outside:
        note(
            f"{label}: {outside} of {len(cameras)} cameras are beyond the grid of images: they "
            "show what the outermost see"
        )
    extent = [side for side in field.grid.extent if side > 0]
    if aperture is not None and extent and aperture > 1.001 * min(extent):
        note(
            f"{label}: the aperture {aperture:g} is wider than the grid, "
            f"{' by '.join(f'{side:.4g}' for side in field.grid.extent)}: the lens ends with it"
        )
