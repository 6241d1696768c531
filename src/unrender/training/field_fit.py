"""Base of methods that fit a neural field to a shape: the field, its box and its surface."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.data.shape_target import ShapeTarget
from unrender.data.space_samples import SpaceSamples
from unrender.errors import InputError
from unrender.fields.field import Field, FieldKind, FieldOptions, build_field
from unrender.geometry.cameras import Cameras
from unrender.rendering.renderer import Rendering
from unrender.rendering.shapes import shape_renderer
from unrender.shapes.implicit.sdf import mesh_sdf
from unrender.shapes.marching_cubes import zero_level_set
from unrender.shapes.mesh import Mesh
from unrender.shapes.point_cloud_sdf import oriented_normals, point_cloud_sdf
from unrender.training.data_kinds.shape import SHAPE
from unrender.training.method import DataKind, Method, Progress

HALF_WIDTH = 0.55
"""Half the side of the field's box, in the frame in which the shape's longest side is 1."""

FLAT = 1e-4
"""Ratio of the extents across and along a plane below which points count as flat."""
WALL = 0.95
"""Points farther out than this, in half widths of the box, are outside every shape."""


class FieldModel(nn.Module):
    """A field in the unit frame, and the transform to the frame of the shape's file."""

    center: Tensor
    size: Tensor

    def __init__(self, field: Field):
        super().__init__()
        self.field = field
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("size", torch.ones(()))

    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Raw output of the field at points of the unit frame."""
        return self.field(points / (2 * HALF_WIDTH) + 0.5)[:, 0]


@dataclass(frozen=True)
class FieldFit(Method[FieldModel, ShapeTarget]):
    """A field of any kind, and the surface where it changes sign.

    The inside of a mesh is where its generalized winding number exceeds 1/2, so that the mesh
    may have holes. The inside of a point cloud is behind the tangent plane of the nearest
    point; missing normals are estimated first.
    """

    data: ClassVar[DataKind[Any, Any]] = SHAPE
    has_shape: ClassVar[bool] = True
    is_solid: ClassVar[bool] = True

    slope: ClassVar[float | None] = None
    """Lipschitz bound on `values` used for sphere tracing, where they are distances."""

    field: FieldKind = "hash"
    """Representation of the field: mlp, encoding, fourier, siren, grid, hash and others."""
    width: int = 128
    """Units of the hidden layers of mlp, encoding, fourier and siren."""
    depth: int = 4
    """Hidden layers of these networks."""
    small_width: int = 32
    """Units of the two hidden layers behind grids of features."""
    resolution: int = 128
    """Vertices per side of the grids of ground-plan and triplane."""
    volume_resolution: int = 64
    """Vertices per side of the grids of grid and hybrid."""
    levels: int = 6
    """Levels of the hash grid."""
    log2_table_size: int = 17
    """Base-2 logarithm of the maximum number of entries per level."""
    finest: int = 128
    """Cells per side of the finest level."""
    learning_rate: float = 1.0
    """Factor on the learning rates of the field's kind."""
    batch: int = 1 << 13
    """Points in space per training step."""
    pool_size: int = 1 << 19
    """Points whose true distances are precomputed, and from which steps sample."""
    cells: int = 256
    """Cells per side of the grid for extracting the surface."""
    preview_cells: int = 128
    """Cells per side of that grid for rendered images."""

    @abstractmethod
    def values(
        self, model: FieldModel, points: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points"]:
        """Values at points of the unit frame: negative inside, 0 on the surface."""

    def build(self, data: ShapeTarget, generator: torch.Generator) -> FieldModel:
        model = FieldModel(self._field(generator))
        model.center.copy_(data.center)
        model.size.fill_(data.size)
        return model

    def restore(self, tensors: Mapping[str, Tensor]) -> FieldModel:
        model = FieldModel(self._field(torch.Generator()))
        model.load_state_dict(dict(tensors))
        return model

    def _field(self, generator: torch.Generator) -> Field:
        options = FieldOptions(
            width=self.width,
            depth=self.depth,
            fourier_scale=2.0,
            small_width=self.small_width,
            resolution=self.resolution,
            volume_resolution=self.volume_resolution,
            levels=self.levels,
            log2_table_size=self.log2_table_size,
            finest=self.finest,
        )
        return build_field(self.field, 3, 1, generator, options)

    def prepare(self, model: FieldModel, data: ShapeTarget) -> ShapeTarget:
        """Precompute true distances. InputError for a shape without an inside or an outside."""
        if data.mesh is None:
            _check_solid(data)
            normals = oriented_normals(data.points) if data.normals is None else data.normals
            data = replace(data, normals=normals)
            sdf = point_cloud_sdf(data.points, normals)
        else:
            sdf = mesh_sdf(data.mesh)
        samples = SpaceSamples.about(data.points, sdf, self.pool_size, HALF_WIDTH)
        _check_inside(data, samples)
        return replace(data, samples=samples)

    def optimizer(self, model: FieldModel) -> torch.optim.Optimizer:
        return model.field.adam(self.learning_rate)

    def schedule(self, progress: Progress) -> float:
        return progress.falling(0.01)

    def surface(self, model: FieldModel, cells: int) -> Mesh:
        """The surface in the file's frame; without faces if the field is nowhere negative."""
        device = model.center.device

        def values(points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
            return self.values(model, points.to(device)).cpu()

        mesh = zero_level_set(values, HALF_WIDTH, cells, self.slope).to(device)
        return mesh.with_vertices(mesh.vertices * model.size + model.center)

    def shape(self, model: FieldModel) -> Mesh:
        """The surface. InputError if the field has none, or fills its box."""
        mesh = self.surface(model, self.cells)
        remedy = "fit longer, or with a lower --learning-rate"
        if len(mesh.faces) == 0:
            raise InputError(f"the field is nowhere negative, so it has no surface: {remedy}")
        place = (mesh.vertices - model.center) / model.size
        if float(place.abs().amax(1).min()) > HALF_WIDTH * (1 - 4 / self.cells):
            raise InputError(f"the field is negative everywhere and fills its box: {remedy}")
        return mesh

    def render(self, model: FieldModel, cameras: Cameras) -> Rendering:
        """Render the surface; empty images if there is none yet."""
        return shape_renderer(self.surface(model, self.preview_cells))(cameras)


def _check_solid(data: ShapeTarget) -> None:
    """Refuse points of a plane or a line, which have no inside."""
    extent = torch.linalg.svdvals((data.points - data.points.mean(0)).cpu())
    if float(extent[-1]) < FLAT * float(extent[0]):
        raise InputError(
            f"{data.name}: its points lie in a plane or on a line, which have no inside: give "
            "points of a solid's surface, or use fit-shape --as points"
        )


def _check_inside(data: ShapeTarget, samples: SpaceSamples) -> None:
    """Refuse a shape that has no inside, and one whose inside is around it."""
    inside = samples.distances < 0
    if not bool(inside.any()):
        why = (
            "it is a sheet, or its faces are turned inward"
            if data.mesh is not None
            else "its normals are all 0"
        )
        raise InputError(
            f"{data.name}: no point is inside it, since {why}: correct it, or use fit-shape "
            "--as points"
        )
    walls = samples.points.abs().amax(1) > WALL * HALF_WIDTH
    if float(inside[walls].float().mean()) > 0.5:
        raise InputError(
            f"{data.name}: its normals point inward, so that its inside surrounds it: flip "
            "them round, or leave them out"
        )
