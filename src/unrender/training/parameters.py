"""Parameters whose shape changes during training."""

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
