"""Conversion of other software's camera axes, which is done where files are read and written.

OpenCV (used here): x right, y down, z forward. OpenGL, Blender and NeRF files: x right, y up,
z backward. World frames are right-handed; Blender's z axis, which points up, is kept.
"""

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
