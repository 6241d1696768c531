"""Explicit and implicit shapes: meshes, points, voxels, signed distances; their files."""
