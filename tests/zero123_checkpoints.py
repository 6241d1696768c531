"""Miniatures of zero123's and ZeroNVS's checkpoints, with the very names of the published ones.

The names and shapes are laid out from the definition of latent diffusion, of its autoencoder
and of CLIP, and not from what reads them.
"""

import io
import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """Sizes of a checkpoint; by default miniature ones with all that the published have."""

    width: int = 32
    multiples: tuple[int, ...] = (1, 1, 2, 2)
    layers: int = 2
    attention_levels: tuple[int, ...] = (0, 1, 2)
    context: int = 24
    """Numbers of the token of the cross attention, and of CLIP's embedding."""
    image_width: int = 32
    image_multiples: tuple[int, ...] = (1, 1, 2, 2)
    clip_width: int = 64
    clip_depth: int = 2
    clip_patch: int = 4
    clip_side: int = 4
    """Patches per side."""
    camera: int = 4
    channels: int = 8


MINIATURE = Sizes()
PUBLISHED = Sizes(
    width=320,
    multiples=(1, 2, 4, 4),
    context=768,
    image_width=128,
    image_multiples=(1, 2, 4, 4),
    clip_width=1024,
    clip_depth=24,
    clip_patch=14,
    clip_side=16,
)


def _layer(name: str, *shape: int, bias: bool = True) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", shape
    if bias:
        yield f"{name}.bias", shape[:1]


def _residual(name: str, before: int, after: int, time: int) -> Shapes:
    found = dict(_layer(f"{name}.in_layers.0", before))
    found |= _layer(f"{name}.in_layers.2", after, before, 3, 3)
    found |= _layer(f"{name}.emb_layers.1", after, time)
    found |= _layer(f"{name}.out_layers.0", after)
    found |= _layer(f"{name}.out_layers.3", after, after, 3, 3)
    if before != after:
        found |= _layer(f"{name}.skip_connection", after, before, 1, 1)
    return found


def _attention(name: str, width: int, context: int) -> Shapes:
    found = dict(_layer(f"{name}.norm", width))
    found |= _layer(f"{name}.proj_in", width, width, 1, 1)
    block = f"{name}.transformer_blocks.0"
    for number, source in ((1, width), (2, context)):
        for part, inner in (("to_q", width), ("to_k", source), ("to_v", source)):
            found |= _layer(f"{block}.attn{number}.{part}", width, inner, bias=False)
        found |= _layer(f"{block}.attn{number}.to_out.0", width, width)
    found |= _layer(f"{block}.ff.net.0.proj", 8 * width, width)
    found |= _layer(f"{block}.ff.net.2", width, 4 * width)
    for number in (1, 2, 3):
        found |= _layer(f"{block}.norm{number}", width)
    found |= _layer(f"{name}.proj_out", width, width, 1, 1)
    return found


