"""Which appearance, state and camera each view of a moving scene shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class ViewIds:
    """Numbers from 0 on, one of each kind for each view, by which codes are learned.

    Views with one `appearance` have the same exposure and light, those with one `deformation`
    show the same moment, and those with one `camera` were taken by the same device (Nerfies,
    https://arxiv.org/abs/2011.12948).
    """

    appearance: Int[Tensor, "views"]
    deformation: Int[Tensor, "views"]
    camera: Int[Tensor, "views"]

    def __len__(self) -> int:
        return len(self.appearance)

    def select(self, index: Int[Tensor, "chosen"] | Bool[Tensor, "views"] | slice) -> "ViewIds":
        return ViewIds(self.appearance[index], self.deformation[index], self.camera[index])

    def to(self, device: torch.device | str) -> "ViewIds":
        return ViewIds(
            self.appearance.to(device), self.deformation.to(device), self.camera.to(device)
        )


def joined_ids(parts: "Sequence[ViewIds | None]") -> ViewIds | None:
    """The numbers of views one after the other; None if some have none."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    return ViewIds(
        torch.cat([part.appearance for part in known]),
        torch.cat([part.deformation for part in known]),
        torch.cat([part.camera for part in known]),
    )
