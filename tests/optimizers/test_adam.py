"""Adam with one step size for all entries of a parameter."""

import torch

from unrender.optimizers.adam import UniformAdam


def test_plain_groups_are_torchs_adam() -> None:
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    one = UniformAdam([{"params": [ours], "uniform": False}], lr=0.01)
    other = torch.optim.Adam([theirs], lr=0.01, eps=1e-12)
    for _ in range(20):
        for numbers, optimizer in ((ours, one), (theirs, other)):
            optimizer.zero_grad()
            (numbers.square().sum() + numbers[0].exp().sum()).backward()
            optimizer.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_the_step_keeps_the_gradients_direction() -> None:
    numbers = torch.nn.Parameter(torch.zeros(4))
    gradient = torch.tensor([1.0, -0.5, 0.01, 0.0])
    optimizer = UniformAdam([numbers], lr=0.1)
    numbers.grad = gradient.clone()
    optimizer.step()
    torch.testing.assert_close(numbers.detach(), -0.1 * gradient)


def test_plain_adam_would_not() -> None:
    numbers = torch.nn.Parameter(torch.zeros(4))
    optimizer = UniformAdam([{"params": [numbers], "uniform": False}], lr=0.1)
    numbers.grad = torch.tensor([1.0, -0.5, 0.01, 0.0])
    optimizer.step()
    torch.testing.assert_close(numbers.detach(), torch.tensor([-0.1, 0.1, -0.1, 0.0]))
