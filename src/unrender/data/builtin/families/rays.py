"""Images of unions of convex solids: flat colors, by rasterization with many rays per pixel."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize, pad

from unrender.data.builtin.families.solids import Union
from unrender.geometry.cameras import Cameras
from unrender.rendering.mesh.raster import visible_faces
from unrender.rendering.renderer import Images, box_filtered
from unrender.shapes.mesh import face_normals
from unrender.shapes.textures import VertexColors

AMBIENT, KEY, SKY = 0.4, 0.5, 0.15
"""Intensities of ambient light, directional light and light from above."""


def render_shape(
    shape: Union, cameras: Cameras, light: Float[Tensor, "cameras 3"], supersample: int
) -> Images:
    """Render a shape with Lambertian shading and `supersample`² rays per pixel.

    `light` are unit vectors towards the light of each image. Cameras are outside the shape's
    bounding box.
    """
    mesh = shape.mesh()
    assert isinstance(mesh.texture, VertexColors), "those of the solids"
    colors = mesh.texture.colors[mesh.faces[:, 0]]
    normals = normalize(face_normals(mesh.vertices, mesh.faces), dim=1)
    facing = (light.float() @ normals.T).clamp_min(0)
    shade = AMBIENT + KEY * facing + SKY * 0.5 * (1 + normals[:, 2])
    color = (shade[:, :, None] * colors).clamp_max(1)
    # The first row of an image's is what shows where no face is visible.
    rgba = pad(pad(color, (0, 1), value=1.0), (0, 0, 1, 0))
    fine = cameras.resized(supersample * cameras.width, supersample * cameras.height)
    first = rgba.shape[1] * torch.arange(len(cameras))[:, None, None]
    row = visible_faces(mesh, fine, cull=True) + 1 + first
    image = rgba.flatten(0, 1).index_select(0, row.flatten()).view(*row.shape, 4)
    return box_filtered(image, supersample)
