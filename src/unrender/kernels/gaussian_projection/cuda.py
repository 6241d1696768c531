"""Not a GPU kernel: this backend runs the PyTorch reference on the GPU, a few dozen launches,
which take little time compared with rasterizing the splats.
"""

from unrender.kernels.gaussian_projection.reference import project_gaussians

__all__ = ["project_gaussians"]
