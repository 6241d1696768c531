"""Choices of options that several commands have, without importing torch.

They repeat types of the library, whose modules import torch; a test holds them together.
"""

from typing import Literal

Background = Literal["auto", "black", "white", "opaque"]
"""As in `unrender.data.validate`."""
SceneLayout = Literal["colmap", "blender", "nerfies"]
"""As in `unrender.api.data`."""
Split = Literal["test", "val"]
"""As in `unrender.data.options`."""
Up = Literal["auto", "y", "z"]
"""As in `unrender.shapes.files.shape`."""
