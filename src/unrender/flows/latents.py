"""Latents: images as the autoencoder of latent diffusion writes them.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (2022),
https://arxiv.org/abs/2112.10752, sections 3.1 and D.1, by diffusers' `AutoencoderKL` (the extra
"latents", imported only once an autoencoder is loaded). With the usual one of four blocks an
image of 256 × 256 pixels on white becomes 4 × 32 × 32 numbers.
"""

import logging
import math
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.flows.data_space import Codes, DataSpace
from unrender.rendering.renderer import Images

HUB = "hub:"
"""Before a name on the Hugging Face hub, so that no folder that is gone is taken for one."""
PIXELS_AT_ONCE = 4 * 256 * 256
"""Of a batch: the first layers hold more than a thousand numbers for each."""


@dataclass(frozen=True, eq=False)
class Latents(DataSpace):
    """The posterior's mean under a frozen autoencoder, times its scaling factor.

    RGB on white: opacity is lost, and decoded images have opacity 1.
    """

    autoencoder: Any
    """diffusers' AutoencoderKL, as `load_autoencoder` gives it; it follows the tensors from
    device to device. It is no part of the flow: no checkpoint holds it."""

    @property
    def channels(self) -> int:
        return self.autoencoder.config.latent_channels

    @property
    def scale(self) -> int:
        return 2 ** (len(self.autoencoder.config.block_out_channels) - 1)

    @torch.no_grad()
    def encode(self, images: Images) -> Codes:
        self.autoencoder.to(images.device)
        color, opacity = images.split([3, 1], dim=-1)
        on_white = (2 * (color + 1 - opacity) - 1).movedim(-1, 1)
        means = [self.autoencoder.encode(part).latent_dist.mean for part in _parts(on_white, 1)]
        return (torch.cat(means) - self._shift) * self.autoencoder.config.scaling_factor

    def decode(self, codes: Codes) -> Images:
        self.autoencoder.to(codes.device)
        means = codes / self.autoencoder.config.scaling_factor + self._shift
        parts = [self.autoencoder.decode(part).sample for part in _parts(means, self.scale)]
        color = ((torch.cat(parts).movedim(1, -1) + 1) / 2).clamp(0, 1)
        return torch.cat([color, torch.ones_like(color[..., :1])], dim=-1)

    @property
    def _shift(self) -> float:
        """Of the mean, before it is scaled; most autoencoders have none."""
        return self.autoencoder.config.shift_factor or 0.0


def load_autoencoder(name: str) -> Any:
    """diffusers' AutoencoderKL of three channels, frozen, for evaluation, in float32.

    `name` is a folder as `save_pretrained` writes it, which is read without network, or `hub:`
    and a name on the Hugging Face hub. Weights are read from safetensors alone. Raises
    InputError if diffusers is not installed and for anything else than such an autoencoder.
    """
    try:
        from diffusers import AutoencoderKL  # noqa: PLC0415 - an extra  # pyright: ignore
    except ImportError as error:
        raise InputError(
            f"--autoencoder {name}: latents need diffusers: pip install 'unrender[latents]'"
        ) from error
    kind: Any = AutoencoderKL
    source, local = _source(name)
    refusal = (
        f"--autoencoder {name}: holds no AutoencoderKL of RGB images with all its weights in "
        "safetensors: name a folder that diffusers' save_pretrained wrote"
    )
    try:
        if not _suits(kind.load_config(source, local_files_only=local)):
            raise InputError(refusal)
        # The first weights are drawn at random, only to be replaced.
        with _silence(), torch.random.fork_rng(devices=[]):
            autoencoder, found = kind.from_pretrained(
                source,
                local_files_only=local,
                use_safetensors=True,
                low_cpu_mem_usage=False,
                output_loading_info=True,
            )
    except InputError:
        raise
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(refusal) from error
    if found["missing_keys"] or found["mismatched_keys"]:
        raise InputError(refusal)
    return autoencoder.float().eval().requires_grad_(False)


@contextmanager
def _silence() -> Generator[None]:
    """Without diffusers' own lines on what is missing: the error says it."""
    logger = logging.getLogger("diffusers")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _source(name: str) -> tuple[str, bool]:
    """What to load, and whether it is a folder."""
    if name.startswith(HUB):
        on_hub = name.removeprefix(HUB)
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", on_hub):
            raise InputError(f"--autoencoder {name}: give a name on the hub as hub:OWNER/NAME")
        return on_hub, False
    folder = Path(name).absolute()
    if not folder.is_dir():
        raise InputError(
            f"--autoencoder {name}: there is no folder {folder}: name one that holds an "
            f"AutoencoderKL, or one on the hub as {HUB}OWNER/NAME"
        )
    return str(folder), True


def _suits(config: object) -> bool:
    return (
        isinstance(config, Mapping)
        and config.get("_class_name") == "AutoencoderKL"
        and config.get("in_channels", 3) == config.get("out_channels", 3) == 3
    )


def _parts(
    squares: Float[Tensor, "images channels rows columns"], scale: int
) -> tuple[Tensor, ...]:
    """Batches of bounded memory, of images whose cells have `scale` pixels a side."""
    pixels = scale**2 * math.prod(squares.shape[2:])
    return squares.split(max(1, PIXELS_AT_ONCE // pixels))
