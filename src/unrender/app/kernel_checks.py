"""Every operation of the kernels, run on a small problem and compared with its reference."""

import ast
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import unrender.kernels
from unrender.errors import one_line
from unrender.geometry.cameras import Cameras
from unrender.kernels.composite import composite_dense
from unrender.kernels.depth_fusion import DepthImages, fuse_colors, fuse_depth
from unrender.kernels.encoding import encode
from unrender.kernels.expand import along_rays, expand
from unrender.kernels.gaussian_projection import project_gaussians
from unrender.kernels.grid_sample import grid_sample, total_variation
from unrender.kernels.hash_grid import HashGridLayout, hash_grid
from unrender.kernels.lazy_adam import lazy_adam
from unrender.kernels.march import MarchGrid, march
from unrender.kernels.mesh_distance import nearest_face, winding_number
from unrender.kernels.mlp import mlp
from unrender.kernels.nearest import k_nearest
from unrender.kernels.occupancy import occupied_cells, update_density
from unrender.kernels.rasterize import rasterize
from unrender.kernels.ray_mesh import TriangleBVH, any_hit, closest_hit
from unrender.kernels.runtime.backend import Backend, has_triton
from unrender.kernels.sparse_grid import sparse_sample
from unrender.kernels.spherical_harmonics import harmonic_colors, spherical_harmonics
from unrender.kernels.splat import splat
from unrender.kernels.step_function import outer, sample
from unrender.kernels.tape import evaluate, record
from unrender.shapes.primitives import icosphere

TOLERANCE = 1e-3
"""Largest difference from the reference, as a share of the largest value or of 1."""
POINTS = 64

Check = Callable[[torch.device, Backend], Tensor]
"""The operation's outcome on a device, by a backend."""


@dataclass(frozen=True)
class KernelResult:
    """How one operation fared."""

    name: str
    """Its package, and its own name if that is another one."""
    seconds: float
    """For the first call: compiling, where that was not done before, and running."""
    failure: str = ""
    """Why it is of no use here; empty if it agrees with its reference."""
    remark: str = ""
    """What is to be known of it."""


def run_checks(device: torch.device) -> Iterator[KernelResult]:
    """Run each operation on a device and compare it with its reference on the CPU."""
    for name, check in CHECKS.items():
        remark = "" if has_gpu_kernel(name) else "plain torch on a GPU"
        if device.type == "cuda" and not has_triton():
            remark = "plain torch, since Triton is not installed"
        began = time.perf_counter()
        try:
            found = check(device, "auto").cpu().float()
            seconds = time.perf_counter() - began
            wanted = check(torch.device("cpu"), "reference").float()
            failure = _difference(found, wanted)
        except Exception as error:
            seconds = time.perf_counter() - began
            failure = f"{type(error).__name__}: {one_line(error)}"
        yield KernelResult(name, seconds, failure, remark)


def _difference(found: Tensor, wanted: Tensor) -> str:
    if found.shape != wanted.shape:
        return f"has shape {tuple(found.shape)} where the reference has {tuple(wanted.shape)}"
    off = float((found - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))
    return "" if off <= TOLERANCE else f"differs from the reference by {off:.2g}"


