"""Pairs of images and shapes: training data of networks that predict a shape from an image.

Shapes lie in the cube [-0.5, 0.5]³ with a longest side of 1, in the canonical frame of their
family: z up, the front at +y. Images are cropped to the object (see
`unrender.data.image_shape.framing`).

File format: one .npz with `images` [images, h, w, 4], uint8, straight alpha; `poses`
[images, 3, 4], world_from_camera in OpenGL axes; `intrinsics` [images, 3, 3]; `shape_index`
[images]; `points` [shapes, n, 3], surface samples; `normals`, in units of 1/127; `voxels`, n³
bits in the order x, y, z; `queries` [shapes, n, 3], points in space; `occupied`, one bit for
each of them; `held_out` [shapes]; `names`, UTF-8 text, one line per shape.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int, Int8, UInt8
from torch import Tensor

from unrender.data.validate import check_cameras, check_poses
from unrender.errors import InputError
from unrender.files import check_new, system_errors_told
from unrender.files.arrays import Array, Header, read_arrays, write_arrays
from unrender.geometry.cameras import Cameras
from unrender.geometry.conventions import opencv_from_opengl, opengl_from_opencv
from unrender.imaging.color import premultiply
from unrender.rendering.renderer import Images


@dataclass(frozen=True)
class Draw:
    """Randomly sampled images of a batch, each either original or mirrored.

    The mirror image of an image of a shape shows the shape mirrored in x, which doubles the
    training data.
    """

    image: Int[Tensor, "batch"]
    mirrored: Bool[Tensor, "batch"]


@dataclass(frozen=True)
class ImageShapePairs:
    """Images and the shapes they show, stored as compactly as on disk."""

    images: UInt8[Tensor, "images height width 4"]
    """RGBA, straight alpha."""
    cameras: Cameras
    shape_index: Int[Tensor, "images"]
    """Index of the shape that each image shows."""
    points: Float16[Tensor, "shapes points 3"]
    """Uniform samples of each surface."""
    normals: Int8[Tensor, "shapes points 3"]
    """Outward, in units of 1/127."""
    voxels: UInt8[Tensor, "shapes bytes"] | None
    queries: Float16[Tensor, "shapes queries 3"] | None
    occupied: UInt8[Tensor, "shapes query_bytes"] | None
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def size(self) -> int:
        """Side of the square images, in pixels."""
        return self.images.shape[1]

    def to(self, device: torch.device | str) -> "ImageShapePairs":
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in dataclasses.fields(self)
            if field.name != "names" and getattr(self, field.name) is not None
        }
        return dataclasses.replace(self, **moved)

    def select(self, chosen: Int[Tensor, "chosen"]) -> "ImageShapePairs":
        """The chosen shapes, each once, with all of their images."""
        place = torch.full((len(self),), -1, dtype=torch.long, device=self.points.device)
        place[chosen] = torch.arange(len(chosen), device=place.device)
        kept = (place[self.shape_index] >= 0).nonzero()[:, 0]

        def pick(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[chosen]

        return ImageShapePairs(
            self.images[kept],
            self.cameras.select(kept),
            place[self.shape_index[kept]],
            self.points[chosen],
            self.normals[chosen],
            pick(self.voxels),
            pick(self.queries),
            pick(self.occupied),
            tuple(self.names[k] for k in chosen.tolist()),
        )

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Sample images for a batch with replacement; each is mirrored with probability 1/2."""
        image = torch.randint(len(self.images), (count,), generator=generator)
        mirrored = torch.rand(count, generator=generator) < 0.5
        return Draw(image.to(self.images.device), mirrored.to(self.images.device))

    def rgba(self, drawn: Draw) -> Images:
        """The sampled images as premultiplied RGBA in [0, 1]."""
        images = premultiply(self.images[drawn.image].float() / 255)
        return torch.where(drawn.mirrored[:, None, None, None], images.flip(2), images)

    def surface(
        self, drawn: Draw, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch {count} 3"], Float[Tensor, "batch {count} 3"]]:
        """Random points on the shapes' surfaces, and the normals there."""
        shape = self.shape_index[drawn.image]
        number = torch.randint(
            self.points.shape[1], (len(shape), count), generator=generator
        ).to(shape.device)
        points, normals = (
            _mirrored(values[shape[:, None], number].float(), drawn)
            for values in (self.points, self.normals)
        )
        return points, normals / 127

    def voxel_grids(self, drawn: Draw) -> Float[Tensor, "batch x y z"]:
        """Occupancy, 0 or 1, of the cells of [-0.5, 0.5]³. InputError if none exist."""
        if self.voxels is None:
            raise InputError(f"{self.names[0]}: the shapes come without voxels; add them")
        cells = round((8 * self.voxels.shape[1]) ** (1 / 3))
        grids = _bits(self.voxels[self.shape_index[drawn.image]]).unflatten(1, (cells,) * 3)
        return torch.where(drawn.mirrored[:, None, None, None], grids.flip(1), grids)

    def occupancy(
        self, drawn: Draw, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch {count} 3"], Float[Tensor, "batch {count}"]]:
        """Random points and their occupancy, 1 inside, 0 outside. InputError if none exist."""
        if self.queries is None or self.occupied is None:
            raise InputError(
                f"{self.names[0]}: the shapes come without occupancy samples; fit another "
                "method, or make shapes with `unrender make-shapes`"
            )
        shape = self.shape_index[drawn.image]
        number = torch.randint(
            self.queries.shape[1], (len(shape), count), generator=generator
        ).to(shape.device)
        points = _mirrored(self.queries[shape[:, None], number].float(), drawn)
        byte = self.occupied[shape[:, None], number // 8]
        return points, (byte >> (7 - number % 8).to(torch.uint8) & 1).float()


def _mirrored(vectors: Float[Tensor, "batch n 3"], drawn: Draw) -> Float[Tensor, "batch n 3"]:
    sign = torch.ones(len(vectors), 1, 3, device=vectors.device)
    sign[:, 0, 0] = torch.where(drawn.mirrored, -1.0, 1.0)
    return sign * vectors


def _bits(values: UInt8[Tensor, "batch bytes"]) -> Float[Tensor, "batch bits"]:
    """The bits of each byte, most significant first."""
    shift = torch.arange(7, -1, -1, dtype=torch.uint8, device=values.device)
    return (values[..., None] >> shift & 1).flatten(1).float()


@dataclass(frozen=True)
class ImageShapeDataset:
    """Pairs to train on, and pairs of held-out shapes to evaluate on."""

    name: str
    train: ImageShapePairs
    test: ImageShapePairs
    source: str | None = None
    """The path that it was loaded from; None if it was made in memory."""


def split(
    name: str, shapes: ImageShapePairs, held_out: Bool[Tensor, "shapes"]
) -> ImageShapeDataset:
    """Split by shape: all images of a shape are on the same side."""
    train, test = (shapes.select(side.nonzero()[:, 0]) for side in (~held_out, held_out))
    return ImageShapeDataset(name, train, test)


OPTIONAL = ("voxels", "queries", "occupied")
REQUIRED = (
    "images",
    "poses",
    "intrinsics",
    "shape_index",
    "points",
    "normals",
    "held_out",
    "names",
)


def save_shapes(path: Path, shapes: ImageShapePairs, held_out: Bool[Tensor, "shapes"]) -> None:
    """Write an .npz file atomically. InputError if it exists or cannot be written."""
    if path.suffix != ".npz":
        raise InputError(f"{path}: shapes are written as .npz; change the ending")
    check_new(path)
    arrays = {
        "images": shapes.images.numpy(),
        "poses": opengl_from_opencv(shapes.cameras.world_from_camera).numpy(),
        "intrinsics": shapes.cameras.intrinsics.numpy(),
        "shape_index": shapes.shape_index.to(torch.int32).numpy(),
        "points": shapes.points.numpy(),
        "normals": shapes.normals.numpy(),
        "held_out": held_out.to(torch.uint8).numpy(),
        "names": np.frombuffer("\n".join(shapes.names).encode(), np.uint8),
    }
    optional = zip(OPTIONAL, (shapes.voxels, shapes.queries, shapes.occupied), strict=True)
    arrays |= {name: values.numpy() for name, values in optional if values is not None}
    write_arrays(path, arrays, compress=True)


@system_errors_told()
@np.errstate(over="ignore", invalid="ignore")  # What overflows is refused later.
def load_shapes(path: Path) -> ImageShapeDataset:
    """Load an .npz file. Raises InputError if it does not follow the format of this module."""
    arrays = read_arrays(path, REQUIRED, _check_headers, OPTIONAL)
    number, size = arrays["images"].shape[:2]
    names = _names(path, arrays["names"], len(arrays["points"]))
    index = torch.from_numpy(arrays["shape_index"].astype(np.int64))
    if not bool(((index >= 0) & (index < len(names))).all()):
        raise InputError(f"{path}: `shape_index` is out of range; make the file again")
    for name in ("points", "queries", "intrinsics"):
        if name in arrays and not float(np.abs(arrays[name]).max(initial=0)) < 1e4:
            raise InputError(
                f"{path}: `{name}` contains NaN, Inf or values ≥ 10⁴; make the file again"
            )
    poses = check_poses(
        torch.from_numpy(arrays["poses"].astype(np.float32)),
        lambda image: f"{path}: pose {image} of {number}",
    )
    intrinsics = torch.from_numpy(arrays["intrinsics"].astype(np.float32))
    cameras = Cameras(opencv_from_opengl(poses), intrinsics, size, size)
    check_cameras(str(path), cameras)
    held_out = torch.from_numpy(arrays["held_out"] != 0)
    for side, kind in ((held_out, "held-out"), (~held_out, "training")):
        if not bool(side[index].any()):
            raise InputError(f"{path}: has no image of {kind} shapes; make more shapes")

    voxels, queries, occupied = (
        torch.from_numpy(arrays[name]) if name in arrays else None for name in OPTIONAL
    )
    shapes = ImageShapePairs(
        torch.from_numpy(arrays["images"]),
        cameras,
        index,
        torch.from_numpy(arrays["points"]),
        torch.from_numpy(arrays["normals"]),
        voxels,
        queries,
        occupied,
        names,
    )
    return split(path.stem, shapes, held_out)


def _names(path: Path, raw: Array, number: int) -> tuple[str, ...]:
    try:
        names = tuple(raw.tobytes().decode().split("\n"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: `names` is not UTF-8 text; make the file again") from error
    if len(names) != number:
        raise InputError(
            f"{path}: has {len(names)} names for {number} shapes; make the file again"
        )
    return names


def _check_headers(path: Path, headers: dict[str, Header]) -> None:
    number, shapes = headers["images"][0][:1], headers["points"][0][:1]
    size = headers["images"][0][1:2]
    kinds = {
        "images": ((*number, *size, *size, 4), "u1"),
        "poses": ((*number, 3, 4), "f4"),
        "intrinsics": ((*number, 3, 3), "f4"),
        "shape_index": (number, "i4"),
        "points": ((*shapes, *headers["points"][0][1:2], 3), "f2"),
        "normals": (headers["points"][0], "i1"),
        "held_out": (shapes, "u1"),
        "names": (headers["names"][0][:1], "u1"),
    }
    if "voxels" in headers:
        cells = round((8 * headers["voxels"][0][-1]) ** (1 / 3))
        kinds["voxels"] = ((*shapes, cells**3 // 8), "u1")
    if ("queries" in headers) != ("occupied" in headers):
        raise InputError(
            f"{path}: has only one of `queries` and `occupied`; make the file again"
        )
    if "queries" in headers:
        count = headers["occupied"][0][-1:]
        kinds["queries"] = ((*shapes, *(8 * each for each in count), 3), "f2")
        kinds["occupied"] = ((*shapes, *count), "u1")
    for name, (shape, kind) in kinds.items():
        found, dtype = headers[name]
        if found != shape or dtype != np.dtype(kind) or min(found, default=0) == 0:
            raise InputError(
                f"{path}: `{name}` is {dtype} of shape {found}; it must be "
                f"{np.dtype(kind)} of shape {shape}: make it by `unrender make-shapes`"
            )
