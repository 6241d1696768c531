"""How faithfully shared functions compute the papers' formulas.

    python benchmarks/fidelity.py [--seed 0] [--out FILE]

Each function is called in single precision, by its kernel for the CPU and by its reference
where it has both, on random inputs, and compared with a plain transcription of its paper's
formula in double precision (`formulas.py`). The figure is the largest difference relative to
the largest magnitude of the result. It takes seconds, and needs neither data nor a GPU.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import formulas
import numpy as np
import record
import torch
from torch import Tensor

from unrender.evaluation.images import psnr, ssim
from unrender.fields.encodings import integrated_encoding, positional_encoding
from unrender.fields.gaussians import compute_relocation, neighbor_distance
from unrender.flows.paths import LinearPath
from unrender.geometry.cameras import Cameras
from unrender.geometry.contraction import contract, contract_gaussians
from unrender.geometry.frustums import Gaussians, frustum_moments
from unrender.geometry.lenses import Lens
from unrender.geometry.poses import compose, invert, se3_exp, se3_log, so3_from_quaternion
from unrender.imaging.color import display_from_linear, linear_from_display
from unrender.kernels.composite import composite, composite_dense
from unrender.kernels.gaussian_projection import project_gaussians
from unrender.kernels.grid_sample import grid_sample, total_variation
from unrender.kernels.hash_grid import HashGridLayout, hash_grid
from unrender.kernels.runtime.backend import Backend
from unrender.kernels.spherical_harmonics import harmonic_colors, spherical_harmonics
from unrender.kernels.splat import splat
from unrender.kernels.step_function import blur_max, outer, sample
from unrender.methods.neus import logistic_depth
from unrender.methods.volsdf import laplace_density
from unrender.optimizers.adam import UniformAdam
from unrender.rendering.light.bsdf import fresnel, metal
from unrender.rendering.volume.compositing import depth_weights
from unrender.rendering.volume.proposals import RayInterval, interlevel_loss
from unrender.shapes.chamfer import chamfer_distance
from unrender.shapes.losses import (
    Topology,
    edge_length_loss,
    laplacian_smoothing,
    normal_consistency,
)
from unrender.shapes.primitives import icosphere
from unrender.training.method import Progress
from unrender.training.pixels import dissimilarity

OUT = record.ROOT / "benchmarks/results/fidelity.json"
MOST = 1e-5
"""Largest error that passes."""
BACKENDS: tuple[Backend, ...] = ("reference", "cpu")

Pairs = Iterator[tuple[Any, Any]]
"""What the library computes, and what the formula does; tensors, arrays or numbers."""


class Random:
    """Random inputs: in single precision for the library, and the same ones as float64."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def between(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def unit(self, count: int) -> Tensor:
        return torch.nn.functional.normalize(self.normal(count, 3), dim=1)

    def edges(self, rays: int, bins: int) -> Tensor:
        """Distances that increase along each ray, from 1 to about 5."""
        return 1 + self.between(0.02, 0.3, rays, bins + 1).cumsum(1)


def exact(values: Any) -> Any:
    """The same numbers as float64."""
    return values.detach().double().numpy() if isinstance(values, Tensor) else values


def volume_weights(random: Random) -> Pairs:
    edges, density = random.edges(64, 24), random.between(0, 1, 64, 24) ** 4 * 60
    density[::4, 5] = 1e8  # An opaque bin.
    expected = formulas.weights(exact(density), np.diff(exact(edges)))
    yield depth_weights(density * edges.diff(dim=1)), expected
    lengths, offsets = edges.diff(dim=1), torch.arange(65) * 24
    starts = torch.zeros(64 * 24)
    out = composite(density.flatten(), None, starts, lengths.flatten(), offsets)
    yield out.weights.view(64, 24), formulas.weights(exact(density), exact(lengths))


