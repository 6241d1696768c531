"""A mesh parameterized for smooth descent: a step moves a vertex and its neighbors together.

Nicolet, Jacobson, Jakob, "Large Steps in Inverse Rendering of Geometry" (2021),
https://doi.org/10.1145/3478513.3480501, sec. 3. The optimized parameter is u = (I + λ L) v,
where v are the vertices and L is the mesh's combinatorial Laplacian, so that the gradient with
respect to u is smooth even if the one with respect to v is not.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unrender.shapes.losses import Topology
from unrender.shapes.mesh import Mesh, edges_of


class DeformingMesh(nn.Module):
    """A mesh with fixed faces and optimizable vertices. A checkpoint contains both."""

    faces: Tensor
    factor: Tensor

    def __init__(
        self,
        vertices: Float[Tensor, "vertices 3"],
        faces: Int[Tensor, "faces 3"],
        smoothness: float,
    ):
        """`smoothness` is λ; 0 moves each vertex independently."""
        super().__init__()
        self.register_buffer("faces", faces)
        matrix = _smoothing_matrix(len(vertices), faces, smoothness)
        # Not saved: it is large and can be recomputed from the faces.
        self.register_buffer("factor", torch.linalg.cholesky(matrix), persistent=False)
        self.coordinates = nn.Parameter(matrix @ vertices)
        self._topology: Topology | None = None

    def vertices(self) -> Float[Tensor, "vertices 3"]:
        """Vertex positions; differentiable in `coordinates`."""
        return torch.cholesky_solve(self.coordinates, self.factor)

    def mesh(self) -> Mesh:
        return Mesh(self.vertices(), self.faces)

    @property
    def topology(self) -> Topology:
        """Topology of the faces, on their device."""
        if self._topology is None or self._topology.faces.device != self.faces.device:
            self._topology = Topology.of(Mesh(self.vertices().detach(), self.faces))
        return self._topology


def _smoothing_matrix(
    count: int, faces: Int[Tensor, "faces 3"], smoothness: float
) -> Float[Tensor, "vertices vertices"]:
    """I + λ L as a dense matrix, which is affordable for thousands of vertices."""
    a, b = edges_of(faces).vertices.T
    matrix = torch.zeros(count, count, device=faces.device)
    matrix[a, b] = matrix[b, a] = -smoothness
    matrix.diagonal().sub_(matrix.sum(1)).add_(1)
    return matrix
