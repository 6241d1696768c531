"""Low precision of matrix products: where hardware supports it, and the context in training."""

from typing import Literal

import torch

Precision = Literal["auto", "bfloat16", "float32"]


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether matrix products on `device` are faster in bfloat16 than in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # PyTorch exposes these CPU features only under private names, on some systems.
    questions = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return device.type == "cpu" and any(
        bool(getattr(torch.cpu, name)()) for name in questions if name in vars(torch.cpu)
    )


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Context in which matrix products are computed in this precision.

    "auto" is bfloat16 where hardware supports it.
    """
    short = precision == "bfloat16" or (precision == "auto" and multiplies_bfloat16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=short)
