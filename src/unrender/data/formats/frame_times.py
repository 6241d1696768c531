"""Times and ids of images, as entries of files have them: `time`, `warp_id` and so on.

The names of the ids are those of Nerfies and HyperNeRF.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.view_ids import ViewIds
from unrender.errors import InputError
from unrender.files import LARGEST, Json, finite_number, read_json_object, shown, whole_number
from unrender.files.arrays import Array
from unrender.geometry.cameras import Cameras

APPEARANCE, WARP, TIME, CAMERA = "appearance_id", "warp_id", "time_id", "camera_id"
IDS = (APPEARANCE, WARP, CAMERA)
MAX_ID = 999_999
"""Methods have a code for every number up to the largest id."""
TIMES = "times.json"
"""Times of images by name, beside the folders of images and of the COLMAP model."""
MERGED = 1e-5
"""Times that differ by more than this fraction of their range must differ when rounded."""


def frame_times(
    labels: Sequence[str], frames: Sequence[Json]
) -> Float[Tensor, "frames"] | None:
    """The `time` of each frame, or None where no frame has one. InputError."""
    known = [frame.get("time") is not None for frame in frames]
    if not any(known):
        return None
    if not all(known):
        raise InputError(
            f"{labels[known.index(False)]}: has no `time`, and other frames have: add it, or "
            "remove all of them"
        )
    times = [
        finite_number(label, "`time`", frame["time"])
        for label, frame in zip(labels, frames, strict=True)
    ]
    return rounded_times(labels[0], np.array(times))


def read_times(folders: Sequence[Path], names: Sequence[str]) -> Float[Tensor, "images"] | None:
    """Times of images in the first `times.json` of these folders, by name; None without one.

    InputError if it has no time for an image, or one that is not a finite number. Entries of
    other images do not matter.
    """
    file = next((each / TIMES for each in folders if (each / TIMES).is_file()), None)
    if file is None:
        return None
    content = read_json_object(file)
    for name in names:
        if content.get(name) is None:
            raise InputError(f"{file}: has no time of image {shown(name)}: add it, in seconds")
    labels = [f"{file}: {shown(name)}" for name in names]
    return frame_times(labels, [{"time": content[name]} for name in names])


def rounded_times(label: str, times: Array) -> Float[Tensor, "times"]:
    """Times in single precision. InputError if they are not finite, or if some become equal."""
    double = times.astype(np.float64)
    for value in double[~(np.abs(double) < LARGEST)][:1].tolist():
        raise InputError(f"{label}: is {value}; times must be finite, below {LARGEST:g}")
    order = np.sort(double)
    single = order.astype(np.float32)
    span = order[-1] - order[0] if len(order) else 0.0
    merged = (np.diff(single) == 0) & (np.diff(order) > MERGED * span)
    if merged.any():
        raise InputError(
            f"{label}: times from {order[0]:.10g} to {order[-1]:.10g} are too far from 0 for "
            "single precision to tell them apart: subtract the first from all of them"
        )
    return torch.from_numpy(double.astype(np.float32))


def frame_ids(
    labels: Sequence[str], frames: Sequence[Json], needed: bool = False
) -> ViewIds | None:
    """The ids of each frame, or None where no frame has a moment and none is `needed`.

    The moment is `warp_id` or else `time_id`; the other ids are 0 where they are not given.
    InputError for ids that are not whole numbers from 0 to 999,999, and frames without a moment
    among others with one.
    """
    if not needed and not any(key in frame for frame in frames for key in (WARP, TIME)):
        return None
    rows: list[tuple[int, int, int]] = []
    for label, frame in zip(labels, frames, strict=True):
        moments = [key for key in (WARP, TIME) if key in frame]
        if not moments:
            raise InputError(f"{label}: has neither `{WARP}` nor `{TIME}`: add one")
        found = [(APPEARANCE, frame.get(APPEARANCE, 0)), (moments[0], frame[moments[0]])]
        found.append((CAMERA, frame.get(CAMERA, 0)))
        appearance, moment, camera = (
            whole_number(label, f"`{key}`", value, 0, MAX_ID) for key, value in found
        )
        rows.append((appearance, moment, camera))
    return ViewIds(*torch.tensor(rows).unbind(1))


def ids_entry(ids: ViewIds | None, index: int) -> Json:
    """The entries that `frame_ids` reads; none without ids."""
    if ids is None:
        return {}
    values = (ids.appearance[index], ids.deformation[index], ids.camera[index])
    return {key: int(value) for key, value in zip(IDS, values, strict=True)}


def ids_of_times(cameras: Cameras) -> ViewIds:
    """Ids for views that have none: a moment and an appearance for each time, of one camera.

    Without times, all views show one moment.
    """
    if cameras.times is None:
        moment = torch.zeros(len(cameras), dtype=torch.long)
    else:
        _, moment = cameras.times.unique(return_inverse=True)
    return ViewIds(moment, moment, torch.zeros_like(moment))
