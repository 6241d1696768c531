"""zero123 and ZeroNVS as networks: latent diffusion conditioned on an image and a camera.

Liu et al., "Zero-1-to-3: Zero-shot One Image to 3D Object" (2023),
https://arxiv.org/abs/2303.11328, section 3.2, and Sargent et al., "ZeroNVS: Zero-Shot
360-Degree View Synthesis from a Single Image" (2024), https://arxiv.org/abs/2310.17994,
section 3. The input image conditions twice: its latents, the mode of the posterior without the
scaling factor, are joined with the noisy ones, and its CLIP embedding, joined with the camera's
numbers, becomes by `cc_projection` the one token of the cross attention. Both are zero without
a condition.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unrender.flows.data_space import Codes, DataSpace
from unrender.flows.guidance import guided
from unrender.flows.zero123.clip_vision import ClipVision
from unrender.rendering.renderer import Images

SCALING = 0.18215
"""Factor on the latents that are denoised."""
CAMERAS = {4: "zero123", 19: "zeronvs"}
"""Which model it is by how many numbers describe a camera: 3DoF or 6DoF+1."""
AT_ONCE = 4
"""Images that the autoencoder handles together: its first layers take gigabytes for more."""


@dataclass(frozen=True)
class Condition:
    """What the network knows of each target view."""

    tokens: Float[Tensor, "targets 1 width"]
    latents: Float[Tensor, "targets channels rows columns"]
    """Of the input image, not scaled."""

    def parts(self, size: int) -> "list[Condition]":
        """The conditions of so many targets each."""
        both = zip(self.tokens.split(size), self.latents.split(size), strict=True)
        return [Condition(tokens, latents) for tokens, latents in both]


class Zero123(nn.Module):
    """The four networks of a checkpoint."""

    def __init__(self, unet: nn.Module, autoencoder: nn.Module, clip: ClipVision, camera: int):
        super().__init__()
        self.unet, self.autoencoder, self.clip = unet, autoencoder, clip
        token = int(clip.proj.shape[1])
        self.cc_projection = nn.Linear(token + camera, self.config.cross_attention_dim)
        self.camera = camera
        """Numbers that describe a camera, one of `CAMERAS`."""

    @property
    def kind(self) -> str:
        """zero123 or zeronvs."""
        return CAMERAS[self.camera]

    @property
    def config(self) -> Any:
        """The options of the denoising network, which are diffusers'."""
        return self.unet.config

    @property
    def dtype(self) -> torch.dtype:
        return self.cc_projection.weight.dtype

    @property
    def space(self) -> "ScaledLatents":
        """The latents that are denoised."""
        return ScaledLatents(self)

    @torch.no_grad()
    def condition(
        self,
        images: Images,
        which: Tensor,
        cameras: Float[Tensor, "targets numbers"],
    ) -> Condition:
        """The condition of each target, which is on image `which` of the input images."""
        encoded = self.mode(images)[which]
        seen = self.clip(_on_white(images).float()).float()[which]
        described = torch.cat([seen, cameras.to(seen)], dim=1)
        return Condition(self.cc_projection(described.to(self.dtype))[:, None], encoded)

    def mode(self, images: Images) -> Codes:
        """The mode of the autoencoder's posterior, not scaled, with gradients."""
        parts = _on_white(images).to(self.dtype).split(AT_ONCE)
        autoencoder: Any = self.autoencoder
        return torch.cat(
            [autoencoder.encode(part).latent_dist.mode() for part in parts]
        ).float()

    def noise(
        self,
        noisy: Codes,
        timesteps: Float[Tensor, "targets"],
        condition: Condition,
        guidance: float | int,
    ) -> Codes:
        """The noise in noisy latents, at timesteps in [0, 1000), with guidance."""
        found = self._noise(noisy, timesteps, condition.tokens, condition.latents)
        if guidance == 1:
            return found
        tokens, latents = (
            torch.zeros_like(each) for each in (condition.tokens, condition.latents)
        )
        return guided(found, self._noise(noisy, timesteps, tokens, latents), float(guidance))

    def _noise(self, noisy: Codes, timesteps: Tensor, tokens: Tensor, latents: Codes) -> Codes:
        joined = torch.cat([noisy, latents], dim=1).to(self.dtype)
        return self.unet(joined, timesteps, tokens).sample.float()


@dataclass(frozen=True, eq=False)
class ScaledLatents(DataSpace):
    """Latents of RGB images on white, times their scaling factor."""

    networks: Zero123

    @property
    def channels(self) -> int:
        return int(self.networks.config.out_channels)

    @property
    def scale(self) -> int:
        config: Any = self.networks.autoencoder.config
        return 2 ** (len(config.block_out_channels) - 1)

    def encode(self, images: Images) -> Codes:
        """The mode of the posterior, with gradients for images that require them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and images.requires_grad):
            return SCALING * self.networks.mode(images)

    def decode(self, codes: Codes) -> Images:
        """Opaque images, clamped to [0, 1], with gradients for codes that require them."""
        autoencoder: Any = self.networks.autoencoder
        with torch.set_grad_enabled(torch.is_grad_enabled() and codes.requires_grad):
            parts = (codes / SCALING).to(self.networks.dtype).split(AT_ONCE)
            decoded = torch.cat([autoencoder.decode(part).sample for part in parts])
            color = ((decoded.float().movedim(1, -1) + 1) / 2).clamp(0, 1)
            return torch.cat([color, torch.ones_like(color[..., :1])], dim=-1)


def _on_white(images: Images) -> Float[Tensor, "images 3 rows columns"]:
    """RGB over white in [−1, 1], channels first."""
    return (2 * (images[..., :3] + 1 - images[..., 3:]) - 1).movedim(-1, 1)
