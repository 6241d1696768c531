"""Light from the shading of a Lambertian surface with known normals and albedo.

The shading is linear in the light, so least squares have a closed form: for an environment map
(Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", 2001),
and for one directional light on the pixels that face it. Which pixels face it depends on its
direction, so the two are estimated in turn.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.spherical_harmonics import spherical_harmonics
from unrender.rendering.light.lights import AmbientLight, DirectionalLight

TURNS = 50
"""Maximum number of alternations between the direction and the set of lit pixels."""
FLAT = 1e-3
"""Smallest accepted ratio of the singular values of the linear system."""
DARK = 1e-6
"""Smallest accepted albedo."""
BOUNCE = (1.0, *[2 / 3] * 3, *[1 / 4] * 5)
"""Factors of harmonics of degrees 0, 1 and 2 by the cosine lobe, divided by π (eq. 8)."""


def light_from_shading(
    colors: Float[Tensor, "pixels 3"],
    normals: Float[Tensor, "pixels 3"],
    albedo: Float[Tensor, "pixels 3"],
) -> tuple[AmbientLight, DirectionalLight]:
    """Ambient and one directional light, with color = albedo (A + max(n·l, 0) L).

    The least-squares solution over all pixels. Colors are linear and not clipped, and normals
    have unit length; the light is in their frame, and may be slightly negative because of
    noise. Raises InputError if values are NaN or Inf, the surface is unlit, or its normals vary
    too little.
    """
    factor = _factor(colors, normals, albedo)
    ones = torch.ones_like(normals[:, :1])
    _check_spread(torch.cat([normals, ones], dim=1), "four distinct directions")
    direction = _direction(normals, factor)
    lit = (normals.double() @ direction)[:, None] > 0
    for _ in range(TURNS):
        direction = _direction(normals * lit, factor)
        before, lit = lit, (normals.double() @ direction)[:, None] > 0
        if torch.equal(before, lit):
            break
    facing = (normals.double() @ direction).clamp_min(0)[:, None]
    system = torch.cat([facing, ones.double()], dim=1)
    _check_spread(system, "pixels that face the light and pixels that do not")
    color, ambient = torch.linalg.lstsq(system, factor.double()).solution.to(colors)
    if not bool((color.abs() > 1e-4 * factor.abs().mean()).any()):
        raise InputError(
            "the shading is the same everywhere: give pixels on both sides of a light"
        )
    return AmbientLight(ambient), DirectionalLight(-direction.to(colors), color)


def _direction(normals: Tensor, factor: Tensor) -> Float[Tensor, "3"]:
    """Direction toward the light, by least squares; rows of unlit pixels must be 0."""
    system = torch.cat([normals, torch.ones_like(normals[:, :1])], dim=1)
    found = torch.linalg.lstsq(system.double(), factor.double()).solution[:3]
    # Rows are xyz and columns are colors: for a single light, the matrix has rank one.
    left, _, _ = torch.linalg.svd(found)
    return left[:, 0] * (left[:, 0] @ found).sum().sign()


def environment_from_shading(
    colors: Float[Tensor, "pixels 3"],
    normals: Float[Tensor, "pixels 3"],
    albedo: Float[Tensor, "pixels 3"],
) -> Float[Tensor, "9 3"]:
    """Radiance of the environment in spherical harmonics of degrees 0 to 2, for each color.

    Degree 2 explains 99% of the shading of a diffuse surface under any distant light. Harmonics
    are those of kernels/spherical_harmonics, in the frame of the normals. Raises InputError as
    `light_from_shading` does.
    """
    factor = _factor(colors, normals, albedo)
    system = environment_basis(normals)
    _check_spread(system, "nine distinct directions")
    return torch.linalg.lstsq(system.double(), factor.double()).solution.to(colors)


def environment_light(
    environment: Float[Tensor, "9 3"], normals: Float[Tensor, "points 3"]
) -> Float[Tensor, "points 3"]:
    """The factor of a diffuse surface's albedo: its irradiance divided by π."""
    return environment_basis(normals) @ environment


def environment_basis(normals: Float[Tensor, "points 3"]) -> Float[Tensor, "points 9"]:
    """Spherical harmonics at the normals, convolved with the cosine lobe."""
    return spherical_harmonics(normals, 2) * normals.new_tensor(BOUNCE)


def _factor(colors: Tensor, normals: Tensor, albedo: Tensor) -> Float[Tensor, "pixels 3"]:
    """Colors divided by albedo. Raises InputError if an input is invalid."""
    for name, values in (("colors", colors), ("normals", normals), ("albedo", albedo)):
        if not bool(values.isfinite().all()):
            raise InputError(f"the {name} contain NaN or Inf: leave such pixels out")
    if len(colors) == 0:
        raise InputError("there are no pixels: give those that the surface covers")
    lengths = normals.norm(dim=1)
    if not bool(((lengths - 1).abs() < 0.01).all()):
        raise InputError(
            f"normals of length {float(lengths.min()):.3g} to {float(lengths.max()):.3g}: "
            "normalize them, and leave out pixels without a normal"
        )
    if not bool((albedo > DARK).all()):
        raise InputError("the albedo of some pixels is black: leave them out")
    if not bool((colors > 0).any()):
        raise InputError("all colors are 0: give an image of a lit surface")
    return colors / albedo


def _check_spread(system: Float[Tensor, "pixels unknowns"], needed: str) -> None:
    values = torch.linalg.svdvals(system.double())
    if len(system) < system.shape[1] or float(values[-1]) < FLAT * float(values[0]):
        raise InputError(
            f"the normals of the {len(system)} pixels are too alike: give {needed}"
        )
