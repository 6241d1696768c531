"""A step of Adam on the entries with a gradient, on a GPU: that of PyTorch."""

from unrender.kernels.lazy_adam.reference import lazy_adam

__all__ = ["lazy_adam"]
