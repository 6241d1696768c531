"""A box: the smallest radiance field, ten numbers found by volume rendering.

It is fitted as NeRF is (Mildenhall et al. 2020, https://arxiv.org/abs/2003.08934): rays of the
photographs are cut into bins, each is looked at somewhere, what the ray shows is summed up by
eq. 3, and its error flows back. Only that here the density is that of a box along the axes,
known by its centre and the lengths of its sides, and of one colour.

At first its faces are soft, so that rays which pass at a distance know where it is; they harden
while it is found.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unrender.data.views import Views
from unrender.geometry.cameras import Rays
from unrender.rendering.renderer import Rendering
from unrender.rendering.volume.medium import Medium, even_bins, render_medium, soft_solid
from unrender.rendering.volume.proposals import RayInterval
from unrender.shapes.implicit.sdf import box, translated
from unrender.training.method import Progress
from unrender.training.pixels import pixel_errors
from unrender.training.ray_method import RayMethod, RayModel

NEAREST = 0.05
"""Nothing nearer to a camera is looked at, in radii of the ball."""
FIRST_SIDE = 0.5
"""Length of the first box' sides, in radii of the ball."""


class BoxModel(RayModel):
    """Lengths are in radii of the ball that the cameras look at, from its centre."""

    softness: Tensor

    def __init__(self, options: "Box"):
        super().__init__()
        self.options = options
        self.offset = nn.Parameter(torch.zeros(3))
        self.log_sides = nn.Parameter(torch.full((3,), math.log(FIRST_SIDE)))
        self.log_density = nn.Parameter(torch.tensor(math.log(options.density)))
        self.color = nn.Parameter(torch.zeros(3))
        self.register_buffer("softness", torch.tensor(options.first_softness))

    @property
    def center(self) -> Tensor:
        """In the world."""
        return self.ball.center + self.ball.radius * self.offset

    @property
    def sides(self) -> Tensor:
        """Lengths along x, y and z, in scene units."""
        return self.ball.radius * self.log_sides.exp()

    def medium(self) -> Medium:
        radius = self.ball.radius
        return soft_solid(
            translated(box(self.sides / 2), self.center),
            self.color.sigmoid(),
            self.log_density.exp() / radius,
            self.softness * radius,
        )

    def look(self, rays: Rays, generator: torch.Generator | None) -> Rendering:
        """With a generator, at a random place of each bin."""
        stretch = RayInterval(*self.ball.intersect(rays, NEAREST))
        edges = even_bins(stretch, self.options.bins)
        return render_medium(self.medium(), rays, edges, generator)

    def render(self, rays: Rays) -> Rendering:
        return self.look(rays, None)


@dataclass(frozen=True)
class Box(RayMethod[BoxModel]):
    """A box along the axes: the smallest radiance field, to learn from."""

    rays: int = 512
    """Rays of a training step."""
    rate: float = 0.03
    """Learning rate of the shape at the start; both fall exponentially."""
    look_rate: float = 0.2
    """Learning rate of colour and density at the start."""
    last_rate: float = 0.02
    """Learning rate at the end, as a share of that at the start."""
    bins: int = 128
    """Bins of a ray."""
    density: float = 10.0
    """Of the first box, per radius of the ball that the cameras look at."""
    first_softness: float = 0.05
    """Width of the faces at the start, in radii of the ball."""
    last_softness: float = 0.0003
    """From half of the training on: what is left of it makes sides too short, by several times
    as much."""

    def model(self, generator: torch.Generator) -> BoxModel:
        return BoxModel(self)

    def optimizer(self, model: BoxModel) -> torch.optim.Optimizer:
        shape = {"params": [model.offset, model.log_sides], "lr": self.rate}
        look = {"params": [model.log_density, model.color], "lr": self.look_rate}
        return torch.optim.Adam([shape, look])

    def losses(
        self,
        model: BoxModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        batch = data.sample_pixels(self.rays, generator)
        rendering = model.look(batch.rays, generator)
        error = pixel_errors(rendering, batch.rgba, data.background).mean()
        return {"color": error, "metric/psnr": -10 * error.detach().log10()}

    def after_step(
        self, model: BoxModel, optimizer: torch.optim.Optimizer, progress: Progress
    ) -> None:
        # The second half is left to sides and density, which soft faces had made to fit.
        share = min(1.0, 2 * progress.fraction)
        hardened = (self.last_softness / self.first_softness) ** share
        model.softness.fill_(self.first_softness * hardened)
