"""What is taken as a view model: runs, their folders, checkpoints, and that of the package."""

from pathlib import Path

import pytest
import torch
from view_models import FakeFlow, FakeViews, fitted
from zero123_checkpoints import tensors, write

from unrender.api.view_models import view_model, with_sampling
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.methods.zero123 import Zero123Views
from unrender.training.view_generation import generate_views


def test_a_fitted_model_is_taken_as_it_is() -> None:
    model = fitted(FakeViews())
    assert view_model(model) is model


def test_sampling_is_changed_where_there_is_any() -> None:
    changed = with_sampling(fitted(FakeFlow()), guidance=1.5).method
    assert changed == FakeFlow(guidance=1.5)
    with pytest.raises(InputError, match="--steps: is an option of flows"):
        with_sampling(fitted(FakeViews()), steps=3)


@pytest.mark.parametrize("random", [False, True])
def test_a_published_checkpoint_makes_views(tmp_path: Path, random: bool) -> None:
    """A miniature of one: also with another input at each step, in its own data space."""
    model = view_model(write(tmp_path / "zero123.ckpt", tensors(average=False)), device="cpu")
    assert isinstance(model.method, Zero123Views)
    small = with_sampling(model, guidance=2.0, steps=2)
    small = type(small)(Zero123Views(size=64, image_steps=2), small.model)
    eyes = [(4.0, 0.0, 1.0), (0.0, 4.0, 1.0)]
    cameras = Cameras.look_at(eyes, size=(64, 64))
    inputs = Views(cameras, torch.rand(2, 64, 64, 4), ball=torch.tensor([0.0, 0, 0, 1]))
    made = generate_views(small, inputs, cameras, "random" if random else "nearest")
    assert made.shape == (2, 64, 64, 4)
    assert bool(made.isfinite().all())


def test_other_files_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"model\.ckpt"):
        view_model(path)
