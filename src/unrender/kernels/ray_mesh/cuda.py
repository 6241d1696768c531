"""On a GPU: torch's own operations, every ray and every face; for meshes of some thousands."""

from unrender.kernels.ray_mesh.reference import any_hit, closest_hit

__all__ = ["any_hit", "closest_hit"]
