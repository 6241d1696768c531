"""Encoders of fields: functions and feature grids that map points to a network's inputs."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.fields.encodings import positional_encoding
from unrender.fields.hash_field import HashTable
from unrender.kernels.grid_sample import grid_sample
from unrender.kernels.hash_grid import HashGridLayout
from unrender.kernels.runtime.backend import Backend


class Encoder(nn.Module, ABC):
    """Maps points of the unit square or cube to `outputs` numbers each."""

    role: ClassVar[Literal["grid", "table"]] = "grid"
    """Where its parameters are, if it has any: in a dense grid or in a hash table."""
    outputs: int

    @abstractmethod
    def forward(
        self, points: Float[Tensor, "points dimensions"]
    ) -> Float[Tensor, "points encoded"]: ...


class CenteredCoordinates(Encoder):
    """The point itself, mapped to [−1, 1]."""

    def __init__(self, dimensions: int):
        super().__init__()
        self.outputs = dimensions

    def forward(
        self, points: Float[Tensor, "points dimensions"]
    ) -> Float[Tensor, "points dimensions"]:
        return 2 * points - 1


class PositionalEncoding(Encoder):
    """sin(2^l π x) and cos(2^l π x) (NeRF, eq. 4), and x itself in [−1, 1].

    The first wavelength is twice the width of the box, so that no two points have the same
    code. The last frequency has 2^(frequencies − 2) periods per box: 8 frequencies resolve
    details of 1/128.
    """

    def __init__(self, dimensions: int, frequencies: int):
        super().__init__()
        self.frequencies = frequencies
        self.outputs = dimensions * (2 * frequencies + 1)

    def forward(
        self, points: Float[Tensor, "points dimensions"]
    ) -> Float[Tensor, "points encoded"]:
        waves = positional_encoding(math.pi * points, self.frequencies)
        return torch.cat([2 * points - 1, waves], dim=-1)


class RandomFourierFeatures(Encoder):
    """sin(2π b·x) and cos(2π b·x) for normally distributed random frequencies b.

    Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low
    Dimensional Domains", NeurIPS 2020, eq. 5.
    """

    waves: Tensor

    def __init__(self, dimensions: int, count: int, scale: float, generator: torch.Generator):
        """`scale`: standard deviation of b, in periods per box."""
        super().__init__()
        drawn = scale * torch.randn(dimensions, count, generator=generator)
        self.register_buffer("waves", drawn)
        self.outputs = 2 * count

    def forward(
        self, points: Float[Tensor, "points dimensions"]
    ) -> Float[Tensor, "points encoded"]:
        angles = 2 * math.pi * points @ self.waves
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _vertices(
    sizes: list[int], features: int, spread: float, generator: torch.Generator
) -> nn.Parameter:
    """Grid features, uniform in ±spread; those of a vertex are contiguous in memory."""
    drawn = torch.rand(*sizes, features, generator=generator)
    return nn.Parameter(spread * (2 * drawn - 1))


class DenseGrid(Encoder):
    """Features at resolution² or resolution³ vertices, which include the sides of the box."""

    backend: Backend

    def __init__(
        self,
        dimensions: int,
        resolution: int,
        features: int,
        spread: float,
        generator: torch.Generator,
        backend: Backend,
    ):
        super().__init__()
        self.vertices = _vertices([resolution] * dimensions, features, spread, generator)
        self.outputs, self.backend = features, backend

    def forward(
        self, points: Float[Tensor, "points dimensions"]
    ) -> Float[Tensor, "points features"]:
        return grid_sample(self.vertices.movedim(-1, 0), points, self.backend)


class GroundPlan(Encoder):
    """Features on the ground plane, at (x, y), and a positional encoding of z."""

    def __init__(
        self,
        resolution: int,
        features: int,
        frequencies: int,
        generator: torch.Generator,
        backend: Backend,
    ):
        super().__init__()
        self.ground = DenseGrid(2, resolution, features, 0.1, generator, backend)
        self.height = PositionalEncoding(1, frequencies)
        self.outputs = features + self.height.outputs

    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points features"]:
        return torch.cat([self.ground(points[:, :2]), self.height(points[:, 2:])], dim=-1)


class Triplane(Encoder):
    """Features on the planes xy, xz and yz, summed or multiplied.

    The sum is that of Chan et al., "Efficient Geometry-aware 3D Generative Adversarial
    Networks", CVPR 2022, sec. 4. The product is that of K-Planes (Fridovich-Keil et al., CVPR
    2023, sec. 3.2): it can localize a feature in all three axes, and its features are
    initialized around 1.
    """

    def __init__(
        self,
        resolution: int,
        features: int,
        multiplied: bool,
        generator: torch.Generator,
        backend: Backend,
    ):
        super().__init__()
        self.planes = nn.ModuleList(
            DenseGrid(2, resolution, features, 0.1, generator, backend) for _ in range(3)
        )
        self.multiplied, self.outputs = multiplied, features
        if multiplied:
            with torch.no_grad():
                for vertices in self.planes.parameters():
                    vertices.add_(1)

    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points features"]:
        axes = ([0, 1], [0, 2], [1, 2])
        xy, xz, yz = (
            plane(points[:, pair]) for plane, pair in zip(self.planes, axes, strict=True)
        )
        return xy * xz * yz if self.multiplied else xy + xz + yz


class HashGrid(Encoder):
    """Features of all levels of a multiresolution hash grid (`kernels/hash_grid`)."""

    role = "table"

    def __init__(self, layout: HashGridLayout, generator: torch.Generator, backend: Backend):
        super().__init__()
        self.grid = HashTable(layout, generator, backend)
        self.outputs = self.grid.encoded

    def forward(
        self, points: Float[Tensor, "points dimensions"]
    ) -> Float[Tensor, "points features"]:
        return self.grid.encode(points)
