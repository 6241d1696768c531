"""Probability paths from a source x0 to an image x1 over the time t in [0, 1].

Lipman, Chen, Ben-Hamu, Nickel, Le, "Flow Matching for Generative Modeling" (2023); Liu, Gong,
Liu, "Flow Straight and Fast" (2023); Ma et al., "SiT" (2024).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PathSample:
    """A point on the path from a source to an image, and the velocity there."""

    x_t: Float[Tensor, "batch *shape"]
    velocity: Float[Tensor, "batch *shape"]
    """dx_t/dt, the regression target of the network."""


class Flow(ABC):
    """A family of paths from x0 at t = 0 to x1 at t = 1."""

    @abstractmethod
    def sample(
        self,
        x0: Float[Tensor, "batch *shape"],
        x1: Float[Tensor, "batch *shape"],
        t: Float[Tensor, "batch"],
    ) -> PathSample: ...


@dataclass(frozen=True)
class LinearPath(Flow):
    """Straight lines at constant speed: x_t = t x1 + (1 − t) x0, velocity x1 − x0."""

    def sample(
        self,
        x0: Float[Tensor, "batch *shape"],
        x1: Float[Tensor, "batch *shape"],
        t: Float[Tensor, "batch"],
    ) -> PathSample:
        time = t.reshape(-1, *[1] * (x0.ndim - 1))
        # Not x0 + t (x1 - x0): both ends are then exact to the last bit.
        return PathSample(time * x1 + (1 - time) * x0, x1 - x0)
