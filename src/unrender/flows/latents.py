"""Latents: images encoded by the autoencoder of latent diffusion.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (2022),
https://arxiv.org/abs/2112.10752, sections 3.1 and D.1, by diffusers' `AutoencoderKL` (extra
"latents", imported only when an autoencoder is loaded). The usual autoencoder with four blocks
encodes an image of 256 × 256 pixels on white as 4 × 32 × 32 numbers.
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
"""Prefix of names on the Hugging Face hub, so that a missing folder is not looked up there."""
PIXELS_AT_ONCE = 4 * 256 * 256
"""Pixels per batch: the first layers store over a thousand activations for each."""


@dataclass(frozen=True, eq=False)
class Latents(DataSpace):
    """The posterior mean of a frozen autoencoder, times its scaling factor.

    Images are encoded as RGB on white: alpha is lost, and decoded images have an alpha of 1.
    """

    autoencoder: Any
    """diffusers' AutoencoderKL, from `load_autoencoder`, which is moved to the device of its
    input. It is not part of the flow and not stored in checkpoints."""

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
        """Shift of the mean before scaling; 0 for most autoencoders."""
        return self.autoencoder.config.shift_factor or 0.0


def load_autoencoder(name: str) -> Any:
    """Load a diffusers AutoencoderKL with three channels, frozen, in float32.

    `name` is a folder written by `save_pretrained`, which is read without network access, or
    `hub:` and a name on the Hugging Face hub. Only safetensors weights are read. Raises
    InputError if diffusers is not installed, or if there is no such autoencoder.
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
        f"--autoencoder {name}: is not a complete AutoencoderKL for RGB images in safetensors "
        "format: give a folder written by diffusers' save_pretrained"
    )
    try:
        if not _suits(kind.load_config(source, local_files_only=local)):
            raise InputError(refusal)
        # Weights are initialized randomly before they are loaded.
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
    """Silence diffusers' log messages about missing weights, which the error reports."""
    logger = logging.getLogger("diffusers")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _source(name: str) -> tuple[str, bool]:
    """The folder or hub name to load, and whether it is a folder."""
    if name.startswith(HUB):
        on_hub = name.removeprefix(HUB)
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", on_hub):
            raise InputError(f"--autoencoder {name}: give a name on the hub as hub:OWNER/NAME")
        return on_hub, False
    folder = Path(name).absolute()
    if not folder.is_dir():
        raise InputError(
            f"--autoencoder {name}: no such folder {folder}: give a folder with an "
            f"AutoencoderKL, or a name on the hub as {HUB}OWNER/NAME"
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
    """Split into batches of bounded memory; a cell is `scale` pixels wide."""
    pixels = scale**2 * math.prod(squares.shape[2:])
    return squares.split(max(1, PIXELS_AT_ONCE // pixels))
