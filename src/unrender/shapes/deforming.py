"""A mesh that descends smoothly: a step moves a vertex and its neighbours together.

Nicolet, Jacobson, Jakob, "Large Steps in Inverse Rendering of Geometry" (2021),
https://doi.org/10.1145/3478513.3480501, sec. 3: what is optimised is u = (I + λ L) v, where v
are the vertices and L is the mesh' combinatorial Laplacian, so that the gradient by u is smooth
whatever that by v is.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unrender.shapes.losses import Topology
from unrender.shapes.mesh import Mesh, edges_of


class DeformingMesh(nn.Module):
    """Vertices of a template's faces. A checkpoint holds both."""

    faces: Tensor
    factor: Tensor

    def __init__(
        self,
        vertices: Float[Tensor, "vertices 3"],
        faces: Int[Tensor, "faces 3"],
        smoothness: float,
    ):
        """`smoothness` is λ: 0 moves each vertex by itself."""
        super().__init__()
        self.register_buffer("faces", faces)
        matrix = _smoothing_matrix(len(vertices), faces, smoothness)
        # It follows from the faces, and is large.
        self.register_buffer("factor", torch.linalg.cholesky(matrix), persistent=False)
        self.coordinates = nn.Parameter(matrix @ vertices)
        self._topology: Topology | None = None

    def vertices(self) -> Float[Tensor, "vertices 3"]:
        """Where the vertices are; differentiable in `coordinates`."""
        return torch.cholesky_solve(self.coordinates, self.factor)

    def mesh(self) -> Mesh:
        return Mesh(self.vertices(), self.faces)

    @property
    def topology(self) -> Topology:
        """Of the faces, on the device where they are."""
        if self._topology is None or self._topology.faces.device != self.faces.device:
            self._topology = Topology.of(Mesh(self.vertices().detach(), self.faces))
        return self._topology


def _smoothing_matrix(
    count: int, faces: Int[Tensor, "faces 3"], smoothness: float
) -> Float[Tensor, "vertices vertices"]:
    """I + λ L, dense: thousands of vertices are few enough."""
    a, b = edges_of(faces).vertices.T
    matrix = torch.zeros(count, count, device=faces.device)
    matrix[a, b] = matrix[b, a] = -smoothness
    matrix.diagonal().sub_(matrix.sum(1)).add_(1)
    return matrix