def compositing(random: Random) -> Pairs:
    edges, density = random.edges(64, 24), random.between(0, 1, 64, 24) ** 4 * 60
    density[::4, 5] = 1e8
    color = random.between(0, 1, 64, 24, 3)
    starts, ends = exact(edges[:, :-1]), exact(edges[:, 1:])
    w = formulas.weights(exact(density), ends - starts)
    middles = (starts + ends) / 2
    for backend in BACKENDS:
        out = composite_dense(density, color, edges, backend=backend)
        yield out.weights, w
        yield out.color, np.einsum("rb,rbc->rc", w, exact(color))
        yield out.opacity, w.sum(1)
        yield out.distance, (w * middles).sum(1)
        yield out.distortion, formulas.distortion(exact(edges), w)


def transmittance(random: Random) -> Pairs:
    """Of rays of several lengths: what is left behind all bins."""
    counts = torch.tensor([3, 0, 40, 17])
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    density, length = random.between(0, 0.4, 60), random.between(0.01, 0.3, 60)
    starts, ends = torch.zeros(60), length
    depth = exact(density) * exact(length)
    expected = [math.exp(-depth[a:b].sum()) for a, b in pairwise(offsets.tolist())]
    for backend in BACKENDS:
        out = composite(density, torch.ones(60, 3), starts, ends, offsets, 0.0, backend)
        yield 1 - out.opacity, np.array(expected)


def interlevel(random: Random) -> Pairs:
    edges, proposal = random.edges(32, 24), random.edges(32, 16)
    w, bound = random.between(0, 0.1, 32, 24), random.between(0, 0.05, 32, 16)
    arrays = [exact(each) for each in (edges, w, proposal, bound)]
    # The equation has a sum over bins, the authors' code a mean.
    yield interlevel_loss(edges, w, proposal, bound) * 24, formulas.proposal_loss(*arrays)
    yield blur_max(w), formulas.blur_pool(arrays[1])
    for backend in BACKENDS:
        found = outer(proposal, bound, edges, backend)
        yield found, formulas.outer_bound(arrays[2], arrays[3], arrays[0])


def pdf_sampling(random: Random) -> Pairs:
    edges, w = random.edges(64, 24), random.between(0.01, 1, 64, 24)
    u = random.between(0, 1, 64, 40).sort(dim=1).values
    expected = formulas.inverse_cdf(exact(edges), exact(w), exact(u))
    for backend in BACKENDS:
        yield sample(edges, w, u, backend), expected


def ray_spacing(random: Random) -> Pairs:
    near, s = random.between(0.05, 1, 64), random.between(0, 1, 64, 20)
    s[:, 0], s[:, -1] = 0, 1
    for far in (near + 5, 1e6 * near):
        expected = formulas.disparity_distance(exact(near), exact(far), exact(s))
        found = RayInterval(near, far, "disparity").distance(s)
        yield exact(found) / expected, np.ones(s.shape)  # Near and far edges count alike.
        linear = exact(near)[:, None] * (1 - exact(s)) + exact(far)[:, None] * exact(s)
        yield RayInterval(near, far).distance(s), linear


def neus_opacity(random: Random) -> Pairs:
    first, step = random.between(-1, 1, 4096), random.between(-0.02, 0.2, 4096)
    for sharpness in (10.0, 64.0, 400.0):
        depth = logistic_depth(first, first - step, torch.tensor(sharpness))
        front, back = exact(first), exact(first - step)
        yield -torch.expm1(-depth), formulas.neus_alpha(front, back, sharpness)


def volsdf_opacity(random: Random) -> Pairs:
    distance = random.between(-1, 1, 4096)
    for beta in (0.003, 0.05, 1.0):
        found = laplace_density(distance, torch.tensor(beta))
        yield found, formulas.volsdf_density(exact(distance), exact(torch.tensor(beta)))


def contraction(random: Random) -> Pairs:
    points = random.normal(500, 3) * 10 ** random.between(-1, 3, 500, 1)
    yield contract(points), formulas.contraction(exact(points))
    root = 0.1 * random.normal(500, 3, 3)
    covariance = root @ root.mT
    found = contract_gaussians(Gaussians(points, covariance))
    yield found.covariance, formulas.contracted_covariance(exact(points), exact(covariance))


