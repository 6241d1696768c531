"""Camera axes of other software, turned into ours at the edge.

OpenCV (ours): x right, y down, z forward. OpenGL, Blender and NeRF files: x right, y up,
z backward. The world frame is right-handed; Blender's z is up and stays so.
"""

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
