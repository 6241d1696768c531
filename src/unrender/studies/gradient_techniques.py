"""Differentiable rendering techniques, and derivatives of their pixels.

All techniques render RGB over white for one camera, [height, width, 3], of the same surface
with the same light (gradient_scenes.py); they differ in how they treat silhouettes. All except
`truth` are differentiated by autograd.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d, normalize

from unrender.geometry.pixels import pixel_grid
from unrender.methods.volsdf import laplace_density
from unrender.rendering.mesh.antialias import EdgeTopology
from unrender.rendering.mesh.raster import Fragments, rasterize_mesh
from unrender.rendering.mesh.shading import render_hits
from unrender.rendering.mesh.soft_raster import soft_color, soft_mask
from unrender.rendering.renderer import box_filtered
from unrender.rendering.volume.compositing import depth_weights
from unrender.rendering.volume.proposals import RayInterval, even_edges, finer_edges, widened
from unrender.shapes.implicit.sdf import SDF
from unrender.studies.gradient_scenes import REACH, GradientScene, Setting, setting_at, shaded

GAMMA = 1e-2
"""γ of soft rasterization (SoftRas, eq. 3): smaller values give sharper occlusion."""
JUMP = 0.25
"""Depth difference within a pixel, in scene units, from which it counts as a silhouette."""
VISIBLE = (0.2, 0.5, 0.3, 0.8)
"""Changes of the four amounts that are clearly visible in an image."""
COARSE, FINE = 40, 24
"""Bins along each ray: evenly spaced ones, and resampled ones that carry gradients."""

Image = Float[Tensor, "height width 3"]
Amounts = Float[Tensor, "4"]
Draw = Callable[[Amounts], Image]


def rasterized(
    scene: GradientScene,
    side: int,
    rays: int = 1,
    antialias: bool = True,
    offset: Float[Tensor, "2"] | None = None,
) -> Draw:
    """Rasterization with `rays`² rays per pixel and analytic antialiasing (Laine et al. 2020).

    Without `antialias`, derivatives are only those of the shading: silhouettes have none.
    `offset` moves the rays, in units of the distance between them.
    """
    topology = EdgeTopology.of(scene.mesh) if antialias else None

    def draw(amounts: Amounts) -> Image:
        setting = setting_at(amounts, side)
        fine = setting.cameras.resized(side * rays, side * rays)
        if offset is not None:
            intrinsics = fine.intrinsics.clone()
            intrinsics[:, :2, 2] += offset
            fine = replace(fine, intrinsics=intrinsics)
        fragments = rasterize_mesh(scene.mesh, fine)
        colors = _colors(scene, setting, fragments)
        drawn = render_hits(fragments, colors, fragments.depth[:, None], topology=topology)
        return _over_white(box_filtered(drawn.rgba, rays)[0])

    return draw


def softened(scene: GradientScene, side: int, blur: float) -> Draw:
    """Soft rasterization with σ = blur², so that `blur` is in pixels.

    Colors are the weighted mean over the faces near the pixel (SoftRas, eq. 2), composited with
    the soft mask. If the background were part of the mean, as in the paper, the object would be
    opaque in every pixel that any face reaches.
    """
    layers = most_layers(scene, side, blur)

    def draw(amounts: Amounts) -> Image:
        setting = setting_at(amounts, side)
        fragments = rasterize_mesh(scene.mesh, setting.cameras, layers, blur=3 * blur)
        color, share = soft_color(
            fragments, _colors(scene, setting, fragments), blur**2, GAMMA, _nearest(setting)
        )
        mask = soft_mask(fragments, blur**2)[..., None]
        mean = color / torch.where(share > 0, share, 1.0)[..., None]
        return _over_white(torch.cat([mean * mask, mask], dim=3)[0])

    return draw


def most_layers(scene: GradientScene, side: int, blur: float) -> int:
    """A number of layers at which no face near a pixel is left out."""
    cameras, layers = setting_at(torch.zeros(4), side).cameras, 16
    while layers < len(scene.mesh.faces):
        face = rasterize_mesh(scene.mesh, cameras, layers, blur=3 * blur).pix_to_face
        if not bool((face[..., -1] >= 0).any()):
            return layers
        layers *= 2
    return len(scene.mesh.faces)


def volumetric(
    scene: GradientScene,
    side: int,
    beta: float,
    rays: int = 1,
    generator: torch.Generator | None = None,
) -> Draw:
    """Volume rendering with density (1/β) Ψ(−distance / β), where Ψ is Laplace's CDF.

    Yariv et al., "Volume Rendering of Neural Implicit Surfaces" (2021), eq. 2 and 3; β in scene
    units. Normals are the gradient of the signed distance. With a generator, rays and samples
    are stratified random, and the image is stochastic.
    """

    def draw(amounts: Amounts) -> Image:
        setting = setting_at(amounts, side)
        cameras = setting.cameras
        pixel = pixel_grid(side * rays, side * rays).to(amounts)
        if generator is not None:
            pixel = pixel + torch.rand(pixel.shape, generator=generator).to(pixel) - 0.5
        pixel = pixel.view(-1, 2) / rays
        found = cameras.rays(torch.zeros(len(pixel), dtype=torch.long), pixel)
        along = -(found.origins * found.directions).sum(1)
        near = (found.origins + along[:, None] * found.directions).norm(dim=1) < REACH
        rgba = amounts.new_zeros(len(pixel), 4)
        seen = _marched(
            scene.distance,
            found.origins[near],
            found.directions[near],
            beta,
            setting,
            generator,
        )
        rgba = rgba.index_copy(0, near.nonzero()[:, 0], seen)
        return _over_white(box_filtered(rgba.view(1, side * rays, side * rays, 4), rays)[0])

    return draw


def _marched(
    distance: SDF,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    beta: float,
    setting: Setting,
    generator: torch.Generator | None,
) -> Float[Tensor, "rays 4"]:
    count = len(origins)

    def at(edges: Tensor) -> Tensor:
        middles = (edges[:, 1:] + edges[:, :-1]) / 2
        return (origins[:, None] + middles[..., None] * directions[:, None]).flatten(0, 1)

    with torch.no_grad():
        middle = -(origins * directions).sum(1)
        interval = RayInterval((middle - REACH).detach(), (middle + REACH).detach())
        s = even_edges(count, COARSE, generator).to(origins)
        # Bins wider than β could miss the surface, so it is first located with a larger β.
        for rough in (REACH / COARSE, REACH / COARSE / 6):
            edges = interval.distance(s)
            wide = origins.new_tensor(max(beta, rough))
            density = laplace_density(distance(at(edges)), wide).view(count, -1)
            weights = widened(depth_weights(density * edges.diff(dim=1)), 1e-3)
            s = finer_edges(s, weights, FINE, generator)
        edges = interval.distance(s)
    points = at(edges)
    if not points.requires_grad:
        points.requires_grad_()
    with torch.enable_grad():
        far = distance(points)
        (normals,) = torch.autograd.grad(far.sum(), points, create_graph=True)
    color = shaded(points, normalize(normals, dim=1), setting).view(count, FINE, 3)
    density = laplace_density(far, far.new_tensor(beta)).view(count, FINE)
    weights = depth_weights(density * edges.diff(dim=1))[..., None]
    return torch.cat([(weights * color).sum(1), weights.sum(1)], dim=1)


def derivatives(draw: Callable[[Amounts], Tensor]) -> Float[Tensor, "4 *numbers"]:
    """Derivatives of all pixels by the four amounts at rest, by autograd.

    Reverse mode computes gradients of one number by all inputs, but here many pixels depend on
    few inputs. The gradient of Σ v · pixels is linear in v, so differentiating it by v gives
    the forward-mode derivatives.
    """
    start = torch.zeros(4, requires_grad=True)
    image = draw(start)
    v = torch.zeros_like(image, requires_grad=True)
    (gradient,) = torch.autograd.grad(image, start, v, create_graph=True)
    rows = [torch.autograd.grad(each, v, retain_graph=True)[0] for each in gradient]
    return torch.stack(rows).detach()


@dataclass(frozen=True)
class Truth:
    """Ground-truth derivatives, by finite differences, and images of the scene."""

    image: Image
    """At rest."""
    changed: Float[Tensor, "2 4 height width 3"]
    """Images with each amount at −VISIBLE and at +VISIBLE."""
    derivatives: Float[Tensor, "4 height width 3"]
    noise: Float[Tensor, "4"]
    """Norm of the standard errors, relative to the norm of the derivatives."""
    edges: Bool[Tensor, "height width"]
    """Pixels crossed by a silhouette, and their neighbors."""


@torch.no_grad()
def truth(
    scene: GradientScene, side: int, generator: torch.Generator, rays: int = 10, passes: int = 3
) -> Truth:
    """Central differences of images with `rays`² rays per pixel, averaged over several passes.

    Each pass uses a different subpixel offset of the rays, so that the variance of the passes
    gives the standard error of their mean. A step moves silhouettes by a fifth of a pixel in
    each direction. Color and light do not move silhouettes and need fewer rays.
    """
    pixel = setting_at(torch.zeros(4), side).pixel
    steps = torch.tensor([0.2 * pixel, scene.turn * pixel, 0.1, 0.02])
    found: list[Tensor] = []
    for _ in range(passes):
        offset = torch.rand(2, generator=generator) - 0.5
        full, fewer = (
            rasterized(scene, side, times, antialias=False, offset=offset)
            for times in (rays, (rays + 1) // 2)
        )
        ends = [
            (draw(step), draw(-step))
            for draw, step in zip((full, full, fewer, fewer), torch.diag(steps), strict=True)
        ]
        found.append(torch.stack([a - b for a, b in ends]) / (2 * steps[:, None, None, None]))
    every = torch.stack(found)
    mean = every.mean(0)
    noise = (every.var(0) / passes).sum((1, 2, 3)).sqrt() / mean.flatten(1).norm(dim=1)
    plain = rasterized(scene, side, rays=4, antialias=False)
    changes = torch.diag(torch.tensor(VISIBLE))
    changed = [torch.stack([plain(sign * each) for each in changes]) for sign in (-1, 1)]
    image = plain(torch.zeros(4))
    return Truth(image, torch.stack(changed), mean, noise, silhouettes(scene, side))


def silhouettes(scene: GradientScene, side: int, rays: int = 4) -> Bool[Tensor, "height width"]:
    """Pixels with a depth discontinuity or the object's outline, and their neighbors."""
    cameras = setting_at(torch.zeros(4), side).cameras.resized(side * rays, side * rays)
    depth = rasterize_mesh(scene.mesh, cameras).zbuf[0]
    depth = torch.where(depth.isfinite(), depth, 10 * REACH)[None]
    span = max_pool2d(depth, rays) + max_pool2d(-depth, rays)
    return max_pool2d((span > JUMP).float(), 3, 1, 1)[0] > 0


def _colors(
    scene: GradientScene, setting: Setting, fragments: Fragments
) -> Float[Tensor, "hits 3"]:
    assert scene.mesh.normals is not None, "the scenes' meshes have normals"
    values = torch.cat([scene.mesh.vertices, scene.mesh.normals], dim=1).to(setting.to_light)
    points, normals = fragments.interpolate(values, scene.mesh.faces).split(3, dim=1)
    return shaded(points, normalize(normals, dim=1), setting)


def _nearest(setting: Setting) -> float:
    return float(setting.cameras.centers.detach().norm()) - REACH


def _over_white(rgba: Float[Tensor, "height width 4"]) -> Image:
    return rgba[..., :3] + 1 - rgba[..., 3:]
