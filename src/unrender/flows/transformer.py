"""SiT: a transformer over the patches of an image that predicts a flow's velocity.

Ma, Goldstein, Albergo, Boffi, Vanden-Eijnden, Xie, "SiT: Exploring Flow and Diffusion-based
Generative Models with Scalable Interpolant Transformers" (2024); the network is that of
Peebles and Xie, "Scalable Diffusion Models with Transformers" (DiT, 2023). Parameters have the
names of the original implementation, so that its weights can be loaded.

Each patch is a token, a vector of `width` numbers. Each image has a conditioning vector of the
same width, the embedding of the time and optionally of further numbers. It scales, shifts and
gates the tokens (adaLN-zero: gates are initialized to zero, so that each block starts as the
identity).
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

TIME_FEATURES = 256
MAX_PERIOD = 10_000.0
NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class TransformerSize:
    """The hyperparameters that determine the tensor shapes of a SiT."""

    image_size: int
    """Side of the square images, in pixels."""
    channels: int
    patch: int
    """Side of a patch, in pixels."""
    width: int
    """Length of a token; a multiple of 4 and of `heads`."""
    depth: int
    """Number of blocks."""
    heads: int
    hidden: int
    """Hidden units of a block's MLP: four times the width in the paper."""
    condition: int = 0
    """Length of the conditioning input besides the time; 0 for none."""
    outputs: int = 0
    """Outputs per token; 0 for patch² × channels, as of a velocity."""
    qk_norm: bool = False
    """Whether queries and keys are normalized (QK norm)."""

    @property
    def grid(self) -> int:
        """Number of patches per side."""
        return self.image_size // self.patch


