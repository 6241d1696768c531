"""The vision transformer of CLIP, with the names of OpenAI's checkpoints.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021),
https://arxiv.org/abs/2103.00020, section 2.4: a transformer (Dosovitskiy et al., 2021) with a
normalization before it and with x σ(1.702 x) as its activation, whose class token becomes the
embedding. zero123 has ViT-L/14: 24 blocks of width 1024 with 16 heads, 768 numbers an image.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of the colors, in [0, 1], that CLIP was trained on."""
HEAD_WIDTH = 64


class _QuickGELU(nn.Module):
    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return x * torch.sigmoid(1.702 * x)


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, max(1, width // HEAD_WIDTH), batch_first=True)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, hidden))
        self.mlp.add_module("gelu", _QuickGELU())
        self.mlp.add_module("c_proj", nn.Linear(hidden, width))

    def forward(
        self, x: Float[Tensor, "images tokens width"]
    ) -> Float[Tensor, "images tokens width"]:
        seen = self.ln_1(x)
        x = x + self.attn(seen, seen, seen, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class _Transformer(nn.Module):
    def __init__(self, depth: int, width: int, hidden: int):
        super().__init__()
        self.resblocks = nn.Sequential(*(_Block(width, hidden) for _ in range(depth)))

    def forward(
        self, x: Float[Tensor, "images tokens width"]
    ) -> Float[Tensor, "images tokens width"]:
        return self.resblocks(x)


class ClipVision(nn.Module):
    """CLIP's embedding of an image."""

    def __init__(
        self, size: int, patch: int, width: int, depth: int, hidden: int, features: int
    ):
        super().__init__()
        self.size = size
        """Pixels per side of what the transformer sees."""
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((size // patch) ** 2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = _Transformer(depth, width, hidden)
        self.proj = nn.Parameter(torch.zeros(width, features))

    @staticmethod
    def of(shapes: Mapping[str, tuple[int, ...]]) -> "ClipVision":
        """The tower that tensors of these names and shapes are for; KeyError without them."""
        width, _, patch, _ = shapes["conv1.weight"]
        tokens, features = shapes["positional_embedding"][0], shapes["proj"][1]
        depth = 0
        while f"transformer.resblocks.{depth}.ln_1.weight" in shapes:
            depth += 1
        hidden = shapes["transformer.resblocks.0.mlp.c_fc.weight"][0]
        side = round((tokens - 1) ** 0.5)
        return ClipVision(side * patch, patch, width, depth, hidden, features)

    def forward(
        self, images: Float[Tensor, "images 3 size size"]
    ) -> Float[Tensor, "images features"]:
        """Embeddings of RGB images in [−1, 1], of any size.

        They are resized as zero123 does: bicubic, with corners aligned, without a filter.
        """
        size = (self.size, self.size)
        resized = interpolate(images, size, mode="bicubic", align_corners=True)
        mean, deviation = (
            resized.new_tensor(each)[:, None, None] for each in (MEAN, DEVIATION)
        )
        seen = ((resized + 1) / 2 - mean) / deviation
        patches = self.conv1(seen.to(self.conv1.weight.dtype)).flatten(2).mT
        first = self.class_embedding.expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches], dim=1) + self.positional_embedding
        tokens = self.transformer(self.ln_pre(tokens))
        return self.ln_post(tokens[:, 0]) @ self.proj
