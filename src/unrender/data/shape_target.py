"""A shape that is to be fitted: points of its surface, in a frame of unit size."""

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
"""Drawn of a mesh, from which each step takes some."""


@dataclass(frozen=True)
class ShapeTarget:
    """A surface whose box is centred at 0, its longest side 1, and where it was before."""

    name: str
    points: Float[Tensor, "points 3"]
    """Spread evenly over the surface."""
    normals: Float[Tensor, "points 3"] | None
    colors: Float[Tensor, "points 3"] | None
    center: Float[Tensor, "3"]
    """Of the box, in the frame of the file."""
    size: float
    """Of the box' longest side, there."""
    mesh: Mesh | None = None
    """In the unit frame; None where only points are known."""
    occupancy: Float[Tensor, "x y z"] | None = None
    """Which cells of the cube are inside, once a method has asked for it."""
    samples: SpaceSamples | None = None
    """Distances in space, once a method has asked for them."""
    source: str | None = None
    """The path that it was loaded from; None if it was made in memory."""
    up: str = "auto"
    """Which axis of the file was taken to point up."""

    @classmethod
    def of_mesh(
        cls, name: str, mesh: Mesh, count: int = POINTS, seed: int = 0
    ) -> "ShapeTarget":
        """InputError if the mesh has no extent, or no area."""
        center, size = _box(name, mesh.vertices)
        moved = mesh.with_vertices((mesh.vertices - center) / size)
        drawn = sample_surface(moved, count, torch.Generator().manual_seed(seed))
        return cls(name, drawn.points, drawn.normals, drawn.colors, center, size, moved)

    @classmethod
    def of_points(cls, name: str, cloud: PointCloud) -> "ShapeTarget":
        """InputError if all points are in one place."""
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
        """Points drawn of the surface, with their normals if these are known."""
        chosen = torch.randint(len(self), (count,), generator=generator).to(self.points.device)
        return self.points[chosen], None if self.normals is None else self.normals[chosen]

    def shape(self) -> Mesh | PointCloud:
        """In the frame of the file."""
        if self.mesh is not None:
            return self.mesh.with_vertices(self.mesh.vertices * self.size + self.center)
        return PointCloud(self.points * self.size + self.center, self.colors, self.normals)

    def remarks(self) -> list[str]:
        """What is assumed of its inside, in sentences; none where nothing is."""
        if self.mesh is None:
            if self.normals is not None:
                return []
            return [
                f"{self.name}: has no normals: for an inside, they are those of planes through "
                "neighbours, turned outward from point to point"
            ]
        edges = int((edges_of(self.mesh.faces).num_faces != 2).sum())
        if edges == 0:
            return []
        return [
            f"{self.name}: is not closed, at {edges} edges: inside is where its faces wind "
            "around a point more than half"
        ]

    def voxels(self, resolution: int) -> Float[Tensor, "x y z"]:
        """1 for cells of the unit cube that are inside: of the mesh, or that hold a point."""
        device = self.points.device
        cells = VoxelGrid.cube(torch.zeros((resolution,) * 3, device=device), 0.5)
        if self.mesh is not None:
            return voxels_from_mesh(self.mesh, cells).values
        return voxels_from_points(self.points, cells).values


def _box(name: str, points: Float[Tensor, "points 3"]) -> tuple[Float[Tensor, "3"], float]:
    """Centre and longest side."""
    size = float((points.amax(0) - points.amin(0)).max()) if len(points) else 0.0
    if size == 0:
        raise InputError(f"{name}: has no extent: give a shape of more than one point")
    return (points.amin(0) + points.amax(0)) / 2, size
