"""Hardware support for matrix products in low precision."""

import torch


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether matrix products on `device` are faster in bfloat16 than in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # PyTorch exposes these CPU features only under private names, on some systems.
    questions = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return device.type == "cpu" and any(
        bool(getattr(torch.cpu, name)()) for name in questions if name in vars(torch.cpu)
    )
