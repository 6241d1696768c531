"""Presets of flows between camera poses and images, and of their baselines."""

from collections.abc import Iterator
from typing import Any

from unrender.methods.presets.preset import FAST, Preset

_PLAIN_SIT: dict[str, Any] = {
    "learning_rate": 5e-4,
    "muon": False,
    "source_noise": 1.0,
    "noise_scale": "fixed",
    "end_share": 0.0,
    "start_share": 0.0,
    "image_steps": 50,
    "inversion_steps": 50,
    "refine_steps": 0,
}
# Adam as in the paper: a constant rate, and nothing else.
_PAPER: dict[str, Any] = {
    "batch": 256,
    "learning_rate": 1e-4,
    "learning_rate_decay": 1.0,
    "warm_up": 1,
    "beta2": 0.999,
    "weight_decay": 0.0,
    "max_norm": 0.0,
    "muon": False,
    "average_decay": 0.9999,
}
_SIT_SIZES = {"s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16), "xl": (1152, 28, 16)}


def pose_flows() -> Iterator[Preset]:
    flow = "pose flow"
    yield Preset("sit", "sit", flow, f"images from poses and poses from images, {FAST}", 5)
    yield Preset(
        "sit-plain", "sit", flow, "the same size, trained as textbooks have it", 5, _PLAIN_SIT
    )
    yield Preset("sit-gaussian", "sit-gaussian", flow, "a flow from noise: a baseline", 5)
    yield Preset("pose-regressor", "pose-regressor", flow, "poses alone: a baseline", 5)
    for name, (width, depth, heads) in _SIT_SIZES.items():
        for patch in (2, 4, 8):
            yield Preset(
                f"sit-{name}-{patch}", "sit", flow,
                f"the paper's SiT-{name.upper()}/{patch}: {depth} blocks of width {width}",
                None,
                {**_PAPER, "patch": patch, "width": width, "depth": depth, "heads": heads},
            )  # fmt: skip
