"""Not a GPU kernel: this backend runs the PyTorch reference, which tests every ray against
every face. It is meant for meshes of a few thousand faces.
"""

from unrender.kernels.ray_mesh.reference import any_hit, closest_hit

__all__ = ["any_hit", "closest_hit"]
