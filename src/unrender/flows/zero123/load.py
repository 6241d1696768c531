"""The published checkpoints of zero123 and ZeroNVS, read into their networks."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import nn

from unrender.errors import InputError, one_line
from unrender.files.checkpoints import TensorFile, open_tensors
from unrender.files.memory import check_memory
from unrender.flows.zero123.clip_vision import ClipVision
from unrender.flows.zero123.names import (
    Shapes,
    autoencoder_names,
    autoencoder_options,
    average_name,
    unet_names,
    unet_options,
)
from unrender.flows.zero123.networks import CAMERAS, Zero123
from unrender.notes import note

Architecture = Literal["auto", "zero123", "zeronvs"]
Weights = Literal["auto", "average", "last"]

UNET, AUTOENCODER, CLIP = "model.", "first_stage_model.", "cond_stage_model.model.visual."
PROJECTION, AVERAGE = "cc_projection.", "model_ema."
OWN = (UNET, AUTOENCODER, CLIP, PROJECTION, AVERAGE)
UNUSED = re.compile(
    r"[^.]+|cond_stage_model\.(?!model\.visual\.).*|first_stage_model\.loss\..*|"
    r"model_ema\.(decay|num_updates)"
)
"""What the published files hold besides: the noise schedule, CLIP's text encoder, counters."""
REMEDY = "give a checkpoint of zero123 or ZeroNVS as published, or as .safetensors of its names"
WRONG = (KeyError, IndexError, ValueError, TypeError, RuntimeError, ArithmeticError)
"""What sizes of no network raise."""


def load_zero123(
    path: Path,
    architecture: Architecture = "auto",
    weights: Weights = "auto",
    half: bool = False,
) -> Zero123:
    """The networks of a .safetensors file or Lightning checkpoint (.ckpt), on the CPU, frozen.

    Sizes follow from the tensors, and so does the `architecture`, from how many numbers
    describe a camera. `weights` chooses between the moving average of the denoising network's
    weights and those of the last step; "auto" is the average if the file has one, as both
    authors' programs do. With `half`, weights are in half precision, for GPUs. InputError if
    diffusers is not installed, for other architectures, for missing, surplus, misshapen or
    non-finite tensors, and for files that `open_tensors` refuses.
    """
    with open_tensors(path) as file:
        shapes = dict(file.shapes)
        networks = _networks(path, shapes)
        kind = networks.kind
        if architecture not in ("auto", kind):
            raise InputError(
                f"{path}: describes cameras by {networks.camera} numbers, so it is {kind}, not "
                f"{architecture}: name another file, or leave the architecture to it"
            )
        names = _names(networks)
        averages = {
            ours: AVERAGE + average_name(theirs.removeprefix(UNET))
            for ours, theirs in names.items()
            if theirs.startswith(UNET)
        }
        averaged = any(each in shapes for each in averages.values())
        if weights == "average" and not averaged:
            raise InputError(f"{path}: holds no moving average ({AVERAGE}…): use other weights")
        _check(path, networks, names, shapes, set(averages.values()))
        if averaged and weights != "last":
            _check_present(path, averages.values(), shapes)
            _check_shapes(path, networks, averages, shapes)
            names |= averages
        _fill(networks, file, names, half)
    return networks.eval().requires_grad_(False)


class _Part(dict[str, tuple[int, ...]]):
    """The shapes of one network's tensors, without the prefix of its names."""

    prefix = ""

    def __missing__(self, name: str) -> NoReturn:
        raise KeyError(self.prefix + name)


def _part(shapes: Shapes, prefix: str) -> _Part:
    part = _Part()
    part.prefix = prefix
    for name, shape in shapes.items():
        if name.startswith(prefix):
            part[name.removeprefix(prefix)] = shape
    return part


