import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrender.flows.paths import LinearPath


def pair(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x0, x1 = torch.randn(2, 3, 2, 4, 4, generator=generator)
    return x0, x1


def test_the_ends_are_exact() -> None:
    x0, x1 = pair(0)
    assert torch.equal(LinearPath().sample(x0, x1, torch.zeros(3)).x_t, x0)
    assert torch.equal(LinearPath().sample(x0, x1, torch.ones(3)).x_t, x1)


@given(seed=st.integers(0, 99), t=st.floats(0.125, 0.875, width=32))
@settings(deadline=None)
def test_the_velocity_is_the_derivative(seed: int, t: float) -> None:
    x0, x1 = (x.double() for x in pair(seed))
    h = 1e-4
    at = [LinearPath().sample(x0, x1, torch.full((3,), t + d).double()) for d in (-h, 0, h)]
    slope = (at[2].x_t - at[0].x_t) / (2 * h)
    torch.testing.assert_close(slope, at[1].velocity, rtol=0, atol=1e-2)


def test_each_example_has_its_own_time() -> None:
    x0, x1 = pair(1)
    t = torch.tensor([0.0, 0.25, 1.0])
    together = LinearPath().sample(x0, x1, t).x_t
    for i in range(3):
        alone = LinearPath().sample(x0[i : i + 1], x1[i : i + 1], t[i : i + 1]).x_t
        assert torch.equal(together[i : i + 1], alone)