def encodings(random: Random) -> Pairs:
    x, variance = random.between(-2, 2, 500, 3), 10 ** random.between(-6, 1, 500, 3)
    yield positional_encoding(x, 10), formulas.positional_encoding(exact(x), 10)
    expected = formulas.integrated_encoding(exact(x), exact(variance), 12)
    yield integrated_encoding(x, variance, 12), expected


def conical_frustums(random: Random) -> Pairs:
    start, radius = random.between(1, 4, 500), random.between(1e-3, 1e-2, 500)
    end = start + random.between(0.1, 1, 500)
    found = frustum_moments(start, end, radius)
    yield from zip(
        found, formulas.frustum_moments(*map(exact, (start, end, radius))), strict=True
    )


def harmonics(random: Random) -> Pairs:
    directions, coefficients = random.unit(500), random.normal(500, 24, 3)
    expected = formulas.spherical_harmonics(exact(directions), 4)
    colors = np.einsum("nk,nkc->nc", expected[:, 1:], exact(coefficients))
    for backend in BACKENDS:
        for degree in range(5):
            found = spherical_harmonics(directions, degree, backend)
            yield found, expected[:, : (degree + 1) ** 2]
        yield harmonic_colors(directions, coefficients, 4, backend), colors


def hash_encoding(random: Random) -> Pairs:
    layout = HashGridLayout(4, 12, 4, 100)
    points = random.between(0, 1, 200, 3)
    table = random.normal(layout.num_entries, 2)
    expected = formulas.hash_encoding(exact(points), exact(table), 4, 1 << 12, 4, 100)
    for backend in BACKENDS:
        yield hash_grid(points, table, layout, backend), expected


def grids(random: Random) -> Pairs:
    grid, points = random.normal(3, 5, 6, 7), random.between(0, 1, 300, 3)
    for backend in BACKENDS:
        found = grid_sample(grid, points, backend)
        yield found, formulas.grid_interpolation(exact(grid), exact(points))
        yield total_variation(grid, backend), formulas.total_variation(exact(grid))


def gaussian_projection(random: Random) -> Pairs:
    scales, quaternions = random.between(0.01, 0.3, 200, 3), random.normal(200, 4)
    means = random.normal(200, 3) + torch.tensor([0, 0, 4.0])
    pose = compose(se3_exp(0.2 * random.normal(1, 6)), torch.eye(3, 4)[None])[0]
    matrix = torch.tensor([[50.0, 0, 12], [0, 55, 33], [0, 0, 1]])
    yield (
        so3_from_quaternion(quaternions),
        np.stack([formulas.rotation(q) for q in exact(quaternions)]),
    )
    given = [exact(each) for each in (means, scales.log(), quaternions, pose, matrix)]
    size = np.array([60, 40])
    expected = [
        formulas.projected_gaussian(m, np.exp(s), q, given[3], given[4], size)
        for m, s, q in zip(*given[:3], strict=True)
    ]
    for backend in BACKENDS:
        tensors = means, scales.log(), quaternions, pose, matrix
        found = project_gaussians(*tensors, 60, 40, backend)
        yield found.means2d, np.stack([mean for mean, _, _ in expected])
        inverse = [np.linalg.inv(covariance) for _, covariance, _ in expected]
        yield found.conics, np.stack([c[[0, 0, 1], [0, 1, 1]] for c in inverse])
        yield found.compensations, np.array([ratio for _, _, ratio in expected])
        yield found.distances, np.linalg.norm(given[0] - given[3][:, 3], axis=1)


