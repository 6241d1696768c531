"""Not a GPU kernel: this backend runs the PyTorch reference on the GPU, a few dozen launches an
image.
"""

from unrender.kernels.depth_fusion.reference import fuse_colors, fuse_depth

__all__ = ["fuse_colors", "fuse_depth"]
