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

from unrender.data.validate import check_poses
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import Json, finite_number, matrix_4x4, read_json_object, write_json
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opencv_from_opengl, opengl_from_opencv
from unrender.geometry.sizes import ImageSizes
from unrender.rendering.renderer import PoseEstimate


@dataclass(frozen=True)
class NamedCameras:
    """Cameras and the file names of their images."""

    cameras: Cameras
    names: tuple[str, ...]

    @classmethod
    def of(cls, views: Views) -> "NamedCameras":
        """The cameras of views, numbered if the views have no names."""
        return cls(views.cameras, views.names or tuple(f"view {k}" for k in range(len(views))))


def write_cameras(
    path: Path, named: NamedCameras, estimate: PoseEstimate | None = None
) -> None:
    """Write the file atomically, with the expected errors of the `estimate`, if given."""
    frames: list[Json] = []
    for index, name in enumerate(named.names):
        expected = {} if estimate is None else _expected(estimate, index)
        frames.append(camera_frame(named.cameras, index, name) | expected)
    write_json(path, {"frames": frames})


def camera_frame(cameras: Cameras, index: int, image: str) -> Json:
    """The entry of `frames` for a camera and the path of its image."""
    pose = opengl_from_opencv(cameras.world_from_camera[index].detach().cpu()).tolist()
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
    }


def _expected(estimate: PoseEstimate, index: int) -> Json:
    """Expected errors in degrees and in scene units; all modes if there are several."""
    frame: Json = {
        "rotation_error_deg": math.degrees(float(estimate.rotation_error[index])),
        "axis_errors_deg": estimate.axis_errors[index].rad2deg().tolist(),
        "translation_error": float(estimate.translation_error[index]),
    }
    if estimate.modes is not None and bool((estimate.modes.share[index] > 0).sum() > 1):
        poses = opengl_from_opencv(estimate.modes.world_from_camera[index].detach().cpu())
        frame["modes"] = [
            {"share": share, "transform_matrix": [*pose, [0.0, 0.0, 0.0, 1.0]]}
            for share, pose in zip(
                estimate.modes.share[index].tolist(), poses.tolist(), strict=True
            )
            if share > 0
        ]
    return frame


def read_cameras(path: Path) -> NamedCameras:
    """Read a file of `write_cameras`, or a Blender file with `w`, `h` and a focal length."""
    content = read_json_object(path, "write it with `unrender pose`")
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path}: has no list `frames`; write it with `unrender pose`")
    names: list[str] = []
    poses: list[list[list[float]]] = []
    matrices: list[Tensor] = []
    sizes: list[tuple[int, int]] = []
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
        sizes.append((width, height))
        names.append(str(values.get("file_path", f"frame {index}")))
        poses.append(
            matrix_4x4(label, "`transform_matrix`", values.get("transform_matrix"))[:3]
        )
        matrices.append(frame_intrinsics(label, values, width, height))
    world_from_camera = torch.tensor(poses)
    checked = check_poses(world_from_camera, lambda index: f"{path}: frame {index}")
    cameras = Cameras(
        opencv_from_opengl(checked), torch.stack(matrices), sizes=ImageSizes.of(sizes)
    )
    return NamedCameras(cameras, tuple(names))


def frame_intrinsics(label: str, values: Json, width: int, height: int) -> Float[Tensor, "3 3"]:
    """K for an image of `width`×`height`, from the keys of a frame and its file. InputError.

    `label` names the frame in messages. `w` and `h` are the size that the values refer to.
    """

    def get(key: str) -> float | None:
        value = values.get(key)
        return None if value is None else finite_number(label, f"`{key}`", value)

    def positive(key: str) -> float | None:
        value = get(key)
        if value is not None and value <= 0:
            raise InputError(f"{label}: `{key}` is {value}; it must be positive")
        return value

    angle, focal_x = get("camera_angle_x"), positive("fl_x")
    if angle is not None and not 0 < angle < math.pi:
        raise InputError(
            f"{label}: `camera_angle_x` is {angle}; it must be between 0 and π radians"
        )
    file_width, file_height = positive("w") or width, positive("h") or height
    scale_x, scale_y = width / file_width, height / file_height
    if focal_x is not None:
        if (width - height) * (file_width - file_height) < 0:
            raise InputError(
                f"{label}: is {width}x{height}, but its camera has {file_width:g}x"
                f"{file_height:g} pixels: give the frame the `w`, `h` and focal length of its "
                "own camera"
            )
        focal_x *= scale_x
        given = positive("fl_y")
        focal_y = focal_x if given is None else given * scale_y
    elif angle is not None:
        focal_x = focal_y = 0.5 * width / math.tan(angle / 2)
    else:
        raise InputError(
            f"{label}: has neither `camera_angle_x` nor `fl_x`; add one to the file"
        )
    center_x, center_y = get("cx"), get("cy")
    center_x = width / 2 if center_x is None else center_x * scale_x
    center_y = height / 2 if center_y is None else center_y * scale_y
    return torch.tensor([[focal_x, 0, center_x], [0, focal_y, center_y], [0, 0, 1]])