def gaussian_blending(random: Random) -> Pairs:
    means, depths = random.between(-4, 28, 80, 2), random.between(1, 5, 80)
    root = 0.25 * random.normal(80, 2, 2) + 0.3 * torch.eye(2)
    conics = (root @ root.mT)[:, [0, 0, 1], [0, 1, 1]]
    colors, opacities = random.between(0, 1, 80, 3), random.between(0.1, 1, 80)
    tensors = means, conics, colors, opacities, depths
    image, opacity = formulas.blended(*map(exact, tensors), (24, 20))
    for backend in BACKENDS:
        out = splat(*tensors, 24, 20, backend)
        yield out.color, image
        yield out.opacity, opacity


def gaussian_relocation(random: Random) -> Pairs:
    opacity, parts = random.between(0.01, 0.99, 50), torch.arange(50) % 10 + 1
    expected = [
        formulas.relocated(o, n) for o, n in zip(exact(opacity), parts.tolist(), strict=True)
    ]
    yield from zip(compute_relocation(opacity, parts), np.array(expected).T, strict=True)


def image_metrics(random: Random) -> Pairs:
    a = random.between(0, 1, 24, 20, 3)
    b = (a + 0.1 * random.normal(24, 20, 3)).clamp(0, 1)
    yield psnr(a, b), formulas.psnr(exact(a), exact(b))
    yield ssim(a, b), formulas.ssim(exact(a), exact(b))
    yield 1 - dissimilarity(a, b), formulas.ssim(exact(a), exact(b))


def color_spaces(random: Random) -> Pairs:
    color = random.between(0, 1, 1000) ** 3
    linear = formulas.linear_from_srgb(exact(color))
    yield linear_from_display(color), linear
    yield display_from_linear(torch.from_numpy(linear).float()), exact(color)


def mesh_losses(random: Random) -> Pairs:
    mesh = icosphere(2)
    vertices = mesh.vertices + 0.05 * random.normal(*mesh.vertices.shape)
    expected = formulas.mesh_losses(exact(vertices), mesh.faces.numpy())
    topology = Topology.of(mesh)
    yield laplacian_smoothing(vertices, topology), expected["uniform"]
    yield laplacian_smoothing(vertices, topology, "cotangent"), expected["cotangent"]
    yield normal_consistency(vertices, topology), expected["normals"]
    yield edge_length_loss(vertices, topology), expected["edges"]


def point_distances(random: Random) -> Pairs:
    a, b = 5 + random.normal(300, 3), 5 + random.normal(200, 3)
    for backend in BACKENDS:
        found = chamfer_distance(a[None], b[None], backend=backend)
        yield found.distance, formulas.chamfer(exact(a), exact(b))
    apart = np.sort(((exact(a)[:, None] - exact(a)) ** 2).sum(2), axis=1)
    yield neighbor_distance(a), np.sqrt(apart[:, 1:4].mean(1))


def reflection(random: Random) -> Pairs:
    outgoing, incoming = (random.unit(500).T.abs().clamp_min(0.05) for _ in range(2))
    outgoing, incoming = (torch.nn.functional.normalize(d, dim=0) for d in (outgoing, incoming))
    color = random.between(0, 1, 3, 500)
    for alpha in (0.05, 0.3, 1.0):
        found, _ = metal(color, torch.full((500,), alpha), outgoing, incoming)
        own = exact(torch.tensor(alpha)).item()
        arrays = (exact(each).T for each in (color, outgoing, incoming))
        expected = [
            formulas.ggx_reflection(c, own, o, i) for c, o, i in zip(*arrays, strict=True)
        ]
        yield found.T, np.stack(expected)
    cosine, ratio = random.between(0.01, 0.99, 500), random.between(0.6, 2, 500)
    pairs = zip(exact(cosine), exact(ratio), strict=True)
    yield (
        fresnel(cosine, ratio)[0],
        np.array([formulas.fresnel_reflectance(c, r) for c, r in pairs]),
    )


