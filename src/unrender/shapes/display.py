"""How a notebook shows a shape.

Rendering lies above this package, so the front door draws the image: it is imported by name
when a shape is shown, and nothing here depends on it before.
"""

from importlib import import_module

from jaxtyping import Float
from torch import Tensor

from unrender.imaging.files import png_bytes
from unrender.imaging.save import show_image


class Shown:
    """A shape that shows an image of itself."""

    def show(self) -> None:
        """Show an image: in a notebook inline, on a desktop in a window, else in a file."""
        show_image(self._image(), "shape")

    def _repr_png_(self) -> bytes:
        return png_bytes(self._image())

    def _image(self) -> Float[Tensor, "height width 3"]:
        return import_module("unrender.api.shapes").shape_image(self)
