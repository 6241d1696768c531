"""A mesh's texture from photographs, with mesh, cameras and light known.

What pixels show is linear in the texture: each is a mean of a few texels, times the light
there. Which texels these are does not change, so that it is found once, and then descent
through the renderer's last step is quick. Pixels that an edge is blended into show something
else as well and are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.rendering.mesh.antialias import EdgeTopology, antialiased
from unrender.rendering.mesh.raster import rasterize_mesh
from unrender.rendering.mesh.shading import Light, Material, light_on
from unrender.shapes.mesh import Mesh
from unrender.shapes.textures import UVTexture

SEEN = 0.2
"""Pixels that a texel has to count for, together, to be seen."""


@dataclass(frozen=True)
class FoundTexture:
    """The colours, and where they were seen."""

    texture: UVTexture
    seen: Bool[Tensor, "height width"]
    """Texels that pixels show; the others are filled from their neighbours."""


def texture_from_photographs(
    mesh: Mesh,
    cameras: Cameras,
    images: Float[Tensor, "views height width 3"],
    lights: Sequence[Light],
    material: Material | None = None,
    steps: int = 300,
    smoothness: float = 1e-3,
) -> FoundTexture:
    """The image of the mesh's `UVTexture` that the photographs show, of the size that it has.

    Photographs are over any background, which no pixel that counts shows. `smoothness` is the
    weight of the squared difference of neighbouring texels, which fills what is not seen.
    InputError if the mesh has no (u, v), photographs are not finite, none shows the mesh, or
    no light falls on what they show.
    """
    layout = mesh.texture
    if not isinstance(layout, UVTexture):
        raise InputError("the mesh has no texture by (u, v) to be filled: give it a UVTexture")
    if images.shape[:3] != (len(cameras), cameras.height, cameras.width):
        raise InputError(
            f"{len(images)} photographs of {images.shape[2]}×{images.shape[1]} pixels for "
            f"{len(cameras)} cameras of {cameras.width}×{cameras.height}: resize the cameras"
        )
    if not bool(images.isfinite().all()):
        raise InputError("the photographs are not all finite: read them again")
    fragments = rasterize_mesh(mesh, cameras)
    points = fragments.interpolate(mesh.vertices, mesh.faces)
    normals = normalize(fragments.interpolate(mesh.vertex_normals(), mesh.faces), dim=1)
    eyes = cameras.centers[fragments.image]
    factor, highlight = light_on(points, normals, eyes, lights, material or Material())
    # Where noise comes through unchanged no edge is blended in.
    noise = torch.rand(*images.shape[:3], 1, generator=torch.Generator().manual_seed(0))
    clean = (
        antialiased(noise.to(images), fragments, EdgeTopology.of(mesh)) == noise.to(images)
    ).flatten()
    whole = clean[fragments.pixel]
    face, barycentrics = fragments.hit_face[whole], fragments.bary[whole].detach()
    factor, highlight = factor[whole].detach(), highlight[whole].detach()
    target = images.reshape(-1, 3)[fragments.pixel[whole]] - highlight
    if not len(face):
        raise InputError("no photograph shows the inside of the mesh: check the cameras")
    if not bool((factor > 0).any()):
        raise InputError("no light falls on what the photographs show: give other lights")
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
    return FoundTexture(replace(layout, image=logits.detach().sigmoid()), share[..., 0] > SEEN)
