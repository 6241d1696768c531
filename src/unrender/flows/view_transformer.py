"""A transformer from posed images of an object to images from other cameras.

Two streams, as in Efficient-LVSM (https://arxiv.org/abs/2602.06478, section 3): the patches of
the input images attend to each other once; the patches of each target, which begin with its
rays (and a noisy image, in a flow), attend to themselves and to the inputs, layer by layer.
Cameras enter as Plücker coordinates of every pixel's ray, in the frame of the first input, and
by PRoPE (`unrender.flows.relative_attention`); or, to compare, as the numbers of zero123 or
ZeroNVS at every pixel (`unrender.geometry.view_conditions`). Targets do not see each other.

The network of LVSM (Jin et al., ICLR 2025, https://arxiv.org/abs/2410.17242) at the size of a
laptop. Images are squares in the data space `OverWhite`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from unrender.flows.lifting import PluckerLifting
from unrender.flows.relative_attention import Heads, Placement, attention, placement
from unrender.flows.transformer import NORM_EPSILON, TimeEmbedder
from unrender.geometry.cameras import Cameras
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.view_conditions import (
    embedding_3dof,
    embedding_6dof,
    fields_of_view,
    opengl_poses,
)

CameraConditions = Literal["rays-prope", "rays", "prope", "6dof", "3dof"]
CHANNELS = 4
RAYS = PluckerLifting()
NUMBERS = {"6dof": 19, "3dof": 4}
"""Numbers of the conditions that describe a camera as a whole."""
PARTS = 3
"""Parts of a target's block: attention to the inputs, self-attention, MLP."""


@dataclass(frozen=True)
class ViewTransformerSize:
    """The hyperparameters that determine the tensor shapes of a `ViewTransformer`."""

    image_size: int
    patch: int
    width: int
    """Length of a token; a multiple of 8 times `heads`."""
    heads: int
    encoder_depth: int
    """Blocks of the inputs."""
    depth: int
    """Blocks of the targets."""
    cameras: CameraConditions = "rays-prope"
    noisy: bool = False
    """Whether targets begin with a noisy image at a time, as in a flow."""

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.image_size // self.patch

    @property
    def ray_channels(self) -> int:
        """Channels by which a pixel is told its ray; or its place, and the camera's numbers."""
        return RAYS.channels if "rays" in self.cameras else 2 + NUMBERS.get(self.cameras, 0)


@dataclass(frozen=True)
class ViewGeometry:
    """What the network is told of the cameras of some sets of inputs and targets."""

    input_rays: Float[Tensor, "sets inputs channels height width"]
    target_rays: Float[Tensor, "sets targets channels height width"]
    inputs: Placement
    targets: Placement


def relative(
    cameras: Cameras, origin: Float[Tensor, "sets 3 4"]
) -> Float[Tensor, "sets views 3 4"]:
    """Poses in the frames of `origin`, in units of its distance from the world's origin.

    Camera k of n belongs to set k * sets // n.
    """
    turn, unit = origin[:, :, :3].mT, origin[:, :, 3].norm(dim=1)
    pose = cameras.world_from_camera.unflatten(0, (len(origin), -1))
    center = (pose[..., 3] - origin[:, None, :, 3]) / unit[:, None, None]
    return turn[:, None] @ torch.cat([pose[..., :3], center[..., None]], dim=-1)


def patches(
    x: Float[Tensor, "*views channels height width"], patch: int
) -> Float[Tensor, "*views tokens numbers"]:
    """The numbers of each patch, row by row of patches: channel, then row, then column."""
    squares = x.unflatten(-1, (-1, patch)).unflatten(-3, (-1, patch))
    *views, channels, rows, _, columns, _ = squares.shape
    order = squares.reshape(-1, channels, rows, patch, columns, patch)
    return order.permute(0, 2, 4, 1, 3, 5).reshape(*views, rows * columns, -1)


