"""The target of a shape fit: surface points, normalized to unit size."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.data.space_samples import SpaceSamples
from unrender.errors import InputError
from unrender.shapes.convert import voxels_from_mesh, voxels_from_points
from unrender.shapes.mesh import Mesh, edges_of
from unrender.shapes.points import PointCloud
from unrender.shapes.sampling import sample_surface
from unrender.shapes.voxels import VoxelGrid

POINTS = 200_000
"""Number of points sampled on a mesh; each training step uses some of them."""


@dataclass(frozen=True)
class ShapeTarget:
    """A surface with its bounding box centered at 0 and a longest side of 1."""

    name: str
    points: Float[Tensor, "points 3"]
    """Uniform samples of the surface."""
    normals: Float[Tensor, "points 3"] | None
    colors: Float[Tensor, "points 3"] | None
    center: Float[Tensor, "3"]
    """Center of the bounding box, in the file's frame."""
    size: float
    """Length of the bounding box's longest side, in the file's frame."""
    mesh: Mesh | None = None
    """The normalized mesh; None if only points are given."""
    occupancy: Float[Tensor, "x y z"] | None = None
    """Occupancy of the unit cube's cells, once a method has computed it."""
    samples: SpaceSamples | None = None
    """Signed distances of points in space, once a method has computed them."""
    source: str | None = None
    """The path that it was loaded from; None if it was made in memory."""
    up: str = "auto"
    """Which axis of the file was taken to point up."""

    @classmethod
    def of_mesh(
        cls, name: str, mesh: Mesh, count: int = POINTS, seed: int = 0
    ) -> "ShapeTarget":
        """Sample a mesh uniformly. Raises InputError if it has no extent or no area."""
        center, size = _box(name, mesh.vertices)
        moved = mesh.with_vertices((mesh.vertices - center) / size)
        drawn = sample_surface(moved, count, torch.Generator().manual_seed(seed))
        return cls(name, drawn.points, drawn.normals, drawn.colors, center, size, moved)

    @classmethod
    def of_points(cls, name: str, cloud: PointCloud) -> "ShapeTarget":
        """A target of the cloud's points. Raises InputError if all points coincide."""
        center, size = _box(name, cloud.points)
        points = (cloud.points - center) / size
        return cls(name, points, cloud.normals, cloud.colors, center, size)

    def __len__(self) -> int:
        return len(self.points)

    def to(self, device: torch.device | str) -> "ShapeTarget":
        def move(values: Tensor | None) -> Tensor | None:
            return None if values is None else values.to(device)

        return dataclasses.replace(
            self,
            points=self.points.to(device),
            normals=move(self.normals),
            colors=move(self.colors),
            center=self.center.to(device),
            mesh=None if self.mesh is None else self.mesh.to(device),
            occupancy=move(self.occupancy),
            samples=None if self.samples is None else self.samples.to(device),
        )

    def sample(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "count 3"], Float[Tensor, "count 3"] | None]:
        """Random surface points, with their normals if these are known."""
        chosen = torch.randint(len(self), (count,), generator=generator).to(self.points.device)
        return self.points[chosen], None if self.normals is None else self.normals[chosen]

    def shape(self) -> Mesh | PointCloud:
        """The mesh or points in the file's frame."""
        if self.mesh is not None:
            return self.mesh.with_vertices(self.mesh.vertices * self.size + self.center)
        return PointCloud(self.points * self.size + self.center, self.colors, self.normals)

    def remarks(self) -> list[str]:
        """Sentences about assumptions that are made to tell inside from outside, if any."""
        if self.mesh is None:
            if self.normals is not None:
                return []
            return [
                f"{self.name}: has no normals: they are estimated from neighboring points and "
                "oriented consistently, to tell inside from outside"
            ]
        edges = int((edges_of(self.mesh.faces).num_faces != 2).sum())
        if edges == 0:
            return []
        return [
            f"{self.name}: is open ({edges} edges without exactly two faces): points with a "
            "generalized winding number above 0.5 count as inside"
        ]

    def voxels(self, resolution: int) -> Float[Tensor, "x y z"]:
        """1 for cells of the unit cube inside the mesh, or that contain a point."""
        device = self.points.device
        cells = VoxelGrid.cube(torch.zeros((resolution,) * 3, device=device), 0.5)
        if self.mesh is not None:
            return voxels_from_mesh(self.mesh, cells).values
        return voxels_from_points(self.points, cells).values


def _box(name: str, points: Float[Tensor, "points 3"]) -> tuple[Float[Tensor, "3"], float]:
    """Center and longest side of the bounding box."""
    size = float((points.amax(0) - points.amin(0)).max()) if len(points) else 0.0
    if size == 0:
        raise InputError(
            f"{name}: has no extent: give a shape with more than one distinct point"
        )
    return (points.amin(0) + points.amax(0)) / 2, size
