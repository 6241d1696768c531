"""Files of cameras without images, in the layout of Blender's `transforms.json`.

Each frame has `transform_matrix` (OpenGL camera-to-world), `fl_x fl_y cx cy w h` in pixels,
and, for estimated cameras, their expected error.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.validate import check_poses
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.files import finite_number, matrix_4x4, replacing
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opencv_from_opengl, opengl_from_opencv
from unrender.rendering.renderer import PoseEstimate

MAX_BYTES = 100_000_000


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
    cameras = named.cameras
    poses = opengl_from_opencv(cameras.world_from_camera.detach().cpu()).tolist()
    frames: list[dict[str, Any]] = []
    for index, (name, pose) in enumerate(zip(named.names, poses, strict=True)):
        matrix = cameras.intrinsics[index].tolist()
        frame: dict[str, Any] = {
            "file_path": name,
            "transform_matrix": [*pose, [0.0, 0.0, 0.0, 1.0]],
            "fl_x": matrix[0][0],
            "fl_y": matrix[1][1],
            "cx": matrix[0][2],
            "cy": matrix[1][2],
            "w": cameras.width,
            "h": cameras.height,
        }
        if estimate is not None:
            frame |= _expected(estimate, index)
        frames.append(frame)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"frames": frames}, indent=1) + "\n")


def _expected(estimate: PoseEstimate, index: int) -> dict[str, Any]:
    """Expected errors in degrees and in scene units; all modes if there are several."""
    frame: dict[str, Any] = {
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
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{path}: is larger than {MAX_BYTES} bytes; this is not a list of poses"
        )
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: is not valid JSON ({reason}); write it again") from error
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path}: has no list `frames`; write it with `unrender pose`")
    names: list[str] = []
    poses: list[list[list[float]]] = []
    matrices: list[Tensor] = []
    sizes: set[tuple[int, int]] = set()
    for index, frame in enumerate(frames):
        label = f"{path}: frame {index}"
        if not isinstance(frame, dict):
            raise InputError(f"{label}: is not an object; write the file with `unrender pose`")
        values = {**{k: v for k, v in content.items() if k != "frames"}, **frame}
        width, height = (
            int(finite_number(label, f"`{key}`", values.get(key))) for key in ("w", "h")
        )
        if not (0 < width <= 20_000 and 0 < height <= 20_000):
            raise InputError(
                f"{label}: `w` and `h` are {width}x{height}; give the image size in pixels"
            )
        sizes.add((width, height))
        names.append(str(values.get("file_path", f"frame {index}")))
        poses.append(
            matrix_4x4(label, "`transform_matrix`", values.get("transform_matrix"))[:3]
        )
        matrices.append(_intrinsics(label, values, width, height))
    if len(sizes) > 1:
        raise InputError(
            f"{path}: has images of several sizes {sorted(sizes)}; make one file per size"
        )
    world_from_camera = torch.tensor(poses)
    checked = check_poses(world_from_camera, lambda index: f"{path}: frame {index}")
    cameras = Cameras(opencv_from_opengl(checked), torch.stack(matrices), *sizes.pop())
    return NamedCameras(cameras, tuple(names))


def _intrinsics(
    label: str, values: dict[str, Any], width: int, height: int
) -> Float[Tensor, "3 3"]:
    def number(key: str) -> float:
        return finite_number(label, f"`{key}`", values.get(key))

    if "camera_angle_x" in values and "fl_x" not in values:
        angle = number("camera_angle_x")
        if not 0 < angle < math.pi:
            raise InputError(
                f"{label}: `camera_angle_x` is {angle}, outside (0, pi); correct it"
            )
        focal = 0.5 * width / math.tan(angle / 2)
    else:
        focal = number("fl_x")
    values = {"fl_y": focal, "cx": width / 2, "cy": height / 2, **values}
    vertical, x, y = (number(key) for key in ("fl_y", "cx", "cy"))
    if min(focal, vertical) <= 0:
        raise InputError(
            f"{label}: the focal length is {min(focal, vertical)}; it must be positive"
        )
    return torch.tensor([[focal, 0, x], [0, vertical, y], [0, 0, 1]])
