"""Rasterization of meshes: visibility, antialiasing, shading."""
