"""Adam, and with one size of step for all numbers of a parameter.

Kingma and Ba (2014); uniform as in Nicolet et al., "Large Steps in Inverse Rendering of
Geometry" (2021), sec. 3.3: the second moment is the greatest of all entries, so that a gradient
that is smooth stays so.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class UniformAdam(torch.optim.Optimizer):
    """Adam whose second moment is shared by all entries of a parameter.

    Not in groups with `"uniform": False`, which have plain Adam.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ):
        super().__init__(parameters, {"lr": lr, "betas": betas, "uniform": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step; a closure is not called."""
        assert closure is None, "a closure is of no use here"
        for group in self.param_groups:
            first, second = group["betas"]
            for numbers in group["params"]:
                if numbers.grad is None:
                    continue
                state = self.state[numbers]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"] = torch.zeros_like(numbers)
                    shape = () if group["uniform"] else numbers.shape
                    state["exp_avg_sq"] = numbers.new_zeros(shape)
                state["step"] += 1
                count = float(state["step"])
                mean = state["exp_avg"].lerp_(numbers.grad, 1 - first)
                now = numbers.grad.square()
                now = now.max() if group["uniform"] else now
                square = state["exp_avg_sq"].lerp_(now, 1 - second)
                scale = (square / (1 - second**count)).sqrt() + 1e-12
                numbers.sub_(group["lr"] / (1 - first**count) * mean / scale)
