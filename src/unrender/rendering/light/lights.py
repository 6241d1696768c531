"""Lights, for Blinn–Phong shading and for path tracing alike.

The color of a light is what it gives a white matte surface that faces it, in sight of it: the
same number in both renderers. Its irradiance is π times that. Colors are unbounded; the path
tracer takes them as linear, Blinn–Phong shading as display-referred.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.geometry.cameras import Cameras

AMBIENT, KEY, FILL = 0.3, 0.75, 0.25
"""Intensities of the lights of `headlight`."""


@dataclass(frozen=True)
class AmbientLight:
    """Light that is the same from all directions: a uniform environment."""

    color: Float[Tensor, "3"]


@dataclass(frozen=True)
class DirectionalLight:
    """Parallel light from infinity, such as the sun without its angular extent."""

    direction: Float[Tensor, "3"]
    """Direction in which the light travels, in the world frame; of any nonzero length."""
    color: Float[Tensor, "3"]

    def toward(
        self, points: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points"]]:
        """Unit directions from points to the light, and the distances: infinite."""
        way = -normalize(self.direction.to(points), dim=0).expand_as(points)
        return way, torch.full_like(points[:, 0], torch.inf)

    def color_at(self, distance: Float[Tensor, "points"]) -> Float[Tensor, "#points 3"]:
        """The light's color at points that far from it."""
        return self.color.to(distance)[None]


@dataclass(frozen=True)
class PointLight:
    """Light from a point."""

    position: Float[Tensor, "3"]
    """World position."""
    color: Float[Tensor, "3"]
    """At distance 1, if there is falloff: then π times this is the radiant intensity."""
    falloff: bool = True
    """Whether the light decreases with the squared distance; else it is the same at any."""

    def toward(
        self, points: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points"]]:
        """Unit directions from points to the light, and the distances."""
        way = self.position.to(points) - points
        return normalize(way, dim=1), way.norm(dim=1)

    def color_at(self, distance: Float[Tensor, "points"]) -> Float[Tensor, "#points 3"]:
        """The light's color at points that far from it."""
        color = self.color.to(distance)[None]
        return color / distance.square().clamp_min(1e-30)[:, None] if self.falloff else color


@dataclass(frozen=True)
class Environment:
    """An environment map at infinity, in equirectangular projection; for path tracing only.

    Radiance is constant within each pixel; a map of 1 × 1 pixels is an `AmbientLight`.
    """

    radiance: Float[Tensor, "height width 3"]
    """The top row is around +z. Columns run clockwise seen from above, from −x over +y, +x and
    −y back to −x, so that the image is not mirrored when seen from inside."""


PhongLight = AmbientLight | DirectionalLight | PointLight
"""The lights of Blinn–Phong shading."""
Light = PhongLight | Environment
LightRig = Callable[[Cameras], Sequence[PhongLight]]
"""Lights for one camera, given as a batch of one."""


def studio() -> tuple[PhongLight, ...]:
    """Lights fixed in the world: ambient, key light from +x, +y and above, and a weak fill."""
    white = torch.ones(3)
    return (
        AmbientLight(0.55 * white),
        DirectionalLight(torch.tensor([-0.5, -0.7, -0.6]), 0.45 * white),
        DirectionalLight(torch.tensor([0.6, 0.2, 0.7]), 0.25 * white),
    )


def headlight(camera: Cameras) -> tuple[PhongLight, ...]:
    """Lights fixed to the camera, so that every view of a turntable is well lit.

    Ambient light, a key light from behind the camera, above and to its left, and a soft fill
    from the right. `camera` is a batch of one.
    """
    white = torch.ones(3, device=camera.device)
    # Rows are directions in the camera's frame: x right, y down, z forward.
    directions = camera.rotations.new_tensor([[0.6, 0.8, 1.0], [-1.0, 0.1, 0.5]])
    key, fill = directions @ camera.rotations[0].T
    return (
        AmbientLight(AMBIENT * white),
        DirectionalLight(key, KEY * white),
        DirectionalLight(fill, FILL * white),
    )
