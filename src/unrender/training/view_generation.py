"""Novel views by a view model, of which each is made from its own choice of inputs."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.stochastic_conditioning import sample_with_random_inputs
from unrender.geometry.bounds import scene_center
from unrender.geometry.cameras import Cameras
from unrender.geometry.nearest_views import nearest_views
from unrender.notes import note
from unrender.rendering.renderer import Images
from unrender.training.method import Fitted, Method

InputChoice = Literal["nearest", "all", "random"]
"""Which of the inputs a view is made from. Random ones change at every step of a flow."""
NEIGHBORS = 4
"""Nearest inputs that a view is made from, by default."""
AT_ONCE = 32
"""Views that are made at once, at most."""


def chosen_inputs(
    inputs: Views,
    targets: Cameras,
    choice: InputChoice,
    count: int,
    generator: torch.Generator,
    rotation_only: bool = False,
) -> Int[Tensor, "targets _"]:
    """Indices of the inputs that each target is made from.

    The `count` nearest by `unrender.geometry.nearest_views`, the nearest first, since models
    describe cameras relative to the first; or as many random ones, or all in their order.
    InputError if there are fewer.
    """
    total = len(inputs)
    if choice == "all":
        return torch.arange(total).expand(len(targets), total)
    if not 1 <= count <= total:
        raise InputError(f"{count} of {total} inputs for each view: give 1 to {total}")
    if choice == "random":
        return torch.rand(len(targets), total, generator=generator).argsort(1)[:, :count]
    center = scene_center(inputs.cameras) if inputs.ball is None else inputs.ball[:3]
    return nearest_views(targets, inputs.cameras, center, count, rotation_only)


def generate_views(
    fitted: Fitted[Any],
    inputs: Views,
    targets: Cameras,
    choice: InputChoice = "nearest",
    count: int | None = None,
    rotation_only: bool = False,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Images:
    """Images from `targets` by a view model, each from the inputs that `chosen_inputs` names.

    `count` inputs for each; by default the four nearest, or one random one. With random inputs
    a flow draws another one at each of its steps (3DiM). Targets that do not fit into a GPU's
    memory at once are made in smaller parts, and a note says so. InputError.
    """
    generator = torch.Generator().manual_seed(seed)
    if choice == "random" and count is None and is_flow(fitted):
        return _with_random_steps(fitted, inputs, targets, generator)
    some = min(NEIGHBORS if choice == "nearest" else 1, len(inputs)) if count is None else count
    chosen = chosen_inputs(inputs, targets, choice, some, generator, rotation_only)
    return made_from(fitted, inputs, targets, chosen, generator, on_progress)


def made_from(
    fitted: Fitted[Any],
    inputs: Views,
    targets: Cameras,
    chosen: Int[Tensor, "targets _"],
    generator: torch.Generator,
    on_progress: Callable[[int, int], None] | None = None,
) -> Images:
    """Images from `targets` by a view model, on the CPU, each from the `chosen` inputs.

    Targets that do not fit into a GPU's memory at once are made in smaller parts, and a note
    says so. InputError.
    """
    rows, group = chosen.unique(dim=0, return_inverse=True)
    images: dict[int, Tensor] = {}
    at_once, begin = AT_ONCE, generator.get_state()
    for k, row in enumerate(rows):
        own, members = inputs.select(row), (group == k).nonzero()[:, 0].tolist()
        while members:
            part = members[:at_once]
            # Each part has the noise of the first.
            generator.set_state(begin)
            try:
                with torch.no_grad():
                    made = fitted.novel_views(
                        own, targets.select(torch.tensor(part)), generator
                    ).cpu()
            except torch.OutOfMemoryError as error:
                at_once = _halved(len(part), error)
                continue
            images.update(zip(part, made, strict=True))
            members = members[len(part) :]
            if on_progress is not None:
                on_progress(len(images), len(targets))
    return torch.stack([images[k] for k in range(len(targets))])


def is_flow(fitted: Fitted[Any]) -> bool:
    """Whether a view model has a denoiser, whose samples differ."""
    return type(fitted.method).denoiser is not Method.denoiser


def _halved(count: int, error: torch.OutOfMemoryError) -> int:
    if count == 1:
        raise InputError(
            "one view does not fit in GPU memory: use --device cpu, or fewer inputs"
        ) from error
    torch.cuda.empty_cache()
    note(f"{count} views at once do not fit in GPU memory: made {count // 2} at once")
    return count // 2


def _with_random_steps(
    fitted: Fitted[Any], inputs: Views, targets: Cameras, generator: torch.Generator
) -> Images:
    # Options of a flow.
    method: Any = fitted.method
    device = fitted.device
    space, there = method.view_space(fitted.model), targets.to(device)
    denoisers = [
        method.denoiser(fitted.model, view.to(device), there, method.guidance)
        for view in inputs
    ]
    rows, columns = targets.height // space.scale, targets.width // space.scale
    shape = (len(targets), space.channels, rows, columns)
    noise = torch.randn(shape, generator=generator).to(device)
    codes = sample_with_random_inputs(denoisers, noise, method.image_steps, generator)
    return space.decode(codes).cpu()
