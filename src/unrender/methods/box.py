"""A box: the smallest radiance field, ten parameters estimated by volume rendering.

A first lesson in volume rendering, of no paper. It is fitted as NeRF is (Mildenhall et al.,
ECCV 2020, https://arxiv.org/abs/2003.08934): rays of the images are divided into bins, the
density is sampled in each, colors are composited by eq. 3, and the error is backpropagated.
Here the density is that of an axis-aligned box of one color, given by its center and the
lengths of its sides.

At first its faces are soft, so that rays passing at a distance have gradients too; they harden
during training. Unlike NeRF, there is no network, no direction, and no second, finer sampling:
each of a ray's 128 bins has one sample.
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
"""Near plane of the rays, in radii of the bounding sphere."""
FIRST_SIDE = 0.5
"""Length of the initial box's sides, in radii of the bounding sphere."""


class BoxModel(RayModel):
    """The box's parameters, in the frame of the bounding sphere that the cameras look at."""

    softness: Tensor

    def __init__(self, options: "Box"):
        super().__init__()
        self.options = options
        self.offset = nn.Parameter(torch.zeros(3))
        self.log_sides = nn.Parameter(torch.full((3,), math.log(FIRST_SIDE)))
        self.log_density = nn.Parameter(torch.tensor(math.log(options.density)))
        self.color = nn.Parameter(torch.zeros(3))
        self.register_buffer("softness", torch.tensor(options.initial_softness))

    @property
    def center(self) -> Tensor:
        """Center in the world frame."""
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
        """Render rays; with a generator, at a random position in each bin."""
        stretch = RayInterval(*self.ball.intersect(rays, NEAREST))
        edges = even_bins(stretch, self.options.bins)
        return render_medium(self.medium(), rays, edges, generator)

    def render(self, rays: Rays) -> Rendering:
        return self.look(rays, None)


@dataclass(frozen=True)
class Box(RayMethod[BoxModel]):
    """An axis-aligned box: the smallest radiance field, to learn from."""

    rays: int = 512
    """Rays per training step."""
    learning_rate: float = 0.03
    """Initial learning rate of the shape; both learning rates decay exponentially."""
    camera_learning_rate: float = 0.2
    """Initial learning rate of color and density."""
    learning_rate_decay: float = 0.02
    """Final learning rate, as a fraction of the initial one."""
    bins: int = 128
    """Bins per ray."""
    density: float = 10.0
    """Initial density, per radius of the bounding sphere."""
    initial_softness: float = 0.05
    """Initial width of the faces, in radii of the bounding sphere."""
    final_softness: float = 0.0003
    """Width of the faces from half of the training on; any remaining softness makes the
    estimated sides too short by several times its size."""

    def model(self, generator: torch.Generator) -> BoxModel:
        return BoxModel(self)

    def optimizer(self, model: BoxModel) -> torch.optim.Optimizer:
        shape = {"params": [model.offset, model.log_sides], "lr": self.learning_rate}
        look = {"params": [model.log_density, model.color], "lr": self.camera_learning_rate}
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
        # The second half of training corrects sides and density, which soft faces had biased.
        share = min(1.0, 2 * progress.fraction)
        hardened = (self.final_softness / self.initial_softness) ** share
        model.softness.fill_(self.initial_softness * hardened)
