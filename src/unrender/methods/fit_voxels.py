"""A voxel grid fitted to a shape by weighted cross entropy with logits.

The simplest of the fits, of no paper: each cell of 64³ has a logit, and the target is whether
its center is inside the shape. The parameters are logits, and so are the inputs of the loss: an
additional sigmoid in between could never reach probability 1, and its gradients would vanish.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from unrender.data.shape_target import ShapeTarget
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Rendering
from unrender.rendering.shapes import lit
from unrender.rendering.volume.voxels import voxels_renderer
from unrender.shapes.voxels import VoxelGrid, density_from_occupancy
from unrender.training.data_kinds.shape import SHAPE
from unrender.training.method import DataKind, Method, Progress

GREY = (0.7, 0.7, 0.7)


class VoxelModel(nn.Module):
    """Logits in a cube around the unit frame, and the transform to the frame of the file."""

    center: Tensor
    size: Tensor

    def __init__(self, resolution: int):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros((resolution,) * 3))
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("size", torch.ones(()))


@dataclass(frozen=True)
class VoxelFit(Method[VoxelModel, ShapeTarget]):
    """Logits of a grid, supervised by whether each cell is inside."""

    data: ClassVar[DataKind[Any, Any]] = SHAPE
    has_shape: ClassVar[bool] = True

    resolution: int = 64
    """Cells per side of the cube."""
    learning_rate: float = 0.1
    """Learning rate of the logits."""

    def build(self, data: ShapeTarget, generator: torch.Generator) -> VoxelModel:
        model = VoxelModel(self.resolution)
        model.center.copy_(data.center)
        model.size.fill_(data.size)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> VoxelModel:
        model = VoxelModel(self.resolution)
        model.load_state_dict(dict(tensors))
        return model

    def prepare(self, model: VoxelModel, data: ShapeTarget) -> ShapeTarget:
        return replace(data, occupancy=data.voxels(self.resolution))

    def optimizer(self, model: VoxelModel) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), self.learning_rate, fused=True)

    def schedule(self, progress: Progress) -> float:
        return progress.falling(0.1)

    def losses(
        self,
        model: VoxelModel,
        data: ShapeTarget,
        progress: Progress,
        generator: torch.Generator,
    ) -> Mapping[str, Tensor]:
        assert data.occupancy is not None, "prepare gives the cells"
        # Few cells are inside: together they get the weight of all the others.
        weight = (1 - data.occupancy).sum() / data.occupancy.sum()
        loss = binary_cross_entropy_with_logits(model.logits, data.occupancy, pos_weight=weight)
        return {"entropy": loss}

    def shape(self, model: VoxelModel) -> VoxelGrid:
        """Occupancy probabilities."""
        size = float(model.size)
        x, y, z = (model.center - size / 2).tolist()
        values = model.logits.detach().sigmoid()
        return VoxelGrid(values, (x, y, z), size / self.resolution)

    def render(self, model: VoxelModel, cameras: Cameras) -> Rendering:
        density = density_from_occupancy(self.shape(model))
        rendering = voxels_renderer(density, model.center.new_tensor(GREY))(cameras)
        return lit(rendering, cameras)
