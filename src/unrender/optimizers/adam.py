"""Adam with a second moment that is shared by all entries of a parameter.

Kingma and Ba (2014); "uniform" Adam as in Nicolet et al., "Large Steps in Inverse Rendering of
Geometry" (2021), sec. 3.3: the second moment is the maximum over all entries, so that smooth
gradients lead to smooth steps.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from unrender.kernels.lazy_adam import lazy_adam


class UniformAdam(torch.optim.Optimizer):
    """Adam whose second moment is shared by all entries of a parameter.

    Parameter groups with `"uniform": False` use standard Adam instead.
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
        """Update all parameters. Closures are not supported."""
        assert closure is None, "closures are not supported"
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"] = torch.zeros_like(parameter)
                    shape = () if group["uniform"] else parameter.shape
                    state["exp_avg_sq"] = parameter.new_zeros(shape)
                state["step"] += 1
                count = float(state["step"])
                mean = state["exp_avg"].lerp_(parameter.grad, 1 - first)
                squared_grad = parameter.grad.square()
                squared_grad = squared_grad.max() if group["uniform"] else squared_grad
                square = state["exp_avg_sq"].lerp_(squared_grad, 1 - second)
                scale = (square / (1 - second**count)).sqrt() + 1e-12
                parameter.sub_(group["lr"] / (1 - first**count) * mean / scale)


class LazyAdam(torch.optim.Optimizer):
    """Adam that leaves entries without gradient as they are, together with their moments.

    In a grid of features, few entries have a gradient in a step. Adam would move the others
    too, by their old moments. The number of steps, for bias correction, is that of the table.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update all parameters. Closures are not supported."""
        assert closure is None, "closures are not supported"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                    if group["betas"][0]:
                        state["exp_avg"] = torch.zeros_like(parameter)
                state["step"] += 1
                grad = parameter.grad.contiguous()
                lazy_adam(
                    parameter.detach(),
                    grad,
                    # Without momentum, the mean gradient is the gradient.
                    state.get("exp_avg", grad),
                    state["exp_avg_sq"],
                    group["lr"],
                    group["betas"],
                    int(state["step"]),
                    group["eps"],
                )


def grid_adam(
    groups: Iterable[dict[str, Any]], betas: tuple[float, float], eps: float, lazy: bool
) -> torch.optim.Optimizer:
    """Adam for grids, which moves all of their entries or only those with a gradient."""
    if lazy:
        return LazyAdam(groups, betas=betas, eps=eps)
    return torch.optim.Adam(groups, betas=betas, eps=eps, fused=True)
