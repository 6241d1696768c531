"""Laws of novel views that are made from chosen inputs, with models that learned nothing."""

from dataclasses import dataclass, field

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from view_models import FakeFlow, FakeViews, Nothing, fitted

from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.guidance import Denoiser
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.notes import collected
from unrender.rendering.renderer import Images
from unrender.training.view_generation import chosen_inputs, generate_views

SIZE = 8


def cameras(count: int, seed: int) -> Cameras:
    poses = spherical_shell(count, (3.0, 4.0), torch.Generator().manual_seed(seed))
    return Cameras.from_focal(poses, 10.0, SIZE, SIZE)


def shades(count: int) -> Views:
    """Views of one gray each, by which a test tells which of them were seen."""
    gray = torch.linspace(0.1, 0.9, count)[:, None, None, None].expand(-1, SIZE, SIZE, 3)
    images = torch.cat([gray, torch.ones_like(gray[..., :1])], dim=-1)
    return Views(cameras(count, 0), images, ball=torch.tensor([0.0, 0, 0, 1]))


def gray(images: Images) -> Float[Tensor, "images"]:
    return images[..., 0].mean((1, 2))


@pytest.mark.parametrize("count", [1, 3])
def test_the_nearest_inputs_are_seen(count: int) -> None:
    inputs, model = shades(9), fitted(FakeViews(SIZE))
    chosen = chosen_inputs(inputs, cameras(5, 1), "nearest", count, torch.Generator())
    made = generate_views(model, inputs, cameras(5, 1), count=count)
    assert torch.allclose(gray(made), gray(inputs.images)[chosen].mean(1))
    own = generate_views(model, inputs, inputs.cameras, count=1)
    assert torch.allclose(own, inputs.images)


def test_the_nearest_input_comes_first() -> None:
    """Models describe the other cameras relative to it."""
    inputs, targets = shades(9), cameras(20, 1)
    alone, several = (
        chosen_inputs(inputs, targets, "nearest", count, torch.Generator()) for count in (1, 4)
    )
    assert torch.equal(several[:, :1], alone)


def test_all_inputs_are_seen() -> None:
    inputs = shades(9)
    made = generate_views(fitted(FakeViews(SIZE)), inputs, cameras(5, 1), "all")
    assert gray(made).tolist() == pytest.approx([0.5] * 5)


def test_random_inputs_depend_on_the_seed_alone() -> None:
    inputs, model = shades(9), fitted(FakeViews(SIZE))
    first, again, other = (
        gray(generate_views(model, inputs, cameras(6, 1), "random", seed=seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first.unique()) > 1


def test_random_inputs_are_without_repetition() -> None:
    drawn = chosen_inputs(shades(5), cameras(20, 1), "random", 4, torch.Generator())
    assert all(len(set(row)) == 4 for row in drawn.tolist())


@pytest.mark.parametrize("choice", ["nearest", "random"])
def test_there_are_only_so_many_inputs(choice) -> None:
    with pytest.raises(InputError, match="6 of 5 inputs"):
        chosen_inputs(shades(5), cameras(2, 1), choice, 6, torch.Generator())


@dataclass(frozen=True)
class Told(FakeFlow):
    """A flow that remembers which of its inputs were seen, step by step."""

    seen: list[float] = field(default_factory=list)

    def denoiser(
        self, model: Nothing, inputs: Views, targets: Cameras, guidance: float
    ) -> Denoiser:
        inner = super().denoiser(model, inputs, targets, guidance)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            self.seen.append(float(gray(inputs.images)[0]))
            return inner(x, t)

        return denoise


def test_a_flow_sees_another_random_input_at_each_step() -> None:
    method = Told(SIZE, image_steps=20)
    inputs = shades(5)
    made = generate_views(fitted(method), inputs, cameras(3, 1), "random")
    assert len(method.seen) == 20
    assert len(set(method.seen)) > 2
    # Each step goes to where the last one was.
    assert gray(made).tolist() == pytest.approx([method.seen[-1]] * 3, abs=1e-5)


@dataclass(frozen=True)
class Large(FakeViews):
    """A model for whose memory more than some targets are too many."""

    most: int = 2

    def novel_views(
        self, model: Nothing, inputs: Views, targets: Cameras, generator: torch.Generator
    ) -> Images:
        if len(targets) > self.most:
            raise torch.OutOfMemoryError("too much")
        return super().novel_views(model, inputs, targets, generator)


def test_what_does_not_fit_into_memory_is_made_in_parts() -> None:
    inputs, targets = shades(3), cameras(9, 1)
    with collected() as notes:
        made = generate_views(fitted(Large(SIZE)), inputs, targets, "all")
    assert torch.allclose(made, generate_views(fitted(FakeViews(SIZE)), inputs, targets, "all"))
    assert len(notes) == 2
    assert "9 views at once do not fit" in notes[0]
    with pytest.raises(InputError, match="one view does not fit"), collected():
        generate_views(fitted(Large(SIZE, most=0)), inputs, targets, "all")


def test_progress_ends_at_all() -> None:
    told: list[tuple[int, int]] = []
    model = fitted(FakeViews(SIZE))
    generate_views(model, shades(9), cameras(5, 1), on_progress=lambda *each: told.append(each))
    assert told[-1] == (5, 5)
