"""The chamfer distance against its formula and closed forms."""

import pytest
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.shapes.chamfer import chamfer_distance


def cloud(count: int, seed: int, batch: int = 2) -> Tensor:
    return torch.rand(batch, count, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("squared", [True, False])
def test_is_its_formula(squared: bool) -> None:
    a, b = cloud(40, 0), cloud(30, 1)
    distances = (a[:, :, None] - b[:, None]).norm(dim=-1)
    distances = distances.square() if squared else distances
    forth, back = distances.amin(2).mean(1), distances.amin(1).mean(1)
    torch.testing.assert_close(chamfer_distance(a, b, squared=squared).distance, forth + back)
    one = chamfer_distance(a, b, squared=squared, direction="a_to_b").distance
    torch.testing.assert_close(one, forth)
    other = chamfer_distance(a, b, squared=squared, direction="b_to_a").distance
    torch.testing.assert_close(other, back)


def test_is_symmetric_and_zero_of_a_cloud_and_itself() -> None:
    a, b = cloud(40, 0), cloud(30, 1)
    torch.testing.assert_close(chamfer_distance(a, b).distance, chamfer_distance(b, a).distance)
    shuffled = a[:, torch.randperm(40)]
    assert (chamfer_distance(a, shuffled).distance == 0).all()


def test_padding_counts_for_nothing() -> None:
    a, b = cloud(40, 0), cloud(30, 1)
    n, m = torch.tensor([7, 40]), torch.tensor([30, 1])
    normals = cloud(40, 2) - 0.5, cloud(30, 3) - 0.5
    found = chamfer_distance(a, b, n, m, normals_a=normals[0], normals_b=normals[1])
    for k in range(2):
        rows, columns = slice(int(n[k])), slice(int(m[k]))
        alone = chamfer_distance(
            a[k : k + 1, rows],
            b[k : k + 1, columns],
            normals_a=normals[0][k : k + 1, rows],
            normals_b=normals[1][k : k + 1, columns],
        )
        torch.testing.assert_close(found.distance[k], alone.distance[0])
        assert found.normals is not None
        assert alone.normals is not None
        torch.testing.assert_close(found.normals[k], alone.normals[0])


def test_normals_at_an_angle_differ_by_its_cosine() -> None:
    points = cloud(20, 0)
    up = torch.tensor([0.0, 0.0, 2.0]).expand_as(points)
    tilted = torch.tensor([0.0, 0.6, -0.8]).expand_as(points)
    found = chamfer_distance(points, points, normals_a=up, normals_b=tilted).normals
    torch.testing.assert_close(found, torch.full((2,), 2 * (1 - 0.8)))


@pytest.mark.parametrize("squared", [True, False])
def test_gradients_by_finite_differences(squared: bool) -> None:
    a, b = cloud(5, 0).double().requires_grad_(), cloud(4, 1).double().requires_grad_()
    normals = (cloud(5, 2) - 0.5).double(), (cloud(4, 3) - 0.5).double()
    for each in normals:
        each.requires_grad_()

    def both(a: Tensor, b: Tensor, of_a: Tensor, of_b: Tensor) -> Tensor:
        found = chamfer_distance(a, b, squared=squared, normals_a=of_a, normals_b=of_b)
        assert found.normals is not None
        return found.distance + found.normals

    assert torch.autograd.gradcheck(both, (a, b, *normals))


def test_points_that_meet_have_a_finite_gradient() -> None:
    a = cloud(5, 0).requires_grad_()
    chamfer_distance(a, a.detach(), squared=False).distance.sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()


def test_descent_brings_a_cloud_to_another() -> None:
    a, b = cloud(50, 0).requires_grad_(), cloud(50, 1)
    optimizer = torch.optim.Adam([a], 0.03)
    before = chamfer_distance(a.detach(), b).distance.sum()
    for _ in range(80):
        optimizer.zero_grad()
        loss = chamfer_distance(a, b).distance.mean()
        loss.backward()
        optimizer.step()
    assert chamfer_distance(a.detach(), b).distance.sum() < 0.2 * before


def test_a_cloud_without_points_is_refused() -> None:
    a = cloud(5, 0)
    with pytest.raises(InputError, match="cloud b of a chamfer distance has no points"):
        chamfer_distance(a, a[:, :0])
    with pytest.raises(InputError, match="cloud a"):
        chamfer_distance(a, a, num_a=torch.tensor([5, 0]))
