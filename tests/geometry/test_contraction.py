"""Scene contraction: inverse, range, and contraction of Gaussians."""

import torch
from torch import Tensor

from unrender.geometry.contraction import contract, contract_box, contract_gaussians
from unrender.geometry.frustums import Gaussians


def points(count: int = 200) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    length = 10 ** (4 * torch.rand(count, 1, generator=generator, dtype=torch.float64) - 2)
    return torch.nn.functional.normalize(normal, dim=1) * length


def test_all_of_space_fits_in_the_ball_of_two() -> None:
    found, given = contract(points()).norm(dim=1), points().norm(dim=1)
    torch.testing.assert_close(found, torch.where(given < 1, given, 2 - 1 / given))
    assert bool((found < 2).all())
    # Equal steps of 1/distance become equal steps.
    far = torch.tensor([[1.0, 0, 0], [2, 0, 0], [1e9, 0, 0]])
    torch.testing.assert_close(contract(far)[:, 0], torch.tensor([1.0, 1.5, 2.0]))


def test_the_box_is_that_of_two() -> None:
    found, given = contract_box(points()), points()
    largest = given.abs().amax(dim=1)
    torch.testing.assert_close(
        found.abs().amax(dim=1), torch.where(largest < 1, largest, 2 - 1 / largest)
    )
    inside = largest < 1
    assert torch.equal(found[inside], given[inside])


def test_gaussians_by_the_jacobian() -> None:
    mean = points(40)
    root = torch.randn(40, 3, 3, generator=torch.Generator().manual_seed(1)).double()
    covariance = 1e-6 * root @ root.mT
    found = contract_gaussians(Gaussians(mean, covariance))
    torch.testing.assert_close(found.mean, contract(mean))
    jacobian = torch.func.vmap(torch.func.jacrev(contract))(mean)
    torch.testing.assert_close(found.covariance, jacobian @ covariance @ jacobian.mT)


def test_gaussians_by_sampling() -> None:
    generator = torch.Generator().manual_seed(2)
    mean = torch.tensor([[0.2, 0.1, 0.3], [2.0, -1.0, 0.5], [0.0, 0.0, 30.0]]).double()
    root = 1e-2 * torch.randn(3, 3, 3, generator=generator).double()
    found = contract_gaussians(Gaussians(mean, root @ root.mT))
    normal = torch.randn(100_000, 3, 3, 1, generator=generator).double()
    drawn = contract(mean + (root @ normal)[..., 0])
    for k in range(3):
        sampled = drawn[:, k].T.cov()
        torch.testing.assert_close(
            found.covariance[k], sampled, rtol=0, atol=0.05 * float(sampled.abs().max())
        )


def test_the_gradient_is_finite_at_the_centre() -> None:
    """The gradient of the norm is not finite there."""
    mean = torch.zeros(1, 3, requires_grad=True)
    found = contract_gaussians(Gaussians(mean, torch.eye(3)[None]))
    (found.mean.sum() + found.covariance.sum()).backward()
    assert mean.grad is not None
    assert bool(mean.grad.isfinite().all())
