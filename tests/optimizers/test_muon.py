import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unrender.optimizers.muon import MOMENTUM, Muon, _newton_schulz, orthogonalize


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(rows=st.integers(2, 40), columns=st.integers(2, 40), seed=st.integers(0, 20))
@settings(deadline=None, max_examples=30)
def test_singular_vectors_stay_and_values_become_equal(
    rows: int, columns: int, seed: int
) -> None:
    u, s, vh = torch.linalg.svd(normal(rows, columns, seed=seed), full_matrices=False)
    s = s.clamp_min(0.2 * s.max())
    turned = u.T @ orthogonalize(u @ s.diag() @ vh, torch.float32) @ vh.T
    values = turned.diagonal()
    torch.testing.assert_close(turned, values.diag(), rtol=0, atol=1e-3)
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.mark.parametrize("shape", [(24, 96), (96, 24)])
@pytest.mark.parametrize("decades", [0, 4])
def test_the_small_square_takes_the_same_steps(shape: tuple[int, int], decades: int) -> None:
    """Wide matrices use the Gram matrix, with the same result in float64."""
    u, s, vh = torch.linalg.svd(normal(*shape), full_matrices=False)
    matrix = u @ (s * torch.logspace(0, -decades, len(s))).diag() @ vh
    wide = matrix.double() if shape[0] < shape[1] else matrix.double().T
    slow = _newton_schulz(wide / wide.norm())
    found = orthogonalize(matrix, torch.float32).double()
    found = found if shape[0] < shape[1] else found.T
    assert (found - slow).norm() < 1e-3 * slow.norm()


def test_short_floats_are_enough() -> None:
    matrix = normal(32, 48)
    exact = orthogonalize(matrix, torch.float32)
    short = orthogonalize(matrix, torch.bfloat16)
    assert short.dtype == torch.float32
    assert (short - exact).norm() < 0.05 * exact.norm()


def fitted(matrices: bool, steps: int) -> list[float]:
    """Losses of a small linear regression whose inputs have very different lengths."""
    weight, bias = nn.Parameter(torch.zeros(8, 8)), nn.Parameter(torch.zeros(8))
    x = normal(64, 8) * torch.logspace(0, -2, 8)
    y = x @ normal(8, 8, seed=1) + 1
    chosen = [weight] if matrices else []
    rest = [bias] if matrices else [weight, bias]
    optimizer = Muon(chosen, rest, 0.05, 0.0, 10.0, torch.float32)
    losses: list[float] = []
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss = (x @ weight + bias - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_both_kinds_of_parameters_learn() -> None:
    for matrices in (True, False):
        losses = fitted(matrices, 100)
        assert losses[-1] < 0.1 * losses[0]


def test_without_matrices_it_is_adamw() -> None:
    ours, theirs = nn.Parameter(normal(4, 3)), nn.Parameter(normal(4, 3))
    a = Muon([], [ours], 0.1, 0.2, 0.0, torch.float32)
    b = torch.optim.AdamW([theirs], 0.1, (0.9, 0.99), weight_decay=0.2, fused=True)
    for step in range(3):
        for parameter, optimizer in ((ours, a), (theirs, b)):
            parameter.grad = normal(4, 3, seed=step)
            optimizer.step()
    assert torch.equal(ours, theirs)


def test_the_first_step_is_the_orthogonal_matrix() -> None:
    start, gradient = normal(6, 4), normal(6, 4, seed=1)
    parameter = nn.Parameter(start.clone())
    parameter.grad = gradient.clone()
    Muon([parameter], [], 0.1, 0.5, 1.0, torch.float32).step()
    nesterov = (1 - MOMENTUM) + MOMENTUM * (1 - MOMENTUM)
    expected = start * 0.95 - 0.1 * 0.2 * 6**0.5 * orthogonalize(
        nesterov * gradient, torch.float32
    )
    torch.testing.assert_close(parameter.detach(), expected)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_length_of_the_gradient_does_not_matter(scale: float) -> None:
    results: list[torch.Tensor] = []
    for factor in (1.0, scale):
        parameter = nn.Parameter(normal(5, 5))
        optimizer = Muon([parameter], [], 0.1, 0.0, 1.0, torch.float32)
        for step in range(3):
            parameter.grad = factor * normal(5, 5, seed=step)
            optimizer.step()
        results.append(parameter.detach())
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_state_is_tensors_alone_and_resumes() -> None:
    def steps(parameters: list[nn.Parameter], optimizer: Muon, first: int, last: int) -> None:
        for step in range(first, last):
            for parameter in parameters:
                parameter.grad = normal(*parameter.shape, seed=step)
            optimizer.step()

    def make(values: list[torch.Tensor]) -> tuple[list[nn.Parameter], Muon]:
        parameters = [nn.Parameter(value.clone()) for value in values]
        optimizer = Muon(parameters[:1], parameters[1:], 0.1, 0.1, 1.0, torch.float32)
        return parameters, optimizer

    values = [normal(4, 6), normal(6)]
    whole, optimizer = make(values)
    steps(whole, optimizer, 0, 6)
    first, optimizer = make(values)
    steps(first, optimizer, 0, 3)
    state = optimizer.state_dict()
    entries = [entry for each in state["state"].values() for entry in each.values()]
    assert all(isinstance(entry, torch.Tensor) for entry in entries)
    second, optimizer = make([parameter.detach() for parameter in first])
    optimizer.load_state_dict(state)
    steps(second, optimizer, 3, 6)
    assert all(torch.equal(a, b) for a, b in zip(whole, second, strict=True))
