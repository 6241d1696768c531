"""Camera axes of other software, turned into ours at the edge.

OpenCV (ours): x right, y down, z forward. OpenGL, Blender and NeRF files: x right, y up,
z backward. The world frame is right-handed; Blender's z is up and stays so.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def opencv_from_opengl(
    world_from_camera: Float[Tensor, "*batch 3 4"],
) -> Float[Tensor, "*batch 3 4"]:
    """The same camera with its y and z axes reversed. Its own inverse."""
    signs = world_from_camera.new_tensor([1.0, -1.0, -1.0, 1.0])
    return world_from_camera * signs


opengl_from_opencv = opencv_from_opengl
"""The reversal undoes itself."""


def turned_clockwise(
    world_from_camera: Float[Tensor, "3 4"], intrinsics: Float[Tensor, "3 3"], height: int
) -> tuple[Float[Tensor, "3 4"], Float[Tensor, "3 3"]]:
    """The camera of an image that is turned by a quarter, the upper side to the right.

    `height` is the image's before. Pixel (x, y) becomes (height − y, x).
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
