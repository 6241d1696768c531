"""Every kernel's fast versions against its torch reference, forward and gradient."""

import dataclasses
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from unrender.kernels.composite import composite, composite_dense
from unrender.kernels.encoding import encode
from unrender.kernels.expand import along_rays, expand
from unrender.kernels.hash_grid import HashGridLayout, hash_grid
from unrender.kernels.march import MarchGrid, march
from unrender.kernels.mlp import mlp
from unrender.kernels.occupancy import occupied_cells, update_density
from unrender.kernels.runtime.backend import Backend

LAYOUTS = {
    "3d": HashGridLayout(num_levels=5, log2_table_size=12, min_resolution=4, max_resolution=80),
    "2d": HashGridLayout(4, 10, 4, 200, dimensions=2),
    "one feature": HashGridLayout(2, 8, 3, 17, features_per_level=1),
    "four features": HashGridLayout(3, 9, 4, 40, features_per_level=4),
    "three features, 2d": HashGridLayout(2, 8, 5, 50, features_per_level=3, dimensions=2),
}
LAYOUT = LAYOUTS["3d"]


def grid(seed: int, filled: float, cells: int = 32) -> MarchGrid:
    generator = torch.Generator().manual_seed(seed)
    occupied = torch.rand(cells, cells, cells, generator=generator) < filled
    density = 30 * torch.rand(cells, cells, cells, generator=generator)
    return MarchGrid.from_cells(1.5, occupied, density, 0.02)


def rays(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(count, 3, generator=generator)
    origins = 4 * torch.nn.functional.normalize(normal, dim=-1)
    target = 2 * torch.rand(count, 3, generator=generator) - 1
    directions = torch.nn.functional.normalize(target - origins, dim=-1)
    return origins, directions, torch.rand(count, generator=generator)


def packed(counts: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """starts, ends and offsets of bins, `counts` to a ray."""
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    starts = torch.cat([torch.rand(n, generator=generator).sort().values for n in counts])
    return starts, starts + 0.05 * torch.rand(len(starts), generator=generator), offsets


@pytest.mark.parametrize("count", [0, 1, 255, 257, 1000])
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.interpreted("3d-257", "2d-0")
def test_hash_grid(agree, backend: Backend, name: str, count: int) -> None:
    if backend == "cuda":
        count = min(count, 300)  # Enough for several blocks, and interpreted in seconds.
    torch.manual_seed(count)
    layout = LAYOUTS[name]
    points = (torch.rand(count, layout.dimensions) * 1.2 - 0.1).requires_grad_()
    table = torch.randn(layout.num_entries, layout.features_per_level, requires_grad=True)
    assert any(layout.dense)
    assert not all(layout.dense)
    agree(lambda b, p, t: [hash_grid(p, t, layout, b)], [points, table])


def test_hash_grid_at_the_corners_of_the_cube(agree) -> None:
    points = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0.5], [2, -1, 0.3]])
    table = torch.randn(LAYOUT.num_entries, 2)
    agree(lambda b, p, t: [hash_grid(p, t, LAYOUT, b)], [points, table])


def test_hash_grid_without_a_gradient_by_the_points(agree) -> None:
    table = torch.randn(LAYOUT.num_entries, 2, requires_grad=True)
    agree(lambda b, p, t: [hash_grid(p, t, LAYOUT, b)], [torch.rand(70, 3), table])


SIZES = [[16, 32, 16], [32, 32, 32, 3], [5, 7, 1], [3, 2], [27, 128, 64, 4], [32, 48, 100, 17]]


@pytest.mark.parametrize("count", [0, 1, 1000, 40_000])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.interpreted("[5, 7, 1]-1000", "[16, 32, 16]-0")
def test_mlp(agree, backend: Backend, count: int, sizes: list[int]) -> None:
    if backend == "cuda":
        # Enough for several blocks, and interpreted in seconds.
        count = {1000: 300, 40_000: 513}.get(count, count)
    torch.manual_seed(0)
    x = torch.randn(count, sizes[0], requires_grad=True)
    weights = [torch.randn(b, a).requires_grad_() for a, b in pairwise(sizes)]
    agree(lambda b, x, *weights: [mlp(x, weights, backend=b)], [x, *weights])


@pytest.mark.parametrize("activation", ["none", "relu", "sigmoid"])
def test_mlp_activations(agree, activation) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(*shape, requires_grad=True) for shape in ((70, 8), (16, 8), (3, 16))]
    agree(lambda b, x, *weights: [mlp(x, weights, activation, backend=b)], inputs)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("counts", [[3, 0, 1, 7], [40] * 30, [0]], ids=str)
