"""Novel views by regression: from 1 to 4 posed images of an object to images from elsewhere.

Jin et al., "LVSM: A Large View Synthesis Model with Minimal 3D Inductive Bias", ICLR 2025,
https://arxiv.org/abs/2410.17242, in the two streams of Efficient-LVSM
(https://arxiv.org/abs/2602.06478), with the cameras of PRoPE (https://arxiv.org/abs/2507.10496):
see `flows/view_transformer.py`. The loss is the mean squared error of RGB over white, and of
alpha; what the inputs leave open is therefore the mean of what it may be, and blurred.

Where it differs from LVSM: pixels are compared by their squared error alone, without a
perceptual loss; images have alpha; the object's center and the distance of the first input from
it fix the frame and the unit of length; and the network is small: by default 2.8 million
parameters and images of 32 pixels, for two cores.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unrender.data.view_sets.view_sets import ViewSets
from unrender.data.views import Views
from unrender.flows.precision import autocast
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Images
from unrender.training.method import Progress
from unrender.training.view_method import SPACE, ViewMethod, ViewModel


@dataclass(frozen=True)
class ViewRegression(ViewMethod[ViewModel]):
    """Novel views from one or a few images, by regression (LVSM 2025)."""

    def model(self, image_size: int, generator: torch.Generator) -> ViewModel:
        return ViewModel(self.size(image_size), generator)

    def losses(
        self,
        model: ViewModel,
        data: ViewSets,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        drawn = self.draw(model, data, progress, generator)
        with autocast(self.precision, drawn.targets.device):
            seen = model.network.encode(drawn.inputs, drawn.geometry)
            predicted = model.network.decode(seen, drawn.geometry)
        error = (predicted - drawn.targets).square()
        # Codes span 2, images 1.
        color = error[:, :, :3].detach().mean() / 4
        return {"image": error.mean(), "metric/psnr": -10 * color.log10()}

    @torch.no_grad()
    def novel_views(
        self, model: ViewModel, inputs: Views, targets: Cameras, generator: torch.Generator
    ) -> Images:
        encoded = self.encoded(model, inputs, targets)
        codes = model.average.decode(encoded.seen, encoded.geometry)
        return SPACE.decode(codes[0])
