"""Conversion of other software's camera axes, which is done where files are read and written.

OpenCV (used here): x right, y down, z forward. OpenGL, Blender and NeRF files: x right, y up,
z backward. World frames are right-handed; Blender's z axis, which points up, is kept.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def opencv_from_opengl(
    world_from_camera: Float[Tensor, "*batch 3 4"],
) -> Float[Tensor, "*batch 3 4"]:
    """Flip the y and z axes of cameras. This is its own inverse."""
    signs = world_from_camera.new_tensor([1.0, -1.0, -1.0, 1.0])
    return world_from_camera * signs


opengl_from_opencv = opencv_from_opengl
"""The inverse of `opencv_from_opengl`, which is the same function."""


def rotate_clockwise(
    world_from_camera: Float[Tensor, "3 4"], intrinsics: Float[Tensor, "3 3"], height: int
) -> tuple[Float[Tensor, "3 4"], Float[Tensor, "3 3"]]:
    """Pose and intrinsics of the camera after its image is rotated clockwise by 90°.

    `height` is the image's height before the rotation. Pixel (x, y) becomes (height − y, x).
    """
    pose = torch.stack(
        [
            -world_from_camera[:, 1],
            world_from_camera[:, 0],
            world_from_camera[:, 2],
            world_from_camera[:, 3],
        ],
        dim=1,
    )
    matrix = intrinsics.clone()
    matrix[0, 0], matrix[1, 1] = intrinsics[1, 1], intrinsics[0, 0]
    matrix[0, 2], matrix[1, 2] = height - intrinsics[1, 2], intrinsics[0, 2]
    return pose, matrix
