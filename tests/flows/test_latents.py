"""Latents equal those of diffusers, and other models are rejected in one line."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from unrender.errors import InputError
from unrender.flows import latents
from unrender.flows.latents import Latents, load_autoencoder
from unrender.flows.lifting import lifting_for

IMAGES = torch.rand(3, 32, 32, 4, generator=torch.Generator().manual_seed(0))
PREMULTIPLIED = torch.cat([IMAGES[..., :3] * IMAGES[..., 3:], IMAGES[..., 3:]], dim=-1)


@pytest.fixture(scope="module")
def folder(tiny_autoencoder: Path) -> Path:
    return tiny_autoencoder


def copy(folder: Path, to: Path, **changes: object) -> Path:
    """The same autoencoder with other values in its config.json."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**config, **changes}))
    return to


def test_latents_are_those_of_diffusers(folder: Path) -> None:
    from diffusers import AutoencoderKL  # noqa: PLC0415 - slow to import

    space = Latents(load_autoencoder(str(folder)))
    assert (space.channels, space.scale) == (4, 8)
    codes = space.encode(PREMULTIPLIED)
    assert codes.shape == (3, 4, 4, 4)
    original = AutoencoderKL.from_pretrained(folder, low_cpu_mem_usage=False)
    on_white = PREMULTIPLIED[..., :3] + 1 - PREMULTIPLIED[..., 3:]
    with torch.no_grad():
        mean = original.encode((2 * on_white - 1).movedim(-1, 1)).latent_dist.mean
        color = original.decode(mean).sample.movedim(1, -1)
    torch.testing.assert_close(codes, 0.18215 * mean, rtol=1e-4, atol=1e-5)
    decoded = space.decode(codes)
    assert decoded.shape == (3, 32, 32, 4)
    assert (decoded[..., 3] == 1).all()
    expected = ((color + 1) / 2).clamp(0, 1)
    torch.testing.assert_close(decoded[..., :3], expected, rtol=1e-4, atol=1e-5)


def test_factor_and_shift_are_the_autoencoders_own(folder: Path, tmp_path: Path) -> None:
    plain = Latents(load_autoencoder(str(folder)))
    other = copy(folder, tmp_path / "other", scaling_factor=2.0, shift_factor=0.5)
    moved = Latents(load_autoencoder(str(other)))
    mean = plain.encode(PREMULTIPLIED) / 0.18215
    torch.testing.assert_close(moved.encode(PREMULTIPLIED), 2 * (mean - 0.5))
    codes = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    unscaled = plain.decode(0.18215 * (codes / 2 + 0.5))
    torch.testing.assert_close(moved.decode(codes), unscaled, rtol=1e-4, atol=1e-5)


def test_batches_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Latents(load_autoencoder(str(folder)))
    codes = space.encode(PREMULTIPLIED)
    images = space.decode(codes)
    monkeypatch.setattr(latents, "PIXELS_AT_ONCE", 1)
    torch.testing.assert_close(space.encode(PREMULTIPLIED), codes, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(space.decode(codes), images, rtol=1e-4, atol=1e-5)


def test_the_autoencoder_is_frozen_and_gradients_pass_through_it(folder: Path) -> None:
    before = torch.get_rng_state()
    autoencoder = load_autoencoder(str(folder))
    assert torch.equal(torch.get_rng_state(), before)
    assert not autoencoder.training
    assert not any(parameter.requires_grad for parameter in autoencoder.parameters())
    space = Latents(autoencoder)
    codes = space.encode(PREMULTIPLIED.clone().requires_grad_())
    assert not codes.requires_grad
    assert not space.decode(codes).requires_grad
    codes.requires_grad_()
    space.decode(codes)[..., :3].sum().backward()
    assert codes.grad is not None
    assert codes.grad.abs().sum() > 0


def refusal(name: object) -> str:
    with pytest.raises(InputError) as caught:
        load_autoencoder(str(name))
    line = str(caught.value)
    assert "\n" not in line
    assert str(name) in line
    return line


def test_a_name_that_leads_nowhere_is_refused(folder: Path, tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere")
    assert "no such folder" in refusal("owner/name")
    assert "OWNER/NAME" in refusal("hub:one/two/three")
    assert "no such folder" in refusal(folder / "config.json")


def test_what_is_no_autoencoder_is_refused(folder: Path, tmp_path: Path) -> None:
    from diffusers import UNet2DModel  # noqa: PLC0415 - slow to import

    (tmp_path / "empty").mkdir()
    assert "save_pretrained" in refusal(tmp_path / "empty")
    other = UNet2DModel(32, 3, 3, block_out_channels=(8, 8, 8, 8), norm_num_groups=4)
    other.save_pretrained(tmp_path / "other", safe_serialization=True)
    refusal(tmp_path / "other")
    refusal(copy(folder, tmp_path / "gray", in_channels=1))
    refusal(copy(folder, tmp_path / "deeper", layers_per_block=2))
    refusal(copy(folder, tmp_path / "wider", block_out_channels=[16, 16, 16, 16]))
    broken = copy(folder, tmp_path / "broken")
    weights = broken / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refusal(broken)
    # A pickle is never looked at.
    weights.rename(broken / "diffusion_pytorch_model.bin")
    refusal(broken)
    (broken / "config.json").write_text("[]")
    refusal(broken)
    (broken / "config.json").write_text("{")
    refusal(broken)


def test_without_diffusers_the_remedy_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert "pip install 'unrender[latents]'" in refusal(folder)


def test_a_lifting_has_room_for_the_latents() -> None:
    assert lifting_for("repeat", 4).channels == lifting_for("repeat", 3).channels == 4
    assert lifting_for("repeat", 16).channels == 16
    assert lifting_for("plucker", 4).channels == 6
    with pytest.raises(InputError, match=r"plucker.*16.*repeat"):
        lifting_for("plucker", 16)