def from_patches(
    tokens: Float[Tensor, "*views tokens numbers"], grid: int, patch: int
) -> Float[Tensor, "*views channels height width"]:
    """The images whose `patches` these are."""
    views = tokens.shape[:-2]
    squares = tokens.reshape(-1, grid, grid, tokens.shape[-1] // patch**2, patch, patch)
    side = grid * patch
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(*views, -1, side, side)


def _norm(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)


class Mlp(nn.Module):
    """Two layers, four times as wide between them."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(gelu(self.fc1(x), approximate="tanh"))


class Attention(nn.Module):
    """Attention of tokens `x` to tokens `seen` of the same set, with QK norm."""

    def __init__(self, size: ViewTransformerSize):
        super().__init__()
        width, self.heads = size.width, size.heads
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.q_norm, self.k_norm = (nn.RMSNorm(width // size.heads) for _ in range(2))
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "sets views tokens channels"],
        seen: Float[Tensor, "sets inputs tokens channels"],
        to: Placement,
        of: Placement,
    ) -> Float[Tensor, "sets views tokens channels"]:
        q, (k, v) = self._heads(self.q(x)), map(self._heads, self.kv(seen).chunk(2, dim=-1))
        # In bfloat16, attention to few tokens takes far longer on CPUs.
        with torch.autocast(x.device.type, enabled=False):
            mixed = attention(self.q_norm(q), self.k_norm(k), v, to, of)
        return self.proj(mixed)

    def _heads(self, x: Float[Tensor, "sets views tokens channels"]) -> Heads:
        return x.float().unflatten(-1, (self.heads, -1))


class InputBlock(nn.Module):
    """Self-attention over all inputs of a set, and an MLP."""

    def __init__(self, size: ViewTransformerSize):
        super().__init__()
        self.attn, self.mlp = Attention(size), Mlp(size.width)

    def forward(
        self, x: Float[Tensor, "sets views tokens channels"], where: Placement
    ) -> Float[Tensor, "sets views tokens channels"]:
        inner = _norm(x)
        x = x + self.attn(inner, inner, where, where)
        return x + self.mlp(_norm(x))


class TargetBlock(nn.Module):
    """Attention of the targets to the inputs, self-attention in each target, and an MLP.

    In a flow, the input of each part is shifted and scaled by the time, and its output scaled:
    by a table of the block, plus an embedding that all blocks share (PixArt-α,
    https://arxiv.org/abs/2310.00426, section 2.3). The table begins at zero.
    """

    def __init__(self, size: ViewTransformerSize):
        super().__init__()
        self.cross, self.attn, self.mlp = Attention(size), Attention(size), Mlp(size.width)
        if size.noisy:
            self.modulation = nn.Parameter(torch.empty(3 * PARTS, size.width))

    def forward(
        self,
        x: Float[Tensor, "sets targets tokens channels"],
        seen: Float[Tensor, "sets inputs tokens channels"],
        to: Placement,
        of: Placement,
        alone: Placement,
        time: Float[Tensor, "sets targets parts channels"] | None,
    ) -> Float[Tensor, "sets targets tokens channels"]:
        if time is None:
            x = x + self.cross(_norm(x), seen, to, of)
            x = x + self._alone(_norm(x), alone)
            return x + self.mlp(_norm(x))
        by_time = (time + self.modulation)[..., None, :].unbind(2)
        inner, gate = self._modulated(x, *by_time[:3])
        x = x + gate * self.cross(inner, seen, to, of)
        inner, gate = self._modulated(x, *by_time[3:6])
        x = x + gate * self._alone(inner, alone)
        inner, gate = self._modulated(x, *by_time[6:])
        return x + gate * self.mlp(inner)

    def _alone(
        self, x: Float[Tensor, "sets targets tokens channels"], alone: Placement
    ) -> Tensor:
        """Self-attention with each view as a set of its own."""
        single = x.flatten(0, 1)[:, None]
        return self.attn(single, single, alone, alone)[:, 0].unflatten(0, x.shape[:2])

    def _modulated(
        self, x: Tensor, shift: Tensor, scale: Tensor, gate: Tensor
    ) -> tuple[Tensor, Tensor]:
        return _norm(x) * (1 + scale) + shift, 1 + gate


class ViewTransformer(nn.Module):
    """Images of targets, given images of inputs: clean ones, also from noisy ones in a flow."""

    def __init__(self, size: ViewTransformerSize, generator: torch.Generator):
        """Initialized on the CPU with random numbers from `generator`."""
        super().__init__()
        self.size = size
        numbers = size.patch**2
        with torch.device("meta"):
            self.input_embedder = nn.Linear(
                numbers * (CHANNELS + size.ray_channels), size.width
            )
            self.target_embedder = nn.Linear(numbers * size.ray_channels, size.width)
            self.unknown = nn.Parameter(torch.empty(size.width))
            self.encoder = nn.ModuleList(InputBlock(size) for _ in range(size.encoder_depth))
            self.blocks = nn.ModuleList(TargetBlock(size) for _ in range(size.depth))
            self.final = nn.Linear(size.width, numbers * CHANNELS)
            if size.noisy:
                self.noisy_embedder = nn.Linear(numbers * CHANNELS, size.width, bias=False)
                self.time_embedder = TimeEmbedder(size.width)
                self.time_parts = nn.Linear(size.width, 3 * PARTS * size.width)
        self.to_empty(device="cpu")
        self._initialize(generator)

    def _initialize(self, generator: torch.Generator) -> None:
        """Weights as ViTs begin; with zeros for the noisy image and the time.

        A flow with the other weights of a regression then begins as that regression.
        """
        for name, parameter in self.named_parameters():
            new = _is_new(name) and not name.startswith("time_embedder")
            new = new or name.startswith("final")
            with torch.no_grad():
                if "_norm" in name:
                    parameter.fill_(1)
                elif parameter.ndim == 1 or new:
                    parameter.zero_()
                else:
                    nn.init.xavier_uniform_(parameter, generator=generator)

    def geometry(self, inputs: Cameras, targets: Cameras, sets: int) -> ViewGeometry:
        """Rays and placements of cameras about their objects' centers, set after set."""
        with torch.autocast(inputs.device.type, enabled=False):
            first = inputs[:: len(inputs) // sets]
            rays, places = [], []
            for cameras in (inputs, targets):
                local = relative(cameras, first.world_from_camera).flatten(0, 1)
                moved = cameras.with_poses(local)
                told = self._rays(moved) if self._by_rays else self._numbers(cameras, first)
                rays.append(told.unflatten(0, (sets, -1)))
                places.append(self._placement(moved, sets))
            return ViewGeometry(*rays, *places)

    def encode(
        self,
        images: Float[Tensor, "sets inputs 4 height width"],
        geometry: ViewGeometry,
        dropped: Bool[Tensor, "sets"] | None = None,
    ) -> Float[Tensor, "sets inputs tokens channels"]:
        """Tokens of the inputs; all of a set that is `dropped` are one learned vector."""
        numbers = torch.cat([images, geometry.input_rays], dim=2)
        x = self.input_embedder(patches(numbers, self.size.patch))
        for block in self.encoder:
            x = block(x, geometry.inputs)
        if dropped is not None:
            x = torch.where(dropped[:, None, None, None], self.unknown, x)
        return x

    def decode(
        self,
        seen: Float[Tensor, "sets inputs tokens channels"],
        geometry: ViewGeometry,
        noisy: Float[Tensor, "sets targets 4 height width"] | None = None,
        t: Float[Tensor, "sets targets"] | None = None,
    ) -> Float[Tensor, "sets targets 4 height width"]:
        """Clean images of the targets, given the inputs' tokens."""
        x = self.target_embedder(patches(geometry.target_rays, self.size.patch))
        time = None
        if noisy is not None and t is not None:
            x = x + self.noisy_embedder(patches(noisy, self.size.patch))
            time = self.time_parts(self.time_embedder(1000 * t.flatten()))
            time = time.view(*t.shape, 3 * PARTS, -1)
        to, of = geometry.targets, geometry.inputs
        alone = dataclasses.replace(to, projection=None, inverse=None)
        for block in self.blocks:
            x = block(x, seen, to, of, alone, time)
        return from_patches(self.final(_norm(x)).float(), self.size.grid, self.size.patch)

    @property
    def _by_rays(self) -> bool:
        return "rays" in self.size.cameras

    def _rays(self, cameras: Cameras) -> Float[Tensor, "cameras channels height width"]:
        return RAYS.lift(cameras, torch.ones((), device=cameras.device))

    def _numbers(
        self, cameras: Cameras, first: Cameras
    ) -> Float[Tensor, "cameras channels height width"]:
        """Each pixel's place in [−1, 1]², and the numbers of its camera relative to `first`."""
        place = 2 * pixel_grid(cameras.width, cameras.height, cameras.device) - cameras.width
        maps = [(place / cameras.width).movedim(2, 0).expand(len(cameras), -1, -1, -1)]
        if self.size.cameras in NUMBERS:
            poses = opengl_poses(cameras).unflatten(0, (len(first), -1))
            origin, unit = opengl_poses(first), first.centers.norm(dim=1).double()
            if self.size.cameras == "6dof":
                fov = fields_of_view(first)[:, None]
                numbers = embedding_6dof(origin[:, None], poses, fov, unit[:, None])
            else:
                for each in (poses, origin[:, None]):
                    each[..., :3, 3] /= unit[:, None, None]
                numbers = embedding_3dof(origin[:, None], poses)
            spread = numbers.flatten(0, 1).to(maps[0])[:, :, None, None]
            maps.append(spread.expand(-1, -1, cameras.height, cameras.width))
        return torch.cat(maps, dim=1)

    def _placement(self, cameras: Cameras, sets: int) -> Placement:
        head = self.size.width // self.size.heads
        return placement(cameras, sets, self.size.grid, head, "prope" in self.size.cameras)

    def matrices(self) -> list[nn.Parameter]:
        """Weight matrices of attention and MLPs, which some optimizers treat separately."""
        return [
            parameter
            for name, parameter in self.named_parameters()
            if parameter.ndim == 2
            and name.startswith(("encoder.", "blocks."))
            and "modulation" not in name
        ]

    def begin_with(self, other: Mapping[str, Tensor]) -> None:
        """Take over the weights of a network without noise; what is new begins at zero.

        Raises KeyError or RuntimeError if they are those of another network.
        """
        own = self.state_dict()
        new = {name: own[name] for name in own if _is_new(name)}
        self.load_state_dict({**new, **{name: other[name] for name in own.keys() - new.keys()}})


def _is_new(name: str) -> bool:
    """Whether a parameter is one that a flow has beside those of a regression."""
    return name.startswith(("noisy_embedder", "time_")) or "modulation" in name
