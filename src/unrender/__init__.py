"""Inverse graphics: images to scenes, poses to images, images to poses."""

__version__ = "0.1.0"
