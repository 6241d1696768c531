"""Depth from a normal map, by integration.

Normals determine the slopes of the surface, and least squares integrate slopes to depth: the
difference in depth of neighboring pixels is the mean of their slopes (Horn and Brooks, "The
Variational Approach to Shape from Shading", 1986). For a perspective camera, it is the log
depth whose slopes depend on normals alone (Quéau, Durou and Aujol, "Normal Integration: A
Survey", 2018, sec. 2.2).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.shapes.mesh import Mesh

GRAZING = 0.02
"""Smallest accepted cosine between a normal and the line of sight."""


def depth_from_normals(
    normals: Float[Tensor, "height width 3"],
    mask: Bool[Tensor, "height width"],
    camera: Cameras | None = None,
) -> Float[Tensor, "height width"]:
    """Depth along the optical axis inside of the mask, 0 elsewhere.

    Without a camera, the projection is orthographic: normals are in a camera frame (x right, y
    down, z forward), and depth is in pixels with mean 0. With one, normals are in the world
    frame, and depth is up to scale, with geometric mean 1. Each connected component of the mask
    has its own offset or scale. Raises InputError if the mask is empty, or a normal in it is
    NaN, Inf, 0, or does not face the camera.
    """
    if not bool(mask.any()):
        raise InputError("the mask is empty: give one that covers the surface")
    chosen = normals[mask].double()
    if not bool(chosen.isfinite().all()):
        raise InputError("normals in the mask contain NaN or Inf: leave such pixels out")
    length = chosen.norm(dim=1, keepdim=True)
    if not bool((length > 0.1).all()):
        raise InputError(
            f"{int((length <= 0.1).sum())} normals in the mask are 0: leave these pixels out"
        )
    chosen = chosen / length
    height, width = mask.shape
    if camera is None:
        sight = chosen.new_tensor([0.0, 0.0, 1.0]).expand_as(chosen)
        across = torch.eye(3).to(chosen)[:, :2].expand(len(chosen), 3, 2)
    else:
        assert len(camera) == 1, "one camera for one map of normals"
        chosen = chosen @ camera.rotations[0].double()
        inverse = torch.linalg.inv(camera.intrinsics[0].double())
        pixel = pixel_grid(width, height)[mask].to(chosen)
        sight = torch.cat([pixel, torch.ones_like(pixel[:, :1])], dim=1) @ inverse.mT
        across = inverse[:, :2].expand(len(chosen), 3, 2)
    facing = -(chosen * sight).sum(1)
    steep = facing < GRAZING * sight.norm(dim=1)
    if bool(steep.any()):
        raise InputError(
            f"{int(steep.sum())} of {len(steep)} normals in the mask do not face the camera: "
            "leave these pixels out, or check the frame that the normals are in"
        )
    slopes = (chosen[:, None] @ across)[:, 0] / facing[:, None]
    weight = facing / sight.norm(dim=1)
    found = _integrated(slopes, weight, mask)
    out = normals.new_zeros(height, width)
    out[mask] = (found if camera is None else found.exp()).to(out)
    return out


def _integrated(
    slopes: Float[Tensor, "pixels 2"],
    weight: Float[Tensor, "pixels"],
    mask: Bool[Tensor, "height width"],
) -> Float[Tensor, "pixels"]:
    """Weighted least squares with one equation per pair of neighbors in the mask."""
    from scipy import sparse  # noqa: PLC0415 - slow to import
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - as scipy
    from scipy.sparse.linalg import spsolve  # noqa: PLC0415 - as scipy

    row = torch.full(mask.shape, -1)
    row[mask] = torch.arange(len(slopes))
    pairs: list[Int[Tensor, "edges 2"]] = []
    differences: list[Tensor] = []
    for axis, (first, second) in enumerate(((row[:, :-1], row[:, 1:]), (row[:-1], row[1:]))):
        pair = torch.stack([first, second], dim=-1).flatten(0, 1)
        pair = pair[(pair >= 0).all(1)]
        pairs.append(pair)
        differences.append(slopes[pair, axis].mean(1))
    pair, slope = torch.cat(pairs), torch.cat(differences).numpy()
    a, b = pair.numpy().T
    number, edges = len(slopes), np.arange(len(pair))
    signs = np.repeat([-1.0, 1.0], len(pair))
    system = sparse.csr_matrix(
        (signs, (np.tile(edges, 2), np.concatenate([a, b]))), (len(pair), number)
    )
    # Steep slopes are the least reliable ones.
    trust = sparse.diags(weight[pair].amin(1).square().numpy())
    links = sparse.csr_matrix((np.ones(len(pair)), (a, b)), (number, number))
    count, part = connected_components(links, directed=False)
    _, anchors = np.unique(part, return_index=True)
    # One pixel of each component is fixed at 0; the mean is subtracted afterwards.
    held = sparse.csr_matrix((np.ones(count), (anchors, anchors)), (number, number))
    found = np.atleast_1d(
        np.asarray(
            spsolve((system.T @ trust @ system + held).tocsc(), system.T @ (trust @ slope))
        )
    )
    means = np.bincount(part, found) / np.bincount(part)
    return torch.from_numpy(found - means[part])


def mesh_from_depth(
    depth: Float[Tensor, "height width"], mask: Bool[Tensor, "height width"], camera: Cameras
) -> Mesh:
    """Mesh with two triangles for each 2 × 2 block of the mask, in the world, facing the
    camera.

    `depth` is along the optical axis.
    """
    height, width = mask.shape
    pixel = pixel_grid(width, height)[mask].to(depth)
    local = torch.cat([pixel, torch.ones_like(pixel[:, :1])], dim=1)
    local = local @ torch.linalg.inv(camera.intrinsics[0]).mT * depth[mask][:, None]
    pose = camera.world_from_camera[0]
    row = torch.full(mask.shape, -1)
    row[mask] = torch.arange(len(pixel))
    corners = torch.stack([row[:-1, :-1], row[1:, :-1], row[1:, 1:], row[:-1, 1:]], dim=-1)
    corners = corners.flatten(0, 1)
    corners = corners[(corners >= 0).all(1)]
    faces = corners[:, [[0, 1, 2], [0, 2, 3]]].flatten(0, 1)
    return Mesh(local @ pose[:, :3].mT + pose[:, 3], faces)
