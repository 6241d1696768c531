"""The transformer against the formulas of its papers, evaluated in numpy."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor

from unrender.flows.transformer import SiT, TransformerSize, modulate, sin_cos_positions

Arrays = dict[str, np.ndarray]
CLASSES = 5


def original(
    *,
    image_size: int = 8,
    patch: int = 2,
    width: int = 24,
    depth: int = 2,
    hidden: int = 96,
    learn_sigma: bool = True,
) -> dict[str, Tensor]:
    """Random float64 tensors with the names and shapes of an original's state dict."""
    outputs = patch**2 * 4 * (2 if learn_sigma else 1)
    shapes = {
        "x_embedder.proj.weight": (width, 4, patch, patch),
        "x_embedder.proj.bias": (width,),
        "t_embedder.mlp.0.weight": (width, 256),
        "t_embedder.mlp.0.bias": (width,),
        "t_embedder.mlp.2.weight": (width, width),
        "t_embedder.mlp.2.bias": (width,),
        "y_embedder.embedding_table.weight": (CLASSES + 1, width),
        "final_layer.linear.weight": (outputs, width),
        "final_layer.linear.bias": (outputs,),
        "final_layer.adaLN_modulation.1.weight": (2 * width, width),
        "final_layer.adaLN_modulation.1.bias": (2 * width,),
    }
    for i in range(depth):
        shapes |= {
            f"blocks.{i}.attn.qkv.weight": (3 * width, width),
            f"blocks.{i}.attn.qkv.bias": (3 * width,),
            f"blocks.{i}.attn.proj.weight": (width, width),
            f"blocks.{i}.attn.proj.bias": (width,),
            f"blocks.{i}.mlp.fc1.weight": (hidden, width),
            f"blocks.{i}.mlp.fc1.bias": (hidden,),
            f"blocks.{i}.mlp.fc2.weight": (width, hidden),
            f"blocks.{i}.mlp.fc2.bias": (width,),
            f"blocks.{i}.adaLN_modulation.1.weight": (6 * width, width),
            f"blocks.{i}.adaLN_modulation.1.bias": (6 * width,),
        }
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) / width**0.5
        for name, shape in shapes.items()
    }
    grid = image_size // patch
    tensors["pos_embed"] = sin_cos_positions(width, grid).double()
    return tensors


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def layer_norm(x: np.ndarray) -> np.ndarray:
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-6)


