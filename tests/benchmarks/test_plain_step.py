"""The step that the library's own is timed against computes the same."""

import pytest
import torch
from pose_flow import plain_stepper, stepper

from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.methods.sit import SiTFlow
from unrender.training import muon_training


def views(num: int, size: int) -> Views:
    generator = torch.Generator().manual_seed(0)
    poses = spherical_shell(num, (3.0, 4.0), generator)
    images = torch.rand(num, size, size, 4, generator=generator)
    return Views(Cameras.from_focal(poses, 1.3 * size, size, size), images)


@pytest.mark.parametrize("muon", [True, False])
def test_both_steps_compute_the_same(muon: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Muon's products too are in single precision, whatever this processor is quick at.
    monkeypatch.setattr(muon_training, "multiplies_bfloat16", lambda _: False)
    method = SiTFlow(
        patch=4, width=32, depth=2, heads=2, batch=8, precision="float32", muon=muon
    )
    (step, ours), (plain_step, plain) = (
        make(method, views(20, 16), 0) for make in (stepper, plain_stepper)
    )
    start = {name: value.detach().clone() for name, value in ours.named_parameters()}
    for _ in range(4):
        step()
        plain_step()
    moved = {name: value.detach() - start[name] for name, value in ours.named_parameters()}
    assert sum(float(change.abs().sum()) for change in moved.values()) > 0
    for name, value in plain.named_parameters():
        # AdamW divides by the size of a gradient, so rounding shows where this is near 0.
        difference = (value.detach() - start[name] - moved[name]).norm()
        assert difference <= 0.02 * moved[name].norm(), name
