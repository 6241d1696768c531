"""On a GPU: torch's own operations, a few dozen launches beside the drawing."""

from unrender.kernels.footprint.reference import footprints

__all__ = ["footprints"]
