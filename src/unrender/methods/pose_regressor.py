"""A transformer that regresses poses from images: the baseline of the pose flow.

The network of SiT (Ma et al., ECCV 2024, https://arxiv.org/abs/2401.08740) at t = 1, of the
size and with the optimizer of the preset `sit` (`methods/sit.py`). The tokens after the blocks
are normalized and averaged, and one linear layer maps them to twelve numbers: [R | t], with t
in units of the mean camera distance. The loss is their mean squared error, and the prediction
is the rotation nearest to the nine numbers: Levinson et al., "An Analysis of SVD for Deep
Rotation Estimation", NeurIPS 2020, https://arxiv.org/abs/2006.14616.

Where it differs from Levinson et al.: of their two forms it is SVD-Inference, which projects to
rotations after training only, not the one they recommend, SVD-Train, which projects before the
loss. The distance to the nearest rotation is then a measure of uncertainty, from which expected
errors are calibrated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.averaged import IMAGES_AT_ONCE, AveragedSiT
from unrender.flows.calibration import AS_SPREAD, fitted_lines, on_lines
from unrender.flows.checks import small_squares
from unrender.flows.data_space import DataSpace, Pixels
from unrender.flows.lifting import POSE_NUMBERS, PoseReading, pose_numbers
from unrender.flows.precision import autocast
from unrender.flows.transformer import SiT, TransformerSize
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import project_to_so3
from unrender.rendering.renderer import Images, PoseEstimate
from unrender.training.method import Progress
from unrender.training.transformer_method import TransformerMethod


class RegressorModel(AveragedSiT):
    """A network from images to poses and their expected errors."""

    calibration: Tensor

    def __init__(
        self, shape: TransformerSize, views: tuple[int, int], generator: torch.Generator
    ):
        """`views`: numbers of training and held-out views."""
        super().__init__(shape, views, generator)
        self.register_buffer("calibration", AS_SPREAD.clone())

    @torch.no_grad()
    def read(self, images: Images) -> PoseReading:
        """Poses by the averaged weights.

        Both spreads are the distance of the nine numbers from a rotation, as an angle and times
        the radius: minimizing squared errors predicts the mean of all possible poses, which is
        not a rotation.
        """
        parts = [predict(self.average, part) for part in images.split(IMAGES_AT_ONCE)]
        numbers = torch.cat(parts)
        matrix = numbers[:, :9].unflatten(1, (3, 3))
        rotation, center = project_to_so3(matrix), self.radius * numbers[:, 9:, None]
        # Two rotations θ apart differ by √2 θ in the Frobenius norm, for small θ.
        spread = (matrix - rotation).flatten(1).norm(dim=1) / 2**0.5
        return PoseReading(torch.cat([rotation, center], -1), spread, self.radius * spread)


def predict(network: SiT, images: Images) -> Float[Tensor, "images 12"]:
    """The twelve numbers of the poses, translations in units of the radius."""
    # The last layer of the mean equals the mean of the last layer, with less rounding.
    tokens = network.tokens(Pixels().encode(images), images.new_ones(len(images)))
    return tokens.float().mean(1)


@dataclass(frozen=True)
class PoseRegressor(TransformerMethod[RegressorModel]):
    """Image-to-pose regressor of the flow's size: a baseline that renders no images."""

    finds_poses: ClassVar[bool] = True

    makes_images: ClassVar[bool] = False

    def model(
        self,
        size: int,
        space: DataSpace,
        views: tuple[int, int],
        generator: torch.Generator,
    ) -> RegressorModel:
        return RegressorModel(
            self.transformer_size(size, 4, outputs=POSE_NUMBERS), views, generator
        )

    def losses(
        self,
        model: RegressorModel,
        data: Views,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        index = self.draw(model, data, generator)
        with autocast(self.precision, data.device):
            predicted = predict(model.network, data.select(index).images)
        wanted = pose_numbers(data.cameras.select(index), model.radius)
        return {"pose": (predicted - wanted).square().mean()}

    def finish(self, model: RegressorModel, data: Views) -> None:
        """Calibrate the expected errors on held-out views."""
        held_out = data.select(model.held_out_views)
        reading = model.read(held_out.images)
        spread = reading.rotation_spread, reading.translation_spread
        lines = fitted_lines(spread, reading.world_from_camera, held_out.cameras)
        model.calibration.copy_(lines)

    def render(self, model: RegressorModel, cameras: Cameras) -> NoReturn:
        raise InputError(
            "pose-regressor: makes no images, it reads poses from them: render the run of a "
            "scene or of a flow"
        )

    def estimate_poses(self, model: RegressorModel, images: Images) -> PoseEstimate:
        """Estimate cameras with the field of view of training, at the images' own size.

        Images of another size than the model's are downscaled first, by averaging.
        """
        height, width = images.shape[1:3]
        reading = model.read(small_squares(model, images))
        cameras = model.cameras(reading.world_from_camera).resized(width, height)
        spread = reading.rotation_spread, reading.translation_spread
        return model.placed(
            PoseEstimate.isotropic(cameras, *on_lines(model.calibration, spread))
        )
