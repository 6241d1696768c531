"""A neural field fitted to one image by the mean squared error at random pixels.

The first experiment of most papers on fields: Tancik et al., "Fourier Features Let Networks
Learn High Frequency Functions in Low Dimensional Domains", 2020, sec. 6,
https://arxiv.org/abs/2006.10739; Sitzmann et al., "Implicit Neural Representations with
Periodic Activation Functions" (SIREN), 2020, sec. 4.1, https://arxiv.org/abs/2006.09661; Müller
et al., "Instant Neural Graphics Primitives", 2022, sec. 5.1, https://arxiv.org/abs/2201.05989.
`--field` chooses among them; all are in `fields/field.py`. The field's outputs are 2 × color −
1, so that it starts at gray.

The preset `image-field` is ours, for a minute on two cores: a SIREN of 5 hidden layers of 128,
ω₀ = 30, and 512 random pixels a step, where the paper has wider layers and all pixels in each
step. Rates decay to 0, where those of the papers are constant, and are ours for each kind
(`fields/field.py`). Fourier features have 128 frequencies with a deviation of 10, where Tancik
et al. have 256; hash grids have 8 levels of 2^15 entries, where Müller et al. have 16 of up to
2^24 for large images. Wide ReLU networks are trained with Muon, which needs far fewer steps
than the papers' Adam.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.data.picture import Picture, pixel_centers
from unrender.errors import InputError
from unrender.fields.field import FieldKind, FieldOptions, build_field
from unrender.optimizers.muon import Muon
from unrender.training.data_kinds.image import ONE_IMAGE
from unrender.training.method import DataKind, Method, Progress, halve

PIXELS_AT_ONCE = 1 << 15
"""Pixels evaluated at once: a hidden layer of 256 units takes 32 MiB."""
BY_MUON: tuple[FieldKind, ...] = ("mlp", "encoding", "fourier")
MUON_RATE = 1e-2


class ImageFieldModel(nn.Module):
    """A field, and the size of the image that it is fitted to."""

    size: Tensor

    def __init__(self, options: "ImageField", size: Tensor, generator: torch.Generator):
        """`size`: height, width and channels, integers."""
        super().__init__()
        channels = int(size[2])
        self.field = build_field(options.field, 2, channels, generator, options.sizes())
        self.register_buffer("size", size)

    def forward(self, points: Float[Tensor, "points 2"]) -> Float[Tensor, "points channels"]:
        """Colors before clamping to [0, 1]."""
        return (self.field(points) + 1) / 2

    @torch.no_grad()
    def picture(self, every: int = 1) -> Float[Tensor, "height width channels"]:
        """All pixels in [0, 1], or every N-th in both directions."""
        height, width, channels = self.size.tolist()
        rows = torch.arange(0, height, every, device=self.size.device)
        columns = torch.arange(0, width, every, device=self.size.device)
        index = (rows[:, None] * width + columns).flatten()
        parts = [
            self(pixel_centers(part, height, width)) for part in index.split(PIXELS_AT_ONCE)
        ]
        return torch.cat(parts).clamp(0, 1).view(len(rows), len(columns), channels)


@dataclass(frozen=True)
class ImageField(Method[ImageFieldModel, Picture]):
    """One image as a neural field (2020, 2022)."""

    data: ClassVar[DataKind[Any, Any]] = ONE_IMAGE

    makes_images: ClassVar[bool] = False

    field: FieldKind = "siren"
    """Representation of the field; ground-plan and triplane are for three dimensions."""
    pixels: int = 512
    """Random pixels per training step."""
    learning_rate: float = 1.0
    """Factor on the learning rates of the field's kind."""
    width: int = 128
    """Units of the hidden layers of mlp, encoding, fourier and siren."""
    depth: int = 5
    """Hidden layers of these networks."""
    frequencies: int = 8
    """Octaves of the positional encoding, from half a period across the image."""
    fourier_features: int = 128
    """Random Fourier features of fourier."""
    fourier_scale: float = 10.0
    """Standard deviation of their frequencies, in periods across the image."""
    omega: float = 30.0
    """Frequency factor ω₀ of siren."""
    resolution: int = 192
    """Vertices per side of grid and hybrid."""
    features: int = 8
    """Features per vertex of hybrid."""
    small_width: int = 64
    """Units of the hidden layers of hybrid and hash."""
    small_depth: int = 2
    """Hidden layers of these networks."""
    levels: int = 8
    """Levels of the hash grid."""
    log2_table_size: int = 15
    """Base-2 logarithm of the maximum number of entries per level."""
    coarsest: int = 16
    """Cells per side of the coarsest level."""
    finest: int = 512
    """Cells per side of the finest level."""

    def sizes(self) -> FieldOptions:
        """The options of the field."""
        return FieldOptions(
            width=self.width,
            depth=self.depth,
            frequencies=self.frequencies,
            fourier_features=self.fourier_features,
            fourier_scale=self.fourier_scale,
            omega=self.omega,
            resolution=self.resolution,
            features=self.features,
            small_width=self.small_width,
            small_depth=self.small_depth,
            levels=self.levels,
            log2_table_size=self.log2_table_size,
            coarsest=self.coarsest,
            finest=self.finest,
        )

    def build(self, data: Picture, generator: torch.Generator) -> ImageFieldModel:
        if self.pixels < 1:
            raise InputError(f"--pixels {self.pixels}: give at least 1 a step")
        return ImageFieldModel(self, torch.tensor(data.pixels.shape), generator)

    def restore(self, tensors: Mapping[str, Tensor]) -> ImageFieldModel:
        model = ImageFieldModel(self, tensors["size"], torch.Generator())
        model.load_state_dict(dict(tensors))
        return model

    def optimizer(self, model: ImageFieldModel) -> torch.optim.Optimizer:
        if self.field in BY_MUON:
            weights = list(model.field.parameters())
            matrices = [weight for weight in weights[:-2] if weight.ndim == 2]
            others = [weight for weight in weights if all(weight is not m for m in matrices)]
            rate = self.learning_rate * MUON_RATE
            return Muon(matrices, others, rate, 0.0, 1.0, torch.float32)
        return model.field.adam(self.learning_rate)

    def schedule(self, progress: Progress) -> float:
        return progress.falling(0.0)

    def losses(
        self,
        model: ImageFieldModel,
        data: Picture,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        points, colors = data.sample(self.pixels, generator)
        error = (model(points) - colors).square().mean()
        return {"color": error, "metric/psnr": -10 * error.detach().log10()}

    def smaller(self) -> "Method[ImageFieldModel, Picture] | None":
        return halve(self, "pixels")
