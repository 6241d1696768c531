"""Diffraction gratings, such as the hologram of a bank card.

A reflection grating is a surface with parallel lines, one every d nanometers. Light of
wavelength λ that arrives at an angle θᵢ leaves at the angles θₒ for which

    d (sin θᵢ + sin θₒ) = m λ ,   m = 0, ±1, ±2, …

(Born and Wolf, "Principles of Optics", sec. 8.6.1), where both angles are measured from the
normal along the grating's direction, which is perpendicular to the lines. Along the lines light
is reflected as by a mirror, and so it is in the order m = 0. Where no θₒ satisfies the equation
the order is evanescent: it carries no light. The equation shifts the tangential components of
directions, so the radiance of an order is its efficiency times that of the arriving light.

Renderers of RGB do not know the spectra of lights. Here every light is white light times its
RGB: wavelength λ contributes `rgb_response(λ)` times the RGB of the light.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError

Vectors = Float[Tensor, "3 paths"]

SHORTEST, LONGEST = 400.0, 700.0
"""The visible wavelengths, in nanometers."""
HIGHEST = 2
"""Orders above this one are neglected."""
# Mean wavelength, widths to both sides and height of each lobe (Wyman, Sloan and Shirley,
# "Simple Analytic Approximations to the CIE XYZ Color Matching Functions", 2013).
LOBES = (
    ((599.8, 37.9, 31.0, 1.056), (442.0, 16.0, 26.7, 0.362), (501.1, 20.4, 26.2, -0.065)),
    ((568.8, 46.9, 40.5, 0.821), (530.9, 16.3, 31.1, 0.286)),
    ((437.0, 11.8, 36.0, 1.217), (459.0, 26.0, 13.8, 0.681)),
)
SRGB_FROM_XYZ = (
    (3.2406, -1.5372, -0.4986),
    (-0.9689, 1.8758, 0.0415),
    (0.0557, -0.2040, 1.0570),
)
"""To linear sRGB (IEC 61966-2-1)."""


@dataclass(frozen=True)
class Grating:
    """A reflection grating: each order m reflects its share of the light as a mirror does, into
    the direction of the grating equation.
    """

    color: Float[Tensor, "3"] | None = None
    """Reflectance, linear RGB in [0, 1], or None for the texture."""
    period: float = 1000.0
    """Distance d between lines, in nanometers, above 0."""
    direction: tuple[float, float, float] = (1.0, 0.0, 0.0)
    """Direction across the lines, in the world frame; projected onto the surface."""
    efficiency: tuple[float, float, float] = (0.3, 0.25, 0.1)
    """Share of the light in order 0, in each of ±1, and in each of ±2; together at most 1."""

    def numbers(self) -> list[float]:
        """Direction, period and efficiency."""
        return [*self.direction, self.period, *self.efficiency]


def grating_numbers(
    materials: Sequence[object], device: torch.device
) -> Float[Tensor, "7 materials"] | None:
    """`Grating.numbers` of each material, 0 for others; None if no material is a grating."""
    rows = [each.numbers() if isinstance(each, Grating) else [0.0] * 7 for each in materials]
    if not any(isinstance(each, Grating) for each in materials):
        return None
    return torch.tensor(rows, device=device).T.contiguous()


def check_grating(grating: Grating, name: str) -> None:
    """Raises InputError if a number is out of range."""
    zero, first, second = grating.efficiency
    if not (min(grating.efficiency) >= 0 and zero + 2 * first + 2 * second <= 1 + 1e-6):
        raise InputError(
            f"{name}: efficiency {grating.efficiency}: give shares of orders 0, ±1 and ±2, of "
            "which the first and twice the others are at most 1 together"
        )
    if not 0 < grating.period < math.inf:
        raise InputError(f"{name}: period {grating.period:g}: give one above 0, in nanometers")
    if not 0 < math.hypot(*grating.direction) < math.inf:
        raise InputError(f"{name}: direction {grating.direction}: give one of nonzero length")


def cie_xyz(wavelengths: Float[Tensor, "*any"]) -> Float[Tensor, "*any 3"]:
    """The CIE 1931 color matching functions, approximated, at wavelengths in nanometers."""

    def lobes(rows: tuple[tuple[float, float, float, float], ...]) -> Tensor:
        total = torch.zeros_like(wavelengths)
        for mean, below, above, height in rows:
            away = wavelengths - mean
            total = total + height * torch.exp(
                -0.5 * (away / torch.where(away < 0, below, above)).square()
            )
        return total

    return torch.stack([lobes(rows) for rows in LOBES], dim=-1)


def rgb_response(wavelengths: Float[Tensor, "*any"]) -> Float[Tensor, "*any 3"]:
    """Linear sRGB of monochromatic light, of which the mean over visible wavelengths is white.

    Pure colors are outside of sRGB: some of their components are negative.
    """
    matrix = wavelengths.new_tensor(SRGB_FROM_XYZ)
    found = cie_xyz(wavelengths) @ matrix.T
    return found / _white().to(found)


@cache
def _white() -> Float[Tensor, "3"]:
    """Linear sRGB of the mean of all visible wavelengths."""
    every = torch.linspace(SHORTEST, LONGEST, 3001, dtype=torch.float64)
    matching = cie_xyz(0.5 * (every[1:] + every[:-1])).mean(0)
    return torch.tensor(SRGB_FROM_XYZ, dtype=torch.float64) @ matching


def diffracted(
    outgoing: Vectors,
    direction: Vectors,
    order: Float[Tensor, "paths"],
    wavelengths: Float[Tensor, "paths"],
    period: Float[Tensor, "paths"],
) -> tuple[Vectors, Float[Tensor, "paths"]]:
    """Where the light comes from that an order sends to `outgoing`, and whether there is any.

    Directions are in the local frame, z along the normal; `direction` is across the lines. The
    second result is 1, or 0 where the order is evanescent.
    """
    across = direction[:2] / direction[:2].square().sum(0).sqrt().clamp_min(1e-12)
    tangent = order * wavelengths / period * across - outgoing[:2]
    square = 1 - tangent.square().sum(0)
    there = (square > 0).to(outgoing)
    # Evanescent orders get any direction of unit length.
    tangent = torch.where(there > 0, tangent, -outgoing[:2])
    height = torch.where(there > 0, square.clamp_min(0).sqrt(), outgoing[2])
    return torch.cat([tangent, height[None]]), there


def sample_grating(
    color: Vectors,
    numbers: Float[Tensor, "7 paths"],
    outgoing: Vectors,
    uniform: Float[Tensor, "2 paths"],
) -> tuple[Vectors, Vectors]:
    """An incoming direction of a random order and wavelength, and f |cos θ| / PDF of it.

    `numbers`: those of `Grating.numbers`, with the direction in the local frame.
    """
    direction, period, efficiency = numbers[:3], numbers[3], numbers[4:]
    # Orders 0, -1, 1, -2, 2, each with its share of the efficiency.
    shares = torch.stack([efficiency[k] for k in (0, 1, 1, 2, 2)])
    total = shares.sum(0)
    index = (uniform[0] * total >= shares.cumsum(0)[:-1]).sum(0)
    order = uniform.new_tensor([0.0, -1.0, 1.0, -2.0, 2.0])[index]
    wavelengths = SHORTEST + (LONGEST - SHORTEST) * uniform[1]
    incoming, there = diffracted(outgoing, direction, order, wavelengths, period)
    # Order 0 has no dispersion: its wavelengths together are white.
    response = torch.where(index == 0, 1.0, rgb_response(wavelengths).T)
    return incoming, color * response * (total * there)
