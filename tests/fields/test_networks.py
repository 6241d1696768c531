"""The radiance network against its definition."""

import pytest
import torch

from unrender.fields.networks import RadianceNetwork, Trunk


def test_a_network_is_its_formula() -> None:
    """The view's part of the product is taken once a ray: the same as by the whole input."""
    network = RadianceNetwork(6, 4, 8, 3, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, bias in network.named_parameters():
            if name.endswith("bias"):
                bias.normal_(generator=torch.Generator().manual_seed(len(name)))
    position, direction = torch.randn(5, 7, 6), torch.randn(5, 4)
    inputs = position.requires_grad_(), direction.requires_grad_(), *network.parameters()
    density, color = network(position, direction)
    a, b, c = network.trunk.layers
    hidden = b(a(position).relu()).relu()
    hidden = c(torch.cat([hidden, position], dim=-1)).relu()
    seen = torch.cat([network.bottleneck(hidden), direction[:, None].expand(5, 7, 4)], dim=-1)
    expected = network.density(hidden)[..., 0], network.color(network.hidden(seen).relu())
    torch.testing.assert_close((density, color), expected)
    found, known = (
        torch.autograd.grad(x.square().sum() + y.square().sum(), inputs)
        for x, y in ((density, color), expected)
    )
    torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_layers_in_one_kernel_are_those_one_by_one(depth: int) -> None:
    trunk = Trunk(6, 8, depth, 0, torch.Generator().manual_seed(depth))
    points = torch.randn(9, 6)
    torch.testing.assert_close(trunk.fused(points), trunk(points))


def test_the_seed_decides() -> None:
    a, b, c = (
        RadianceNetwork(6, 4, 8, 2, 0, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    same, other = a.state_dict(), c.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in b.state_dict().items())
    assert not torch.equal(same["color.weight"], other["color.weight"])
