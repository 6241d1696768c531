"""Files of cameras without images, in the layout of Blender's `transforms.json`.

Each frame has `transform_matrix` (OpenGL camera-to-world), `fl_x fl_y cx cy w h` in pixels,
and, for estimated cameras, their expected error.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.formats.calibration import frame_calibration
from unrender.data.formats.frame_times import frame_times
from unrender.data.origin import HERE, Origin
from unrender.data.undistort import pinhole_cameras, view_names
from unrender.data.validate import check_cameras, check_poses
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import Json, finite_number, pose_matrix, read_json_object, shown, write_json
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opencv_from_opengl, opengl_from_opencv
from unrender.geometry.undistortion import PinholeView, pinhole_views
from unrender.rendering.renderer import PoseEstimate


@dataclass(frozen=True)
class NamedCameras:
    """Cameras and the file names of their images."""

    cameras: Cameras
    names: tuple[str, ...]
    origin: Origin = HERE
    """Where the origin of the cameras' world frame is in the coordinates of the file."""

    @classmethod
    def of(cls, views: Views) -> "NamedCameras":
        """The cameras of views, numbered if the views have no names."""
        names = views.names or tuple(f"view {k}" for k in range(len(views)))
        return cls(views.cameras, names, views.origin)


def write_cameras(
    path: Path, named: NamedCameras, estimate: PoseEstimate | None = None
) -> None:
    """Write the file atomically, with the expected errors of the `estimate`, if given.

    Cameras that were recentred are written in the coordinates of the data, in double precision,
    and `origin` says what was added to them.
    """
    frames: list[Json] = []
    for index, name in enumerate(named.names):
        expected = {} if estimate is None else _expected(estimate, index, named.origin)
        frames.append(camera_frame(named.cameras, index, name, named.origin) | expected)
    moved = {} if named.origin == HERE else {"origin": list(named.origin)}
    write_json(path, {**moved, "frames": frames})


def check_no_skew(path: Path, cameras: Cameras) -> None:
    """InputError for cameras with skew, which neither this format nor Nerfies' stores."""
    if len(cameras) and cameras.intrinsics[:, 0, 1].abs().max() > 0:
        raise InputError(
            f"{path}: the cameras have skew, which this format cannot store; remove it"
        )


def camera_frame(cameras: Cameras, index: int, image: str, origin: Origin = HERE) -> Json:
    """The entry of `frames` for a camera and the path of its image; `origin` is added."""
    pose = _moved(opengl_from_opencv(cameras.world_from_camera[index].detach().cpu()), origin)
    matrix = cameras.intrinsics[index].tolist()
    width, height = cameras.sizes[index]
    return {
        "file_path": image,
        "transform_matrix": [*pose, [0.0, 0.0, 0.0, 1.0]],
        "fl_x": matrix[0][0],
        "fl_y": matrix[1][1],
        "cx": matrix[0][2],
        "cy": matrix[1][2],
        "w": width,
        "h": height,
        **({} if cameras.times is None else {"time": float(cameras.times[index])}),
    }


def _moved(pose: Float[Tensor, "3 4"], origin: Origin) -> list[list[float]]:
    """The rows of a pose with the origin added to its position, in double precision."""
    return [[*row[:3], row[3] + x] for row, x in zip(pose.tolist(), origin, strict=True)]


def _expected(estimate: PoseEstimate, index: int, origin: Origin) -> Json:
    """Expected errors in degrees and in scene units; all modes if there are several."""
    frame: Json = {
        "rotation_error_deg": math.degrees(float(estimate.rotation_error[index])),
        "axis_errors_deg": estimate.axis_errors[index].rad2deg().tolist(),
        "translation_error": float(estimate.translation_error[index]),
    }
    if estimate.modes is not None and bool((estimate.modes.share[index] > 0).sum() > 1):
        poses = opengl_from_opencv(estimate.modes.world_from_camera[index].detach().cpu())
        frame["modes"] = [
            {"share": share, "transform_matrix": [*_moved(pose, origin), [0.0, 0.0, 0.0, 1.0]]}
            for share, pose in zip(estimate.modes.share[index].tolist(), poses, strict=True)
            if share > 0
        ]
    return frame


def read_cameras(path: Path, origin: Origin | None = None) -> NamedCameras:
    """Read a file of `write_cameras`, or a Blender file with `w`, `h` and a focal length.

    Cameras of other lenses are the pinhole views that their photographs would be read as.
    They are moved by the `origin`, or by that of the file itself.
    """
    content = read_json_object(path, "write it with `unrender pose`")
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path}: has no list `frames`; write it with `unrender pose`")
    names: list[str] = []
    poses: list[list[list[float]]] = []
    lens_views: list[tuple[PinholeView, ...]] = []
    labels: list[str] = []
    for index, frame in enumerate(frames):
        label = f"{path}: frame {index}"
        if not isinstance(frame, dict):
            raise InputError(f"{label}: is not an object; write the file with `unrender pose`")
        values = {**content, **frame}
        width, height = (
            int(finite_number(label, f"`{key}`", values.get(key))) for key in ("w", "h")
        )
        if not (0 < width <= 20_000 and 0 < height <= 20_000):
            raise InputError(
                f"{label}: `w` and `h` are {width}x{height}; give the image size in pixels"
            )
        labels.append(label)
        names.append(str(values.get("file_path", f"frame {index}")))
        poses.append(
            pose_matrix(label, "`transform_matrix`", values.get("transform_matrix"))[:3]
        )
        calibration = frame_calibration(label, content, frame, width, height)
        lens_views.append(pinhole_views(label, calibration))
    if origin is None:
        origin = _origin(path, content)
    # Numbers that need no move are rounded as they are.
    world_from_camera = torch.tensor(poses, dtype=torch.float64)
    if origin != HERE:
        world_from_camera[:, :, 3] -= torch.tensor(origin, dtype=torch.float64)
    checked = check_poses(world_from_camera, lambda index: f"{path}: frame {index}")
    times = frame_times(labels, frames)
    cameras = pinhole_cameras(opencv_from_opengl(checked), lens_views, times)
    check_cameras(str(path), cameras)
    return NamedCameras(cameras, view_names(names, lens_views), origin)


def _origin(path: Path, content: Json) -> Origin:
    """What `write_cameras` added to the cameras' positions."""
    found = content.get("origin")
    if found is None:
        return HERE
    if not isinstance(found, list) or len(found) != 3:
        raise InputError(f"{path}: `origin` is {shown(found)}, not three numbers; correct it")
    x, y, z = (finite_number(str(path), "`origin`", value) for value in found)
    return x, y, z
