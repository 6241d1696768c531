"""Writing of data sets in the layout of Nerfies and HyperNeRF, which nerfies.py describes."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import check_no_skew
from unrender.data.formats.frame_times import TIME, WARP, ids_entry, ids_of_times
from unrender.data.formats.nerfies import IMAGES, LISTING, METADATA, POINTS, SCENE
from unrender.data.views import Views, joined
from unrender.files import Json, check_new, replacing, write_json
from unrender.geometry.bounds import visible_ball
from unrender.geometry.cameras import Cameras
from unrender.imaging.files import write_image

MARGIN = 1.1
"""How much farther than the scene the far plane is, and how much nearer the near plane."""


def write_nerfies(path: Path, data: Dataset) -> None:
    """Write a new folder in this layout, with the test views as validation views.

    Images are numbered, those for training first. Views without ids get a moment and an
    appearance for each time. The folder is written atomically, without depths and normals.
    Raises InputError if it exists or cannot be written.
    """
    check_new(path)
    views = joined([data.train, data.test]) if len(data.test) else data.train
    cameras, origin = views.cameras, torch.tensor(views.origin, dtype=torch.float64)
    check_no_skew(path, cameras)
    ids = views.ids or ids_of_times(cameras)
    names = [f"{k:06d}" for k in range(len(views))]
    with replacing(path, folder=True) as temporary:
        images = temporary / IMAGES / "1x"
        images.mkdir(parents=True)
        (temporary / "camera").mkdir()
        metadata: Json = {}
        for k, name in enumerate(names):
            write_image(images / f"{name}.png", views.straight(k))
            write_json(temporary / "camera" / f"{name}.json", _camera_entry(cameras, k, origin))
            entry = ids_entry(ids, k)
            metadata[name] = {**entry, TIME: entry[WARP]}
            if cameras.times is not None:
                metadata[name]["time"] = float(cameras.times[k])
        count = len(data.train)
        listing = {"count": len(names), "num_exemplars": count, "ids": names}
        splits = {"train_ids": names[:count], "val_ids": names[count:]}
        write_json(temporary / LISTING, listing | splits)
        write_json(temporary / METADATA, metadata)
        write_json(temporary / SCENE, _scene_entry(views, origin))
        if views.points is not None and len(views.points):
            np.save(temporary / POINTS, (views.points.double() + origin).numpy())


def _camera_entry(cameras: Cameras, index: int, origin: Float[Tensor, "3"]) -> Json:
    pose = cameras.world_from_camera[index].double()
    focal, principal = cameras.intrinsics[index].diagonal(), cameras.intrinsics[index, :2, 2]
    return {
        "orientation": pose[:, :3].T.tolist(),
        "position": (pose[:, 3] + origin).tolist(),
        "focal_length": float(focal[0]),
        "principal_point": principal.tolist(),
        "skew": 0.0,
        "pixel_aspect_ratio": float(focal[1] / focal[0]),
        "radial_distortion": [0.0, 0.0, 0.0],
        "tangential_distortion": [0.0, 0.0],
        "image_size": list(cameras.sizes[index]),
    }


def _scene_entry(views: Views, origin: Float[Tensor, "3"]) -> Json:
    """Center and scale, and the planes between which the scene is, in units that are scaled."""
    if views.ball is None:
        center, radius = visible_ball(views.cameras)
    else:
        center, radius = views.ball[:3], float(views.ball[3])
    distance = (views.cameras.centers - center).norm(dim=1) / radius
    near, far = float(distance.min()) - 1, float(distance.max()) + 1
    return {
        "center": (center.double() + origin).tolist(),
        "scale": 1 / radius,
        "near": max(near, 0.01 * far) / MARGIN,
        "far": far * MARGIN,
    }
