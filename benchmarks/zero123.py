"""The readers of zero123's checkpoints beside second ways: figures of docs/novel_views.md.

    python benchmarks/zero123.py [--only parity published] [--out results/zero123.json]

`parity` is on miniatures with random weights and the names of the published files. CLIP is
compared with transformers' too, if that is installed; it is no dependency. Takes seconds.
`published` is on a file of the published sizes, in half precision and with random weights too,
in one thread. It takes 2.5 GB on the disk and 7 GB of memory for a minute or two.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import record
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from zero123_checkpoints import (
    MINIATURE,
    PUBLISHED,
    Sizes,
    all_shapes,
    autoencoder_shapes,
    clip_shapes,
    random_values,
    tensors,
    unet_shapes,
    write,
)
from zero123_definition import CLIP, Definition, clip_definition, read_by_diffusers

from unrender.data.views import Views
from unrender.flows.zero123.clip_vision import DEVIATION, MEAN, ClipVision
from unrender.flows.zero123.load import load_zero123
from unrender.flows.zero123.networks import Zero123
from unrender.geometry.cameras import Cameras
from unrender.methods.zero123 import Zero123Views

OUT = record.ROOT / "benchmarks/results/zero123.json"
WIDE = Sizes(clip_width=128, clip_depth=3, context=48)
"""Sizes with several heads in CLIP."""


def apart(a: Tensor, b: Tensor) -> dict[str, Any]:
    """The largest difference, in standard deviations of the values."""
    found = float((a - b).abs().max() / b.std())
    return record.figure(float(f"{found:.2g}"), "standard deviations", at_most=1e-4)


@torch.no_grad()
def published(arguments: argparse.Namespace) -> record.Figures:
    """Loading a file of the published sizes, and one step of one view, in processor time."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(arguments.seed)
    shapes = all_shapes(PUBLISHED)
    content = {name: random_values(name, each, generator) for name, each in shapes.items()}
    content = {name: value.half() for name, value in content.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "x.ckpt", content)
        del content
        size, began = path.stat().st_size, time.process_time()
        networks = load_zero123(path)
    loaded = time.process_time()
    cameras = Cameras.look_at([(4, 0, 1), (0, 4, 1)], size=(256, 256))
    views = Views(cameras[:1], torch.rand(1, 256, 256, 3), torch.ones(3))
    method = Zero123Views()
    denoise = method.denoiser(networks, views, cameras[1:], method.guidance)
    conditioned = time.process_time()
    found = denoise(torch.randn(1, 4, 32, 32, generator=generator), torch.tensor([0.3]))
    stepped = time.process_time()
    assert bool(found.isfinite().all())
    method.view_space(networks).decode(found)
    decoded = time.process_time()
    return {
        "published_file": record.figure(round(size / 1e9, 2), "GB"),
        "published_parameters": record.figure(
            round(sum(each.numel() for each in networks.parameters()) / 1e9, 3), "billion"
        ),
        "published_load": record.figure(round(loaded - began, 1), "s of one core"),
        "published_condition": record.figure(round(conditioned - loaded, 1), "s of one core"),
        "published_step": record.figure(round(stepped - conditioned, 1), "s of one core"),
        "published_decode": record.figure(round(decoded - stepped, 1), "s of one core"),
    }


@torch.no_grad()
def parity(arguments: argparse.Namespace) -> record.Figures:
    seed = arguments.seed
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    content = tensors(seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        networks: Zero123 = load_zero123(
            write(Path(folder) / "x.ckpt", content), weights="last"
        )
    ours: Any = networks.autoencoder
    noisy, token = normal(2, 8, 8, 8), normal(2, 1, MINIATURE.context)
    steps, codes = torch.tensor([3.0, 700.0]), normal(2, 4, 8, 8)
    image = normal(2, 3, 64, 64).clamp(-1, 1)
    unet, autoencoder = read_by_diffusers(content, MINIATURE)
    found = networks.unet(noisy, steps, token).sample
    defined = Definition(content, MINIATURE)(noisy, steps, token)
    mode = autoencoder.encode(image).latent_dist.mode()
    wide = tensors(WIDE, average=False, seed=seed)
    values = {k.removeprefix(CLIP): v for k, v in wide.items() if k.startswith(CLIP)}
    tower = ClipVision.of({name: tuple(value.shape) for name, value in values.items()}).eval()
    tower.load_state_dict(values)
    small = torch.rand(4, 3, 16, 16, generator=generator)
    embedded = tower(2 * small - 1)
    names = len(unet_shapes(PUBLISHED)), len(autoencoder_shapes(PUBLISHED))
    return {
        "tensors_unet": record.figure(names[0], "tensors"),
        "tensors_autoencoder": record.figure(names[1], "tensors"),
        "tensors_clip": record.figure(len(clip_shapes(PUBLISHED)), "tensors"),
        "unet_definition": apart(found, defined),
        "unet_diffusers": apart(found, unet(noisy, steps, token).sample),
        "encoder_diffusers": apart(ours.encode(image).latent_dist.mode(), mode),
        "decoder_diffusers": apart(ours.decode(codes).sample, autoencoder.decode(codes).sample),
        "clip_definition": apart(embedded, clip_definition(wide, WIDE, small)),
        "clip_transformers": _by_transformers(values, small, embedded),
    }


def _by_transformers(
    values: dict[str, Tensor], images: Tensor, embedded: Tensor
) -> dict[str, Any]:
    try:
        import transformers  # noqa: PLC0415  # pyright: ignore
    except ImportError:
        return record.figure(None, "standard deviations", "transformers is not installed")
    kinds: Any = transformers
    config = kinds.CLIPVisionConfig(
        hidden_size=WIDE.clip_width, intermediate_size=4 * WIDE.clip_width,
        projection_dim=WIDE.context, num_hidden_layers=WIDE.clip_depth,
        num_attention_heads=WIDE.clip_width // 64, image_size=WIDE.clip_patch * WIDE.clip_side,
        patch_size=WIDE.clip_patch, hidden_act="quick_gelu",
    )  # fmt: skip
    model: Any = kinds.CLIPVisionModelWithProjection(config).eval()
    begin = "vision_model."
    renamed = {
        f"{begin}embeddings.class_embedding": values["class_embedding"],
        f"{begin}embeddings.patch_embedding.weight": values["conv1.weight"],
        f"{begin}embeddings.position_embedding.weight": values["positional_embedding"],
        "visual_projection.weight": values["proj"].T,
    }
    for kind in ("weight", "bias"):
        renamed[f"{begin}pre_layrnorm.{kind}"] = values[f"ln_pre.{kind}"]
        renamed[f"{begin}post_layernorm.{kind}"] = values[f"ln_post.{kind}"]
        for number in range(WIDE.clip_depth):
            own, theirs = f"transformer.resblocks.{number}.", f"{begin}encoder.layers.{number}."
            parts = values[f"{own}attn.in_proj_{kind}"].chunk(3)
            for name, part in zip("qkv", parts, strict=True):
                renamed[f"{theirs}self_attn.{name}_proj.{kind}"] = part
            for one, other in (
                ("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"), ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2"),
            ):  # fmt: skip
                renamed[f"{theirs}{other}.{kind}"] = values[f"{own}{one}.{kind}"]
    model.load_state_dict(renamed)
    mean, deviation = (torch.tensor(each)[:, None, None] for each in (MEAN, DEVIATION))
    return apart(embedded, model((images - mean) / deviation).image_embeds)


PARTS = {"parity": parity, "published": published}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=0)
    record.merge(PARTS, parser.parse_args())
