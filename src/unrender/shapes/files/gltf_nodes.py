"""Nodes of glTF: where meshes are, instances, skins in their rest pose, and morph targets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from unrender.files import Json
from unrender.geometry.poses import so3_from_quaternion
from unrender.shapes.files.gltf_file import GltfFile

Matrix = Float[Tensor, "4 4"]


@dataclass(frozen=True)
class Placed:
    """A mesh of the scene."""

    index: int
    """Its row among the meshes."""
    matrix: Matrix
    """Takes it to the scene; for a skin, the identity."""
    joints: Float[Tensor, "joints 4 4"] | None
    """What each joint does to the vertices of a skin."""
    weights: tuple[float, ...]
    """Those of the morph targets that the node gives instead of the mesh's."""


def placed_meshes(file: GltfFile) -> Iterator[Placed]:
    """The meshes of the default scene, in the file's order of nodes. Raises InputError."""
    if "scenes" in file.content:
        scene = file.item("scenes", file.content.get("scene", 0))
        roots = file.rows(scene.get("nodes", []))
    else:
        roots = _roots(file)
    places = _places(file, roots)
    everywhere: dict[int, Matrix] | None = None
    for index, here in places.items():
        node = file.item("nodes", index)
        if "mesh" not in node:
            continue
        (mesh,) = file.rows([node["mesh"]])
        weights = tuple(float(w) for w in node.get("weights", []))
        if "skin" in node:
            # Joints may be outside of the scene. The node's own transform is not used.
            everywhere = everywhere or {**_all_places(file), **places}
            joints = _joints(file, file.item("skins", node["skin"]), everywhere)
            yield Placed(mesh, torch.eye(4, dtype=torch.float64), joints, weights)
            continue
        for matrix in _instances(file, node, here):
            yield Placed(mesh, matrix, None, weights)


def _places(file: GltfFile, roots: list[int]) -> dict[int, Matrix]:
    """The nodes below some, each with its transform to the scene."""
    waiting = [(index, torch.eye(4, dtype=torch.float64)) for index in roots]
    found: dict[int, Matrix] = {}
    while waiting:
        index, above = waiting.pop()
        node = file.item("nodes", index)
        if index in found:
            raise file.error(f"node {index} is in the scene more than once: export it again")
        found[index] = above @ _matrix(node)
        waiting += [(child, found[index]) for child in file.rows(node.get("children", []))]
    return found


def _all_places(file: GltfFile) -> dict[int, Matrix]:
    return _places(file, _roots(file))


def _roots(file: GltfFile) -> list[int]:
    """The nodes that are below no other."""
    nodes = file.content.get("nodes", [])
    below = {child for node in nodes for child in file.rows(node.get("children", []))}
    return [k for k in range(len(nodes)) if k not in below]


def _matrix(node: Json) -> Matrix:
    """A node's transform relative to its parent."""
    if "matrix" in node:
        # Column-major.
        return torch.tensor(node["matrix"], dtype=torch.float64).view(4, 4).T
    return _composed(
        torch.tensor(node.get("translation", [0, 0, 0]), dtype=torch.float64)[None],
        torch.tensor(node.get("rotation", [0, 0, 0, 1]), dtype=torch.float64)[None],
        torch.tensor(node.get("scale", [1, 1, 1]), dtype=torch.float64)[None],
    )[0]


def _composed(
    translations: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    scales: Float[Tensor, "n 3"],
) -> Float[Tensor, "n 4 4"]:
    """Translation · rotation · scale, of quaternions x y z w."""
    matrix = torch.eye(4, dtype=torch.float64).repeat(len(translations), 1, 1)
    turn = so3_from_quaternion(quaternions.roll(1, dims=1))
    matrix[:, :3, :3] = turn * scales[:, None]
    matrix[:, :3, 3] = translations
    return matrix


