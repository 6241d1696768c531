"""zero123's networks: other readers, formulas of our own, and files that are not theirs."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zero123_checkpoints import (
    MINIATURE,
    PUBLISHED,
    Sizes,
    all_shapes,
    autoencoder_shapes,
    clip_shapes,
    tensors,
    unet_shapes,
    write,
)
from zero123_definition import CLIP, UNET, Definition, clip_definition, read_by_diffusers

from unrender import notes
from unrender.errors import InputError
from unrender.flows.zero123 import load
from unrender.flows.zero123.clip_vision import ClipVision
from unrender.flows.zero123.load import load_zero123
from unrender.flows.zero123.names import autoencoder_options, unet_options
from unrender.flows.zero123.networks import SCALING, Zero123
from unrender.imaging.color import premultiply

F = nn.functional
AUTOENCODER = "first_stage_model."


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


IMAGES = premultiply(torch.rand(2, 64, 64, 4, generator=torch.Generator().manual_seed(0)))
NOISY, STEPS = normal(2, 4, 8, 8), torch.tensor([3.0, 700.0])


@pytest.fixture(scope="module")
def content() -> dict[str, Tensor]:
    return tensors()


@pytest.fixture(scope="module")
def file(content: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("zero123") / "105000.ckpt", content)


@pytest.fixture(scope="module")
def networks(file: Path) -> Zero123:
    return load_zero123(file)


@pytest.fixture(scope="module")
def last(file: Path) -> Zero123:
    return load_zero123(file, weights="last")


def test_the_published_sizes_are_recognized() -> None:
    parts = unet_shapes(PUBLISHED), autoencoder_shapes(PUBLISHED), clip_shapes(PUBLISHED)
    assert [len(part) for part in parts] == [686, 248, 296]
    options = unet_options(parts[0])
    assert options["block_out_channels"] == (320, 640, 1280, 1280)
    assert (options["attention_head_dim"], options["norm_num_groups"]) == (8, 32)
    assert options["down_block_types"] == (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D")
    assert options["up_block_types"] == ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3)
    assert autoencoder_options(parts[1])["block_out_channels"] == (128, 256, 512, 512)
    networks = load._networks(Path("x"), all_shapes(PUBLISHED))  # pyright: ignore
    counts = [
        sum(each.numel() for each in part.parameters())
        for part in (networks.unet, networks.autoencoder, networks.clip)
    ]
    # Stable Diffusion 1 with 8 channels instead of 4, its autoencoder, and ViT-L/14.
    assert counts == [859_532_484, 83_653_863, 303_966_208]
    assert networks.cc_projection.weight.shape == (768, 772)


def test_all_kinds_of_files_give_the_same_networks(
    content: dict[str, Tensor], networks: Zero123, tmp_path: Path
) -> None:
    old = {"_use_new_zipfile_serialization": False}
    others = [
        write(tmp_path / "x.safetensors", content),
        write(tmp_path / "old.ckpt", content, **old),
    ]
    for path in others:
        found = load_zero123(path).state_dict()
        for name, tensor in networks.state_dict().items():
            assert torch.equal(found[name], tensor), name
    assert not any(each.requires_grad for each in networks.parameters())
    assert not networks.training


def test_every_tensor_of_the_networks_is_used_once(
    content: dict[str, Tensor], last: Zero123
) -> None:
    found = sorted(float(each.double().sum()) for each in last.state_dict().values())
    own = (UNET, AUTOENCODER, CLIP, "cc_projection")
    expected = sorted(
        float(value.double().sum()) for name, value in content.items() if name.startswith(own)
    )
    assert found == expected


def test_names_are_those_that_diffusers_gives_them(
    content: dict[str, Tensor], last: Zero123
) -> None:
    unet, autoencoder = read_by_diffusers(content, MINIATURE)
    ours: Any = last.autoencoder
    noisy, token = normal(2, 8, 8, 8), normal(2, 1, MINIATURE.context)
    image, codes = normal(1, 3, 64, 64).clamp(-1, 1), normal(1, 4, 8, 8)
    with torch.no_grad():
        close(last.unet(noisy, STEPS, token).sample, unet(noisy, STEPS, token).sample)
        mode = autoencoder.encode(image).latent_dist.mode()
        close(ours.encode(image).latent_dist.mode(), mode)
        close(ours.decode(codes).sample, autoencoder.decode(codes).sample)


def close(a: Tensor, b: Tensor) -> None:
    assert float(b.std()) > 0.01
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_the_network_is_that_of_the_paper(content: dict[str, Tensor], last: Zero123) -> None:
    noisy, token = normal(2, 8, 8, 8), normal(2, 1, MINIATURE.context)
    with torch.no_grad():
        expected = Definition(content, MINIATURE)(noisy, STEPS, token)
        close(last.unet(noisy, STEPS, token).sample, expected)


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(multiples=(1, 2), layers=1, attention_levels=(0,), image_multiples=(1, 2)),
        Sizes(multiples=(1, 1, 2), layers=3, attention_levels=(1, 2), camera=19),
    ],
    ids=["shallow", "deep"],
)
def test_sizes_follow_from_the_tensors(sizes: Sizes, tmp_path: Path) -> None:
    content = tensors(sizes, average=False)
    found = load_zero123(write(tmp_path / "x.ckpt", content))
    noisy, token = normal(2, 8, 8, 8), normal(2, 1, sizes.context)
    with torch.no_grad():
        expected = Definition(content, sizes)(noisy, STEPS, token)
        close(found.unet(noisy, STEPS, token).sample, expected)


def test_the_average_is_taken_if_there_is_one(
    content: dict[str, Tensor], networks: Zero123, last: Zero123, tmp_path: Path
) -> None:
    name = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
    short = "model_ema.diffusion_modelinput_blocks11transformer_blocks0attn1to_qweight"
    ours = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    assert torch.equal(last.state_dict()[ours], content[name])
    assert torch.equal(networks.state_dict()[ours], content[short])
    for part in ("autoencoder", "clip", "cc_projection"):  # The average is the network's alone.
        for key, value in getattr(last, part).state_dict().items():
            assert torch.equal(getattr(networks, part).state_dict()[key], value)
    joined, token = normal(1, 8, 8, 8), normal(1, 1, MINIATURE.context)
    with torch.no_grad():
        a, b = (each.unet(joined, STEPS[:1], token).sample for each in (networks, last))
    assert float((a - b).abs().max()) > 0.1
    plain = {key: value for key, value in content.items() if "model_ema" not in key}
    without = write(tmp_path / "x.safetensors", plain)
    found = load_zero123(without).state_dict()
    assert all(torch.equal(found[key], value) for key, value in last.state_dict().items())
    with pytest.raises(InputError, match="no moving average"):
        load_zero123(without, weights="average")


def test_clip_is_its_formula() -> None:
    sizes = Sizes(clip_width=128, clip_depth=2, context=10)
    content = tensors(sizes, average=False)
    values = {k.removeprefix(CLIP): v for k, v in content.items() if k.startswith(CLIP)}
    tower = ClipVision.of({name: tuple(value.shape) for name, value in values.items()})
    tower.load_state_dict(values)
    side = sizes.clip_patch * sizes.clip_side
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, side, side, generator=generator)
    larger = torch.rand(1, 3, 64, 64, generator=generator)
    with torch.no_grad():
        close(tower(2 * images - 1), clip_definition(content, sizes, images))
        # A larger image is resized with its corners kept.
        resized = F.interpolate(larger, (side, side), mode="bicubic", align_corners=True)
        close(tower(2 * larger - 1), tower(2 * resized - 1))


def test_the_condition_is_the_unscaled_mode_and_one_token(networks: Zero123) -> None:
    cameras = normal(3, 4, seed=2)
    found = networks.condition(IMAGES, torch.tensor([1, 0, 1]), cameras)
    autoencoder: Any = networks.autoencoder
    on_white = (2 * (IMAGES[..., :3] + 1 - IMAGES[..., 3:]) - 1).movedim(-1, 1)
    with torch.no_grad():
        posterior = autoencoder.encode(on_white).latent_dist
        seen = networks.clip(on_white)
    torch.testing.assert_close(found.latents, posterior.mean[[1, 0, 1]])
    joined = torch.cat([seen[[1, 0, 1]], cameras], 1)
    token = joined @ networks.cc_projection.weight.T + networks.cc_projection.bias
    torch.testing.assert_close(found.tokens[:, 0], token)
    assert [len(part.tokens) for part in found.parts(2)] == [2, 1]


def test_noise_is_guided_away_from_a_condition_of_zeros(networks: Zero123) -> None:
    condition = networks.condition(IMAGES, torch.arange(2), normal(2, 4))
    with torch.no_grad():
        one = networks.unet(
            torch.cat([NOISY, condition.latents], 1), STEPS, condition.tokens
        ).sample
        none = networks.unet(
            torch.cat([NOISY, torch.zeros_like(NOISY)], 1),
            STEPS,
            torch.zeros_like(condition.tokens),
        ).sample
        for scale, expected in ((1, one), (0, none), (3, none + 3 * (one - none))):
            found = networks.noise(NOISY, STEPS, condition, scale)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_latents_have_gradients_both_ways(networks: Zero123) -> None:
    space = networks.space
    assert (space.channels, space.scale) == (4, 8)
    images = IMAGES.clone().requires_grad_()
    codes = space.encode(images)
    torch.testing.assert_close(codes / SCALING, networks.mode(IMAGES))
    codes.square().sum().backward()
    assert images.grad is not None
    assert float(images.grad.abs().sum()) > 0
    assert not space.encode(IMAGES).requires_grad
    codes = codes.detach().requires_grad_()
    decoded = space.decode(codes)
    assert decoded.shape == IMAGES.shape
    assert bool((decoded[..., 3] == 1).all())
    assert bool(((decoded >= 0) & (decoded <= 1)).all())
    decoded.sum().backward()
    assert codes.grad is not None
    assert not space.decode(codes.detach()).requires_grad


def test_zeronvs_is_known_by_its_camera(tmp_path: Path) -> None:
    path = write(tmp_path / "x.ckpt", tensors(Sizes(camera=19)))
    assert load_zero123(path).camera == 19
    load_zero123(path, architecture="zeronvs")
    assert "zeronvs" in refusal(path, architecture="zero123")


def test_half_precision_is_near(file: Path, networks: Zero123) -> None:
    half = load_zero123(file, half=True)
    assert half.dtype == torch.float16
    one, other = (
        torch.cat([value.float().flatten() for value in each.state_dict().values()])
        for each in (half, networks)
    )
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        load_zero123(path, **options)
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    return line


def test_missing_and_surplus_tensors_are_named(
    content: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "x.safetensors"
    out = f"{UNET}out.2.bias"
    write(path, {k: v for k, v in content.items() if k != out})
    assert f"lacks 1 tensor: `{out}`" in refusal(path)
    write(path, {k: v for k, v in content.items() if ".decoder." not in k})
    assert f"lacks `{AUTOENCODER}decoder.conv_out.weight`" in refusal(path)
    write(path, {k: v for k, v in content.items() if "out.2" not in k})
    refusal(path)
    for extra in (
        f"{UNET}input_blocks.1.2.weight",
        f"{AUTOENCODER}encoder.more.weight",
        f"{CLIP}head.weight",
        "model_ema.diffusion_modelmoreweight",
        "cc_projection.more",
    ):
        write(path, content | {extra: torch.ones(1)})
        assert f"1 tensor too many: `{extra}`" in refusal(path)
    short = next(name for name in content if name.startswith("model_ema.diffusion"))
    write(path, {k: v for k, v in content.items() if k != short})
    assert short in refusal(path)


def test_what_belongs_to_no_network_is_noted(
    content: dict[str, Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / "x.safetensors", content | {"depth_model.scale": torch.ones(1)})
    with notes.collected() as told:
        load_zero123(path)
    assert len(told) == 1
    assert "`depth_model.scale`" in told[0]


def test_other_architectures_are_refused(content: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write(path, {k: v for k, v in content.items() if "cc_projection" not in k})
    assert "has no `cc_projection.weight`" in refusal(path)
    write(path, {"weight": torch.ones(2)})
    assert "has no `cc_projection.weight`" in refusal(path)
    first = f"{UNET}input_blocks.0.0.weight"
    write(path, content | {first: torch.ones(32, 4, 3, 3)})
    assert "4 channels into 4" in refusal(path)
    write(path, tensors(Sizes(camera=10), average=False))
    assert "by 10 numbers" in refusal(path)
    wide = f"{UNET}middle_block.0.in_layers.2.weight"
    write(path, content | {wide: torch.ones(64, 32, 3, 3)})
    assert f"`{wide}` has the shape (64, 32, 3, 3), not (64, 64, 3, 3)" in refusal(path)
    level = f"{UNET}input_blocks.2.0.out_layers.3.weight"
    write(path, {k: v for k, v in content.items() if k != level})
    assert f"lacks `{level}`" in refusal(path)
    for name in ("input_blocks.1.0.out_layers.3.weight", "middle_block.1.proj_in.weight"):
        write(path, content | {f"{UNET}{name}": torch.ones(())})
        refusal(path)


def test_values_that_are_no_numbers_are_refused(
    content: dict[str, Tensor], tmp_path: Path
) -> None:
    name = "cc_projection.bias"
    path = tmp_path / "x.safetensors"
    write(path, content | {name: torch.full_like(content[name], torch.nan)})
    assert "NaN" in refusal(path)
    write(path, content | {name: torch.full_like(content[name], 1e6)})
    load_zero123(path)
    assert "half precision" in refusal(path, half=True)


def test_cut_files_and_code_are_refused(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    refusal(path)
    torch.save({"state_dict": {"cc_projection.weight": print}}, path)
    assert "print" in refusal(path)


def test_without_diffusers_the_remedy_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    assert "pip install 'unrender[diffusion]'" in refusal(file)
