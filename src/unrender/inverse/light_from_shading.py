"""Light from the shading of a surface whose normals and colours are known.

What Lambert's surface sends back is linear in the light, so that least squares have a closed
form: exactly for an environment (Ramamoorthi and Hanrahan, "An Efficient Representation for
Irradiance Environment Maps", 2001), and for one directional light among the pixels that it
reaches. Which these are follows from its direction, and the two are found in turn.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.kernels.spherical_harmonics import spherical_harmonics
from unrender.rendering.mesh.shading import AmbientLight, DirectionalLight

TURNS = 50
"""Most times that the lit pixels are found anew."""
FLAT = 1e-3
"""Normals whose least spread is a smaller share of the largest one tell too little."""
DARK = 1e-6
"""Albedos below say nothing of light."""
BOUNCE = (1.0, *[2 / 3] * 3, *[1 / 4] * 5)
"""What Lambert's cosine leaves of harmonics of degrees 0, 1 and 2, divided by π (eq. 8)."""


def light_from_shading(
    colors: Float[Tensor, "pixels 3"],
    normals: Float[Tensor, "pixels 3"],
    albedo: Float[Tensor, "pixels 3"],
) -> tuple[AmbientLight, DirectionalLight]:
    """One directional light and what comes from everywhere: color = albedo (A + max(n·l, 0) L).

    Colours are linear in light and not cut off, normals of unit length; the light found is in
    their frame, and noise may make it slightly negative. The least squares over all pixels.
    InputError if the numbers are not finite, the surface is unlit, or too flat to tell.
    """
    factor = _factor(colors, normals, albedo)
    ones = torch.ones_like(normals[:, :1])
    _check_spread(torch.cat([normals, ones], dim=1), "four directions that differ")
    direction = _direction(normals, factor)
    lit = (normals.double() @ direction)[:, None] > 0
    for _ in range(TURNS):
        direction = _direction(normals * lit, factor)
        before, lit = lit, (normals.double() @ direction)[:, None] > 0
        if torch.equal(before, lit):
            break
    facing = (normals.double() @ direction).clamp_min(0)[:, None]
    system = torch.cat([facing, ones.double()], dim=1)
    _check_spread(system, "some pixels that face the light and some that do not")
    color, ambient = torch.linalg.lstsq(system, factor.double()).solution.to(colors)
    if not bool((color.abs() > 1e-4 * factor.abs().mean()).any()):
        raise InputError("the shading is the same everywhere: no direction can be found in it")
    return AmbientLight(ambient), DirectionalLight(-direction.to(colors), color)


def _direction(normals: Tensor, factor: Tensor) -> Float[Tensor, "3"]:
    """Towards the one light of which max(n·l, 0) is n·l, all normals else being 0."""
    system = torch.cat([normals, torch.ones_like(normals[:, :1])], dim=1)
    found = torch.linalg.lstsq(system.double(), factor.double()).solution[:3]
    # Rows are xyz and columns colours: one direction has rank one.
    left, _, _ = torch.linalg.svd(found)
    return left[:, 0] * (left[:, 0] @ found).sum().sign()


def environment_from_shading(
    colors: Float[Tensor, "pixels 3"],
    normals: Float[Tensor, "pixels 3"],
    albedo: Float[Tensor, "pixels 3"],
) -> Float[Tensor, "9 3"]:
    """The environment's radiance in spherical harmonics of degrees 0 to 2, by colour.

    As many lights as there are, from anywhere: a diffuse surface shows little more of them (99%
    of its shading). Harmonics are those of kernels/spherical_harmonics, in the normals' frame.
    InputError as for `light_from_shading`.
    """
    factor = _factor(colors, normals, albedo)
    system = environment_basis(normals)
    _check_spread(system, "nine directions that differ")
    return torch.linalg.lstsq(system.double(), factor.double()).solution.to(colors)


def environment_light(
    environment: Float[Tensor, "9 3"], normals: Float[Tensor, "points 3"]
) -> Float[Tensor, "points 3"]:
    """What the albedo of a diffuse surface is multiplied with, its irradiance over π."""
    return environment_basis(normals) @ environment


def environment_basis(normals: Float[Tensor, "points 3"]) -> Float[Tensor, "points 9"]:
    """The harmonics at the normals after the cosine has smoothed them."""
    return spherical_harmonics(normals, 2) * normals.new_tensor(BOUNCE)


def _factor(colors: Tensor, normals: Tensor, albedo: Tensor) -> Float[Tensor, "pixels 3"]:
    """Colours over albedo, once they are known to make sense."""
    for name, values in (("colours", colors), ("normals", normals), ("albedo", albedo)):
        if not bool(values.isfinite().all()):
            raise InputError(f"the {name} are not all finite: leave such pixels out")
    if len(colors) == 0:
        raise InputError("no pixels to find light by: give those that the surface covers")
    lengths = normals.norm(dim=1)
    if not bool(((lengths - 1).abs() < 0.01).all()):
        raise InputError(
            f"normals of length {float(lengths.min()):.3g} to {float(lengths.max()):.3g}: "
            "normalise them, and leave out pixels without"
        )
    if not bool((albedo > DARK).all()):
        raise InputError("a black albedo says nothing of light: leave such pixels out")
    if not bool((colors > 0).any()):
        raise InputError("all colours are 0: an unlit surface has no light to be found")
    return colors / albedo


def _check_spread(system: Float[Tensor, "pixels unknowns"], needed: str) -> None:
    values = torch.linalg.svdvals(system.double())
    if len(system) < system.shape[1] or float(values[-1]) < FLAT * float(values[0]):
        raise InputError(
            f"{len(system)} pixels with normals too alike to find light by: it takes {needed}"
        )