def sin_cos_positions(width: int, grid: int) -> Float[Tensor, "1 tokens {width}"]:
    """Fixed positional embeddings of a square of patches, as in MAE and DiT.

    The first half of the channels encodes the column and the second half the row; each half
    has the sines and then the cosines of the coordinate times 10000^(−i / (width / 4)).
    """
    assert width % 4 == 0, f"the width must be a multiple of 4, not {width}"
    quarter = torch.arange(width // 4, dtype=torch.float64) / (width // 4)
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * MAX_PERIOD**-quarter
    line = torch.cat([angles.sin(), angles.cos()], dim=1)
    column = line[None, :, :].expand(grid, grid, width // 2)
    row = line[:, None, :].expand(grid, grid, width // 2)
    return torch.cat([column, row], dim=-1).flatten(0, 1)[None].float()


def time_features(t: Float[Tensor, "batch"]) -> Float[Tensor, "batch features"]:
    """Cosines, then sines, of t at frequencies from 1 down to almost 1/10000."""
    half = TIME_FEATURES // 2
    steps = torch.arange(half, dtype=t.dtype, device=t.device) / half
    angles = t[:, None] * torch.exp(-math.log(MAX_PERIOD) * steps)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def modulate(
    x: Float[Tensor, "batch tokens width"],
    shift: Float[Tensor, "batch width"],
    scale: Float[Tensor, "batch width"],
) -> Float[Tensor, "batch tokens width"]:
    return x * (1 + scale[:, None]) + shift[:, None]


class PatchEmbedder(nn.Module):
    """Linear projection of each patch to a token."""

    def __init__(self, shape: TransformerSize):
        super().__init__()
        self.patch = shape.patch
        self.proj = nn.Conv2d(shape.channels, shape.width, shape.patch, stride=shape.patch)

    def forward(
        self, x: Float[Tensor, "batch channels height height"]
    ) -> Float[Tensor, "batch tokens width"]:
        # The patches do not overlap, and one matrix product is much faster than a convolution.
        patches = x.unflatten(3, (-1, self.patch)).unflatten(2, (-1, self.patch))
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        return linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class TimeEmbedder(nn.Module):
    """Embedding of the time as a conditioning vector."""

    def __init__(self, width: int):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, t: Float[Tensor, "batch"]) -> Float[Tensor, "batch width"]:
        return self.mlp(time_features(t))


class ConditionEmbedder(nn.Module):
    """Embedding of further numbers, such as the camera pose, as a conditioning vector."""

    def __init__(self, numbers: int, width: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(numbers, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, numbers: Float[Tensor, "batch numbers"]) -> Float[Tensor, "batch width"]:
        return self.mlp(numbers)


class Attention(nn.Module):
    """Multi-head self-attention, optionally with QK norm (ViT-22B, 2023)."""

    def __init__(self, shape: TransformerSize):
        super().__init__()
        width, self.heads = shape.width, shape.heads
        self.qkv = nn.Linear(width, 3 * width)
        norm = nn.RMSNorm if shape.qk_norm else nn.Identity
        self.q_norm, self.k_norm = norm(width // self.heads), norm(width // self.heads)
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = self.q_norm(q), self.k_norm(k)
        if x.device.type == "cpu":
            # For few tokens, the CPU kernel for bfloat16 takes fifty times as long.
            q, k, v = q.to(x.dtype), k.to(x.dtype), v.to(x.dtype)
            with torch.autocast("cpu", enabled=False):
                mixed = scaled_dot_product_attention(q, k, v)
        else:
            mixed = scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two-layer MLP, applied to each token separately."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(
        self, x: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens width"]:
        return self.fc2(gelu(self.fc1(x), approximate="tanh"))


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=NORM_EPSILON, elementwise_affine=False)


class Block(nn.Module):
    """Attention and MLP, each with modulated input and gated output (adaLN-zero)."""

    def __init__(self, shape: TransformerSize):
        super().__init__()
        width = shape.width
        self.norm1 = _norm(width)
        self.attn = Attention(shape)
        self.norm2 = _norm(width)
        self.mlp = Mlp(width, shape.hidden)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        condition: Float[Tensor, "batch width"],
    ) -> Float[Tensor, "batch tokens width"]:
        shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = self.adaLN_modulation(
            condition
        ).chunk(6, dim=1)
        mixed = self.attn(modulate(self.norm1(x), shift_msa, scale_msa))
        x = torch.addcmul(x, gate_msa[:, None], mixed)
        changed = self.mlp(modulate(self.norm2(x), shift_mlp, scale_mlp))
        return torch.addcmul(x, gate_mlp[:, None], changed)


class FinalLayer(nn.Module):
    """Projection of tokens to patches of the velocity, or to `outputs` numbers each."""

    def __init__(self, shape: TransformerSize):
        super().__init__()
        width = shape.width
        self.norm_final = _norm(width)
        self.linear = nn.Linear(width, shape.outputs or shape.patch**2 * shape.channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        condition: Float[Tensor, "batch width"],
    ) -> Float[Tensor, "batch tokens outputs"]:
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


class SiT(nn.Module):
    """The velocity v(x, t) of square images x at times t."""

    pos_embed: Tensor

    def __init__(self, shape: TransformerSize, generator: torch.Generator):
        """Initialized as in the original, on the CPU, with random numbers from `generator`."""
        super().__init__()
        assert shape.image_size % shape.patch == 0, f"{shape.image_size} % {shape.patch}"
        assert shape.width % shape.heads == 0, f"{shape.width} % {shape.heads}"
        self.shape = shape
        # On the meta device, the layers' own initialization does not use the global generator.
        with torch.device("meta"):
            self.x_embedder = PatchEmbedder(shape)
            self.t_embedder = TimeEmbedder(shape.width)
            if shape.condition:
                self.c_embedder = ConditionEmbedder(shape.condition, shape.width)
            self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
            self.final_layer = FinalLayer(shape)
        self.to_empty(device="cpu")
        self.register_buffer("pos_embed", sin_cos_positions(shape.width, shape.grid))
        self._initialize(generator)

    def _initialize(self, generator: torch.Generator) -> None:
        for name, parameter in self.named_parameters():
            zero = "adaLN_modulation" in name or name.startswith("final_layer.linear")
            with torch.no_grad():
                if "_norm" in name:
                    parameter.fill_(1)
                elif parameter.ndim == 1 or zero:
                    parameter.zero_()
                elif name.startswith("t_embedder"):
                    parameter.normal_(0, 0.02, generator=generator)
                else:
                    nn.init.xavier_uniform_(parameter.view(len(parameter), -1), 1, generator)

    def forward(
        self,
        x: Float[Tensor, "batch channels height height"],
        t: Float[Tensor, "batch"],
        numbers: Float[Tensor, "batch numbers"] | None = None,
    ) -> Float[Tensor, "batch channels height height"]:
        """The velocity at `x`, conditioned on the time `t` and, if given, on `numbers`."""
        assert not self.shape.outputs, "the outputs are not patches: use `tokens`"
        patches = self.tokens(x, t, numbers)
        grid, patch = self.shape.grid, self.shape.patch
        squares = patches.unflatten(2, (patch, patch, -1)).unflatten(1, (grid, grid))
        return squares.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    def tokens(
        self,
        x: Float[Tensor, "batch channels height height"],
        t: Float[Tensor, "batch"],
        numbers: Float[Tensor, "batch numbers"] | None = None,
    ) -> Float[Tensor, "batch tokens outputs"]:
        """The outputs of the last layer for each token."""
        condition = self.t_embedder(t)
        if numbers is not None:
            condition = condition + self.c_embedder(numbers)
        tokens = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens, condition)
        return self.final_layer(tokens, condition)

    def matrices(self) -> list[nn.Parameter]:
        """Weight matrices of attention and MLPs, which some optimizers treat separately."""
        return [
            parameter
            for name, parameter in self.blocks.named_parameters()
            if parameter.ndim == 2 and "adaLN_modulation" not in name
        ]

    @classmethod
    def from_original(
        cls, tensors: Mapping[str, Tensor], num_heads: int, class_label: int = 0
    ) -> "SiT":
        """Load an original SiT, so that `forward(x, t)` equals it for the class `class_label`.

        `tensors` is the state dict of an original SiT of any size. The class embedding is added
        to the last bias of the time embedding, and the additional outputs of models with
        `learn_sigma` are dropped. Raises ValueError if a key is missing, unknown, or has a
        shape that does not fit the others.
        """
        return _from_original(tensors, num_heads, class_label)


def _tensor(tensors: Mapping[str, Tensor], key: str, ndim: int) -> Tensor:
    if key not in tensors:
        raise ValueError(f"{key}: missing: give the whole state dict of an original SiT")
    if tensors[key].ndim != ndim:
        raise ValueError(f"{key}: {ndim} dimensions expected, not {list(tensors[key].shape)}")
    return tensors[key]


def _original_shape(tensors: Mapping[str, Tensor], num_heads: int) -> TransformerSize:
    """The size implied by some tensors; the others are checked against it later."""
    width, channels, patch, _ = _tensor(tensors, "x_embedder.proj.weight", 4).shape
    if num_heads < 1 or width % num_heads:
        raise ValueError(f"num_heads: {num_heads} does not divide the width {width}")
    tokens = _tensor(tensors, "pos_embed", 3).shape[1]
    grid = math.isqrt(tokens)
    if grid * grid != tokens or not grid:
        raise ValueError(f"pos_embed: {tokens} positions; the number must be a square")
    blocks = {key.split(".")[1] for key in tensors if key.startswith("blocks.")}
    depth = next(depth for depth in itertools.count() if str(depth) not in blocks)
    hidden = len(_tensor(tensors, "blocks.0.mlp.fc1.weight", 2))
    return TransformerSize(grid * patch, channels, patch, width, depth, num_heads, hidden)


def _from_original(tensors: Mapping[str, Tensor], num_heads: int, class_label: int) -> SiT:
    shape = _original_shape(tensors, num_heads)
    label_key, bias_key = "y_embedder.embedding_table.weight", "t_embedder.mlp.2.bias"
    table = _tensor(tensors, label_key, 2)
    if not 0 <= class_label < len(table) or table.shape[1] != shape.width:
        raise ValueError(
            f"{label_key}: no class {class_label} of width {shape.width} in a table of shape "
            f"{list(table.shape)}"
        )
    adapted = {key: value for key, value in tensors.items() if key != label_key}
    adapted[bias_key] = _tensor(tensors, bias_key, 1)
    if adapted[bias_key].shape == table[class_label].shape:
        adapted[bias_key] = adapted[bias_key] + table[class_label]
    outputs = shape.patch**2 * shape.channels
    for key, ndim in (("final_layer.linear.weight", 2), ("final_layer.linear.bias", 1)):
        value = _tensor(tensors, key, ndim)
        if len(value) == 2 * outputs:
            # Outputs are ordered by position in the patch first, and then by channel.
            places = value.unflatten(0, (shape.patch**2, 2 * shape.channels))
            value = places[:, : shape.channels].flatten(0, 1)
        adapted[key] = value
    model = SiT(shape, torch.Generator().manual_seed(0)).to(table.dtype)
    expected = model.state_dict()
    for key in [*expected, *adapted]:
        if key not in adapted:
            raise ValueError(f"{key}: missing: give the whole state dict of an original SiT")
        if key not in expected:
            raise ValueError(f"{key}: unknown: an original SiT has no such tensor")
        if adapted[key].shape != expected[key].shape:
            raise ValueError(
                f"{key}: shape {list(expected[key].shape)} expected, not "
                f"{list(adapted[key].shape)}"
            )
    model.load_state_dict(adapted)
    return model
