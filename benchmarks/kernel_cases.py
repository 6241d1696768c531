"""Kernels at the sizes at which they are timed, and the minimum work of each.

To add a kernel, write a function that returns a `Case`, and a line in `CASES`.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from unittest.mock import patch

import torch
from limits import Limits
from torch import Tensor

from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.kernels import step_function
from unrender.kernels.composite import composite
from unrender.kernels.expand import expand
from unrender.kernels.grid_sample import grid_sample, total_variation
from unrender.kernels.hash_grid import HashGridLayout, hash_grid
from unrender.kernels.march import MarchGrid, march
from unrender.kernels.mlp import mlp
from unrender.kernels.occupancy import occupied_cells, update_density
from unrender.kernels.runtime import backend
from unrender.kernels.runtime.backend import Backend
from unrender.kernels.spherical_harmonics import spherical_harmonics
from unrender.methods.instant_ngp import InstantNGP
from unrender.training.method import Progress

SAMPLES_A_RAY = 32


@dataclass(frozen=True)
class Work:
    """Minimum work of a case, independent of the implementation."""

    flops: float = 0.0
    """Floating-point operations of matrix products."""
    bytes: float = 0.0
    """Bytes moved: each array in and out once per pass."""
    gathers: dict[int, float] = field(default_factory=dict)
    """Number of random 8-byte reads, by the number of table entries."""
    updates: dict[int, float] = field(default_factory=dict)
    in_turn: bool = False
    """Whether kinds of work follow each other, so that their times add up."""

    def least_seconds(self, limits: Limits) -> dict[str, float]:
        """Minimum time at each limit; the longest one binds."""
        pairs = ((self.gathers, limits.gathers), (self.updates, limits.updates))
        found = {
            "products": self.flops / limits.flops,
            "bandwidth": self.bytes / limits.bytes,
            "gathers": sum(
                count / limits.rate(rates, entries)
                for work, rates in pairs
                for entries, count in work.items()
            ),
        }
        return {**found, **({"all in turn": sum(found.values())} if self.in_turn else {})}

    @property
    def moved(self) -> float:
        """Bytes, with 8 for each gather and 16 for each update."""
        return self.bytes + 8 * sum(self.gathers.values()) + 16 * sum(self.updates.values())


@dataclass(frozen=True)
class Case:
    """One kernel at one size."""

    count: int
    unit: str
    """Unit of the count."""
    run: Callable[[Backend], object]
    """Runs the forward and, if it exists, the backward pass."""
    work: Work


def _random(shape: Sequence[int], device: str, gradient: bool = False) -> Tensor:
    return torch.rand(tuple(shape), device=device, requires_grad=gradient)


def _forward_backward(
    forward: Callable[[Backend], Tensor | tuple[Tensor, ...]],
    inputs: Sequence[Tensor],
    above: Sequence[Tensor],
) -> Callable[[Backend], object]:
    def run(name: Backend) -> object:
        out = forward(name)
        return torch.autograd.grad(out if isinstance(out, tuple) else (out,), inputs, above)

    return run


def _touched(layout: HashGridLayout, count: int) -> dict[int, float]:
    """Eight accesses per point and level, by the size of the level's table."""
    touched: dict[int, float] = {}
    for size in layout.sizes:
        touched[size] = touched.get(size, 0.0) + 8.0 * count
    return touched


def hash_grid_case(
    count: int, device: str, levels: int = 16, log2_table_size: int = 15, finest: int = 2048
) -> Case:
    """Forward, and backward to the table."""
    layout = HashGridLayout(levels, log2_table_size, 16, finest)
    points = _random((count, 3), device)
    table = _random((layout.num_entries, 2), device, gradient=True)
    # In the memory layout of the networks' gradient: column by column.
    above = [_random((2 * levels, count), device).T]
    touched = _touched(layout, count)
    moved = 4 * count * (2 * 3 + 2 * 2 * levels) + table.nbytes
    return Case(
        count,
        "samples",
        _forward_backward(lambda b: hash_grid(points, table, layout, b), [table], above),
        Work(bytes=moved, gathers=touched, updates=touched),
    )


