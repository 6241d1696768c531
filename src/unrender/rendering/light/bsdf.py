"""BSDFs: Lambertian, rough metal (GGX), mirror, glass and diffraction gratings.

Directions are in the local shading frame, z along the normal, and point away from the surface:
`outgoing` to where the light goes, which is above the surface (z > 0), `incoming` to where it
comes from. Paths are traced against the light, so incoming directions are sampled. Arrays are
component-major, [3, paths], which is several times faster than [paths, 3].

All functions return the BSDF f times |cos θ| of the incoming direction, as in the rendering
equation (Kajiya, "The Rendering Equation", 1986), and the PDF of that direction with respect to
solid angle. Delta distributions (mirror, glass, gratings) have an infinite PDF, and f is 0 for
any given direction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.rendering.light.grating import Grating, check_grating, sample_grating

Vectors = Float[Tensor, "3 paths"]
Numbers = Float[Tensor, "paths"]
SMOOTHEST = 1e-3
"""Roughness below which single precision cannot represent the peak: use a `Mirror`."""


@dataclass(frozen=True)
class Lambert:
    """Lambertian reflection: the same radiance in all directions (Lambert, 1760)."""

    color: Float[Tensor, "3"] | None = None
    """Albedo, linear RGB in [0, 1]; None for the mesh's texture, whose display-referred colors
    are converted to linear."""


@dataclass(frozen=True)
class Metal:
    """Rough metal: a microfacet reflection with the GGX distribution of normals.

    Walter et al., "Microfacet Models for Refraction through Rough Surfaces" (2007). Multiple
    scattering between facets is not modeled, so energy is lost with increasing roughness.
    """

    color: Float[Tensor, "3"] | None = None
    """Reflectance at normal incidence, linear RGB in [0, 1], or None for the texture; it rises
    to 1 at grazing angles (Schlick, 1994)."""
    roughness: float = 0.3
    """α of GGX, in [0.001, 1]."""


@dataclass(frozen=True)
class Mirror:
    """Perfect specular reflection."""

    color: Float[Tensor, "3"] | None = None
    """Reflectance, linear RGB in [0, 1], or None for the texture."""


@dataclass(frozen=True)
class Glass:
    """Smooth dielectric: reflection and refraction by Fresnel's equations, without absorption
    inside.
    """

    color: Float[Tensor, "3"] | None = None
    """Factor of the radiance at each intersection, linear RGB in [0, 1], or None for the
    texture."""
    index: float = 1.5
    """Index of refraction of the inside relative to the outside, above 0."""


Material = Lambert | Metal | Mirror | Glass | Grating
KINDS = (Lambert, Metal, Mirror, Glass, Grating)
ROUGH = 2
"""The first ROUGH of KINDS have a finite PDF; the others are delta distributions."""


def check_material(material: Material, name: str, textured: bool) -> None:
    """Raises InputError if a number is out of range, or there is no color."""
    color = material.color
    if color is None:
        if not textured:
            raise InputError(f"{name}: has no texture: give its material a color")
    elif not bool(((color >= 0) & (color <= 1)).all()):
        raise InputError(f"{name}: color {color.tolist()}: give numbers in [0, 1]")
    if isinstance(material, Metal) and not SMOOTHEST <= material.roughness <= 1:
        raise InputError(
            f"{name}: roughness {material.roughness:g}: give one from {SMOOTHEST} to 1, or a "
            "Mirror"
        )
    if isinstance(material, Glass) and not 0 < material.index < math.inf:
        raise InputError(f"{name}: index of refraction {material.index:g}: give one above 0")
    if isinstance(material, Grating):
        check_grating(material, name)


def number_of(material: Material) -> float:
    """Roughness of metal, index of refraction of glass."""
    if isinstance(material, Metal):
        return material.roughness
    return material.index if isinstance(material, Glass) else 1.0


@dataclass(frozen=True)
class Scatter:
    """A sampled incoming direction for each path."""

    direction: Vectors
    """Unit length; below the surface (z < 0) if refracted."""
    weight: Vectors
    """f |cos θ| / PDF."""
    density: Numbers
    """PDF with respect to solid angle; infinite for mirror, glass and gratings."""


def dot(a: Vectors, b: Vectors) -> Numbers:
    return (a * b).sum(0)


def unit(vectors: Vectors) -> Vectors:
    return vectors * vectors.square().sum(0).clamp_min(1e-30).rsqrt()


def frame(normal: Vectors) -> tuple[Vectors, Vectors, Vectors]:
    """Axes x, y and z of a right-handed frame whose z is the normal.

    Duff et al., "Building an Orthonormal Basis, Revisited" (2017).
    """
    x, y, z = normal
    sign = torch.where(z < 0, -1.0, 1.0)
    a = -1 / (sign + z)
    b = x * y * a
    first = torch.stack([1 + sign * x * x * a, sign * b, -sign * x])
    return first, torch.stack([b, sign + y * y * a, -y]), normal


# --- Lambert -------------------------------------------------------------------------------


def lambert(color: Vectors, incoming: Vectors) -> tuple[Vectors, Numbers]:
    """f |cos θ|, and the PDF of `sample_lambert`."""
    density = incoming[2].clamp_min(0) / math.pi
    return color * density, density


def sample_lambert(color: Vectors, uniform: Float[Tensor, "2 paths"]) -> Scatter:
    """Cosine-weighted sampling: points of a disc, projected onto the hemisphere (Malley)."""
    radius, turn = uniform[0].sqrt(), 2 * math.pi * uniform[1]
    height = (1 - uniform[0]).sqrt()
    direction = torch.stack([radius * turn.cos(), radius * turn.sin(), height])
    return Scatter(direction, color, height / math.pi)


# --- rough metal ---------------------------------------------------------------------------


def metal(
    color: Vectors, roughness: Numbers, outgoing: Vectors, incoming: Vectors
) -> tuple[Vectors, Numbers]:
    """f |cos θ|, and the PDF of `sample_metal`.

    f = F D G / (4 cosᵢ cosₒ) (Walter et al., eq. 20). The PDF is that of sampling visible
    normals, D G₁ / (4 cosₒ) (Heitz, "Sampling the GGX Distribution of Visible Normals", 2018,
    eq. 17).
    """
    cos_out, cos_in = outgoing[2], incoming[2]
    above = (cos_in > 0) & (cos_out > 0)
    half = unit(outgoing + incoming)
    facing = dot(outgoing, half).clamp(0, 1)
    square = roughness.square()
    spread = (half[0].square() + half[1].square()) / square + half[2].square()
    normals = 1 / (math.pi * square * spread.square())
    seen = _unhidden(cos_out, square)
    density = torch.where(above, normals * seen / (4 * cos_out.clamp_min(1e-6)), 0.0)
    value = _schlick(color, facing) * (density * _unhidden(cos_in.clamp_min(0), square))
    return value, density


def sample_metal(
    color: Vectors, roughness: Numbers, outgoing: Vectors, uniform: Float[Tensor, "2 paths"]
) -> Scatter:
    """Reflection about a normal sampled from the distribution of visible normals.

    In the space stretched such that the surface is a hemisphere, visible normals are half
    vectors to points of a spherical cap (Dupuy and Benyoub, "Sampling Visible GGX Normals with
    Spherical Caps", 2023).
    """
    stretched = unit(torch.cat([roughness * outgoing[:2], outgoing[2:]]))
    turn = 2 * math.pi * uniform[0]
    z = 1 - uniform[1] * (1 + stretched[2])
    radius = (1 - z.square()).clamp_min(0).sqrt()
    normal = stretched + torch.stack([radius * turn.cos(), radius * turn.sin(), z])
    normal = unit(torch.cat([roughness * normal[:2], normal[2:].clamp_min(1e-7)]))
    facing = dot(outgoing, normal)
    incoming = 2 * facing * normal - outgoing
    # Directions below the surface carry no light.
    square = roughness.square()
    left = torch.where(incoming[2] > 0, _unhidden(incoming[2].clamp_min(0), square), 0.0)
    _, density = metal(color, roughness, outgoing, incoming)
    return Scatter(incoming, _schlick(color, facing.clamp(0, 1)) * left, density)


def _unhidden(cosine: Numbers, square: Numbers) -> Numbers:
    """Smith masking function G₁: the visible fraction of facets (Walter et al., eq. 34)."""
    tangent = (1 / cosine.square().clamp_min(1e-12) - 1).clamp_min(0)
    return 2 / (1 + (1 + square * tangent).sqrt())


def _schlick(color: Vectors, cosine: Numbers) -> Vectors:
    return color + (1 - color) * (1 - cosine) ** 5


# --- mirror and glass ----------------------------------------------------------------------


def sample_mirror(color: Vectors, outgoing: Vectors) -> Scatter:
    density = torch.full_like(outgoing[0], math.inf)
    return Scatter(torch.cat([-outgoing[:2], outgoing[2:]]), color, density)


def sample_glass(
    color: Vectors, ratio: Numbers, outgoing: Vectors, uniform: Numbers
) -> Scatter:
    """Reflection with the probability given by Fresnel's equations, otherwise refraction.

    `ratio`: the index of refraction on the other side over that on the side of `outgoing`.
    Refraction changes the solid angle of a beam, so radiance is scaled by 1 / ratio² (Veach,
    "Robust Monte Carlo Methods for Light Transport Simulation", 1997, sec. 5.2).
    """
    reflected, cos_refracted = fresnel(outgoing[2], ratio)
    bounce = uniform < reflected
    across = torch.where(bounce, -1.0, -1 / ratio)
    up = torch.where(bounce, outgoing[2], -cos_refracted)
    direction = torch.cat([across * outgoing[:2], up[None]])
    weight = color * torch.where(bounce, 1.0, 1 / ratio.square())
    return Scatter(direction, weight, torch.full_like(uniform, math.inf))


def fresnel(cosine: Numbers, ratio: Numbers) -> tuple[Numbers, Numbers]:
    """Fresnel reflectance for unpolarized light, and the cosine of the refracted angle.

    1 and 0 for total internal reflection (Born and Wolf, "Principles of Optics", sec. 1.5).
    """
    square = 1 - (1 - cosine.square()) / ratio.square()
    refracted = square.clamp_min(0).sqrt()
    across = (cosine - ratio * refracted) / (cosine + ratio * refracted).clamp_min(1e-12)
    along = (ratio * cosine - refracted) / (ratio * cosine + refracted).clamp_min(1e-12)
    reflected = 0.5 * (across.square() + along.square())
    return torch.where(square > 0, reflected, 1.0), refracted


# --- batches of different materials --------------------------------------------------------


@dataclass(frozen=True)
class Materials:
    """Material parameters of a batch of points."""

    kind: Int[Tensor, "paths"]
    """Index into KINDS."""
    colors: Vectors
    number: Numbers
    """Roughness of metal, index of refraction of glass."""
    gratings: Float[Tensor, "7 paths"] | None = None
    """`Grating.numbers`, directions in the world frame; None if the scene has no grating."""

    def select(self, keep: Int[Tensor, "kept"]) -> "Materials":
        return Materials(
            self.kind.index_select(0, keep),
            self.colors.index_select(1, keep),
            self.number.index_select(0, keep),
            None if self.gratings is None else self.gratings.index_select(1, keep),
        )


def in_frame(materials: Materials, axes: tuple[Vectors, Vectors, Vectors]) -> Materials:
    """The materials with directions in local frames of these axes."""
    if materials.gratings is None:
        return materials
    local = [dot(axis, materials.gratings[:3])[None] for axis in axes]
    return replace(materials, gratings=torch.cat([*local, materials.gratings[3:]]))


def evaluate(
    kinds: Sequence[int], materials: Materials, outgoing: Vectors, incoming: Vectors
) -> tuple[Vectors, Numbers]:
    """f |cos θ|, and the PDF of `sample`; `kinds` lists the indices into KINDS that occur, all
    below ROUGH.
    """
    if len(kinds) == 1:
        return _evaluate(kinds[0], materials, outgoing, incoming)
    value, density = torch.empty_like(outgoing), torch.empty_like(outgoing[0])
    for kind in kinds:
        own = (materials.kind == kind).nonzero()[:, 0]
        there = (each.index_select(1, own) for each in (outgoing, incoming))
        part, chance = _evaluate(kind, materials.select(own), *there)
        value.index_copy_(1, own, part)
        density.index_copy_(0, own, chance)
    return value, density


def _evaluate(
    kind: int, materials: Materials, outgoing: Vectors, incoming: Vectors
) -> tuple[Vectors, Numbers]:
    if KINDS[kind] is Lambert:
        return lambert(materials.colors, incoming)
    return metal(materials.colors, materials.number, outgoing, incoming)


def sample(
    kinds: Sequence[int],
    materials: Materials,
    outside: Bool[Tensor, "paths"],
    outgoing: Vectors,
    uniform: Float[Tensor, "3 paths"],
) -> Scatter:
    """Sample an incoming direction for each point; `kinds` lists the indices into KINDS that
    occur.
    """
    if len(kinds) == 1:
        return _sample(kinds[0], materials, outside, outgoing, uniform)
    direction, weight = torch.empty_like(outgoing), torch.empty_like(outgoing)
    density = torch.empty_like(outgoing[0])
    for kind in kinds:
        own = (materials.kind == kind).nonzero()[:, 0]
        there = (each.index_select(1, own) for each in (outgoing, uniform))
        part = _sample(kind, materials.select(own), outside[own], *there)
        direction.index_copy_(1, own, part.direction)
        weight.index_copy_(1, own, part.weight)
        density.index_copy_(0, own, part.density)
    return Scatter(direction, weight, density)


def _sample(
    kind: int,
    materials: Materials,
    outside: Bool[Tensor, "paths"],
    outgoing: Vectors,
    uniform: Float[Tensor, "3 paths"],
) -> Scatter:
    if KINDS[kind] is Lambert:
        return sample_lambert(materials.colors, uniform[:2])
    if KINDS[kind] is Metal:
        return sample_metal(materials.colors, materials.number, outgoing, uniform[:2])
    if KINDS[kind] is Mirror:
        return sample_mirror(materials.colors, outgoing)
    if KINDS[kind] is Grating:
        assert materials.gratings is not None
        found = sample_grating(materials.colors, materials.gratings, outgoing, uniform[:2])
        return Scatter(*found, torch.full_like(outgoing[0], math.inf))
    ratio = torch.where(outside, materials.number, 1 / materials.number)
    return sample_glass(materials.colors, ratio, outgoing, uniform[2])
