"""How a notebook shows a shape.

Rendering lies above this package, so the front door draws the image: it is imported by name
when a shape is shown, and nothing here depends on it before.
"""

from importlib import import_module
from typing import Any

from jaxtyping import Float
from torch import Tensor

from unrender.imaging.files import png_bytes
from unrender.imaging.save import show_image


def show_shape(shape: Any) -> None:
    """Show a shape: in a notebook inline, on a desktop in a window, else in a file."""
    show_image(_image(shape), "shape")


def shape_png(shape: Any) -> bytes:
    """An image of a shape as a PNG file."""
    return png_bytes(_image(shape))


def _image(shape: Any) -> Float[Tensor, "height width 3"]:
    return import_module("unrender.api.shapes").shape_image(shape)