def poses(random: Random) -> Pairs:
    twist = random.normal(200, 6) * 10 ** random.between(-5, 0, 200, 1)
    expected = np.stack([formulas.se3_exponential(each) for each in exact(twist)])
    yield se3_exp(twist), expected
    yield se3_log(torch.from_numpy(expected).float()), exact(twist)
    identity = np.broadcast_to(np.eye(3, 4), expected.shape)
    yield compose(invert(se3_exp(twist)), se3_exp(twist)), identity


def cameras(random: Random) -> Pairs:
    pose = se3_exp(random.normal(100, 6))
    local = random.normal(100, 3) + torch.tensor([0, 0, 6.0])
    points = (pose[:, :, :3] @ local[..., None])[..., 0] + pose[:, :, 3]
    matrix = torch.tensor([[90.0, 1, 40], [0, 80, 30], [0, 0, 1]]).expand(100, 3, 3)
    views = Cameras(pose, matrix, 80, 60)
    pixels, _ = views.project(torch.arange(100), points)
    axes, center = exact(pose)[:, :, :3], exact(pose)[:, :, 3]
    seen = np.einsum("ij,nkj,nk->ni", exact(matrix[0]), axes, exact(points) - center)
    yield pixels, seen[:, :2] / seen[:, 2:]
    lens = (0.1, -0.05, 0.01, -0.02, 0.003)
    xy = random.between(-0.7, 0.7, 500, 2)
    coefficients = dict(zip(("k1", "k2", "p1", "p2", "k3"), lens, strict=True))
    yield (
        Lens.of("FULL_OPENCV", coefficients).distort(xy),
        formulas.lens_distortion(exact(xy), *lens),
    )


def flow_paths(random: Random) -> Pairs:
    x0, x1, t = random.normal(50, 7), random.normal(50, 7), random.between(0, 1, 50)
    found = LinearPath().sample(x0, x1, t)
    expected = formulas.straight_path(exact(x0), exact(x1), exact(t))
    yield from zip((found.x_t, found.velocity), expected, strict=True)


def optimization(random: Random) -> Pairs:
    start, gradients = random.normal(6, 5), random.normal(30, 6, 5)
    for uniform in (False, True):
        parameter = start.clone().requires_grad_()
        adam = UniformAdam([{"params": [parameter], "uniform": uniform}], 0.01, (0.9, 0.99))
        for gradient in gradients:
            parameter.grad = gradient
            adam.step()
        expected = formulas.adam(exact(start), exact(gradients), 0.01, (0.9, 0.99), uniform)
        yield parameter, expected
    for fraction in (0.0, 0.3, 1.0):
        yield (
            Progress(0, fraction).falling(0.02),
            formulas.cosine_schedule(fraction, 0.02),
        )


CASES: tuple[Callable[[Random], Pairs], ...] = (
    volume_weights, compositing, transmittance, interlevel, pdf_sampling,
    ray_spacing, neus_opacity, volsdf_opacity, contraction, encodings, conical_frustums,
    harmonics, hash_encoding, grids, gaussian_projection, gaussian_blending,
    gaussian_relocation, image_metrics, color_spaces, mesh_losses, point_distances, reflection,
    poses, cameras, flow_paths, optimization,
)  # fmt: skip


def error(found: Any, expected: Any) -> float:
    """The largest difference, relative to the largest magnitude expected."""
    found, expected = np.asarray(exact(found), np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape and found.size != expected.size:
        raise ValueError(f"shapes {found.shape} and {expected.shape} are compared")
    difference = np.abs(found.reshape(expected.shape) - expected).max()
    return float(difference / max(np.abs(expected).max(), 1e-30))


def measure(seed: int) -> dict[str, float]:
    """The largest error of each case."""
    return {case.__name__: max(error(*pair) for pair in case(Random(seed))) for case in CASES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    began = time.perf_counter()
    errors = measure(arguments.seed)
    errors["worst"] = max(errors.values())
    figures = {name: record.figure(value, "", at_most=MOST) for name, value in errors.items()}
    record.show(figures)
    record.write(arguments.out, arguments.seed, time.perf_counter() - began, figures)


if __name__ == "__main__":
    main()