def _networks(path: Path, shapes: Shapes) -> Zero123:
    """Networks of the tensors' sizes, without values."""
    try:
        from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: PLC0415 - an extra  # pyright: ignore
    except ImportError as error:
        raise InputError(
            f"{path}: checkpoints of zero123 and ZeroNVS need diffusers: pip install "
            "'unrender[diffusion]'"
        ) from error
    unet_kind: Any = UNet2DConditionModel
    autoencoder_kind: Any = AutoencoderKL
    found = shapes.get(f"{PROJECTION}weight")
    if found is None or len(found) != 2:
        some = ", ".join(f"`{name}`" for name in sorted(shapes)[:2])
        _refuse(
            path, f"has no `{PROJECTION}weight`; it has {len(shapes)} tensors, such as {some}"
        )
    try:
        unet_sizes = unet_options(_part(shapes, f"{UNET}diffusion_model."))
        autoencoder_sizes = autoencoder_options(_part(shapes, AUTOENCODER))
        clip_part = _part(shapes, CLIP)
        camera = found[1] - clip_part["proj"][1]
        latents = autoencoder_sizes["latent_channels"]
        channels = (unet_sizes["in_channels"], unet_sizes["out_channels"])
        if channels != (2 * latents, latents):
            _refuse(path, f"denoises {channels[0]} channels into {channels[1]}, not 8 into 4")
        if camera not in CAMERAS:
            _refuse(path, f"describes cameras by {camera} numbers; zero123 has 4, ZeroNVS 19")
        with torch.device("meta"):
            return Zero123(
                unet_kind(**unet_sizes),
                autoencoder_kind(**autoencoder_sizes, scaling_factor=1.0),
                ClipVision.of(clip_part),
                camera,
            )
    except InputError:
        raise
    except KeyError as error:
        _refuse(path, f"lacks `{error.args[0]}`")
    except WRONG as error:
        _refuse(path, f"is of another architecture ({one_line(error)[:80]})")


def _names(networks: Zero123) -> dict[str, str]:
    """The file's name of each parameter."""
    unet: Any = networks.unet
    autoencoder: Any = networks.autoencoder
    levels = len(autoencoder.config.block_out_channels)
    parts = {
        "unet": (
            f"{UNET}diffusion_model.",
            unet_names(unet.state_dict(), unet.config.layers_per_block),
        ),
        "autoencoder": (AUTOENCODER, autoencoder_names(autoencoder.state_dict(), levels)),
        "clip": (CLIP, {name: name for name in networks.clip.state_dict()}),
        "cc_projection": (PROJECTION, {name: name for name in ("weight", "bias")}),
    }
    return {
        f"{part}.{ours}": prefix + theirs
        for part, (prefix, names) in parts.items()
        for ours, theirs in names.items()
    }


def _check(
    path: Path,
    networks: Zero123,
    names: Mapping[str, str],
    shapes: Shapes,
    averages: set[str],
) -> None:
    """InputError unless the file has these names, and no others of the same networks."""
    _check_present(path, names.values(), shapes)
    _check_shapes(path, networks, names, shapes)
    known = {*names.values(), *averages}
    others = [name for name in shapes if name not in known and not UNUSED.fullmatch(name)]
    surplus = [name for name in others if name.startswith(OWN)]
    if surplus:
        _refuse(path, f"has {_counted(surplus)} too many: {_some(surplus)}")
    if others:
        note(f"{path}: not used: {_counted(others)}: {_some(others)}")


def _check_present(path: Path, names: Any, shapes: Shapes) -> None:
    missing = [name for name in names if name not in shapes]
    if missing:
        _refuse(path, f"lacks {_counted(missing)}: {_some(missing)}")


def _check_shapes(
    path: Path, networks: Zero123, names: Mapping[str, str], shapes: Shapes
) -> None:
    expected = networks.state_dict()
    for ours, theirs in names.items():
        shape = tuple(expected[ours].shape)
        if _squeezed(shape) != _squeezed(shapes[theirs]):
            _refuse(path, f"`{theirs}` has the shape {shapes[theirs]}, not {shape}")


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    # The autoencoder's attention is a convolution of one pixel there, a matrix here.
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _counted(names: list[str]) -> str:
    return f"{len(names)} tensor{'' if len(names) == 1 else 's'}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"`{name:.60}`" for name in sorted(names)[:3]) + more


def _refuse(path: Path, what: str) -> NoReturn:
    raise InputError(f"{path}: {what}; {REMEDY}")


def _fill(networks: nn.Module, file: TensorFile, names: Mapping[str, str], half: bool) -> None:
    """Give the networks the values in the file."""
    empty = networks.state_dict()
    kind = torch.float16 if half else torch.float32
    size = sum(each.numel() for each in empty.values()) * kind.itemsize
    check_memory(file.label, size, "use a machine with more, or half precision")
    ours = {theirs: name for name, theirs in names.items()}
    values: dict[str, torch.Tensor] = {}
    for theirs, value in file.finite(ours):
        name = ours[theirs]
        values[name] = value.to(kind).reshape(empty[name].shape)
        if not bool(values[name].isfinite().all()):
            raise InputError(
                f"{file.label}: `{theirs}` is too large for half precision: use full precision"
            )
    networks.load_state_dict(values, assign=True)
