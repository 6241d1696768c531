"""Signed distances to point clouds, and outward normals for clouds that have none.

Hoppe, DeRose, Duchamp, McDonald, Stuetzle, "Surface Reconstruction from Unorganized Points",
SIGGRAPH 1992: planes fitted to each point's neighbors give the normals up to sign. Signs are
propagated between neighbors along a minimum spanning tree of the cloud, most reliable edges
first. Two normals are consistent if one is the other mirrored in the bisecting plane between
the points, as on a circle (König and Gumhold, "Consistent Propagation of Normal Orientations in
Point Clouds", VMV 2009); this also holds around edges and from one side of a thin sheet to the
other. The one sign left for each connected component is that which makes its volume positive.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.kernels.nearest import nearest
from unrender.shapes.chamfer import safe_sqrt
from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.points import estimate_normals, nearest_neighbors

NUM_NEIGHBORS = 10
MIN_POINTS = 100
"""Clouds of fewer points are refused: they do not determine a surface."""
PLANE_REACH = 4.0
"""A point's plane stands for the surface up to this many median neighbor distances."""


@torch.no_grad()
def oriented_normals(
    points: Float[Tensor, "points 3"], neighbors: int = NUM_NEIGHBORS
) -> Float[Tensor, "points 3"]:
    """Unit normals that point out of the closed surface that the points are sampled from.

    Points must be closer to each other than different parts of the surface are. A component
    inside another one, such as a cavity, is treated as a solid of its own. Raises InputError
    for fewer than 100 points.
    """
    # Importing scipy takes half a second.
    from scipy.sparse import coo_matrix  # noqa: PLC0415
    from scipy.sparse.csgraph import (  # noqa: PLC0415
        breadth_first_order,
        connected_components,
        minimum_spanning_tree,
    )

    if len(points) < MIN_POINTS:
        raise InputError(
            f"{len(points)} points without normals do not determine a surface: give at "
            f"least {MIN_POINTS} points, or normals"
        )
    normals = estimate_normals(points, points.mean(0), neighbors)
    _, index = nearest_neighbors(points, neighbors)
    alike = _agreement(points, normals, index).abs()
    rows = np.repeat(np.arange(len(points)), index.shape[1])
    # scipy treats edges of weight 0 as missing.
    weight = (1 - alike).clamp_min(0) + 1e-6
    edges = coo_matrix(
        (weight.flatten().cpu().numpy(), (rows, index.flatten().cpu().numpy())),
        shape=(len(points), len(points)),
    ).tocsr()
    tree = minimum_spanning_tree(edges.maximum(edges.T))
    count, part = connected_components(tree, directed=False)
    for number in range(count):
        members = np.flatnonzero(part == number)
        order, parent = breadth_first_order(tree, members[0], directed=False)
        child = torch.from_numpy(order[1:].astype(np.int64)).to(points.device)
        above = torch.from_numpy(parent[order[1:]].astype(np.int64)).to(points.device)
        turn = _agreement(points, normals, above[:, None], child)[:, 0] < 0
        # Parents come first, as flips accumulate along the tree.
        turned = np.zeros(len(points), dtype=bool)
        for a, b, flip in zip(child.tolist(), above.tolist(), turn.tolist(), strict=True):
            turned[a] = turned[b] ^ flip
        own = torch.from_numpy(members).to(points.device)
        signs = 1 - 2 * torch.from_numpy(turned[members]).to(points)
        outward = normals[own] * signs[:, None]
        # By the divergence theorem, the volume is Σ position · normal · area / 3.
        middle = points[own].mean(0)
        inverted = ((points[own] - middle) * outward).sum() < 0
        normals[own] = -outward if bool(inverted) else outward
    return normals


def _agreement(
    points: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    others: Int[Tensor, "chosen others"],
    chosen: Int[Tensor, "chosen"] | None = None,
) -> Float[Tensor, "chosen others"]:
    """Cosine between each normal and its neighbors' mirrored ones: 1 if they are consistent."""
    here = slice(None) if chosen is None else chosen
    across = normalize(points[others] - points[here][:, None], dim=2)
    theirs = normals[others]
    mirrored = theirs - 2 * (across * theirs).sum(2, keepdim=True) * across
    return (normals[here][:, None] * mirrored).sum(2)


def point_cloud_sdf(
    points: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"]
) -> SDF:
    """Signed distance to a point cloud with unit outward normals, negative inside.

    Near a point it is the distance to its tangent plane (Hoppe et al., sec. 3.2); farther away,
    the distance to the nearest point, with the sign of its plane. Holes are closed by extended
    planes.
    """
    between, _ = nearest_neighbors(points, 2)
    reach = PLANE_REACH * float(between[:, -1].median())

    def distance(queries: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        found = nearest(queries[None], points[None])
        index, away = found.index[0], safe_sqrt(found.distance2[0])
        height = ((queries - points[index]) * normals[index]).sum(1)
        far = torch.where(height < 0, -away, away)
        return torch.where(away < reach, height, far)

    return distance
