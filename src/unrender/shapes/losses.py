"""Losses that keep a mesh well shaped while it is fitted, and the Laplacians they are made of.

Meshes are packed (`Meshes`). Every loss is a mean over the edges or vertices of each mesh, and
then over the meshes, so that a large mesh of a batch counts as much as a small one. What
depends only on the faces is computed once, as a `Topology`, and reused for the whole fit.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity

from unrender.shapes.mesh import Mesh, Meshes, edges_of


@dataclass(frozen=True)
class Topology:
    """Edges, adjacency and weights of a mesh; they depend on the faces only."""

    faces: Int[Tensor, "faces 3"]
    edges: Int[Tensor, "edges 2"]
    face_edges: Int[Tensor, "faces 3"]
    """The edge opposite each corner."""
    degree: Float[Tensor, "vertices 1"]
    """Number of edges at each vertex; 1 where there are none, so that it can divide."""
    hinges: Int[Tensor, "hinges 4"]
    """Four vertices for each edge with two faces: its ends, and the third vertex of each face.
    At an edge with more faces, the first two count."""
    vertex_weights: Float[Tensor, "vertices"]
    """The weight of each vertex in a mean over the vertices of a mesh and then over meshes."""
    edge_weights: Float[Tensor, "edges"]
    hinge_weights: Float[Tensor, "hinges"]

    @classmethod
    def of(cls, mesh: Mesh | Meshes) -> "Topology":
        """Compute the topology on the mesh's device, with weights of its vertices' dtype."""
        meshes = mesh if isinstance(mesh, Meshes) else Meshes.pack([mesh])
        edges = edges_of(meshes.faces)
        pairs = edges.faces[edges.num_faces > 1]
        ends = edges.vertices[edges.num_faces > 1]
        # The third vertex is the sum of a face's corners minus the edge's two ends.
        thirds = meshes.faces.sum(1)[pairs] - ends.sum(1, keepdim=True)
        degree = edges.vertices.flatten().bincount(minlength=len(meshes.vertices))
        owner = meshes.mesh_of_vertex

        def share(mesh_of: Int[Tensor, "rows"]) -> Float[Tensor, "rows"]:
            counts = mesh_of.bincount(minlength=len(meshes))
            return (1 / (counts[mesh_of] * len(meshes))).to(meshes.vertices)

        return cls(
            meshes.faces,
            edges.vertices,
            edges.face_edges,
            degree.clamp_min(1)[:, None].to(meshes.vertices),
            torch.cat([ends, thirds], dim=1),
            share(owner),
            share(owner[edges.vertices[:, 0]]),
            share(owner[ends[:, 0]]),
        )


def uniform_laplacian(
    vertices: Float[Tensor, "vertices 3"], topology: Topology
) -> Float[Tensor, "vertices 3"]:
    """The vector from each vertex to the mean of its neighbors; 0 where it has none."""
    a, b = topology.edges.unbind(1)
    across = vertices[b] - vertices[a]
    total = torch.zeros_like(vertices).index_add(0, a, across).index_add(0, b, -across)
    return total / topology.degree


def mean_curvature_normals(
    vertices: Float[Tensor, "vertices 3"], topology: Topology
) -> Float[Tensor, "vertices 3"]:
    """The Laplace-Beltrami operator applied to the vertices: −2 H n, in 1 / length.

    H is the mean curvature and n the outward normal: −2 n / r on a sphere of radius r.
    Cotangent weights over the mixed area of each vertex (Meyer et al., "Discrete
    Differential-Geometry Operators for Triangulated 2-Manifolds", 2003, eq. 8 and fig. 4). The
    values at an open border are meaningless; they are 0 at vertices without faces.
    """
    cotangents, areas = _cotangents(vertices, topology.faces)
    weights = _edge_weights(cotangents, topology)
    total, _ = _weighted_laplacian(vertices, topology, weights)
    # Voronoi area: squared side × opposite cotangent / 8. In obtuse triangles, half of the
    # area at the obtuse corner and a quarter at the others.
    corners = vertices[topology.faces]
    squares = (corners.roll(-1, 1) - corners.roll(1, 1)).square().sum(-1)
    parts = squares * cotangents / 8
    voronoi = parts.roll(1, 1) + parts.roll(-1, 1)
    obtuse = cotangents < 0
    fixed = areas[:, None] * torch.where(obtuse, 0.5, 0.25)
    mixed = torch.where(obtuse.any(1, keepdim=True), fixed, voronoi)
    area = vertices.new_zeros(len(vertices)).index_add(
        0, topology.faces.flatten(), mixed.flatten()
    )
    return total / torch.where(area > 0, area, 1.0)[:, None]


def laplacian_smoothing(
    vertices: Float[Tensor, "vertices 3"],
    topology: Topology,
    weights: Literal["uniform", "cotangent"] = "uniform",
) -> Float[Tensor, ""]:
    """Mean length of the Laplacian, in scene units.

    "uniform" is the distance from each vertex to the mean of its neighbors; it also moves
    vertices along the surface until they are evenly spread. "cotangent" depends on the
    surface's shape only, not on where its vertices are: neighbors are weighted by the
    cotangents of the opposite angles (Desbrun et al., "Implicit Fairing of Irregular Meshes",
    1999, eq. 10). As there, the weights are constants within an optimization step. They are
    divided by the sum of their absolute values, so that slivers cannot make them large.
    """
    if weights == "uniform":
        offset = uniform_laplacian(vertices, topology)
    else:
        with torch.no_grad():
            cotangents, _ = _cotangents(vertices, topology.faces)
            edge_weights = _edge_weights(cotangents, topology)
        total, size = _weighted_laplacian(vertices, topology, edge_weights)
        offset = total / torch.where(size > 0, size, 1.0)[:, None]
    return offset.norm(dim=1) @ topology.vertex_weights


def normal_consistency(
    vertices: Float[Tensor, "vertices 3"], topology: Topology
) -> Float[Tensor, ""]:
    """Mean of 1 − cos between the normals of faces that share an edge: 0 for a flat mesh.

    In [0, 2], independent of how the two faces are oriented; 0 for meshes without such edges.
    """
    a, b, left, right = vertices[topology.hinges].unbind(1)
    first = torch.linalg.cross(b - a, left - a)
    second = torch.linalg.cross(right - a, b - a)
    return (1 - cosine_similarity(first, second, dim=1)) @ topology.hinge_weights


def edge_length_loss(
    vertices: Float[Tensor, "vertices 3"], topology: Topology, target: float = 0.0
) -> Float[Tensor, ""]:
    """Mean squared difference between edge lengths and a target, in squared scene units."""
    a, b = vertices[topology.edges].unbind(1)
    return ((a - b).norm(dim=1) - target).square() @ topology.edge_weights


def _cotangents(
    vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"]
) -> tuple[Float[Tensor, "faces 3"], Float[Tensor, "faces"]]:
    """Cotangents of the angle at each corner, and face areas."""
    corners = vertices[faces]
    ahead, back = corners.roll(-1, 1) - corners, corners.roll(1, 1) - corners
    double = torch.linalg.cross(ahead[:, 0], back[:, 0]).norm(dim=1)
    # A face without area has no angles; its weight is 0.
    flat = (double == 0)[:, None]
    cotangents = (ahead * back).sum(-1) / torch.where(flat, 1.0, double[:, None])
    return torch.where(flat, 0.0, cotangents), double / 2


def _edge_weights(
    cotangents: Float[Tensor, "faces 3"], topology: Topology
) -> Float[Tensor, "edges"]:
    """Half the sum of the cotangents of the angles opposite each edge."""
    zeros = cotangents.new_zeros(len(topology.edges))
    return zeros.index_add(0, topology.face_edges.flatten(), cotangents.flatten() / 2)


def _weighted_laplacian(
    vertices: Float[Tensor, "vertices 3"], topology: Topology, weights: Float[Tensor, "edges"]
) -> tuple[Float[Tensor, "vertices 3"], Float[Tensor, "vertices"]]:
    """Sums over each vertex's edges: of weight × vector to the other end, and of |weight|."""
    a, b = topology.edges.unbind(1)
    across = weights[:, None] * (vertices[b] - vertices[a])
    total = torch.zeros_like(vertices).index_add(0, a, across).index_add(0, b, -across)
    zeros, size = vertices.new_zeros(len(vertices)), weights.abs()
    return total, zeros.index_add(0, a, size).index_add(0, b, size)
