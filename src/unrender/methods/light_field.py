"""Light-field neural rendering: new views from those nearest to them, along epipolar lines.

Suhail, Esteves, Sigal, Makadia, "Light Field Neural Rendering" (CVPR 2022),
https://arxiv.org/abs/2112.09687.

A target ray is a line in each of the K reference views nearest to its camera. Each point of
these epipolar lines is a token: the colors of a small neighborhood there, by a convolution; the
ray, in two-plane coordinates if the cameras look one way and in Plücker coordinates otherwise;
the point's inverse distance; and the place of the reference's camera. The epipolar transformer
mixes the tokens of a line, which an average by attention makes one token of that view. The view
transformer mixes those of the views, and a second average gives the color. The references'
colors, averaged by the same attention, are an auxiliary estimate, which is trained too.

Rays come in square patches, so that convolutions see what the references show along neighboring
rays. Two options, which the paper does not have, make two cores enough: `search_layers`
convolutions over how much the references differ at each depth first find the point of a line
that is worth looking at, so that few `samples` do; and with `residual` the color is what the
network adds to the auxiliary one, which is sharp from the first step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.fields.attention import AttentionPooling, TransformerBlock, normalized
from unrender.fields.encodings import with_identity
from unrender.fields.networks import LinearLayer
from unrender.fields.ray_coordinates import RayCoordinates
from unrender.geometry.cameras import Cameras, Rays
from unrender.notes import note
from unrender.rendering.patches import as_rendering, inner_pixels, patch_rays, render_in_patches
from unrender.rendering.reference_networks import ColorFeatures, DepthSearch
from unrender.rendering.reference_views import ReferenceViews
from unrender.rendering.renderer import Rendering
from unrender.training.data_kinds.posed_images import POSED_IMAGES
from unrender.training.method import DataKind, Method, Progress, halve
from unrender.training.pixels import pixel_errors
from unrender.training.references import describe_scene, references_of

TILE = 64
"""Side of the patches in which images are rendered, in pixels."""
UNSEEN = -20.0
"""Added to the logits of attention to points outside the images, or behind their cameras."""
NEAREST = 0.2
"""Added to the distance of a reference from the target, whose inverse weighs it at first."""


@dataclass(frozen=True)
class Estimates:
    """Colors of the rays of patches, with alpha if the references have it, and distances."""

    color: Float[Tensor, "rays channels"]
    blended: Float[Tensor, "rays channels"]
    """The references' colors, averaged by attention."""
    distance: Float[Tensor, "rays"]
    searched: Float[Tensor, "rays channels"] | None
    """The references' mean colors, averaged over the planes of the search."""


