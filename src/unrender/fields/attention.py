"""Transformers over the samples of a ray, and averages by attention."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from unrender.fields.networks import LinearLayer


class TransformerBlock(nn.Module):
    """Self-attention and a network of one hidden layer, each after a normalization.

    Vaswani et al. 2017, in the order of Xiong et al. 2020; `hidden` units of the network.
    """

    def __init__(self, width: int, heads: int, hidden: int, generator: torch.Generator):
        super().__init__()
        assert width % heads == 0, "the heads divide the width"
        self.heads = heads
        self.qkv = LinearLayer(width, 3 * width, generator)
        self.projection = LinearLayer(width, width, generator)
        self.inner = LinearLayer(width, hidden, generator)
        self.outer = LinearLayer(hidden, width, generator)

    def forward(
        self,
        x: Float[Tensor, "sets tokens width"],
        bias: Float[Tensor, "sets tokens"] | None = None,
    ) -> Float[Tensor, "sets tokens width"]:
        """`bias` is added to the logits of attention to each token."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(normalized(x)).chunk(3, dim=-1)
        )
        # Sets are small and many: plain products are faster than fused attention on a CPU.
        logits = q @ (k * k.shape[-1] ** -0.5).mT
        if bias is not None:
            logits = logits + bias[:, None, None]
        mixed = (logits.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + self.projection(mixed)
        return x + self.outer(gelu(self.inner(normalized(x))))


class AttentionPooling(nn.Module):
    """Weights of tokens, which sum to 1, from a learned query."""

    def __init__(self, width: int, generator: torch.Generator):
        super().__init__()
        self.query = LinearLayer(width, 1, generator)

    def forward(
        self, x: Float[Tensor, "*sets tokens width"], bias: Float[Tensor, "*sets tokens"]
    ) -> Float[Tensor, "*sets tokens"]:
        """`bias` is added to the logits."""
        return (self.query(x)[..., 0] + bias).softmax(-1)


def normalized(x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
    """Each token with mean 0 and variance 1; the layers after it learn scale and shift."""
    return layer_norm(x, x.shape[-1:])
