"""The radiance network against its definition."""

import torch

from unrender.fields.networks import RadianceNetwork


def test_a_network_is_its_formula() -> None:
    """The view's part of the product is taken once a ray: the same as by the whole input."""
    network = RadianceNetwork(6, 4, 8, 3, 2, torch.Generator().manual_seed(0))
    position, direction = torch.randn(5, 7, 6), torch.randn(5, 4)
    density, color = network(position, direction)
    a, b, c = network.trunk.layers
    hidden = b(a(position).relu()).relu()
    hidden = c(torch.cat([hidden, position], dim=-1)).relu()
    torch.testing.assert_close(density, network.density(hidden)[..., 0])
    seen = torch.cat([network.bottleneck(hidden), direction[:, None].expand(5, 7, 4)], dim=-1)
    torch.testing.assert_close(color, network.color(network.hidden(seen).relu()))


def test_the_seed_decides() -> None:
    a, b, c = (
        RadianceNetwork(6, 4, 8, 2, 0, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    same, other = a.state_dict(), c.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in b.state_dict().items())
    assert not torch.equal(same["color.weight"], other["color.weight"])