def dense(p: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def sit_of_the_paper(
    p: Arrays, image: np.ndarray, t: float, label: int, heads: int
) -> np.ndarray:
    """One image [channels, side, side] through the network, with loops where they are clear."""
    width, channels, patch, _ = p["x_embedder.proj.weight"].shape
    grid = image.shape[1] // patch
    kernel = p["x_embedder.proj.weight"]
    x = np.zeros((grid * grid, width))
    for row in range(grid):
        for column in range(grid):
            square = image[:, row * patch : (row + 1) * patch][
                :, :, column * patch : (column + 1) * patch
            ]
            x[row * grid + column] = np.einsum("dcij,cij->d", kernel, square)
    x = x + p["x_embedder.proj.bias"] + p["pos_embed"][0]

    frequencies = 10000.0 ** (-np.arange(128) / 128)
    embedded = np.concatenate([np.cos(t * frequencies), np.sin(t * frequencies)])
    c = dense(p, "t_embedder.mlp.2", silu(dense(p, "t_embedder.mlp.0", embedded)))
    c = c + p["y_embedder.embedding_table.weight"][label]

    head_width = width // heads
    depth = sum(key.endswith("attn.qkv.weight") for key in p)
    for i in range(depth):
        name = f"blocks.{i}"
        shift1, scale1, gate1, shift2, scale2, gate2 = np.split(
            dense(p, f"{name}.adaLN_modulation.1", silu(c)), 6
        )
        qkv = dense(p, f"{name}.attn.qkv", layer_norm(x) * (1 + scale1) + shift1)
        queries, keys, values = np.split(qkv, 3, axis=1)
        mixed = np.zeros_like(x)
        for head in range(heads):
            part = slice(head * head_width, (head + 1) * head_width)
            logits = queries[:, part] @ keys[:, part].T / np.sqrt(head_width)
            weights = np.exp(logits - logits.max(1, keepdims=True))
            mixed[:, part] = weights / weights.sum(1, keepdims=True) @ values[:, part]
        x = x + gate1 * dense(p, f"{name}.attn.proj", mixed)
        inner = gelu_tanh(dense(p, f"{name}.mlp.fc1", layer_norm(x) * (1 + scale2) + shift2))
        x = x + gate2 * dense(p, f"{name}.mlp.fc2", inner)

    shift, scale = np.split(dense(p, "final_layer.adaLN_modulation.1", silu(c)), 2)
    x = dense(p, "final_layer.linear", layer_norm(x) * (1 + scale) + shift)
    outputs = x.shape[1] // patch**2
    image_out = np.zeros((outputs, grid * patch, grid * patch))
    for row in range(grid):
        for column in range(grid):
            for i in range(patch):
                for j in range(patch):
                    pixel = x[row * grid + column].reshape(patch, patch, outputs)[i, j]
                    image_out[:, row * patch + i, column * patch + j] = pixel
    return image_out[:channels]


@pytest.mark.parametrize("learn_sigma", [True, False])
@pytest.mark.parametrize(("patch", "label", "heads"), [(2, 0, 3), (4, 3, 6), (8, CLASSES, 1)])
def test_an_original_gives_what_the_paper_says(
    learn_sigma: bool, patch: int, label: int, heads: int
) -> None:
    tensors = original(patch=patch, learn_sigma=learn_sigma)
    model = SiT.from_original(tensors, heads, label)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(3, 4, 8, 8, generator=generator, dtype=torch.float64)
    times = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    with torch.no_grad():
        out = model(images, times)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    for i in range(3):
        image, t = images[i].numpy(), float(times[i])
        expected = sit_of_the_paper(arrays, image, t, label, heads)
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(out[i].numpy(), expected, rtol=1e-9, atol=1e-10)


def test_sizes_come_from_the_tensors() -> None:
    model = SiT.from_original(original(width=48, depth=3, hidden=100, image_size=12), 4)
    assert model.shape == TransformerSize(12, 4, 2, 48, 3, 4, 100)


def test_positions_of_the_tensors_are_kept() -> None:
    tensors = original()
    tensors["pos_embed"] = tensors["pos_embed"] * 2 + 1
    assert torch.equal(SiT.from_original(tensors, 3).pos_embed, tensors["pos_embed"])


@pytest.mark.parametrize(
    "key",
    [
        "x_embedder.proj.weight",
        "pos_embed",
        "y_embedder.embedding_table.weight",
        "blocks.0.mlp.fc1.weight",
        "blocks.1.attn.qkv.bias",
        "t_embedder.mlp.2.bias",
        "final_layer.linear.weight",
        "final_layer.adaLN_modulation.1.weight",
    ],
)
def test_a_key_that_is_missing_or_of_another_shape_is_named(key: str) -> None:
    tensors = original()
    missing = {name: tensor for name, tensor in tensors.items() if name != key}
    with pytest.raises(ValueError, match=key):
        SiT.from_original(missing, 3)
    for wrong in (tensors[key][None], tensors[key][..., :-1]):
        with pytest.raises(ValueError, match=r"blocks|embed|final_layer|num_heads"):
            SiT.from_original({**tensors, key: wrong}, 3)


def test_other_faults_are_named() -> None:
    tensors = original()
    with pytest.raises(ValueError, match=r"blocks\.0\.attn\.q_norm\.weight"):
        SiT.from_original({**tensors, "blocks.0.attn.q_norm.weight": torch.ones(8)}, 3)
    with pytest.raises(ValueError, match=r"blocks\.7\.odd"):
        SiT.from_original({**tensors, "blocks.7.odd": torch.ones(8)}, 3)
    with pytest.raises(ValueError, match="num_heads"):
        SiT.from_original(tensors, 5)
    with pytest.raises(ValueError, match="no class 6"):
        SiT.from_original(tensors, 3, class_label=CLASSES + 1)
    with pytest.raises(ValueError, match="no class -1"):
        SiT.from_original(tensors, 3, class_label=-1)


SMALL = TransformerSize(
    image_size=8, channels=4, patch=4, width=16, depth=2, heads=2, hidden=64
)


def randomised(model: SiT) -> SiT:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2, generator=generator)
    return model