@pytest.mark.interpreted("[3, 0, 1, 7]-True-float32", "[0]-True-bfloat16")
def test_mlp_with_ray_inputs(agree, counts: list[int], requires_grad: bool, precision) -> None:
    torch.manual_seed(0)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    values = torch.randn(len(counts), 9).requires_grad_(requires_grad)
    x = torch.randn(sum(counts), 5, requires_grad=True)
    weights = [torch.randn(b, a).div(4).requires_grad_() for a, b in ((14, 16), (16, 3))]

    def run(backend: Backend, x: Tensor, v: Tensor, o: Tensor, *w: Tensor) -> list[Tensor]:
        return [mlp(x, w, "sigmoid", precision, (v, o), backend)]

    agree(run, [x, values, offsets, *weights], 1e-4 if precision == "float32" else 2e-2)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.interpreted("[5, 7, 1]")
def test_mlp_bfloat16(agree, sizes: list[int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(200, sizes[0], requires_grad=True)
    weights = [
        (torch.randn(b, a) * (2 / a) ** 0.5).requires_grad_() for a, b in pairwise(sizes)
    ]
    # A sum that rounds the other way moves what follows by one part in 256.
    agree(
        lambda b, x, *weights: [mlp(x, weights, "none", "bfloat16", None, b)],
        [x, *weights],
        2e-2,
    )


@pytest.mark.parametrize("stop", [0.0, 0.2])
@pytest.mark.parametrize("counts", [[3, 0, 1, 7], [0, 0], [1], [40] * 300])
@pytest.mark.interpreted("counts0-0.2", "counts1-0.0")
def test_composite(agree, backend: Backend, counts: list[int], stop: float) -> None:
    if backend == "cuda":
        counts = counts[:30]  # Interpreted in a second.
    starts, ends, offsets = packed(counts)
    torch.manual_seed(1)
    density = (60 * torch.rand(len(starts))).requires_grad_()
    color = torch.rand(len(starts), 3).requires_grad_()

    def run(backend: Backend, density: Tensor, color: Tensor, *bins: Tensor) -> list[Tensor]:
        out = composite(density, color, *bins, stop, backend)
        return [out.color, out.opacity, out.distance, out.distortion, out.weights]

    agree(run, [density, color, starts, ends, offsets])


def test_composite_of_opaque_matter(agree) -> None:
    """A huge optical depth takes no digits from those of the samples in front of it."""
    starts, ends, offsets = packed([40, 100])
    torch.manual_seed(1)
    density = 5 * torch.rand(len(starts))
    density[20::40] = 1e9
    color = torch.rand(len(starts), 3)

    def run(backend: Backend, density: Tensor, color: Tensor, *bins: Tensor) -> list[Tensor]:
        out = composite(density, color, *bins, backend=backend)
        return [out.color, out.opacity, out.distance, out.distortion, out.weights]

    inputs = [density.requires_grad_(), color.requires_grad_(), starts, ends, offsets]
    agree(run, inputs, tolerance=1e-5)


@pytest.mark.parametrize("shape", [(0, 4), (5, 0), (7, 33)], ids=str)
def test_composite_dense(agree, shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    density = (9 * torch.rand(shape)).requires_grad_()
    color = torch.rand(*shape, 3).requires_grad_()
    edges = torch.rand(shape[0], shape[1] + 1).sort(-1).values

    def run(backend: Backend, density: Tensor, color: Tensor, edges: Tensor) -> list[Tensor]:
        out = composite_dense(density, color, edges, 0.0, backend)
        return [out.color, out.opacity, out.distance, out.distortion, out.weights]

    agree(run, [density, color, edges])

    def weigh(backend: Backend, density: Tensor, edges: Tensor) -> list[Tensor]:
        out = composite_dense(density, None, edges, 0.0, backend)
        return [out.opacity, out.weights]

    agree(weigh, [density, edges])


@pytest.mark.parametrize("count", [0, 1, 1500])
@pytest.mark.parametrize("frequencies", [0, 1, 12])
@pytest.mark.parametrize("blurred", [False, True])
def test_encoding(agree, count: int, frequencies: int, blurred: bool) -> None:
    x = 3 * torch.randn(count, 3)
    # From no blur at all to one that leaves nothing of any octave.
    variance = [torch.rand(count, 3) ** 9 * 1e3] if blurred else []
    agree(
        lambda b, *each: [encode(*each, *[None] * (2 - len(each)), frequencies, b)],
        [x, *variance],
        1e-6,
    )


@pytest.mark.parametrize("counts", [[3, 0, 1, 7], [0, 0], [1], [40] * 300])
@pytest.mark.interpreted("counts0", "counts1")
def test_expand(agree, backend: Backend, counts: list[int]) -> None:
    if backend == "cuda":
        counts = counts[:30]
    _, _, offsets = packed(counts)
    values = torch.randn(len(counts), 5, requires_grad=True)
    agree(lambda b, v, o: [expand(v, o, backend=b)], [values, offsets])


@pytest.mark.parametrize("counts", [[3, 0, 1, 7], [0, 0], [1], [40] * 300])
@pytest.mark.interpreted("counts0", "counts1")
def test_along_rays(agree, counts: list[int]) -> None:
    starts, _, offsets = packed(counts)
    origins, directions = (torch.randn(len(counts), 3).requires_grad_() for _ in range(2))
    agree(lambda b, *inputs: [along_rays(*inputs, b)], [origins, directions, starts, offsets])


@pytest.mark.parametrize("filled", [0.0, 0.01, 0.2, 1.0])
@pytest.mark.parametrize("count", [0, 1, 3000])
@pytest.mark.interpreted("3000-0.2", "0-0.2")
def test_march(backend: Backend, device: torch.device, filled: float, count: int) -> None:
    if backend == "cuda":
        count = min(count, 33)  # One more than a program's rays, and interpreted in seconds.
    agree_on_bins(backend, device, grid(1, filled), rays(count))


@pytest.mark.parametrize("filled", [0.01, 1.0])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.interpreted("True-0.01")
def test_march_in_bins_that_grow(
    backend: Backend, device: torch.device, filled: float, inside: bool
) -> None:
    cells = dataclasses.replace(grid(1, filled), cone_angle=0.02, near=0.3)
    origins, *others = rays(33 if backend == "cuda" else 3000)
    agree_on_bins(backend, device, cells, (0.2 * origins if inside else origins, *others))


def agree_on_bins(
    backend: Backend, device: torch.device, cells: MarchGrid, inputs: tuple[Tensor, ...]
) -> None:
    if backend == "cuda":
        cells = dataclasses.replace(cells, step=4 * cells.step)
    a = march(*inputs, cells, backend="reference")
    b = march(*(t.to(device) for t in inputs), cells.to(device), backend=backend)
    # A sample on the wall of a cell may fall to either side by rounding; hardly any does.
    differing = (a.offsets.diff() != b.offsets.cpu().diff()).sum()
    assert differing <= 0.002 * len(inputs[0])
    if differing == 0:
        torch.testing.assert_close(b.starts.cpu(), a.starts, atol=1e-5, rtol=0)
        torch.testing.assert_close(b.ends.cpu(), a.ends, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cells", [1, 5, 32])
@pytest.mark.parametrize("threshold", [0.0, 0.01, 10.0])
@pytest.mark.interpreted("0.01-5", "0.0-1")
def test_occupancy(
    backend: Backend, device: torch.device, cells: int, threshold: float
) -> None:
    torch.manual_seed(0)
    density = torch.rand(cells, cells, cells)
    index = torch.randperm(cells**3)[: cells**3 // 2]
    seen = torch.rand(len(index))
    results: list[list[Tensor]] = []
    for name, place in (("reference", torch.device("cpu")), (backend, device)):
        kept = density.clone().to(place)
        update_density(kept, index.to(place), seen.to(place), 0.7, name)
        results.append([kept.cpu(), occupied_cells(kept, 0.1, threshold, name).cpu()])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_a_scene_of_one_density_is_occupied_and_an_empty_one_is_not(
    backend: Backend, device: torch.device
) -> None:
    """No cell is denser than the mean, and the scene would be lost."""
    for density in (1e-8, 0.003, 40.0):
        filled = torch.full((9, 9, 9), density, device=device)
        assert bool(occupied_cells(filled, 0.1, 0.01, backend).all())
    assert not bool(
        occupied_cells(torch.zeros(9, 9, 9, device=device), 0.1, 0.01, backend).any()
    )


def test_strides_do_not_matter(agree) -> None:
    """Rows or columns first in memory: the same result."""
    torch.manual_seed(0)
    points, table = torch.rand(100, 3), torch.randn(LAYOUT.num_entries, 2)
    weights = [torch.randn(4, 3), torch.randn(2, 4)]
    spread = torch.randn(100, 6)[:, ::2]
    for x in (points.T.contiguous().T, spread):
        assert not x.is_contiguous()
        agree(lambda b, x, t: [hash_grid(x, t, LAYOUT, b)], [x, table])
        agree(lambda b, x, *w: [mlp(x, w, backend=b)], [x, *weights])
    starts, ends, offsets = packed([40, 60])
    color, density = spread.sigmoid(), torch.rand(200)[::2]

    def run(backend: Backend, *inputs: Tensor) -> list[Tensor]:
        return [composite(*inputs, backend=backend).color]

    agree(run, [density, color, starts, ends, offsets])


def test_the_comparison_can_fail(agree) -> None:
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(AssertionError):
        agree(lambda b, x: [x * (1.0 if b == "reference" else 1.01)], [x])
