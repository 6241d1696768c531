"""Inverse problems by differentiable rendering: poses, light, normals, textures, fusion."""