def mlp_case(count: int, device: str, sizes: Sequence[int] = (32, 64, 64, 16)) -> Case:
    """Forward, and backward to the weights and the input."""
    points = _random((sizes[0], count), device).T.requires_grad_()
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [(_random(shape, device) - 0.5).requires_grad_() for shape in shapes]
    above = [_random((sizes[-1], count), device).T]
    products = sum(a * b for a, b in shapes)
    return Case(
        count,
        "samples",
        _forward_backward(lambda b: mlp(points, weights, backend=b), [points, *weights], above),
        Work(flops=6 * products * count, bytes=4 * count * 2 * (sizes[0] + sizes[-1])),
    )


def composite_case(count: int, device: str) -> Case:
    """All four sums of each ray, and backward to density and color."""
    num = count * SAMPLES_A_RAY
    density = (10 * _random((num,), device)).requires_grad_()
    color = _random((3, num), device).T.requires_grad_()
    starts = torch.arange(num, device=device) % SAMPLES_A_RAY * 0.02
    ends = starts + 0.02
    offsets = torch.arange(count + 1, device=device) * SAMPLES_A_RAY
    above = [_random((count, *shape), device) for shape in ((3,), (), (), ())]

    def forward(name: Backend) -> tuple[Tensor, ...]:
        out = composite(density, color, starts, ends, offsets, backend=name)
        return out.color, out.opacity, out.distance, out.distortion

    return Case(
        count,
        "rays",
        _forward_backward(forward, [density, color], above),
        Work(bytes=4 * num * (6 + 6 + 4) + 4 * count * 2 * 6),
    )


def expand_case(count: int, device: str, channels: int = 16) -> Case:
    """Features of rays to their samples, and backward."""
    values = _random((count, channels), device, gradient=True)
    offsets = torch.arange(count + 1, device=device) * SAMPLES_A_RAY
    num = count * SAMPLES_A_RAY
    above = [_random((channels, num), device).T]
    return Case(
        count,
        "rays",
        _forward_backward(lambda b: expand(values, offsets, backend=b), [values], above),
        Work(bytes=4 * channels * 2 * (num + count)),
    )


def _ball(cells: int) -> Tensor:
    """The cells of the cube [−1.5, 1.5]³ that lie in a ball of radius 0.7."""
    side = (torch.arange(cells) + 0.5) * (3 / cells) - 1.5
    x, y, z = torch.meshgrid(side, side, side, indexing="ij")
    return x**2 + y**2 + z**2 < 0.7**2


def march_case(count: int, device: str, cells: int = 128) -> Case:
    """Rays through a semi-transparent ball."""
    occupied = _ball(cells)
    grid = MarchGrid.from_cells(1.5, occupied, 10.0 * occupied, 0.015).to(torch.device(device))
    origins = 4 * torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)
    directions = torch.nn.functional.normalize(torch.rand(count, 3) * 2 - 1 - origins, dim=-1)
    rays = [tensor.to(device) for tensor in (origins, directions, torch.rand(count))]
    found = len(march(*rays, grid))
    return Case(
        count,
        "rays",
        lambda name: march(*rays, grid, backend=name),
        Work(bytes=4 * count * 7 + 8 * (count + found)),
    )


def occupancy_case(count: int, device: str, cells: int = 128) -> Case:
    """Update of `count` random cells, and the resulting occupancy of all cells."""
    density = _random((cells, cells, cells), device)
    index = torch.randperm(cells**3)[:count].sort().values.to(device)
    seen = _random((len(index),), device)

    def run(name: Backend) -> Tensor:
        update_density(density, index, seen, 0.8, name)
        return occupied_cells(density, 0.015, 0.01, name)

    return Case(len(index), "cells", run, Work(bytes=9 * cells**3 + 20 * len(index)))


def grid_sample_case(count: int, device: str, side: int = 128, channels: int = 12) -> Case:
    """Forward, and backward to the grid, with total variation, as in DVGO's training."""
    grid = _random((channels, side, side, side), device, gradient=True)
    points = _random((count, 3), device)
    above = [_random((channels, count), device).T, torch.ones((), device=device)]

    def forward(name: Backend) -> tuple[Tensor, ...]:
        return grid_sample(grid, points, name), total_variation(grid, name)

    # The grid is read and its gradient written, twice each; eight vertices per point.
    moved = 4 * grid.nbytes + 4 * count * 2 * (3 + channels)
    return Case(count, "samples", _forward_backward(forward, [grid], above), Work(bytes=moved))


