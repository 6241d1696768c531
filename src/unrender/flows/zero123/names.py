"""The names and sizes of latent diffusion's checkpoints, as those of diffusers' networks.

Rombach et al. (2022) and what was trained from their weights name the parts of the denoising
network `input_blocks`, `middle_block` and `output_blocks`, and those of the autoencoder `down`,
`mid` and `up`. All sizes follow from the shapes of the tensors, but for the number of attention
heads and of groups in normalizations, which the published models have in common.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

Shapes = Mapping[str, tuple[int, ...]]

HEADS, GROUPS = 8, 32
"""Of the published models; fewer for miniature widths that are no multiples of them."""

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def unet_options(shapes: Shapes) -> dict[str, Any]:
    """Arguments of diffusers' UNet2DConditionModel for tensors of these names and shapes.

    Raises KeyError, IndexError or ValueError if they are of another architecture.
    """
    widths, layers, attends = [0], [0], [False]
    number = 1
    while any(name.startswith(f"input_blocks.{number}.") for name in shapes):
        start = f"input_blocks.{number}."
        if f"{start}0.op.weight" in shapes:
            widths.append(0)
            layers.append(0)
            attends.append(False)
        else:
            widths[-1] = shapes[f"{start}0.out_layers.3.weight"][0]
            layers[-1] += 1
            attends[-1] = f"{start}1.proj_in.weight" in shapes
        number += 1
    if len(set(layers)) != 1 or not layers[0]:
        raise ValueError(f"has levels of {layers} layers")
    inner = "middle_block.1.transformer_blocks."
    blocks = {name.removeprefix(inner).split(".")[0] for name in shapes if inner in name}
    down = tuple("CrossAttnDownBlock2D" if each else "DownBlock2D" for each in attends)
    up = tuple("CrossAttnUpBlock2D" if each else "UpBlock2D" for each in reversed(attends))
    return {
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": tuple(widths),
        "layers_per_block": layers[0],
        "down_block_types": down,
        "up_block_types": up,
        "cross_attention_dim": shapes[f"{inner}0.attn2.to_k.weight"][1],
        "transformer_layers_per_block": len(blocks),
        "use_linear_projection": len(shapes["middle_block.1.proj_in.weight"]) == 2,
        # diffusers takes it for the number of heads.
        "attention_head_dim": math.gcd(HEADS, *widths),
        "norm_num_groups": math.gcd(GROUPS, *widths),
    }


def unet_names(names: Iterable[str], layers: int) -> dict[str, str]:
    """The checkpoint's name of each parameter of a UNet2DConditionModel.

    `layers` is its `layers_per_block`.
    """
    names = list(names)
    attends = {
        match[1] for name in names if (match := re.match(r"(up_blocks\.\d+)\.att", name))
    }
    return {name: _unet_name(name, layers, attends) for name in names}


def _unet_name(name: str, layers: int, attends: set[str]) -> str:
    head, tail = "", name
    for ours, theirs in _ENDS.items():
        if name.startswith(f"{ours}."):
            head, tail = theirs, name.removeprefix(f"{ours}.")
    match = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name)
    if match:
        level, layer, tail = int(match[2]), int(match[4]), match[5]
        part = 0 if match[3] == "resnets" else 1
        if match[1] == "down":
            head = f"input_blocks.{1 + level * (layers + 1) + layer}.{part}"
        else:
            head = f"output_blocks.{level * (layers + 1) + layer}.{part}"
    match = re.match(r"(down|up)_blocks\.(\d+)\.(?:down|up)samplers\.0\.conv\.(.*)", name)
    if match:
        last = int(match[2]) * (layers + 1) + layers
        if match[1] == "down":
            return f"input_blocks.{1 + last}.0.op.{match[3]}"
        part = 2 if f"up_blocks.{match[2]}" in attends else 1
        return f"output_blocks.{last}.{part}.conv.{match[3]}"
    if "resnets" in name:
        part, kind = tail.rsplit(".", 1)
        tail = f"{_RESNET[part]}.{kind}"
    return f"{head}.{tail}"


def autoencoder_options(shapes: Shapes) -> dict[str, Any]:
    """Arguments of diffusers' AutoencoderKL for tensors of these names and shapes. KeyError."""
    widths: list[int] = []
    while f"encoder.down.{len(widths)}.block.0.conv1.weight" in shapes:
        widths.append(shapes[f"encoder.down.{len(widths)}.block.0.conv1.weight"][0])
    layers = 0
    while f"encoder.down.0.block.{layers}.conv1.weight" in shapes:
        layers += 1
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "block_out_channels": tuple(widths),
        "layers_per_block": layers,
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "norm_num_groups": math.gcd(GROUPS, *widths),
    }


def autoencoder_names(names: Iterable[str], levels: int) -> dict[str, str]:
    """The checkpoint's name of each parameter of an AutoencoderKL with so many levels."""
    return {name: _autoencoder_name(name, levels) for name in names}


def _autoencoder_name(name: str, levels: int) -> str:
    def level(match: re.Match[str]) -> str:
        number = int(match[2]) if match[1] == "down" else levels - 1 - int(match[2])
        return f"{match[1]}.{number}."

    name = re.sub(r"\b(down|up)_blocks\.(\d+)\.", level, name)
    name = re.sub(r"(down|up)samplers\.0\.conv", r"\1sample.conv", name)
    if "mid_block.attentions.0." in name:
        for ours, theirs in _ATTENTION.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
        return name.replace("mid_block.attentions.0.", "mid.attn_1.")
    name = re.sub(
        r"mid_block\.resnets\.(\d)\.", lambda match: f"mid.block_{int(match[1]) + 1}.", name
    )
    name = name.replace(".resnets.", ".block.").replace("conv_shortcut", "nin_shortcut")
    return name.replace("conv_norm_out", "norm_out")


def average_name(name: str) -> str:
    """The name of the moving average of a parameter `diffusion_model.…`, without dots."""
    return name.replace(".", "")