class LightFieldModel(nn.Module):
    """Reference views, and the networks that make colors of what they show along rays."""

    inverse_range: Float[Tensor, "2"]
    """Inverse distances of the farthest and of the nearest point of a ray."""

    def __init__(
        self, options: "LightField", references: ReferenceViews, generator: torch.Generator
    ):
        super().__init__()
        self.options, self.references = options, references
        self.coordinates = RayCoordinates()
        self.register_buffer("inverse_range", torch.tensor([0.0, 1.0]))
        width, channels, layers = options.width, references.channels, options.search_layers
        search = DepthSearch(options.planes, layers, options.search_width, generator)
        self.search = search if layers else None
        self.features = ColorFeatures(channels, width, options.neighborhood, generator)
        encoded = 1 + 2 * options.frequencies
        self.ray = LinearLayer(6 * encoded, width, generator)
        self.point = LinearLayer(encoded, width, generator)
        self.camera = LinearLayer(4, width, generator)
        size = width, options.heads, options.hidden
        self.epipolar_blocks, self.view_blocks = (
            nn.ModuleList(TransformerBlock(*size, generator) for _ in range(count))
            for count in (options.epipolar_layers, options.view_layers)
        )
        self.along_line = AttentionPooling(width, generator)
        self.over_views = AttentionPooling(width, generator)
        self.color = LinearLayer(width, channels, generator)
        if options.residual:
            nn.init.zeros_(self.color.weight)

    def forward(
        self,
        targets: Cameras,
        chosen: Int[Tensor, "targets views"],
        corners: Int[Tensor, "targets 2"],
        size: tuple[int, int],
    ) -> Estimates:
        """A patch of this width and height for each target; `corners` are its first pixels."""
        samples, around = self.options.samples, self.options.neighborhood
        border = around + (self.search.border if self.search else 0)
        wide, high = size[0] + 2 * border, size[1] + 2 * border
        rays = patch_rays(targets, corners - border, (wide, high))
        lines, spread = self.references.lines(rays, chosen), self.inverse_range
        points = torch.arange(samples, device=targets.device)
        searched = None
        if self.search is None:
            inverse = spread[0] + (spread[1] - spread[0]) * points / max(1, samples - 1)
            inverse = inverse.expand(*rays.origins.shape[:2], -1)
            certainty = torch.ones_like(inverse[..., 0])
        else:
            found = self.search(self.references, chosen, lines, spread, wide)
            # Samples one plane apart, about what was found.
            step = (spread[1] - spread[0]) / max(1, self.search.planes - 1)
            inverse = found.inverse[..., None] + step * (points - (samples - 1) / 2)
            certainty, searched = found.certainty, found.color
            lines = lines.select(inner_pixels(wide, high, self.search.border, targets.device))
        shown, seen = self.references.along(lines, chosen, inverse[:, None], "bicubic")
        wide, high = size[0] + 2 * around, size[1] + 2 * around
        tokens = self.features(shown, seen, certainty, wide)
        # What is around the patch was for the convolution alone.
        inner = inner_pixels(wide, high, around, targets.device)
        shown, seen, inverse = shown[:, :, :, inner], seen[:, :, inner], inverse[:, inner]
        rays = patch_rays(targets, corners, size)
        tokens = tokens + self.described(targets, rays, chosen, inverse)
        # A reference first weighs as the inverse of its distance.
        nearness = -(self.references.offsets(targets, chosen).norm(dim=-1) + NEAREST).log()
        colors = self.transformed(
            tokens.flatten(0, 1),
            shown.permute(0, 3, 1, 4, 2).flatten(0, 1),
            (UNSEEN * ~seen).transpose(1, 2).flatten(0, 1),
            inverse.flatten(0, 1),
            nearness.repeat_interleave(len(inner), 0),
        )
        if searched is not None:
            searched = searched[:, inner].flatten(0, 1)
        return Estimates(*colors, searched)

    def described(
        self,
        targets: Cameras,
        rays: Rays,
        chosen: Int[Tensor, "patches views"],
        inverse: Float[Tensor, "patches rays points"],
    ) -> Float[Tensor, "patches rays views points width"]:
        """Features of the rays, of the points on them, and of the references' places."""
        farthest, nearest = self.inverse_range
        frequencies = self.options.frequencies
        ray = self.coordinates(rays)
        place = (2 * (inverse - farthest) / (nearest - farthest) - 1)[..., None]
        camera = self.references.offsets(targets, chosen)
        camera = torch.cat([camera, camera.norm(dim=-1, keepdim=True)], dim=-1)
        return (
            self.ray(with_identity(ray, frequencies))[:, :, None, None]
            + self.point(with_identity(place, frequencies))[:, :, None]
            + self.camera(camera)[:, None, :, None]
        )

    def transformed(
        self,
        tokens: Float[Tensor, "rays views points width"],
        shown: Float[Tensor, "rays views points channels"],
        unseen: Float[Tensor, "rays views points"],
        inverse: Float[Tensor, "rays points"],
        nearness: Float[Tensor, "rays views"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Colors and blended colors [rays, channels], and distances [rays]."""
        x, out = tokens.flatten(0, 1), unseen.flatten(0, 1)
        for block in self.epipolar_blocks:
            x = block(x, out)
        x = x.view_as(tokens)
        along = self.along_line(x, unseen)[..., None]
        x, shown = (along * x).sum(2), (along * shown).sum(2)
        out = unseen.amax(-1)
        for block in self.view_blocks:
            x = block(x, out)
        over = self.over_views(x, nearness + out)[..., None]
        blended = (over * shown).sum(1)
        color = self.color(normalized((over * x).sum(1)))
        color = blended + color if self.options.residual else color.sigmoid()
        mean = (over[..., None] * along * inverse[:, None, :, None]).sum((1, 2, 3))
        return color, blended, 1 / mean.clamp_min(1e-9)


@dataclass(frozen=True)
class LightField(Method[LightFieldModel, Views]):
    """Two transformers over what reference views show along epipolar lines (2022)."""

    data: ClassVar[DataKind[Any, Any]] = POSED_IMAGES

    views: int = 10
    """Reference views of a ray: those nearest to its camera."""
    samples: int = 128
    """Points of each epipolar line."""
    width: int = 256
    """Numbers of a token."""
    heads: int = 1
    """Heads of the transformers' attention."""
    hidden: int = 256
    """Hidden units of the transformers' blocks."""
    epipolar_layers: int = 8
    """Blocks of the epipolar transformer."""
    view_layers: int = 8
    """Blocks of the view transformer."""
    neighborhood: int = 2
    """Pixels around each point that its features see: 2 is a convolution of 5×5."""
    frequencies: int = 4
    """Frequencies of the encodings of rays and points."""
    search_layers: int = 0
    """Convolutions that find the depth of a ray before the transformers; 0: no search."""
    search_width: int = 48
    """Channels between these convolutions."""
    planes: int = 32
    """Inverse distances at which the search compares the references."""
    residual: bool = False
    """Whether the network's colors are added to the blended ones; the paper's stand alone."""
    blend_weight: float = 1.0
    """Weight of the loss on the blended colors."""
    search_weight: float = 0.1
    """Weight of the loss on the colors that the search expects."""
    rays: int = 4096
    """Rays per training step."""
    patch: int = 32
    """Pixels of the side of the patches in which rays come."""
    learning_rate: float = 2e-3
    """Learning rate after the warm-up; it falls along half a cosine."""
    learning_rate_decay: float = 0.01
    """Final learning rate, as a fraction of the first."""
    warm_up: int = 2500
    """Steps over which the learning rate rises."""

    def build(self, data: Views, generator: torch.Generator) -> LightFieldModel:
        """The model with all views as references. InputError for fewer than two."""
        others = len(data) - 1
        if others < 1:
            raise InputError(
                f"training images: {len(data)}; light-field makes each of others: give more"
            )
        if others < self.views:
            note(f"light-field: each ray has {others} reference views, all there are besides")
        model = LightFieldModel(self, references_of(data, min(self.views, others)), generator)
        model.inverse_range.copy_(torch.tensor(describe_scene(data, model.coordinates)))
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> LightFieldModel:
        images, nearest = tensors["references.pixels"], tensors["references.neighbors"]
        references = ReferenceViews(images.shape, nearest.shape[1])
        model = LightFieldModel(self, references, torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: LightFieldModel) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), self.learning_rate, fused=True)

    def schedule(self, progress: Progress) -> float:
        return progress.rising(self.warm_up) * progress.falling(self.learning_rate_decay)

    def losses(
        self,
        model: LightFieldModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        count = max(1, self.rays // self.patch**2)
        patches = model.references.sample_patches(count, self.patch, generator)
        targets, chosen = data.cameras.select(patches.views), model.references.neighbors
        size = (patches.side, patches.side)
        found = model(targets, chosen[patches.views], patches.corners, size)
        truth = as_rendering(patches.colors.flatten(0, 1), found.distance).rgba

        def error(color: Tensor) -> Tensor:
            rendering = as_rendering(color, found.distance)
            return pixel_errors(rendering, truth, data.background).mean()

        color, blend = error(found.color), self.blend_weight * error(found.blended)
        losses = {"color": color, "blend": blend}
        if found.searched is not None:
            losses["search"] = self.search_weight * error(found.searched)
        return {**losses, "metric/psnr": -10 * color.detach().log10()}

    def smaller(self) -> "Method[LightFieldModel, Views] | None":
        return halve(self, "rays")

    def render(self, model: LightFieldModel, cameras: Cameras) -> Rendering:
        """Render whole images; differentiable in camera poses that require gradients."""
        nearest = model.references.neighbors.shape[1]

        def patch(camera: Cameras, corner: Tensor, size: tuple[int, int]) -> Rendering:
            chosen = model.references.nearest(camera, nearest)
            found = model(camera, chosen, corner, size)
            return as_rendering(found.color.clamp(0, 1), found.distance)

        return render_in_patches(cameras, TILE, patch)