def spherical_harmonics_case(count: int, device: str, degree: int = 3) -> Case:
    """Forward, and backward to the directions."""
    directions = torch.nn.functional.normalize(torch.randn(count, 3), dim=-1)
    directions = directions.T.contiguous().to(device).T.requires_grad_()
    number = (degree + 1) ** 2
    above = [_random((number, count), device).T]
    return Case(
        count,
        "directions",
        _forward_backward(
            lambda b: spherical_harmonics(directions, degree, b), [directions], above
        ),
        Work(bytes=4 * count * 2 * (3 + number)),
    )


def step_function_case(count: int, device: str, bins: int = 64) -> Case:
    """Proposals resampled, and the upper bound of their loss with its gradient."""
    t = _random((count, bins + 1), device).sort(-1).values
    w = _random((count, bins), device, gradient=True)
    u = _random((count, bins), device).sort(-1).values
    above = [_random((count, bins - 1), device)]

    def forward(name: Backend) -> Tensor:
        return step_function.outer(t, w, step_function.sample(t, w, u, name), name)

    return Case(
        count,
        "rays",
        _forward_backward(forward, [w], above),
        Work(bytes=4 * count * bins * 9),
    )


@contextmanager
def all_kernels_on(name: Backend) -> Generator[None]:
    """Make "auto" resolve to this backend; the library has no such switch, on purpose."""
    with patch.object(backend, "resolve", lambda asked, _: name if asked == "auto" else asked):
        yield


def train_step_case(count: int, device: str) -> Case:
    """A training step of instant-ngp with that number of samples, on noise images."""
    generator = torch.Generator().manual_seed(0)
    cameras = Cameras.from_focal(spherical_shell(8, (4.0, 4.0), generator), 140.0, 100, 100)
    views = Views(cameras, torch.rand(8, 100, 100, 4, generator=generator)).to(device)
    method = InstantNGP(samples=count)
    model = method.build(views, generator)
    model.occupancy.occupied.copy_(_ball(method.occupancy_cells))
    model.to(device)
    optimizer = method.optimizer(model)

    def run(name: Backend) -> None:
        with all_kernels_on(name) if name != "auto" else nullcontext():
            optimizer.zero_grad(set_to_none=True)
            losses = method.losses(model, views, Progress(0, 0.0), generator)
            losses["color"].backward()
            optimizer.step()

    products = sum(w.numel() for w in (*model.field.network, *model.color_net))
    touched = _touched(model.field.layout, count)
    # Adam reads parameter, gradient and two moments, and writes all but the gradient.
    work = Work(
        6 * products * count, 7 * model.field.table.nbytes, touched, touched, in_turn=True
    )
    return Case(count, "samples", run, work)


Factory = Callable[[int, str], Case]
CASES: dict[str, tuple[int, int, Factory]] = {
    "hash_grid, T 2^15": (1 << 18, 1 << 15, hash_grid_case),
    "hash_grid, T 2^19": (1 << 18, 1 << 15, partial(hash_grid_case, log2_table_size=19)),
    "mlp": (1 << 18, 1 << 17, mlp_case),
    "composite": (1 << 13, 1 << 13, composite_case),
    "expand": (1 << 13, 1 << 13, expand_case),
    "march": (1 << 13, 1 << 13, march_case),
    "occupancy": (1 << 17, 1 << 17, occupancy_case),
    "grid_sample": (1 << 18, 1 << 16, grid_sample_case),
    "spherical_harmonics": (1 << 18, 1 << 17, spherical_harmonics_case),
    "step_function": (1 << 13, 1 << 12, step_function_case),
    "train step": (1 << 16, 1 << 14, train_step_case),
}
"""By name: size, size of a quick run, and a function that creates the case on a device."""

COMPARED = tuple(name for name in CASES if name not in ("hash_grid, T 2^19", "train step"))
"""Cases whose ratios are committed. Two are left out: one shares the code of another case and
has a slow reference, the other combines the others and has a reference whose time varies by a
factor of two between runs."""


def make_case(name: str, device: str, seed: int, quick: bool) -> Case:
    """The case of that name with random inputs."""
    torch.manual_seed(seed)
    full, fewer, factory = CASES[name]
    return factory(fewer if quick else full, device)
