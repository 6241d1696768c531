"""Second ways to the networks of zero123: their definitions, and diffusers' own reader.

The definitions are in plain torch, straight from named tensors of a checkpoint.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from zero123_checkpoints import Sizes

F = nn.functional
UNET, CLIP = "model.diffusion_model.", "cond_stage_model.model.visual."
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


class Definition:
    """The denoising network: Rombach et al. 2022, with the blocks of Dhariwal and Nichol."""

    def __init__(self, content: dict[str, Tensor], sizes: Sizes):
        self.sizes = sizes
        self.values = {
            name.removeprefix(UNET): value
            for name, value in content.items()
            if name.startswith(UNET)
        }

    def both(self, name: str) -> tuple[Tensor, Tensor | None]:
        return self.values[f"{name}.weight"], self.values.get(f"{name}.bias")

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight, bias = self.both(name)
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, *self.both(name))

    def norm(self, name: str, x: Tensor, epsilon: float) -> Tensor:
        return F.group_norm(x, 32, *self.both(name), epsilon)

    def residual(self, name: str, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv(f"{name}.in_layers.2", F.silu(self.norm(f"{name}.in_layers.0", x, 1e-5)))
        h = h + self.linear(f"{name}.emb_layers.1", F.silu(time))[:, :, None, None]
        h = self.conv(
            f"{name}.out_layers.3", F.silu(self.norm(f"{name}.out_layers.0", h, 1e-5))
        )
        skips = f"{name}.skip_connection.weight" in self.values
        return h + (self.conv(f"{name}.skip_connection", x) if skips else x)

    def attend(self, name: str, x: Tensor, source: Tensor) -> Tensor:
        def heads(part: str, values: Tensor) -> Tensor:
            return self.linear(f"{name}.{part}", values).unflatten(-1, (8, -1)).transpose(1, 2)

        q, k, v = heads("to_q", x), heads("to_k", source), heads("to_v", source)
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
        return self.linear(f"{name}.to_out.0", (weights @ v).transpose(1, 2).flatten(2))

    def transformer(self, name: str, x: Tensor, context: Tensor) -> Tensor:
        h = self.conv(f"{name}.proj_in", self.norm(f"{name}.norm", x, 1e-6))
        h, block = h.flatten(2).mT, f"{name}.transformer_blocks.0"

        def layer_norm(number: int, values: Tensor) -> Tensor:
            return F.layer_norm(values, values.shape[-1:], *self.both(f"{block}.norm{number}"))

        own = layer_norm(1, h)
        h = h + self.attend(f"{block}.attn1", own, own)
        h = h + self.attend(f"{block}.attn2", layer_norm(2, h), context)
        value, gate = self.linear(f"{block}.ff.net.0.proj", layer_norm(3, h)).chunk(2, -1)
        h = h + self.linear(f"{block}.ff.net.2", value * F.gelu(gate))
        return x + self.conv(f"{name}.proj_out", h.mT.unflatten(2, x.shape[2:]))

    def part(self, name: str, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """The layers of one block, in their order."""
        for number in range(3):
            inner = f"{name}.{number}"
            if f"{inner}.in_layers.0.weight" in self.values:
                x = self.residual(inner, x, time)
            elif f"{inner}.proj_in.weight" in self.values:
                x = self.transformer(inner, x, context)
            elif f"{inner}.op.weight" in self.values:
                x = self.conv(f"{inner}.op", x, stride=2)
            elif f"{inner}.conv.weight" in self.values:
                x = self.conv(f"{inner}.conv", F.interpolate(x, scale_factor=2.0))
            elif f"{inner}.weight" in self.values:
                x = self.conv(inner, x)
        return x

    def __call__(self, x: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        half = self.sizes.width // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half) / half)
        angles = timesteps[:, None] * rates
        time = self.linear("time_embed.0", torch.cat([angles.cos(), angles.sin()], 1))
        time = self.linear("time_embed.2", F.silu(time))
        skipped: list[Tensor] = []
        count = 1 + max(int(n.split(".")[1]) for n in self.values if n.startswith("input_"))
        for number in range(count):
            x = self.part(f"input_blocks.{number}", x, time, context)
            skipped.append(x)
        x = self.part("middle_block", x, time, context)
        for number in range(count):
            x = torch.cat([x, skipped.pop()], dim=1)
            x = self.part(f"output_blocks.{number}", x, time, context)
        return self.conv("out.2", F.silu(self.norm("out.0", x, 1e-5)))


def clip_definition(content: dict[str, Tensor], sizes: Sizes, images: Tensor) -> Tensor:
    """CLIP's embedding of images in [0, 1] that have its size."""
    values = {k.removeprefix(CLIP): v for k, v in content.items() if k.startswith(CLIP)}

    def norm(name: str, x: Tensor) -> Tensor:
        centered = x - x.mean(-1, keepdim=True)
        scaled = centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * values[f"{name}.weight"] + values[f"{name}.bias"]

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ values[f"{name}.weight"].T + values[f"{name}.bias"]

    cells = F.unfold((images - MEAN) / DEVIATION, sizes.clip_patch, stride=sizes.clip_patch)
    x = cells.mT @ values["conv1.weight"].flatten(1).T
    x = torch.cat([values["class_embedding"].expand(len(x), 1, -1), x], 1)
    x = norm("ln_pre", x + values["positional_embedding"])
    for number in range(sizes.clip_depth):
        block = f"transformer.resblocks.{number}"
        inner = norm(f"{block}.ln_1", x) @ values[f"{block}.attn.in_proj_weight"].T
        inner = inner + values[f"{block}.attn.in_proj_bias"]
        q, k, v = (
            each.unflatten(-1, (-1, 64)).transpose(1, 2) for each in inner.chunk(3, dim=-1)
        )
        attended = ((q @ k.mT / 8).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + linear(f"{block}.attn.out_proj", attended)
        hidden = linear(f"{block}.mlp.c_fc", norm(f"{block}.ln_2", x))
        x = x + linear(f"{block}.mlp.c_proj", hidden / (1 + (-1.702 * hidden).exp()))
    return norm("ln_post", x[:, 0]) @ values["proj"]


def read_by_diffusers(content: dict[str, Tensor], sizes: Sizes) -> tuple[Any, Any]:
    """The denoising network, without the average, and the autoencoder."""
    from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: PLC0415

    network = {
        "image_size": 32, "in_channels": 8, "out_channels": 4, "model_channels": sizes.width,
        "attention_resolutions": [4, 2, 1], "num_res_blocks": 2, "num_heads": 8,
        "channel_mult": list(sizes.multiples), "use_spatial_transformer": True,
        "transformer_depth": 1, "context_dim": sizes.context,
    }  # fmt: skip
    first_stage = {
        "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3,
        "ch": sizes.image_width, "ch_mult": list(sizes.image_multiples), "num_res_blocks": 2,
        "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    parameters = {
        "unet_config": {"params": network},
        "first_stage_config": {"params": {"embed_dim": 4, "ddconfig": first_stage}},
        "scale_factor": 0.18215,
    }
    options: dict[str, Any] = {
        "original_config": {"model": {"params": parameters}},
        "low_cpu_mem_usage": False,
        "local_files_only": True,
    }
    kinds: list[Any] = [UNet2DConditionModel, AutoencoderKL]
    plain = {name: value for name, value in content.items() if "model_ema" not in name}
    unet, autoencoder = (kind.from_single_file(dict(plain), **options) for kind in kinds)
    return unet, autoencoder
