"""Base of methods that train a network and its moving average, by Muon or AdamW."""

from dataclasses import dataclass

import torch
from torch import nn

from unrender.flows.precision import Precision, multiplies_bfloat16
from unrender.optimizers.muon import Muon
from unrender.training.method import Data, Method, Model, Progress


@dataclass(frozen=True)
class MuonTraining(Method[Model, Data]):
    """Options of the optimizer, of its learning rate and of the average."""

    learning_rate: float = 4e-3
    """Learning rate after the warm-up; it decays along a cosine."""
    learning_rate_decay: float = 0.02
    """Final learning rate, as a fraction of the initial one; 1 keeps it constant."""
    warm_up: int = 100
    """Steps over which the learning rate rises."""
    weight_decay: float = 0.01
    """Weight decay of AdamW and Muon."""
    beta2: float = 0.99
    """AdamW's decay rate of the second moment."""
    muon: bool = True
    """Whether Muon updates the matrices of the blocks; AdamW updates the rest, or
    everything."""
    max_norm: float = 1.0
    """Maximum gradient norm, except for Muon's matrices; 0 disables clipping."""
    average_decay: float = 0.998
    """Decay of the exponential moving average of the weights, which is used after training."""
    precision: Precision = "auto"
    """Precision of matrix products in training; auto takes bfloat16 where hardware supports
    it."""

    def muon_of(
        self, network: nn.Module, matrices: list[nn.Parameter], device: torch.device
    ) -> Muon:
        """The optimizer of a network, of which Muon updates `matrices`, if it is used."""
        matrices = matrices if self.muon else []
        chosen = {id(matrix) for matrix in matrices}
        others = [each for each in network.parameters() if id(each) not in chosen]
        dtype = torch.bfloat16 if multiplies_bfloat16(device) else torch.float32
        rate, decay, longest = self.learning_rate, self.weight_decay, self.max_norm
        return Muon(matrices, others, rate, decay, longest, dtype, self.beta2)

    def schedule(self, progress: Progress) -> float:
        return progress.rising(self.warm_up) * progress.falling(self.learning_rate_decay)

    def kept(self, progress: Progress) -> float:
        """Decay of the moving average at this step: smaller at first."""
        return min(self.average_decay, (1 + progress.step) / (10 + progress.step))
