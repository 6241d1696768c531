"""Images of one tensor: 8 bits or floats, of one size or several."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from unrender.data.images import ImageStore, joined
from unrender.data.photographs import Photographs
from unrender.errors import InputError
from unrender.geometry.sizes import ImageSizes
from unrender.imaging.color import premultiply
from unrender.imaging.files import read_image

SIZES = [(8, 6), (6, 8), (5, 5)]


def written(folder: Path, sizes: list[tuple[int, int]], channels: int = 3) -> list[Path]:
    """Photographs with random pixels."""
    random = np.random.default_rng(0)
    paths = [folder / f"{k}.png" for k in range(len(sizes))]
    for path, (width, height) in zip(paths, sizes, strict=True):
        pixels = random.integers(0, 256, (height, width, channels), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def read(paths: list[Path], masks: list[Path] | None = None) -> ImageStore:
    return Photographs.of("here", paths).read([path.name for path in paths], masks=masks)


def as_before(path: Path) -> Tensor:
    """A photograph as floats, premultiplied."""
    image = read_image(path)
    return premultiply(image) if image.shape[-1] == 4 else image


@pytest.mark.parametrize("channels", [3, 4])
def test_eight_bits_give_the_floats_of_the_files(tmp_path: Path, channels: int) -> None:
    paths = written(tmp_path, SIZES, channels)
    store = read(paths)
    assert store.pixels.dtype == torch.uint8
    assert store.pixels.shape == (sum(w * h for w, h in SIZES), channels)
    for k, path in enumerate(paths):
        assert torch.equal(store[k], as_before(path))
    opaque = store.with_opaque_alpha()
    assert torch.equal(opaque[1][..., :3], store[1][..., :3])
    if channels == 3:
        assert opaque[1][..., 3].eq(1).all()
        assert opaque.pixels is store.pixels


def test_every_eight_bit_color_comes_back_from_floats() -> None:
    """What is computed from floats and rounded is exact where nothing was changed."""
    color, alpha = torch.meshgrid(torch.arange(256), torch.arange(1, 256), indexing="ij")
    every = torch.stack([color, color, color, alpha], dim=2).to(torch.uint8)
    store = ImageStore.of(every[None])
    assert torch.equal(store.mapped(lambda _, image: image).pixels, store.pixels)


def test_one_size_is_one_tensor_and_several_are_refused(tmp_path: Path) -> None:
    paths = written(tmp_path, [(8, 6)] * 4)
    store = read(paths)
    expected = torch.stack([as_before(path) for path in paths])
    assert torch.equal(store.batch, expected)
    index = torch.tensor([3, 0, 0])
    chosen = store.select(index)
    assert chosen.pixels is store.pixels
    assert torch.equal(chosen.batch, expected[index])
    assert torch.equal(store.select(slice(1, 3)).batch, expected[1:3])
    assert store.select(slice(0, 0)).batch.shape == (0, 6, 8, 3)
    mixed = read(written(tmp_path, SIZES))
    with pytest.raises(InputError, match=r"8×6, 6×8 and 5×5.*, where one is needed"):
        _ = mixed.batch
    assert torch.equal(mixed.select(slice(1, 2)).batch[0], mixed[1])


def test_floats_are_kept_and_sixteen_bits_too(tmp_path: Path) -> None:
    images = torch.rand(2, 4, 3, 4)
    store = ImageStore.of(images)
    assert store.batch.data_ptr() == images.data_ptr()
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    found = read([tmp_path / "deep.png"])
    assert found.pixels.dtype == torch.float32
    torch.testing.assert_close(found[0][..., 0], torch.from_numpy(deep / 65535).float())


@pytest.mark.parametrize("crop", [1.0, 0.5])
def test_pixels_are_sampled_uniformly_from_images_of_all_sizes(crop: float) -> None:
    store = ImageStore.empty(ImageSizes.of(SIZES), 3, 3, torch.float32)
    for k, (width, height) in enumerate(SIZES):
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        store.put(k, torch.stack([torch.full_like(x, k), x, y], dim=2).float())
    found = store.sample(60_000, torch.Generator().manual_seed(0), crop)
    # Each pixel is where it is said to be.
    image, x, y = found.colors.T
    assert torch.equal(image, found.image.float())
    assert torch.equal(torch.stack([x, y], dim=1) + 0.5, found.place)
    parts = [(round(crop * width), round(crop * height)) for width, height in SIZES]
    number = (image * 100 + x) * 100 + y
    _, counts = number.unique(return_counts=True)
    total = sum(width * height for width, height in parts)
    assert len(counts) == total
    expected = 60_000 / total
    # Five standard deviations of a count.
    assert float((counts - expected).abs().max()) < 5 * expected**0.5
    for k, ((width, height), (wide, tall)) in enumerate(zip(SIZES, parts, strict=True)):
        left, top = (width - wide) // 2, (height - tall) // 2
        own = image == k
        assert (float(x[own].min()), float(y[own].min())) == (left, top)
        assert (float(x[own].max()), float(y[own].max())) == (left + wide - 1, top + tall - 1)


def test_sampling_one_size_draws_what_it_always_drew() -> None:
    images = torch.rand(5, 6, 8, 4)
    found = ImageStore.of(images).sample(100, torch.Generator().manual_seed(3))
    drawn = torch.randint(5 * 6 * 8, (100,), generator=torch.Generator().manual_seed(3))
    assert torch.equal(found.colors, images.flatten(0, 2)[drawn])
    assert torch.equal(found.image, drawn // 48)
    assert torch.equal(found.place, torch.stack([drawn % 8, drawn // 8 % 6], dim=1) + 0.5)


def test_what_is_joined_is_one_after_the_other(tmp_path: Path) -> None:
    store = read(written(tmp_path, SIZES))
    again = joined([store.select(slice(2, 3)), store.select(slice(0, 2))])
    assert again.pixels is store.pixels
    floats = ImageStore.of(torch.rand(1, 3, 4, 3))
    both = joined([again, floats])
    for k, expected in enumerate([store[2], store[0], store[1], floats[0]]):
        assert torch.equal(both[k], expected)
    assert both.sizes.rows.tolist() == [[5, 5], [8, 6], [6, 8], [4, 3]]
    # Only what is selected goes to another device.
    assert len(store.select(slice(0, 1)).to("meta").pixels) == 48


def test_masks_are_kept_as_eight_bits(tmp_path: Path) -> None:
    paths = written(tmp_path, SIZES)
    folder = tmp_path / "masks"
    folder.mkdir()
    masks = written(folder, SIZES, 3)
    for path in masks:
        Image.open(path).convert("L").save(path)
    cut = read(paths, masks)
    assert cut.pixels.dtype == torch.uint8
    for k, (path, mask) in enumerate(zip(paths, masks, strict=True)):
        opaque = torch.cat([read_image(path), torch.ones(*read_image(path).shape[:2], 1)], 2)
        torch.testing.assert_close(cut[k], opaque * read_image(mask)[..., :1])


def test_memory_is_that_of_the_eight_bits(tmp_path: Path) -> None:
    """Also while reading: 100 views of 1920×1080 take less than 700 MB."""
    width, height, count = 480, 270, 32
    photograph = written(tmp_path, [(width, height)])[0]
    tracemalloc.start()
    store = read([photograph] * count)
    _, numpys = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    kept = store.pixels.numel() * store.pixels.element_size()
    assert kept == 3 * width * height * count
    train = store.select(torch.arange(count) % 10 > 0)
    assert train.pixels is store.pixels
    # NumPy's part is a few decoded images at a time; torch's is the store.
    assert numpys < 10 * 3 * width * height
    assert kept * 100 / count * 16 < 700e6


def test_stores_of_different_kinds_are_joined_as_they_look(tmp_path: Path) -> None:
    opaque = read(written(tmp_path, SIZES)).with_opaque_alpha()
    clear = read(written(tmp_path, SIZES, channels=4))
    both = joined([opaque, clear])
    assert both.channels == 4
    assert not both.opaque
    for k, expected in enumerate(
        [opaque[0], opaque[1], opaque[2], clear[0], clear[1], clear[2]]
    ):
        torch.testing.assert_close(both[k], expected, rtol=0, atol=1e-6)