def test_blocks_begin_as_the_identity_and_the_velocity_as_zero() -> None:
    model = SiT(SMALL, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    tokens, condition = torch.randn(2, 5, 16, generator=generator), torch.randn(2, 16)
    for block in model.blocks:
        assert torch.equal(block(tokens, condition), tokens)
    assert not model(torch.randn(2, 4, 8, 8, generator=generator), torch.rand(2)).any()


def test_initialisation_draws_from_its_generator_alone() -> None:
    before = torch.get_rng_state()
    a, b = (SiT(SMALL, torch.Generator().manual_seed(0)).state_dict() for _ in range(2))
    other = SiT(SMALL, torch.Generator().manual_seed(1)).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["x_embedder.proj.weight"], other["x_embedder.proj.weight"])
    limit = (6 / (16 + 64)) ** 0.5
    assert 0.9 * limit < float(a["x_embedder.proj.weight"].abs().max()) <= limit


def test_examples_do_not_mix() -> None:
    model = randomised(SiT(SMALL, torch.Generator()))
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, 0.5, 0.9])
    together = model(x, t)
    for i in range(3):
        alone = model(x[i : i + 1], t[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_short_floats_are_near_long_ones() -> None:
    model = randomised(SiT(SMALL, torch.Generator()))
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, 0.5, 0.9])
    exact = model(x, t)
    with torch.autocast("cpu", torch.bfloat16):
        short = model(x, t)
    assert exact.dtype == torch.float32
    assert (short - exact).abs().mean() < 0.05 * exact.abs().mean()


def test_positions_tell_the_column_first() -> None:
    """As in DiT, the first half of the channels encodes the column."""
    table = sin_cos_positions(16, 4)[0].unflatten(0, (4, 4))
    first, second = table[..., :8], table[..., 8:]
    assert torch.equal(first, first[:1].expand(4, 4, 8))
    assert torch.equal(second, second[:, :1].expand(4, 4, 8))
    column, row = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="xy")
    torch.testing.assert_close(first[..., 0], column.sin())
    torch.testing.assert_close(first[..., 5], (column / 10).cos())
    torch.testing.assert_close(second[..., 1], (row / 10).sin())


def test_shapes_are_checked() -> None:
    with pytest.raises(TypeCheckError):
        modulate(torch.zeros(2, 3, 4), torch.zeros(3, 4), torch.zeros(2, 4))


def test_a_condition_that_embeds_to_nothing_is_none() -> None:
    """The embedding of the condition is added to that of the time."""
    generator = torch.Generator().manual_seed(0)
    model = SiT(TransformerSize(8, 4, 4, 24, 2, 3, 96, condition=12), generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2, generator=generator)
    x, t = torch.randn(3, 4, 8, 8, generator=generator), torch.rand(3, generator=generator)
    numbers = torch.randn(3, 12, generator=generator)
    assert not torch.allclose(model(x, t, numbers), model(x, t))
    last = model.c_embedder.mlp[2]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
    assert torch.equal(model(x, t, numbers), model(x, t))


def test_outputs_of_another_number_are_a_last_layer_alone() -> None:
    shapes = [TransformerSize(8, 4, 4, 24, 2, 3, 96, outputs=outputs) for outputs in (0, 12)]
    whole, other = (SiT(shape, torch.Generator().manual_seed(0)) for shape in shapes)
    for name, tensor in whole.state_dict().items():
        if not name.startswith("final_layer.linear"):
            assert torch.equal(tensor, other.state_dict()[name]), name
    x, t = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.rand(3)
    assert other.tokens(x, t).shape == (3, 4, 12)
    assert whole.tokens(x, t).shape == (3, 4, 64)


def test_normalised_queries_and_keys_forget_their_length() -> None:
    """With QK norm, scaling queries and keys changes nothing; without it, it does."""
    x, t = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.ones(2)
    for qk_norm in (True, False):
        shape = TransformerSize(8, 4, 2, 32, 1, 2, 64, qk_norm=qk_norm)
        model = SiT(shape, torch.Generator().manual_seed(1))
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
            before = model(x, t)
            model.blocks[0].attn.qkv.weight[:64] *= 2
            model.blocks[0].attn.qkv.bias[:64] *= 2
            after = model(x, t)
        assert torch.allclose(before, after, atol=1e-4) == qk_norm
