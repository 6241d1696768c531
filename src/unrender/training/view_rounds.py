"""Views all around an object, generated in rounds that see the views of those before."""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.data.object_ball import object_ball
from unrender.data.squares import squares
from unrender.data.views import Views, joined
from unrender.geometry.cameras import Cameras
from unrender.geometry.nearest_views import nearest_views
from unrender.training.method import Fitted
from unrender.training.view_generation import made_from


def given_views(fitted: Fitted[Any], inputs: Views) -> Views:
    """Inputs as view models are given them: squares of their size, RGBA, with a ball."""
    size = fitted.image_size
    assert size is not None, "view models have one size"
    found = squares(inputs, size).with_alpha()
    return Views(found.cameras, found.images, ball=object_ball(inputs))


def generate_in_rounds(
    fitted: Fitted[Any],
    inputs: Views,
    targets: Cameras,
    generator: torch.Generator,
    conditions: int,
    rounds: int = 1,
) -> Views:
    """The views of `targets`, square and of the model's size; `inputs` are `given_views`.

    Each is made from the nearest inputs, `conditions` of them at most. In several `rounds`, the
    targets nearest to an input come first, and later ones are also made from views of the
    rounds before: see `conditions_of`. Memory is as in `generate_views`. InputError.
    """
    assert inputs.ball is not None, "views are given with a ball"
    size, center = inputs.cameras.width, inputs.ball[:3].to(inputs.device)
    targets = targets.resized(size, size)
    rounds = min(rounds, len(targets))
    order = angle_to_nearest(targets, inputs.cameras, center).argsort()
    ends = [round(k * len(order) / rounds) for k in range(rounds + 1)]
    known, made = inputs, list[Views]()
    for start, end in pairwise(ends):
        wanted = targets.select(order[start:end])
        chosen = conditions_of(wanted, known.cameras, len(inputs), conditions, center)
        images = made_from(fitted, known, wanted, chosen, generator).to(inputs.device)
        made.append(Views(wanted, images))
        known = joined([inputs, *made])
    return joined(made).select(order.argsort())


def angle_to_nearest(
    targets: Cameras, known: Cameras, center: Float[Tensor, "3"]
) -> Float[Tensor, "targets"]:
    """The angle about the center from each target to the nearest known camera, in radians."""
    a, b = (normalize(each.centers - center, dim=1) for each in (targets, known))
    return (a @ b.T).clamp(-1, 1).acos().amin(1)


def conditions_of(
    targets: Cameras,
    known: Cameras,
    inputs: int,
    count: int,
    center: Float[Tensor, "3"],
) -> Int[Tensor, "targets _"]:
    """Indices of the known views that each target is made from, in increasing order.

    `count` at most. The first `inputs` of the known views are inputs, the others were
    generated. Where there are such, they get one place at least, and more if inputs are few:
    inputs are never left out in favor of generated views. (Zhou et al., "Stable Virtual
    Camera", https://arxiv.org/abs/2503.14489, table 6, measure that they are needed.)
    """
    generated = len(known) - inputs
    places = max(1, count - 1) if generated else count
    of_inputs = min(inputs, places)
    more = min(count - of_inputs, generated)
    parts = [nearest_views(targets, known[:inputs], center, of_inputs)]
    if more:
        parts.append(inputs + nearest_views(targets, known[inputs:], center, more))
    return torch.cat(parts, dim=1).sort(1).values.cpu()
