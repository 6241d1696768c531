"""Cameras, rays, poses, camera paths and coordinate conventions."""
