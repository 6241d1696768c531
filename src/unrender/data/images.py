"""Images of any sizes in one tensor: 8 bits where they came so, floats elsewhere."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from unrender.geometry.sizes import ImageSizes
from unrender.geometry.sizes import joined as joined_sizes
from unrender.imaging.color import premultiply, unpremultiply
from unrender.imaging.files import to_bytes

Image = Float[Tensor, "height width channels"]


@dataclass(frozen=True)
class SampledColors:
    """Pixels sampled from images."""

    image: Int[Tensor, "sampled"]
    place: Float[Tensor, "sampled 2"]
    """Centers (x, y), in pixels."""
    colors: Float[Tensor, "sampled channels"]


@dataclass(frozen=True)
class ImageStore:
    """Images, row by row and one after the other, as they came.

    What is taken out of it is floats in [0, 1], RGB or premultiplied RGBA.
    """

    pixels: UInt8[Tensor, "pixels stored"] | Float[Tensor, "pixels stored"]
    """Floats are premultiplied; 8 bits have straight alpha, as in files."""
    starts: Int[Tensor, "images"]
    """Where each image begins. The pixels of images that were not selected stay. On the CPU."""
    sizes: ImageSizes
    opaque: bool = False
    """Whether RGB is stored and an alpha of 1 added to it."""

    @classmethod
    def of(cls, images: Tensor) -> "ImageStore":
        """Images [images, height, width, 3 or 4]: floats, or 8 bits with straight alpha."""
        count, height, width, channels = images.shape
        starts = torch.arange(count) * (height * width)
        sizes = ImageSizes.of([(width, height)])
        return cls(images.reshape(-1, channels), starts, sizes)

    @classmethod
    def empty(
        cls, sizes: ImageSizes, count: int, channels: int, dtype: torch.dtype = torch.uint8
    ) -> "ImageStore":
        """Memory for `count` images, which `put` fills."""
        areas = sizes.areas.expand(count)
        pixels = torch.empty(int(areas.sum()), channels, dtype=dtype)
        return cls(pixels, areas.cumsum(0) - areas, sizes)

    def with_opaque_alpha(self) -> "ImageStore":
        """The images as RGBA; those without alpha get an alpha of 1."""
        return dataclasses.replace(self, opaque=self.pixels.shape[1] == 3)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def channels(self) -> int:
        """3 for RGB, 4 for RGBA."""
        return 4 if self.opaque else self.pixels.shape[1]

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    def __getitem__(self, index: int) -> Image:
        """One image as floats."""
        return self._floats(self.stored(index))

    def stored(self, index: int) -> Tensor:
        """One image [height, width, stored] as it is in memory."""
        (width, height), start = self.sizes[index], int(self.starts[index])
        return self.pixels[start : start + height * width].view(height, width, -1)

    def put(self, index: int, image: Tensor) -> None:
        """Replace an image by floats, premultiplied, or by 8 bits with straight alpha.

        Where alpha is stored and the image has none, it is opaque.
        """
        place = self.stored(index)
        image = image[..., : place.shape[-1]]
        if image.shape[-1] < place.shape[-1]:
            whole = 255 if image.dtype == torch.uint8 else 1
            image = torch.cat([image, torch.full_like(image[..., :1], whole)], dim=-1)
        if self.pixels.dtype == torch.uint8 and image.dtype != torch.uint8:
            image = to_bytes(unpremultiply(image) if image.shape[-1] == 4 else image)
        elif image.dtype == torch.uint8 and self.pixels.dtype != torch.uint8:
            image = as_floats(image)
        place.copy_(image)

    def transparent(self) -> float:
        """The fraction of pixels whose alpha is below 1."""
        if self.pixels.shape[1] < 4:
            return 0.0
        # Averages of ones are off by rounding.
        whole = 255 if self.pixels.dtype == torch.uint8 else 1 - 0.5 / 255
        counts = [int((self.stored(k)[..., 3] < whole).sum()) for k in range(len(self))]
        return sum(counts) / max(1, int(self.sizes.areas.expand(len(self)).sum()))

    @property
    def batch(self) -> Float[Tensor, "images height width channels"]:
        """All images as floats. InputError if they have several sizes."""
        width, height = self.sizes.one
        area = height * width
        if len(self.pixels) % area or bool((self.starts % area).any()):
            if len(self) == 1:
                return self[0][None]
            rows = [self.stored(k).flatten(0, 1) for k in range(len(self))]
            found = torch.cat([self.pixels[:0], *rows]).view(len(rows), height, width, -1)
        else:
            found = self.pixels.view(-1, height, width, self.pixels.shape[1])
            if not torch.equal(self.starts, torch.arange(len(found)) * area):
                found = found[(self.starts // area).to(self.device)]
        return self._floats(found)

    def select(
        self, index: Int[Tensor, "chosen"] | Bool[Tensor, "images"] | slice
    ) -> "ImageStore":
        """Some of the images, without a copy of their pixels."""
        chosen = index if isinstance(index, slice) else index.cpu()
        return dataclasses.replace(
            self, starts=self.starts[chosen], sizes=self.sizes.select(chosen)
        )

    def to(self, device: torch.device | str) -> "ImageStore":
        """The images on a device, to which only those that are selected are copied."""
        if self.device == torch.device(device):
            return self
        store = self
        if int(self.sizes.areas.expand(len(self)).sum()) != len(self.pixels):
            store = self.mapped(None)
        return dataclasses.replace(store, pixels=store.pixels.to(device))

    def mapped(
        self,
        change: Callable[[int, Image], Image] | None,
        sizes: ImageSizes | None = None,
        channels: int | None = None,
    ) -> "ImageStore":
        """Images of the same kind, 8 bits or floats, computed one by one from these."""
        stored = channels or self.pixels.shape[1]
        made = ImageStore.empty(sizes or self.sizes, len(self), stored, self.pixels.dtype)
        for k in range(len(self)):
            made.put(k, self.stored(k) if change is None else change(k, self[k]))
        opaque = self.opaque and channels is None
        return dataclasses.replace(made, pixels=made.pixels.to(self.device), opaque=opaque)

    def sample(
        self, count: int, generator: torch.Generator, crop: float = 1.0
    ) -> SampledColors:
        """Pixels sampled uniformly from all images, of all sizes.

        `crop`: the central part of each image's height and width that is sampled.
        """
        full = self.sizes.rows
        inner = (crop * full.double()).round().long().clamp_min(1)
        areas = inner.prod(1)
        total = int(areas.expand(len(self)).sum())
        drawn = torch.randint(total, (count,), generator=generator, device=generator.device)
        drawn = drawn.to(self.device)
        columns = torch.cat([inner[:, :1], (full - inner) // 2, full[:, :1]], dim=1)
        if self.sizes.mixed:
            ends = areas.cumsum(0)
            # One table, and so one copy to the device.
            table = torch.cat([ends[:, None], (ends - areas)[:, None], columns], dim=1)
            table = table.to(self.device)
            image = torch.bucketize(drawn, table[:, 0].contiguous(), right=True)
            before, wide, left, top, stride = table.index_select(0, image)[:, 1:].unbind(1)
        else:
            # The same, in a third of the time.
            image = drawn // int(areas[0])
            before, (wide, left, top, stride) = image * int(areas[0]), columns[0].tolist()
        inside = drawn - before
        y = inside // wide
        x = inside - y * wide + left
        y = y + top
        rows = self.starts.to(self.device).index_select(0, image) + y * stride + x
        place = torch.stack([x, y], dim=-1) + 0.5
        return SampledColors(image, place, self._floats(self.pixels.index_select(0, rows)))

    def _floats(self, stored: Tensor) -> Float[Tensor, "*batch channels"]:
        found = as_floats(stored)
        return torch.cat([found, torch.ones_like(found[..., :1])], -1) if self.opaque else found


def joined(stores: Sequence[ImageStore]) -> ImageStore:
    """The images of several stores, all with alpha or all without, one after the other.

    Their memory is shared where it is the same, and copied otherwise.
    """
    first = stores[0]
    sizes = joined_sizes([(store.sizes, len(store)) for store in stores])
    kinds = {(store.pixels.dtype, store.pixels.shape[1], store.opaque) for store in stores}
    if len(kinds) == 1 and all(store.pixels is first.pixels for store in stores):
        starts = torch.cat([store.starts for store in stores])
        return dataclasses.replace(first, starts=starts, sizes=sizes)
    alike = len(kinds) == 1
    eight_bits = all(store.pixels.dtype == torch.uint8 for store in stores)
    made = ImageStore.empty(
        sizes,
        sum(len(store) for store in stores),
        first.pixels.shape[1] if alike else first.channels,
        torch.uint8 if eight_bits else torch.float32,
    )
    every = ((store, k) for store in stores for k in range(len(store)))
    for place, (store, k) in enumerate(every):
        made.put(place, store.stored(k) if alike else store[k])
    opaque = alike and first.opaque
    return dataclasses.replace(made, pixels=made.pixels.to(first.device), opaque=opaque)


def as_floats(stored: Tensor) -> Float[Tensor, "*batch stored"]:
    """Floats in [0, 1] as they are, and 8 bits as floats, premultiplied."""
    if stored.dtype != torch.uint8:
        return stored
    # Divided by a tensor, which a GPU does exactly, as the CPU does; in place, for memory.
    found = stored.float().div_(torch.full((), 255.0, device=stored.device))
    return premultiply(found) if found.shape[-1] == 4 else found