def has_gpu_kernel(name: str) -> bool:
    """Whether an operation runs a Triton kernel on a GPU: its function in cuda.py (NAME or
    NAME_forward), or what that uses of the same file, is one. Otherwise it is the reference, or
    other operations of torch. Read from the source, since Triton need not be installed.
    """
    package, _, operation = name.partition(".")
    (folder,) = unrender.kernels.__path__
    file = Path(folder) / package / "cuda.py"
    if not file.exists():
        return False
    tree = ast.parse(file.read_text())
    parts = {
        part.name: part
        for part in tree.body
        if isinstance(part, ast.FunctionDef | ast.ClassDef)
    }
    own = operation or package
    waiting, seen = {own, f"{own}_forward"}, set[str]()
    while waiting:
        part = parts.get(waiting.pop())
        if part is None or part.name in seen:
            continue
        seen.add(part.name)
        if any(ast.unparse(each) == "triton.jit" for each in part.decorator_list):
            return True
        waiting |= {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
    return False


def _random(*sizes: int, seed: int = 0) -> Tensor:
    return torch.rand(*sizes, generator=torch.Generator().manual_seed(seed))


def _unit(count: int, seed: int = 0) -> Tensor:
    return torch.nn.functional.normalize(_random(count, 3, seed=seed) - 0.5, dim=1)


def _composite(device: torch.device, backend: Backend) -> Tensor:
    edges = torch.linspace(1, 2, 9, device=device).expand(POINTS, 9)
    density, color = _random(POINTS, 8).to(device), _random(POINTS, 8, 3).to(device)
    return composite_dense(density, color, edges, backend=backend).color


def _encode(device: torch.device, backend: Backend) -> Tensor:
    x, variance = (_random(POINTS, 3, seed=seed).to(device) for seed in (0, 1))
    return encode(x, variance, 6, backend)


def _along_rays(device: torch.device, backend: Backend) -> Tensor:
    offsets = torch.arange(POINTS + 1, device=device) * 4
    rays = _random(POINTS, 3).to(device), _unit(POINTS).to(device)
    return along_rays(*rays, _random(4 * POINTS).to(device), offsets, backend=backend)


def _expand(device: torch.device, backend: Backend) -> Tensor:
    offsets = torch.arange(POINTS + 1, device=device) * 4
    return expand(_random(POINTS, 3).to(device), offsets, backend=backend)


def _project_gaussians(device: torch.device, backend: Backend) -> Tensor:
    means = _random(POINTS, 3) + torch.tensor([-0.5, -0.5, 2.0])
    scales, turns = _random(POINTS, 3) - 4, _random(POINTS, 4) + 0.1
    camera = Cameras.from_focal(torch.eye(3, 4)[None], 40.0, 32, 32)
    tensors = (means, scales, turns, camera.world_from_camera[0], camera.intrinsics[0])
    moved = [tensor.to(device) for tensor in tensors]
    return project_gaussians(*moved, width=32, height=32, backend=backend).means2d


def _depth_images(device: torch.device) -> DepthImages:
    """Two cameras, at z = −3 and at x = −3, that look at the origin."""
    turned = torch.tensor(
        [[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]]
    )
    centers = torch.tensor([[0.0, 0, -3], [-3, 0, 0]])
    camera = Cameras.from_focal(torch.cat([turned, centers[:, :, None]], dim=2), 40.0, 32, 32)
    inverse = turned.mT
    extrinsics = torch.cat([inverse, -inverse @ centers[:, :, None]], dim=2)
    depth = torch.full((2, 32, 32), 3.0)
    return DepthImages(depth, camera.intrinsics @ extrinsics, centers).to(device)


def _fuse_depth(device: torch.device, backend: Backend) -> Tensor:
    low = torch.tensor([-0.5, -0.4, -0.3], device=device)
    return fuse_depth(_depth_images(device), low, 0.1, (9, 8, 7), 2.0, backend)[0]


def _fuse_colors(device: torch.device, backend: Backend) -> Tensor:
    points = 0.3 * _unit(POINTS)
    rgba = torch.cat([_random(2, 1, 1, 3).expand(2, 32, 32, 3), torch.ones(2, 32, 32, 1)], 3)
    rgba, points, normals = (each.to(device) for each in (rgba, points, _unit(POINTS)))
    return fuse_colors(_depth_images(device), rgba, points, normals, 1.0, backend)[0]


def _grid_sample(device: torch.device, backend: Backend) -> Tensor:
    grid, points = _random(4, 5, 6, 7).to(device), _random(POINTS, 3).to(device)
    return grid_sample(grid, points, backend=backend)


def _total_variation(device: torch.device, backend: Backend) -> Tensor:
    return total_variation(_random(4, 5, 6, 7).to(device), backend)


def _hash_grid(device: torch.device, backend: Backend) -> Tensor:
    layout = HashGridLayout(num_levels=4, log2_table_size=10, max_resolution=64)
    table = _random(layout.num_entries, layout.features_per_level).to(device)
    return hash_grid(_random(POINTS, 3).to(device), table, layout, backend=backend)


def _march(device: torch.device, backend: Backend) -> Tensor:
    occupied = torch.ones(16, 16, 16, dtype=torch.bool)
    grid = MarchGrid.from_cells(1.0, occupied, torch.ones(16, 16, 16), 0.1).to(device)
    origins = torch.tensor([0.0, 0.0, -3.0]).repeat(POINTS, 1).to(device)
    directions = torch.nn.functional.normalize(
        torch.cat([0.2 * (_random(POINTS, 2) - 0.5), torch.ones(POINTS, 1)], dim=1), dim=1
    )
    jitter = torch.full((POINTS,), 0.5, device=device)
    found = march(origins, directions.to(device), jitter, grid, backend=backend)
    return found.offsets


def _points_and_mesh(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    mesh, points = icosphere(1), 2 * _random(POINTS, 3)
    return points.to(device), mesh.vertices.to(device), mesh.faces.to(device)


def _nearest_face(device: torch.device, backend: Backend) -> Tensor:
    return nearest_face(*_points_and_mesh(device), backend=backend).distance2


def _winding_number(device: torch.device, backend: Backend) -> Tensor:
    # What it is for: which points are inside. The CPU's numbers are approximations.
    return winding_number(*_points_and_mesh(device), backend=backend) > 0.5


def _lazy_adam(device: torch.device, backend: Backend) -> Tensor:
    table, square = _random(POINTS, 4).to(device), _random(POINTS, 4, seed=1).to(device)
    gradient = (_random(POINTS, 4, seed=2) - 0.5).relu().to(device)
    moments = torch.zeros_like(table), square
    lazy_adam(table, gradient, *moments, 0.1, (0.9, 0.99), 3, 1e-8, backend=backend)
    return table


def _mlp(device: torch.device, backend: Backend) -> Tensor:
    weights = [(_random(16, 8) - 0.5).to(device), (_random(4, 16) - 0.5).to(device)]
    return mlp(_random(POINTS, 8).to(device), weights, backend=backend)


def _k_nearest(device: torch.device, backend: Backend) -> Tensor:
    clouds = _random(1, POINTS, 3).to(device), _random(1, POINTS, 3, seed=1).to(device)
    return k_nearest(*clouds, 3, backend=backend).distance2


def _update_density(device: torch.device, backend: Backend) -> Tensor:
    density, cells = _random(8, 8, 8).to(device), torch.arange(0, 512, 3, device=device)
    update_density(density, cells, _random(len(cells), seed=1).to(device), 0.9, backend)
    return density


def _occupied_cells(device: torch.device, backend: Backend) -> Tensor:
    return occupied_cells(_random(8, 8, 8).to(device), 0.1, 0.05, backend=backend)


def _rasterize(device: torch.device, backend: Backend) -> Tensor:
    mesh = icosphere(1)
    corners = (mesh.vertices[mesh.faces] + torch.tensor([0.0, 0.0, 3.0])).to(device)
    first = torch.tensor([0, len(corners)], device=device)
    camera = Cameras.from_focal(torch.eye(3, 4)[None], 30.0, 32, 32)
    found = rasterize(corners, first, camera.intrinsics.to(device), 32, 32, backend=backend)
    return found.pix_to_face


def _rays_and_mesh(device: torch.device) -> tuple[Tensor, Tensor, Tensor, TriangleBVH]:
    mesh = icosphere(1)
    tree = TriangleBVH.build(mesh.vertices.to(device), mesh.faces.to(device))
    origins = torch.full((POINTS, 3), -0.4, device=device)
    # Some of them end inside of the sphere.
    return origins, _unit(POINTS).to(device), 2 * _random(POINTS).to(device), tree


def _closest_hit(device: torch.device, backend: Backend) -> Tensor:
    return closest_hit(*_rays_and_mesh(device), backend=backend).distance


def _any_hit(device: torch.device, backend: Backend) -> Tensor:
    return any_hit(*_rays_and_mesh(device), backend=backend)


def _tape(device: torch.device, backend: Backend) -> Tensor:
    def ball(points: Tensor) -> Tensor:
        return points.square().sum(1).sqrt() - 1

    points = _random(4 * POINTS, 3).to(device)
    tape = record(ball, points, backend)
    return ball(points) if tape is None else evaluate(tape, points)


def _sparse_sample(device: torch.device, backend: Backend) -> Tensor:
    rows = torch.cat([torch.zeros(1, 4), _random(POINTS, 4)])
    index = torch.arange(64, dtype=torch.int32).view(4, 4, 4)
    moved = (rows.to(device), index.to(device), _random(POINTS, 3).to(device))
    return sparse_sample(*moved, backend=backend)


def _spherical_harmonics(device: torch.device, backend: Backend) -> Tensor:
    return spherical_harmonics(_unit(POINTS).to(device), backend=backend)


def _harmonic_colors(device: torch.device, backend: Backend) -> Tensor:
    coefficients = _random(POINTS, 15, 3, seed=1).to(device)
    return harmonic_colors(_unit(POINTS).to(device), coefficients, 3, backend)


def _splat(device: torch.device, backend: Backend) -> Tensor:
    conics = torch.tensor([0.1, 0.0, 0.1]).repeat(POINTS, 1)
    tensors = (32 * _random(POINTS, 2), conics, _random(POINTS, 3, seed=1), _random(POINTS))
    moved = [tensor.to(device) for tensor in (*tensors, 1 + _random(POINTS, seed=2))]
    return splat(*moved, width=32, height=32, backend=backend).color


def _outer(device: torch.device, backend: Backend) -> Tensor:
    edges = torch.linspace(0, 1, 9).repeat(POINTS, 1)
    others = torch.linspace(0.05, 0.95, 7).repeat(POINTS, 1)
    moved = (each.to(device) for each in (edges, _random(POINTS, 8), others))
    return outer(*moved, backend=backend)


def _sample(device: torch.device, backend: Backend) -> Tensor:
    edges = torch.linspace(0, 1, 9).repeat(POINTS, 1)
    uniform = torch.linspace(0.1, 0.9, 8).repeat(POINTS, 1)
    moved = (each.to(device) for each in (edges, _random(POINTS, 8) + 0.1, uniform))
    return sample(*moved, backend=backend)


CHECKS: dict[str, Check] = {
    "composite": _composite,
    "depth_fusion.fuse_colors": _fuse_colors,
    "depth_fusion.fuse_depth": _fuse_depth,
    "encoding.encode": _encode,
    "expand": _expand,
    "expand.along_rays": _along_rays,
    "gaussian_projection.project_gaussians": _project_gaussians,
    "grid_sample": _grid_sample,
    "grid_sample.total_variation": _total_variation,
    "hash_grid": _hash_grid,
    "lazy_adam": _lazy_adam,
    "march": _march,
    "mesh_distance.nearest_face": _nearest_face,
    "mesh_distance.winding_number": _winding_number,
    "mlp": _mlp,
    "nearest.k_nearest": _k_nearest,
    "occupancy.occupied_cells": _occupied_cells,
    "occupancy.update_density": _update_density,
    "rasterize": _rasterize,
    "ray_mesh.any_hit": _any_hit,
    "ray_mesh.closest_hit": _closest_hit,
    "sparse_grid.sparse_sample": _sparse_sample,
    "spherical_harmonics": _spherical_harmonics,
    "spherical_harmonics.harmonic_colors": _harmonic_colors,
    "splat": _splat,
    "step_function.outer": _outer,
    "step_function.sample": _sample,
    "tape": _tape,
}
"""One for each operation that a backend of `unrender.kernels` implements."""
