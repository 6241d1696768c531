"""Shapes: meshes, point clouds, voxel grids and signed distances, with their files."""