def _instances(file: GltfFile, node: Json, here: Matrix) -> list[Matrix]:
    """The places of a node's instances (EXT_mesh_gpu_instancing), or its own."""
    extension = node.get("extensions", {}).get("EXT_mesh_gpu_instancing")
    if extension is None:
        return [here]
    named: dict[str, Any] = extension.get("attributes", {})
    found = {
        name: file.numbers(named[name], width)
        for name, width in (("TRANSLATION", 3), ("ROTATION", 4), ("SCALE", 3))
        if name in named
    }
    counts = {len(values) for values in found.values()}
    if len(counts) != 1:
        raise file.error("has instances without places: export it without instancing")
    count = counts.pop()
    nowhere, still = torch.zeros(count, 3).double(), torch.zeros(count, 4).double()
    still[:, 3] = 1
    matrices = _composed(
        found.get("TRANSLATION", nowhere),
        found.get("ROTATION", still),
        found.get("SCALE", nowhere + 1),
    )
    return list((here @ matrices).unbind(0))


def _joints(
    file: GltfFile, skin: Json, places: dict[int, Matrix]
) -> Float[Tensor, "joints 4 4"]:
    """Each joint's transform to the scene × its inverse bind matrix."""
    now = torch.stack([places[joint] for joint in file.rows(skin["joints"])])
    if "inverseBindMatrices" not in skin:
        return now
    bound = file.numbers(skin["inverseBindMatrices"], 16)[: len(now)]
    return now @ bound.view(-1, 4, 4).mT


def skinned(
    file: GltfFile, attributes: dict[str, int], placed: Placed, count: int
) -> Float[Tensor, "#vertices 4 4"]:
    """The transform of each vertex: its joints' mean by its weights; or the node's, of all."""
    if placed.joints is None or "JOINTS_0" not in attributes:
        return placed.matrix[None]
    total = torch.zeros(count, 4, 4, dtype=torch.float64)
    whole = torch.zeros(count, dtype=torch.float64)
    number = 0
    while f"JOINTS_{number}" in attributes:
        joints = file.numbers(attributes[f"JOINTS_{number}"], 4).long()
        weights = file.numbers(attributes[f"WEIGHTS_{number}"], 4)
        if len(joints) != count or len(weights) != count:
            raise file.error(f"has {len(joints)} joints for {count} vertices: export it again")
        if count and not 0 <= int(joints.min()) <= int(joints.max()) < len(placed.joints):
            raise file.error("a vertex names a joint that its skin lacks: export it again")
        for k in range(4):
            total += weights[:, k, None, None] * placed.joints[joints[:, k]]
            whole += weights[:, k]
        number += 1
    # Vertices without weights stay where they are.
    free = ~(whole > 0)
    total[free] = torch.eye(4, dtype=torch.float64)
    return total / torch.where(free, 1.0, whole)[:, None, None]


def morphed(
    file: GltfFile,
    name: str,
    values: Float[Tensor, "vertices 3"],
    targets: list[dict[str, int]],
    weights: tuple[float, ...],
) -> Float[Tensor, "vertices 3"]:
    """Positions or normals with the morph targets' displacements by their weights."""
    for target, weight in zip(targets, weights, strict=False):
        if weight and name in target:
            moved = file.numbers(target[name], 3)
            if moved.shape != values.shape:
                raise file.error(
                    f"has a morph target of {len(moved)} vertices: export it again"
                )
            values = values + weight * moved
    return values


def turned(
    matrices: Float[Tensor, "#vertices 4 4"], normals: Float[Tensor, "vertices 3"]
) -> Float[Tensor, "vertices 3"]:
    """Unit normals after transforms, by cofactors, which exist where inverses do not."""
    a, b, c = matrices[:, 0, :3], matrices[:, 1, :3], matrices[:, 2, :3]
    rows = [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)]
    moved = (torch.stack(rows, dim=1) * normals[:, None]).sum(-1)
    sign = torch.linalg.det(matrices[:, :3, :3]).sign()
    return normalize(sign[:, None] * moved, dim=1)
