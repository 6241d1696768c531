"""Which short number formats a device multiplies in hardware."""

import torch


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster there than in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Torch asks the processor under these names alone, and only on some systems.
    questions = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return device.type == "cpu" and any(
        bool(getattr(torch.cpu, name)()) for name in questions if name in vars(torch.cpu)
    )
