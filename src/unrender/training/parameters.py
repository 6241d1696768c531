"""Parameters whose shape changes during training, and averages of parameters."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def replace_parameter(
    optimizer: torch.optim.Optimizer, old: nn.Parameter, values: Tensor
) -> nn.Parameter:
    """Replace a parameter in its group by a new one; its optimizer state is discarded."""
    new = nn.Parameter(values.detach().clone())
    optimizer.state.pop(old, None)
    for group in optimizer.param_groups:
        group["params"] = [new if each is old else each for each in group["params"]]
    return new


class MovingAverages(nn.Module):
    """Exponential moving averages of parameters, which checkpoints hold."""

    def __init__(self, parameters: Iterable[Tensor]):
        super().__init__()
        for k, parameter in enumerate(list(parameters)):
            self.register_buffer(str(k), parameter.detach().clone())

    @torch.no_grad()
    def update(self, parameters: Iterable[Tensor], decay: float) -> None:
        """Set average = decay × average + (1 − decay) × parameter."""
        for average, parameter in zip(self.buffers(), parameters, strict=True):
            average.lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def copy_to(self, parameters: Iterable[Tensor]) -> None:
        """Set the parameters to their averages."""
        for average, parameter in zip(self.buffers(), parameters, strict=True):
            parameter.copy_(average)
