"""Sampling of directions toward lights.

Next-event estimation samples a light at every bounce instead of waiting for a path to hit one
by chance. Each type of light in the scene is sampled with equal probability, and lights of one
type in proportion to their power. Arrays are [3, paths], as in bsdf.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.rendering.light.bsdf import Numbers, Vectors, dot
from unrender.rendering.light.lights import (
    AmbientLight,
    DirectionalLight,
    Environment,
    Light,
    PointLight,
)


@dataclass(frozen=True)
class DiscreteDistribution:
    """A discrete distribution over light sources, sampled in proportion to power."""

    probabilities: Float[Tensor, "outcomes"]
    """They sum to 1."""
    cdf: Float[Tensor, "outcomes"]
    """Cumulative distribution function: the last value is 1."""

    @classmethod
    def of(cls, weights: Float[Tensor, "outcomes"]) -> "DiscreteDistribution":
        """Probabilities proportional to the weights."""
        total = weights.double().cumsum(0)
        cdf = (total / total[-1]).to(weights)
        return cls(weights / weights.sum(), cdf)

    def sample(self, uniform: Numbers) -> Int[Tensor, "paths"]:
        """An index for each number in [0, 1), by inversion of the CDF.

        Outcomes of probability 0 are never sampled.
        """
        index = torch.searchsorted(self.cdf, uniform, right=True)
        return index.clamp_max(len(self.probabilities) - 1)


@dataclass(frozen=True)
class Panels:
    """Area lights: the emissive triangles."""

    corners: Float[Tensor, "3 3 panels"]
    """Corner, component, panel."""
    normals: Float[Tensor, "3 panels"]
    """Unit length."""
    radiance: Float[Tensor, "3 panels"]
    distribution: DiscreteDistribution
    power: float
    """Sum of luminance × area, to which the sampling probabilities are proportional."""

    @classmethod
    def of(
        cls, corners: Float[Tensor, "panels 3 3"], radiance: Float[Tensor, "panels 3"]
    ) -> "Panels":
        """Build from triangles of nonzero area."""
        normal = torch.linalg.cross(
            corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        )
        length = normal.norm(dim=1, keepdim=True)
        light = brightness(radiance.T) * length[:, 0] / 2
        by_corner = corners.permute(1, 2, 0).contiguous()
        normals = (normal / length).T.contiguous()
        colors = radiance.T.contiguous()
        return cls(
            by_corner, normals, colors, DiscreteDistribution.of(light), float(light.sum())
        )


@dataclass(frozen=True)
class Sources:
    """All point lights, or all directional ones."""

    places: Float[Tensor, "3 sources"]
    """Positions of point lights, or unit directions toward directional ones."""
    irradiance: Float[Tensor, "3 sources"]
    """On a surface that faces the light, at distance 1 where there is falloff."""
    falloff: Bool[Tensor, "sources"]
    distribution: DiscreteDistribution

    @classmethod
    def of(cls, lights: Sequence[PointLight | DirectionalLight]) -> "Sources":
        places = [
            light.position
            if isinstance(light, PointLight)
            else -light.direction / light.direction.norm()
            for light in lights
        ]
        irradiance = math.pi * torch.stack([light.color for light in lights], dim=1)
        falloff = [isinstance(light, PointLight) and light.falloff for light in lights]
        return cls(
            torch.stack(places, dim=1),
            irradiance,
            torch.tensor(falloff, device=irradiance.device),
            DiscreteDistribution.of(brightness(irradiance)),
        )


@dataclass(frozen=True)
class Sky:
    """The environment map, prepared for importance sampling."""

    image: Float[Tensor, "3 rows columns"]
    distribution: DiscreteDistribution
    """Distribution over the pixels in row-major order."""
    angle: Float[Tensor, "rows"]
    """Solid angle of a pixel of each row; over the image they sum to 4π."""

    @classmethod
    def of(cls, environment: Environment | AmbientLight) -> "Sky":
        ambient = isinstance(environment, AmbientLight)
        radiance = environment.color[None, None] if ambient else environment.radiance
        image = radiance.permute(2, 0, 1).contiguous()
        _, rows, columns = image.shape
        height = (torch.arange(rows + 1, device=image.device) * (math.pi / rows)).cos()
        angle = -height.diff() * (2 * math.pi / columns)
        return cls(
            image,
            DiscreteDistribution.of((brightness(image) * angle[:, None]).flatten()),
            angle,
        )

    def pixel(self, directions: Vectors) -> tuple[Int[Tensor, "paths"], Int[Tensor, "paths"]]:
        """The row of the pixel in each direction, and its index in the flattened image."""
        _, rows, columns = self.image.shape
        if rows == columns == 1:
            nothing = torch.zeros_like(directions[0], dtype=torch.long)
            return nothing, nothing
        down = directions[2].clamp(-1, 1).acos() * (rows / math.pi)
        # Seen from inside, longitude increases to the left.
        right = 0.5 - torch.atan2(directions[1], directions[0]) / (2 * math.pi)
        row = down.long().clamp_max(rows - 1)
        return row, row * columns + (right * columns).long().clamp(0, columns - 1)

    def evaluate(self, directions: Vectors) -> tuple[Vectors, Numbers]:
        """Radiance from each direction, and the PDF of `sample` over solid angle."""
        row, place = self.pixel(directions)
        radiance = self.image.flatten(1).index_select(1, place)
        return radiance, self.distribution.probabilities[place] / self.angle[row]

    def sample(self, uniform: Float[Tensor, "3 paths"]) -> Vectors:
        """Sample a pixel by its power, then a direction uniformly over its solid angle."""
        _, rows, columns = self.image.shape
        index = self.distribution.sample(uniform[0])
        row, column = index // columns, index % columns
        top, bottom = ((row + k) * (math.pi / rows) for k in (0, 1))
        z = top.cos() + uniform[1] * (bottom.cos() - top.cos())
        turn = (0.5 - (column + uniform[2]) / columns) * (2 * math.pi)
        radius = (1 - z.square()).clamp_min(0).sqrt()
        return torch.stack([radius * turn.cos(), radius * turn.sin(), z])


@dataclass(frozen=True)
class LightSample:
    """A sampled direction toward a light for each point."""

    direction: Vectors
    distance: Numbers
    """Distance to the light; +inf for lights at infinity."""
    weight: Vectors
    """Radiance / PDF; for a source without extent, irradiance / selection probability."""
    density: Numbers
    """PDF with respect to solid angle; infinite for a source without extent."""


def brightness(color: Float[Tensor, "3 *any"]) -> Float[Tensor, "*any"]:
    """Luminance of linear RGB (ITU-R BT.709)."""
    return 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]


@dataclass(frozen=True)
class Lights:
    """All lights of a scene, prepared for sampling."""

    panels: Panels | None
    points: Sources | None
    distant: Sources | None
    sky: Sky | None

    @classmethod
    def of(cls, lights: Sequence[Light], panels: Panels | None) -> "Lights":
        """Raises InputError if a light is NaN, Inf, negative or black, or has no direction."""
        for light in lights:
            _check(light)
        points = [light for light in lights if isinstance(light, PointLight)]
        suns = [light for light in lights if isinstance(light, DirectionalLight)]
        skies = [light for light in lights if isinstance(light, Environment | AmbientLight)]
        if len(skies) > 1:
            raise InputError(f"{len(skies)} environments: give one, their sum")
        return cls(
            panels,
            Sources.of(points) if points else None,
            Sources.of(suns) if suns else None,
            Sky.of(skies[0]) if skies else None,
        )

    @property
    def kinds(self) -> list[Panels | Sources | Sky]:
        """The types of light that the scene has."""
        every = (self.panels, self.points, self.distant, self.sky)
        return [kind for kind in every if kind is not None]

    def panel_density(self, radiance: Vectors) -> Numbers:
        """PDF over area with which `sample` picks a point on a panel of that radiance."""
        assert self.panels is not None
        return brightness(radiance) / (self.panels.power * len(self.kinds))

    def background(self, directions: Vectors) -> tuple[Vectors, Numbers]:
        """Radiance of the environment in each direction, and the PDF of `sample` there."""
        assert self.sky is not None
        radiance, density = self.sky.evaluate(directions)
        return radiance, density / len(self.kinds)

    def sample(self, points: Vectors, uniform: Float[Tensor, "3 paths"]) -> LightSample:
        """Sample a direction from each point toward a light, without testing occlusion."""
        kinds = self.kinds
        if len(kinds) == 1:
            return self._sample(kinds[0], points, uniform)
        scaled = uniform[0] * len(kinds)
        which = scaled.long().clamp_max(len(kinds) - 1)
        # The fractional part is again uniform: it selects a light within the type.
        uniform = torch.cat([(scaled - which)[None], uniform[1:]])
        numbers = [torch.empty_like(points[0]) for _ in range(2)]
        out = LightSample(
            torch.empty_like(points), numbers[0], torch.empty_like(points), numbers[1]
        )
        for number, kind in enumerate(kinds):
            own = (which == number).nonzero()[:, 0]
            part = self._sample(kind, points.index_select(1, own), uniform.index_select(1, own))
            out.direction[:, own], out.distance[own] = part.direction, part.distance
            out.weight[:, own], out.density[own] = part.weight, part.density
        return out

    def _sample(
        self, kind: Panels | Sources | Sky, points: Vectors, uniform: Float[Tensor, "3 paths"]
    ) -> LightSample:
        endless = torch.full_like(points[0], math.inf)
        if isinstance(kind, Panels):
            return self._panel(kind, points, uniform)
        if isinstance(kind, Sky):
            direction = kind.sample(uniform)
            radiance, density = self.background(direction)
            weight = torch.where(density > 0, radiance / density, 0.0)
            return LightSample(direction, endless, weight, density)
        index = kind.distribution.sample(uniform[0])
        places = kind.places.index_select(1, index)
        weight = kind.irradiance / kind.distribution.probabilities * len(self.kinds)
        weight = weight.index_select(1, index)
        if kind is self.distant:
            return LightSample(places, endless, weight, endless)
        way = places - points
        square = way.square().sum(0).clamp_min(1e-30)
        distance = square.sqrt()
        weight = weight / torch.where(kind.falloff[index], square, 1.0)
        return LightSample(way / distance, distance, weight, endless)

    def _panel(
        self, panels: Panels, points: Vectors, uniform: Float[Tensor, "3 paths"]
    ) -> LightSample:
        """Uniform over a triangle (Turk, "Generating Random Points in Triangles", 1990)."""
        index = panels.distribution.sample(uniform[0])
        a, b, c = (corner.index_select(1, index) for corner in panels.corners)
        root = uniform[1].sqrt()
        place = (1 - root) * a + root * (1 - uniform[2]) * b + root * uniform[2] * c
        way = place - points
        square = way.square().sum(0).clamp_min(1e-30)
        distance = square.sqrt()
        direction = way / distance
        # Panels emit only to the side of their normals.
        cosine = -dot(direction, panels.normals.index_select(1, index))
        radiance = panels.radiance.index_select(1, index)
        density = self.panel_density(radiance) * square / cosine.clamp_min(1e-6)
        weight = torch.where(cosine > 1e-6, radiance / density, 0.0)
        return LightSample(direction, distance, weight, density)


def _check(light: Light) -> None:
    name = {
        AmbientLight: "ambient light", Environment: "the environment",
        PointLight: "a point light", DirectionalLight: "a directional light",
    }[type(light)]  # fmt: skip
    numbers = light.radiance if isinstance(light, Environment) else light.color
    if numbers.numel() == 0:
        raise InputError(f"{name} has no pixels: give it at least 1 × 1")
    if isinstance(light, PointLight) and not bool(light.position.isfinite().all()):
        raise InputError(f"{name} at {light.position.tolist()}: give finite numbers")
    if isinstance(light, DirectionalLight) and not 0 < float(light.direction.norm()) < math.inf:
        raise InputError(f"{name} along {light.direction.tolist()}: give a direction")
    if not bool((numbers.isfinite() & (numbers >= 0)).all()):
        raise InputError(
            f"{name} has values that are negative, NaN or Inf: give finite values ≥ 0"
        )
    if float(numbers.max()) == 0:
        raise InputError(f"{name} is black: remove it")
