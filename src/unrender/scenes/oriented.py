"""Outward normals of points that have none.

Hoppe, DeRose, Duchamp, McDonald, Stuetzle, "Surface Reconstruction from Unorganized Points",
SIGGRAPH 1992, sec. 3.3: the planes through each point's neighbours say how normals lie, but not
which way they point. That is handed on from neighbour to neighbour, first where planes are most
alike, along a tree that spans the cloud. What is left is one sign for each connected part: the
one by which it has a positive volume.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.scenes.points import estimated_normals, nearest

NEIGHBOURS = 12
FEWEST = 100
"""Points that may say what a surface is like."""


@torch.no_grad()
def oriented_normals(
    points: Float[Tensor, "points 3"], neighbors: int = NEIGHBOURS
) -> Float[Tensor, "points 3"]:
    """Unit normals that point out of the closed surface on which the points lie.

    Thin parts and sharp edges want points that are nearer to each other than the surface is to
    itself. A part within another one, as a cavity is, is taken for a solid of its own.
    InputError for fewer than 100 points.
    """
    # Half a second that few calls need.
    from scipy.sparse import coo_matrix  # noqa: PLC0415
    from scipy.sparse.csgraph import (  # noqa: PLC0415
        breadth_first_order,
        connected_components,
        minimum_spanning_tree,
    )

    if len(points) < FEWEST:
        raise InputError(
            f"{len(points)} points without normals do not tell what a surface is like: give "
            f"at least {FEWEST}, or normals"
        )
    normals = estimated_normals(points, points.mean(0), neighbors)
    _, index = nearest(points, neighbors)
    alike = (normals[:, None] * normals[index]).sum(2).abs()
    # An edge without weight would be none.
    weight = (1 - alike).clamp_min(0) + 1e-6
    rows = np.repeat(np.arange(len(points)), index.shape[1])
    edges = coo_matrix(
        (weight.flatten().cpu().numpy(), (rows, index.flatten().cpu().numpy())),
        shape=(len(points), len(points)),
    )
    tree = minimum_spanning_tree(edges.maximum(edges.T))
    count, part = connected_components(tree, directed=False)
    directions = normals.cpu().numpy()
    for number in range(count):
        members = np.flatnonzero(part == number)
        order, parent = breadth_first_order(tree, members[0], directed=False)
        for child in order[1:]:
            if directions[child] @ directions[parent[child]] < 0:
                directions[child] *= -1
        # A third of the sum of place · normal · area is the volume.
        middle = points[members].mean(0).cpu().numpy()
        places = points[members].cpu().numpy() - middle
        if (places * directions[members]).sum() < 0:
            directions[members] *= -1
    return torch.from_numpy(directions).to(points)
