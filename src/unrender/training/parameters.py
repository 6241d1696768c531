"""Parameters whose shape changes in training."""

import torch
from torch import Tensor, nn


def replace_parameter(
    optimizer: torch.optim.Optimizer, old: nn.Parameter, values: Tensor
) -> nn.Parameter:
    """A new parameter in the old one's place, in its group; what the optimiser knew is gone."""
    new = nn.Parameter(values.detach().clone())
    optimizer.state.pop(old, None)
    for group in optimizer.param_groups:
        group["params"] = [new if each is old else each for each in group["params"]]
    return new
