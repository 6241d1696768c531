"""A mesh's texture from photographs, with known mesh, cameras and lights.

Pixels are linear in the texture: each is a weighted mean of a few texels, times the light.
Which texels these are does not change, so the mesh is rasterized once, and only the texture
lookup is differentiated at each step. Pixels with blended silhouette edges are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.rendering.light.lights import PhongLight
from unrender.rendering.mesh.antialias import EdgeTopology, antialiased
from unrender.rendering.mesh.raster import rasterize_mesh
from unrender.rendering.mesh.shading import Material, light_on
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import UVTexture

VISIBLE = 0.2
"""Smallest total weight of a texel in all pixels for it to count as visible."""


@dataclass(frozen=True)
class TextureEstimate:
    """An estimated texture, and which of its texels the photographs show."""

    texture: UVTexture
    visible: Bool[Tensor, "height width"]
    """Texels that pixels show; the others are filled in from their neighbors."""


def texture_from_photographs(
    mesh: Mesh,
    cameras: Cameras,
    images: Float[Tensor, "views height width 3"],
    lights: Sequence[PhongLight],
    material: Material | None = None,
    steps: int = 300,
    smoothness: float = 1e-3,
) -> TextureEstimate:
    """Estimate the image of the mesh's `UVTexture`, at the resolution that it has.

    The background of the photographs is ignored. `smoothness` is the weight of squared
    differences of neighboring texels, which fill in texels that no photograph shows. Raises
    InputError if the mesh has no UV coordinates, photographs contain NaN or Inf, none shows the
    mesh, or the lights do not reach what they show.
    """
    layout = mesh.texture
    if not isinstance(layout, UVTexture):
        raise InputError("the mesh has no UV coordinates: give it a UVTexture")
    if images.shape[:3] != (len(cameras), cameras.height, cameras.width):
        raise InputError(
            f"{len(images)} photographs of {images.shape[2]}×{images.shape[1]} pixels for "
            f"{len(cameras)} cameras of {cameras.width}×{cameras.height}: resize the cameras"
        )
    if not bool(images.isfinite().all()):
        raise InputError("the photographs contain NaN or Inf: read them again")
    fragments = rasterize_mesh(mesh, cameras)
    points = fragments.interpolate(mesh.vertices, mesh.faces)
    normals = normalize(fragments.interpolate(mesh.vertex_normals(), mesh.faces), dim=1)
    eyes = cameras.centers[fragments.image]
    factor, highlight = light_on(points, normals, eyes, lights, material or Material())
    # Pixels where noise comes through unchanged have no blended edges.
    noise = torch.rand(*images.shape[:3], 1, generator=torch.Generator().manual_seed(0))
    clean = (
        antialiased(noise.to(images), fragments, EdgeTopology.of(mesh)) == noise.to(images)
    ).flatten()
    whole = clean[fragments.pixel]
    face, barycentrics = fragments.hit_face[whole], fragments.bary[whole].detach()
    factor, highlight = factor[whole].detach(), highlight[whole].detach()
    target = images.reshape(-1, 3)[fragments.pixel[whole]] - highlight
    if not len(face):
        raise InputError("no photograph shows the mesh: check the cameras")
    if not bool((factor > 0).any()):
        raise InputError("the lights do not reach what the photographs show: give other lights")
    logits = torch.zeros_like(layout.image, requires_grad=True)
    optimizer = torch.optim.Adam([logits], 0.1)

    def sampled(image: Tensor) -> Tensor:
        return replace(layout, image=image).sample(mesh.faces, face, barycentrics)

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * 0.1 ** (step / steps)
        image = logits.sigmoid()
        misfit = (factor * sampled(image) - target).square().sum() / layout.image.numel()
        roughness = image.diff(dim=0).square().mean() + image.diff(dim=1).square().mean()
        optimizer.zero_grad()
        (misfit + smoothness * roughness).backward()
        optimizer.step()
    ones = torch.ones_like(layout.image, requires_grad=True)
    lit = (factor.amax(1, keepdim=True) > 0) * sampled(ones)
    (share,) = torch.autograd.grad(lit[:, 0].sum(), ones)
    visible = share[..., 0] > VISIBLE
    return TextureEstimate(replace(layout, image=logits.detach().sigmoid()), visible)
