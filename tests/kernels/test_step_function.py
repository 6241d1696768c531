"""Step functions against closed forms, brute force and finite differences; backends agree."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from unrender.kernels.runtime.backend import Backend
from unrender.kernels.step_function import blur_max, outer, sample


def histograms(
    rays: int, bins: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Edges, some repeated, and weights: of every third ray some are 0, of another all."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand(rays, bins + 1, generator=generator, dtype=dtype).sort(-1).values
    if bins > 4:
        t[::2, 3] = t[::2, 2]
    w = torch.rand(rays, bins, generator=generator, dtype=dtype)
    w[::3, ::2] = 0
    w[1::3] = 0
    return t, w


def stratified(rays: int, samples: int) -> Tensor:
    generator = torch.Generator().manual_seed(samples)
    jitter = torch.rand(rays, samples, generator=generator)
    return (torch.arange(samples) + jitter) / max(samples, 1)


def test_samples_give_back_the_masses(backend: Backend, device: torch.device) -> None:
    t = torch.tensor([[0.0, 1, 3, 4, 8]])
    w = torch.tensor([[1.0, 0, 3, 4]])
    u = (torch.arange(800)[None] + 0.5) / 800
    s = sample(t.to(device), w.to(device), u.to(device), backend).cpu()
    assert torch.histogram(s, t[0]).hist.tolist() == [100, 0, 300, 400]
    assert bool((s.diff() >= 0).all())
    # Evenly within a bin.
    last = s[s > 4]
    torch.testing.assert_close(last, 4 + 4 * (torch.arange(400) + 0.5) / 400)


def test_the_cdf_undoes_sampling() -> None:
    t, w = histograms(2, 12)
    w = w + 0.1
    u = stratified(2, 40)
    cdf = torch.nn.functional.pad(w.cumsum(-1), (1, 0)) / w.sum(-1, keepdim=True)
    rows = zip(sample(t, w, u), t, cdf, strict=True)
    found = np.stack([np.interp(*row) for row in rows])
    # Not within a bin of no length, where the CDF jumps.
    away = ~((u > cdf[:, 2:3]) & (u < cdf[:, 3:4]) & (t[:, 2:3] == t[:, 3:4]))
    torch.testing.assert_close(torch.from_numpy(found).float()[away], u[away])


def test_samples_at_the_edges_are_exact(backend: Backend, device: torch.device) -> None:
    t = torch.tensor([[0.1, 0.7, 1.3, 2.9, 5.3]])
    w = torch.tensor([[2.0, 1, 1, 4]])
    u = torch.tensor([[0, 0.25, 0.375, 0.5, 1]])
    assert torch.equal(sample(t, w, u, "reference"), t)
    assert torch.equal(sample(t.to(device), w.to(device), u.to(device), backend).cpu(), t)


def test_samples_keep_to_bins_with_mass(backend: Backend, device: torch.device) -> None:
    t = torch.tensor([[0.0, 1, 2, 3, 4]])
    w = torch.tensor([[0.0, 3, 2, 0]])
    u = torch.linspace(0, 1, 21)[None]
    s = sample(t.to(device), w.to(device), u.to(device), backend).cpu()
    assert float(s[0, 0]) == 1
    assert float(s[0, -1]) == 3
    assert torch.equal(sample(t, w, u, "reference")[0, [0, -1]], torch.tensor([1.0, 3]))


def test_rays_without_mass_are_sampled_evenly(backend: Backend, device: torch.device) -> None:
    t = torch.tensor([[1.0, 2, 5]], device=device)
    u = torch.tensor([[0.0, 0.25, 1]], device=device)
    expected = torch.tensor([[1.0, 2, 5]])
    for name in ("reference", backend):
        found = sample(t, torch.zeros(1, 2, device=device), u, name)
        torch.testing.assert_close(found.cpu(), expected)


def test_samples_stop_gradients() -> None:
    t, w = (tensor.requires_grad_() for tensor in histograms(3, 4))
    for name in ("reference", "auto"):
        assert not sample(t, w, stratified(3, 5), name).requires_grad


@pytest.mark.parametrize("bins", [1, 2, 7, 64])
@pytest.mark.parametrize("samples", [0, 1, 33])
@pytest.mark.parametrize("rays", [0, 1, 20])
@pytest.mark.interpreted("20-33-7", "0-33-7")
def test_backends_agree_on_samples(agree, rays: int, bins: int, samples: int) -> None:
    inputs = [*histograms(rays, bins), stratified(rays, samples)]
    agree(lambda b, t, w, u: [sample(t, w, u, b)], inputs)


def by_hand(t0: list[float], w0: list[float], t1: list[float]) -> list[float]:
    return [
        sum(
            w
            for w, a, b in zip(w0, t0, t0[1:], strict=False)
            if max(a, begin) < min(b, end) or begin < a == b < end or a < begin == end < b
        )
        for begin, end in pairwise(t1)
    ]


def test_outer_is_the_sum_over_overlaps() -> None:
    t0, w0 = histograms(6, 9, seed=1, dtype=torch.float64)
    t1, _ = histograms(6, 12, seed=2, dtype=torch.float64)
    t1[:, 4:8] = t0[:, 2:6]
    t1 = t1.sort(-1).values
    rows = zip(t0.tolist(), w0.tolist(), t1.tolist(), strict=True)
    expected = torch.tensor([by_hand(*row) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(outer(t0, w0, t1), expected)


def test_outer_of_the_same_edges_is_the_weights() -> None:
    t, w = histograms(6, 4)
    for name in ("reference", "cpu"):
        assert torch.equal(outer(t, w, t, name), w)


def test_outer_bounds_a_consistent_histogram() -> None:
    """Of a piecewise constant density that both histograms integrate."""
    torch.manual_seed(0)
    fine = torch.linspace(0, 1, 65)
    mass = torch.rand(8, 64)
    cdf = torch.nn.functional.pad(mass.cumsum(-1), (1, 0))
    edges = [0, 5, 11, 30, 31, 64], [0, 1, 9, 30, 47, 60, 64]
    (t0, w0), (t1, w1) = ((fine[e].expand(8, -1), cdf[:, e].diff()) for e in edges)
    assert bool((outer(t0, w0, t1) >= w1 - 1e-5).all())
    # Weights that are moved elsewhere are found out.
    assert bool((outer(t0, w0.flip(-1), t1) < w1).any())


def test_outer_gradients_match_finite_differences() -> None:
    t0, w0 = histograms(3, 5, dtype=torch.float64)
    t1, _ = histograms(3, 4, seed=3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda w: outer(t0, w, t1, "reference"), w0.requires_grad_()
    )


@pytest.mark.parametrize("bins", [1, 2, 33])
@pytest.mark.parametrize("intervals", [1, 7, 64])
@pytest.mark.parametrize("rays", [0, 1, 20])
@pytest.mark.interpreted("20-7-33", "0-7-33")
def test_backends_agree_on_outer(agree, rays: int, bins: int, intervals: int) -> None:
    t0, w0 = histograms(rays, bins)
    t1, _ = histograms(rays, intervals, seed=1)
    # Some edges in common.
    t1[::2, 0] = t0[::2, 0]
    t1[::2, -1] = t0[::2, -1]
    t1 = t1.sort(-1).values
    agree(lambda b, t0, w0, t1: [outer(t0, w0, t1, b)], [t0, w0.requires_grad_(), t1])


def test_backends_agree_on_outer_of_the_same_edges(agree) -> None:
    t, w = histograms(9, 17)
    agree(lambda b, t, w: [outer(t, w, t, b)], [t, w.requires_grad_()])


def test_strides_do_not_matter(agree) -> None:
    t, w = (tensor.T.contiguous().T for tensor in histograms(9, 6))
    t1, u = stratified(9, 10)[:, ::2], stratified(9, 12)[:, ::3]
    assert not any(tensor.is_contiguous() for tensor in (t, w, t1, u))
    agree(lambda b, t, w, u: [sample(t, w, u, b)], [t, w, u])
    agree(lambda b, t, w, t1: [outer(t, w, t1, b)], [t, w.requires_grad_(), t1])


def test_blur_max() -> None:
    w = torch.tensor([[1.0, 0, 4, 2]])
    torch.testing.assert_close(blur_max(w), torch.tensor([[1.0, 2.5, 4, 3]]))
    torch.testing.assert_close(blur_max(w[:, :1]), w[:, :1])
    assert blur_max(w[:0]).shape == (0, 4)
    random = torch.rand(5, 9)
    assert bool((blur_max(random) >= random).all())