def unet_shapes(sizes: Sizes) -> Shapes:
    """The denoising network, without a prefix."""
    time, width = 4 * sizes.width, sizes.width
    found = dict(_layer("time_embed.0", time, width))
    found |= _layer("time_embed.2", time, time)
    found |= _layer("input_blocks.0.0", width, sizes.channels, 3, 3)
    skipped, number = [width], 1
    for level, multiple in enumerate(sizes.multiples):
        for _ in range(sizes.layers):
            wide = multiple * sizes.width
            found |= _residual(f"input_blocks.{number}.0", width, wide, time)
            width = wide
            if level in sizes.attention_levels:
                found |= _attention(f"input_blocks.{number}.1", width, sizes.context)
            skipped.append(width)
            number += 1
        if level < len(sizes.multiples) - 1:
            found |= _layer(f"input_blocks.{number}.0.op", width, width, 3, 3)
            skipped.append(width)
            number += 1
    found |= _residual("middle_block.0", width, width, time)
    found |= _attention("middle_block.1", width, sizes.context)
    found |= _residual("middle_block.2", width, width, time)
    number = 0
    for level, multiple in reversed(list(enumerate(sizes.multiples))):
        for layer in range(sizes.layers + 1):
            wide = multiple * sizes.width
            found |= _residual(f"output_blocks.{number}.0", width + skipped.pop(), wide, time)
            width, part = wide, 1
            if level in sizes.attention_levels:
                found |= _attention(f"output_blocks.{number}.1", width, sizes.context)
                part = 2
            if level and layer == sizes.layers:
                found |= _layer(f"output_blocks.{number}.{part}.conv", width, width, 3, 3)
            number += 1
    found |= _layer("out.0", width)
    found |= _layer("out.2", sizes.channels // 2, width, 3, 3)
    return found


def _plain_residual(name: str, before: int, after: int) -> Shapes:
    found = dict(_layer(f"{name}.norm1", before))
    found |= _layer(f"{name}.conv1", after, before, 3, 3)
    found |= _layer(f"{name}.norm2", after)
    found |= _layer(f"{name}.conv2", after, after, 3, 3)
    if before != after:
        found |= _layer(f"{name}.nin_shortcut", after, before, 1, 1)
    return found


def _middle(name: str, width: int) -> Shapes:
    found = _plain_residual(f"{name}.mid.block_1", width, width)
    found |= _layer(f"{name}.mid.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        found |= _layer(f"{name}.mid.attn_1.{part}", width, width, 1, 1)
    return found | _plain_residual(f"{name}.mid.block_2", width, width)


def autoencoder_shapes(sizes: Sizes) -> Shapes:
    """The first stage, without a prefix."""
    latents, widths = (
        sizes.channels // 2,
        [m * sizes.image_width for m in sizes.image_multiples],
    )
    found = dict(_layer("encoder.conv_in", widths[0], 3, 3, 3))
    width = widths[0]
    for level, wide in enumerate(widths):
        for layer in range(sizes.layers):
            found |= _plain_residual(f"encoder.down.{level}.block.{layer}", width, wide)
            width = wide
        if level < len(widths) - 1:
            found |= _layer(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    found |= _middle("encoder", width)
    found |= _layer("encoder.norm_out", width)
    found |= _layer("encoder.conv_out", 2 * latents, width, 3, 3)
    found |= _layer("quant_conv", 2 * latents, 2 * latents, 1, 1)
    found |= _layer("post_quant_conv", latents, latents, 1, 1)
    found |= _layer("decoder.conv_in", width, latents, 3, 3)
    found |= _middle("decoder", width)
    for level, wide in reversed(list(enumerate(widths))):
        for layer in range(sizes.layers + 1):
            found |= _plain_residual(f"decoder.up.{level}.block.{layer}", width, wide)
            width = wide
        if level:
            found |= _layer(f"decoder.up.{level}.upsample.conv", width, width, 3, 3)
    found |= _layer("decoder.norm_out", width)
    found |= _layer("decoder.conv_out", 3, width, 3, 3)
    return found


def clip_shapes(sizes: Sizes) -> Shapes:
    """CLIP's visual tower, without a prefix."""
    width, tokens = sizes.clip_width, sizes.clip_side**2 + 1
    found: Shapes = {
        "class_embedding": (width,),
        "positional_embedding": (tokens, width),
        "proj": (width, sizes.context),
        "conv1.weight": (width, 3, sizes.clip_patch, sizes.clip_patch),
    }
    found |= _layer("ln_pre", width)
    for number in range(sizes.clip_depth):
        block = f"transformer.resblocks.{number}"
        found |= {f"{block}.attn.in_proj_weight": (3 * width, width)}
        found |= {f"{block}.attn.in_proj_bias": (3 * width,)}
        found |= _layer(f"{block}.attn.out_proj", width, width)
        found |= _layer(f"{block}.ln_1", width)
        found |= _layer(f"{block}.mlp.c_fc", 4 * width, width)
        found |= _layer(f"{block}.mlp.c_proj", width, 4 * width)
        found |= _layer(f"{block}.ln_2", width)
    found |= _layer("ln_post", width)
    return found


def all_shapes(sizes: Sizes) -> Shapes:
    """A whole checkpoint but for the moving average."""
    found: Shapes = {
        f"{name}_cumprod": (1000,)
        for name in ("alphas", "sqrt_alphas", "sqrt_one_minus_alphas", "log_one_minus_alphas")
    }
    found |= {"betas": (1000,), "logvar": (1000,)}
    for prefix, part in (
        ("model.diffusion_model.", unet_shapes(sizes)),
        ("first_stage_model.", autoencoder_shapes(sizes)),
        ("cond_stage_model.model.visual.", clip_shapes(sizes)),
    ):
        found |= {prefix + name: shape for name, shape in part.items()}
    # What is left of CLIP's text encoder once its transformer is deleted.
    text = sizes.context
    found |= {
        "cond_stage_model.model.positional_embedding": (77, text),
        "cond_stage_model.model.text_projection": (text, text),
        "cond_stage_model.model.logit_scale": (),
        "cond_stage_model.model.token_embedding.weight": (64, text),
    }
    found |= _layer("cond_stage_model.model.ln_final", text)
    found |= _layer("cc_projection", sizes.context, sizes.context + sizes.camera)
    return found


def random_values(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Values as of a network that was trained: its output is of order one."""
    drawn = torch.randn(shape, generator=generator)
    if name.endswith(".bias") or "embedding" in name:
        return 0.1 * drawn
    if len(shape) == 1:
        return 1 + 0.1 * drawn
    return drawn / math.sqrt(max(1, math.prod(shape[1:])))


def tensors(sizes: Sizes = MINIATURE, average: bool = True, seed: int = 0) -> dict[str, Tensor]:
    """A checkpoint's tensors; with `average` also the moving average, of other values."""
    generator = torch.Generator().manual_seed(seed)
    found = {
        name: random_values(name, shape, generator) for name, shape in all_shapes(sizes).items()
    }
    if average:
        for name, shape in unet_shapes(sizes).items():
            # The names of the average are those of `model`'s parameters without dots.
            short = f"diffusion_model.{name}".replace(".", "")
            found[f"model_ema.{short}"] = random_values(name, shape, generator)
        found["model_ema.decay"] = torch.tensor(0.9999)
        found["model_ema.num_updates"] = torch.tensor(105000)
    return found


class ModelCheckpoint:
    """Stands for what a pickle names and the reader has not: a callback of the training."""

    def __init__(self) -> None:
        self.dirpath = "/somewhere"


def write(path: Path, content: dict[str, Tensor], **options: Any) -> Path:
    """Write a .safetensors file or, by another ending, a checkpoint of Lightning."""
    if path.suffix == ".safetensors":
        save_file(content, path)
        return path
    whole = {
        "epoch": 165,
        "global_step": 105000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": OrderedDict(content),
        "callbacks": {ModelCheckpoint: {"best": torch.tensor(0.5), "it": ModelCheckpoint()}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
        "lr_schedulers": [{"base_lrs": [1e-4], "last_epoch": 105000}],
    }
    torch.save(whole, path, **options)
    return path


def small_checkpoint() -> bytes:
    """A checkpoint of Lightning with a few small tensors, always the same bytes."""
    base = torch.arange(12.0)
    content = {"layer.weight": base.view(3, 4), "layer.bias": base[:3].half(), "step": base[0]}
    whole = {"epoch": 1, "state_dict": OrderedDict(content), "callbacks": {ModelCheckpoint: {}}}
    stream = io.BytesIO()
    torch.save(whole, stream)
    return stream.getvalue()
