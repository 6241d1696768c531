"""An inside for clouds of points: outward normals where there are none, and signed distances.

Hoppe, DeRose, Duchamp, McDonald, Stuetzle, "Surface Reconstruction from Unorganized Points",
SIGGRAPH 1992: the planes through each point's neighbours say how normals lie, but not which way
they point. That is handed on from neighbour to neighbour, along a tree that spans the cloud,
first where it is surest. Two neighbours agree if one normal, mirrored in the plane halfway
between the points, is the other one, as on a circle (König and Gumhold, "Consistent Propagation
of Normal Orientations in Point Clouds", VMV 2009): this also holds around an edge, and from one
side of a thin sheet to the other. What is left is one sign for each connected part: the one by
which it has a positive volume.
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
"""Points that may say what a surface is like."""
PLANE_REACH = 4.0
"""A plane stands for the surface about its point for so many distances between neighbours."""


@torch.no_grad()
def oriented_normals(
    points: Float[Tensor, "points 3"], neighbors: int = NUM_NEIGHBORS
) -> Float[Tensor, "points 3"]:
    """Unit normals that point out of the closed surface on which the points lie.

    Points are to be nearer to each other than the surface is to itself. A part within another
    one, as a cavity is, is taken for a solid of its own. InputError for fewer than 100 points.
    """
    # Half a second that few calls need.
    from scipy.sparse import coo_matrix  # noqa: PLC0415
    from scipy.sparse.csgraph import (  # noqa: PLC0415
        breadth_first_order,
        connected_components,
        minimum_spanning_tree,
    )

    if len(points) < MIN_POINTS:
        raise InputError(
            f"{len(points)} points without normals do not tell what a surface is like: give "
            f"at least {MIN_POINTS}, or normals"
        )
    normals = estimate_normals(points, points.mean(0), neighbors)
    _, index = nearest_neighbors(points, neighbors)
    alike = _agreement(points, normals, index).abs()
    rows = np.repeat(np.arange(len(points)), index.shape[1])
    # An edge without weight would be none.
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
        # Parents come before their children, of whose turns theirs are a part.
        turned = np.zeros(len(points), dtype=bool)
        for a, b, flip in zip(child.tolist(), above.tolist(), turn.tolist(), strict=True):
            turned[a] = turned[b] ^ flip
        own = torch.from_numpy(members).to(points.device)
        signs = 1 - 2 * torch.from_numpy(turned[members]).to(points)
        outward = normals[own] * signs[:, None]
        # A third of the sum of place · normal · area is the volume.
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
    """The cosine of each normal with others' that are mirrored halfway: 1 if they agree."""
    here = slice(None) if chosen is None else chosen
    across = normalize(points[others] - points[here][:, None], dim=2)
    theirs = normals[others]
    mirrored = theirs - 2 * (across * theirs).sum(2, keepdim=True) * across
    return (normals[here][:, None] * mirrored).sum(2)


def point_cloud_sdf(
    points: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"]
) -> SDF:
    """The distance to a cloud whose normals have unit length and point out, negative inside.

    Near a point it is the distance to the plane there (Hoppe et al., sec. 3.2); farther away,
    that to the nearest point, with the side of its plane for the sign. Where the cloud has
    holes, planes go on.
    """
    between, _ = nearest_neighbors(points, 2)
    reach = PLANE_REACH * float(between[:, -1].median())

    def distance(places: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        found = nearest(places[None], points[None])
        index, away = found.index[0], safe_sqrt(found.distance2[0])
        height = ((places - points[index]) * normals[index]).sum(1)
        far = torch.where(height < 0, -away, away)
        return torch.where(away < reach, height, far)

    return distance
