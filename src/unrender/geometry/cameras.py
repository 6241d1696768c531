"""Pinhole cameras and their rays. Axes follow OpenCV: x right, y down, z forward."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.geometry import sizes as image_sizes
from unrender.geometry.poses import look_at
from unrender.geometry.sizes import ImageSizes

PointLike = Sequence[float | int] | Tensor
"""Three numbers, or a tensor of three."""
PointsLike = PointLike | Sequence[Sequence[float | int]]
"""One point, or several, [n, 3]."""
PARALLEL = 1e-6
"""Sine of the angle below which two directions count as parallel."""


@dataclass(frozen=True)
class Rays:
    """Half-lines in the world frame, in scene units."""

    origins: Float[Tensor, "*batch 3"]
    directions: Float[Tensor, "*batch 3"]
    """Unit vectors."""
    pixel_radius: Float[Tensor, "*batch"]
    """Radius of the pixel's cone at unit distance (mip-NeRF, sec. 3.1)."""
    camera_index: Int[Tensor, "*batch"]
    """Index of the camera of each ray."""
    times: Float[Tensor, "*batch"] | None = None
    """When each ray is seen, as `Cameras.times`."""

    def detach(self) -> "Rays":
        origins, directions = self.origins.detach(), self.directions.detach()
        radius = self.pixel_radius.detach()
        return Rays(origins, directions, radius, self.camera_index, self.times)


@dataclass(frozen=True, init=False)
class Cameras:
    """Pinhole cameras, whose images have one size or several.

    >>> import unrender as ur
    >>> cameras = ur.Cameras.look_at([(4, 0, 1), (0, 4, 1), (-4, 0, 1)], size=(160, 120))
    >>> cameras
    Cameras(3 × 160×120, fov 40.0°)
    >>> cameras[:2]
    Cameras(2 × 160×120, fov 40.0°)
    """

    world_from_camera: Float[Tensor, "cameras 3 4"]
    """[R | t]: maps camera points to world points, x_world = R x_camera + t."""
    intrinsics: Float[Tensor, "cameras 3 3"]
    """K, in pixels, with pixel centers at +0.5."""
    sizes: ImageSizes
    """Image sizes, of which there is one for each camera or one for all."""
    times: Float[Tensor, "cameras"] | None = None
    """When the images were taken, or are to be rendered, in the data's own unit; None for a
    scene that does not move."""

    def __init__(
        self,
        world_from_camera: Float[Tensor, "cameras 3 4"],
        intrinsics: Float[Tensor, "cameras 3 3"],
        width: int | None = None,
        height: int | None = None,
        sizes: ImageSizes | None = None,
        times: Float[Tensor, "cameras"] | None = None,
    ) -> None:
        """Cameras with one `width` and `height` for all, or with `sizes`."""
        sizes = _sizes(width, height, sizes)
        assert not sizes.mixed or len(sizes.rows) == len(world_from_camera), "a size for each"
        vars(self).update(
            world_from_camera=world_from_camera,
            intrinsics=intrinsics,
            sizes=sizes,
            times=times,
        )

    @classmethod
    def from_focal(
        cls,
        world_from_camera: Float[Tensor, "cameras 3 4"],
        focal: Float[Tensor, "cameras"] | float,
        width: int | None = None,
        height: int | None = None,
        sizes: ImageSizes | None = None,
    ) -> "Cameras":
        """Cameras with square pixels and a centered principal point; `focal` is in pixels.

        Images have one `width` and `height`, or `sizes`.
        """
        sizes = _sizes(width, height, sizes)
        intrinsics = world_from_camera.new_zeros(len(world_from_camera), 3, 3)
        intrinsics[:, 0, 0] = focal
        intrinsics[:, 1, 1] = focal
        intrinsics[:, :2, 2] = (sizes.rows / 2).to(intrinsics)
        intrinsics[:, 2, 2] = 1
        return cls(world_from_camera, intrinsics, sizes=sizes)

    @classmethod
    def look_at(
        cls,
        eye: PointsLike,
        target: PointsLike = (0, 0, 0),
        up: PointLike = (0, 0, 1),
        fov: float | int = 40.0,
        size: tuple[int, int] = (640, 480),
    ) -> "Cameras":
        """Cameras at `eye` that look at `target`, with square pixels.

        `eye` and `target` are one point or several, [n, 3], in the world frame: sequences or
        tensors, through which gradients flow. `up` appears upwards in the images, `fov` is the
        horizontal field of view in degrees, and `size` is (width, height) in pixels. Raises
        InputError if an eye equals its target, if `up` is parallel to a viewing direction, or
        if `fov` is not between 0 and 180.

        >>> import unrender as ur
        >>> ur.Cameras.look_at((0, -4, 2), fov=60, size=(320, 240))
        Cameras(1 × 320×240, fov 60.0°)
        """
        if not 0 < fov < 180:
            raise InputError(f"fov {fov:g}: give degrees between 0 and 180")
        width, height = size
        if width < 1 or height < 1:
            raise InputError(f"size {width}×{height}: give a width and height of at least 1")
        eyes = _points("eye", eye)
        targets = _points("target", target).to(eyes)
        upwards = _points("up", up).to(eyes)
        if len(upwards) != 1:
            raise InputError(f"up: {len(upwards)} directions; give one")
        if len(targets) not in {1, len(eyes)} and len(eyes) != 1:
            raise InputError(
                f"target: {len(targets)} points for {len(eyes)} eyes; give one, or one per eye"
            )
        eyes, targets = torch.broadcast_tensors(eyes, targets)
        forward = targets - eyes
        for k in (forward.norm(dim=1) == 0).nonzero()[:1, 0].tolist():
            raise InputError(
                f"eye {k}: equals its target {_numbers(eyes[k])}; move one of them"
            )
        unit = normalize(forward, dim=1)
        across = torch.linalg.cross(unit, normalize(upwards, dim=1))
        for k in (across.norm(dim=1) < PARALLEL).nonzero()[:1, 0].tolist():
            other = "(0, 0, 1)" if abs(float(unit[k, 1])) > 0.9 else "(0, 1, 0)"
            raise InputError(
                f"up {_numbers(upwards[0])}: is zero or parallel to the viewing direction "
                f"{_numbers(forward[k])} of camera {k}; give another, such as {other}"
            )
        focal = width / 2 / math.tan(math.radians(fov) / 2)
        return cls.from_focal(look_at(eyes, targets, upwards[0]), focal, width, height)

    def __len__(self) -> int:
        return len(self.world_from_camera)

    def __getitem__(self, index: int | slice) -> "Cameras":
        """One camera or several, as `Cameras`; tensors of indices are for `select`.

        >>> import unrender as ur
        >>> cameras = ur.Cameras.look_at([(4, 0, 1), (0, 4, 1), (-4, 0, 1)])
        >>> cameras[-1], cameras[::2]
        (Cameras(1 × 640×480, fov 40.0°), Cameras(2 × 640×480, fov 40.0°))
        """
        return self.select(as_slice(index, len(self)))

    def __iter__(self) -> Iterator["Cameras"]:
        """The cameras one by one, each as `Cameras` of length 1.

        >>> import unrender as ur
        >>> [len(camera) for camera in ur.Cameras.look_at([(4, 0, 1), (0, 4, 1)])]
        [1, 1]
        """
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        """Number, image size, horizontal field of view, and times if there are some.

        >>> import unrender as ur
        >>> ur.Cameras.look_at([(4, 0, 1), (0, 4, 1)], fov=55, size=(64, 48))
        Cameras(2 × 64×48, fov 55.0°)
        """
        lens = f", fov {self.fov_range}" if len(self) else ""
        when = f", {self.time_range}" if len(self) and self.times is not None else ""
        return f"Cameras({len(self)} × {self.sizes}{lens}{when})"

    @property
    def width(self) -> int:
        """Width of all images in pixels. InputError if they have several sizes."""
        return self.sizes.one[0]

    @property
    def height(self) -> int:
        """Height of all images in pixels. InputError if they have several sizes."""
        return self.sizes.one[1]

    @property
    def rotations(self) -> Float[Tensor, "cameras 3 3"]:
        return self.world_from_camera[:, :, :3]

    @property
    def centers(self) -> Float[Tensor, "cameras 3"]:
        """Camera centers in the world frame."""
        return self.world_from_camera[:, :, 3]

    @property
    def focal(self) -> Float[Tensor, "cameras"]:
        """Horizontal focal length, in pixels."""
        return self.intrinsics[:, 0, 0]

    @property
    def fov(self) -> Float[Tensor, "cameras"]:
        """Horizontal field of view, in degrees."""
        left, widths = self.intrinsics[:, 0, 2], self.sizes.rows[:, 0].to(self.focal)
        angles = torch.atan(left / self.focal) + torch.atan((widths - left) / self.focal)
        return angles.rad2deg()

    @property
    def fov_range(self) -> str:
        """The horizontal field of view as text, or its minimum and maximum if they differ."""
        low, high = (f"{float(each):.1f}" for each in self.fov.aminmax())
        return f"{low}°" if low == high else f"{low}–{high}°"

    @property
    def time_range(self) -> str:
        """The first and the last time as text, or the only one; empty without times."""
        return "" if self.times is None else times_in_words(self.times)

    @property
    def device(self) -> torch.device:
        return self.world_from_camera.device

    def to(self, device: torch.device | str) -> "Cameras":
        return dataclasses.replace(
            self,
            world_from_camera=self.world_from_camera.to(device),
            intrinsics=self.intrinsics.to(device),
            times=None if self.times is None else self.times.to(device),
        )

    def select(
        self, index: Int[Tensor, "chosen"] | Bool[Tensor, "cameras"] | slice
    ) -> "Cameras":
        return dataclasses.replace(
            self,
            world_from_camera=self.world_from_camera[index],
            intrinsics=self.intrinsics[index],
            sizes=self.sizes.select(index),
            times=None if self.times is None else self.times[index],
        )

    def with_poses(self, world_from_camera: Float[Tensor, "cameras 3 4"]) -> "Cameras":
        return dataclasses.replace(self, world_from_camera=world_from_camera)

    def at_times(self, times: Float[Tensor, "times"] | float | int | None) -> "Cameras":
        """The same cameras at these times, or all at one; None for no time.

        One camera stands still at any number of times. InputError for other numbers of times
        than of cameras.
        """
        if times is None:
            return dataclasses.replace(self, times=None)
        if not isinstance(times, Tensor):
            times = self.world_from_camera.new_full((len(self),), times)
        if len(times) != len(self) != 1:
            raise InputError(f"{len(times)} times for {len(self)} cameras: give one for each")
        same = torch.zeros(len(times), dtype=torch.long)
        cameras = self if len(times) == len(self) else self.select(same)
        return dataclasses.replace(cameras, times=times.to(self.world_from_camera))

    def translated(self, offset: Float[Tensor, "3"]) -> "Cameras":
        """The same cameras, moved by this vector in the world's frame."""
        pose = self.world_from_camera
        moved = pose[..., 3:] + offset.to(pose)[:, None]
        return self.with_poses(torch.cat([pose[..., :3], moved], dim=-1))

    def resized(self, width: int, height: int) -> "Cameras":
        """The same cameras with one other image size and an unchanged field of view."""
        return self.with_sizes(ImageSizes.of([(width, height)]))

    def with_sizes(self, sizes: ImageSizes) -> "Cameras":
        """The same cameras with other image sizes and an unchanged field of view."""
        x, y, z = self.intrinsics.unbind(1)
        if sizes.mixed or self.sizes.mixed:
            across, down = (sizes.rows / self.sizes.rows.double()).to(x).split(1, dim=1)
        else:
            # No tensor of scales, which would be copied to the device at each call.
            across, down = (a / b for a, b in zip(sizes.one, self.sizes.one, strict=True))
        scaled = torch.stack([x * across, y * down, z], dim=1)
        return dataclasses.replace(self, intrinsics=scaled, sizes=sizes)

    def cropped(self, sizes: ImageSizes) -> "Cameras":
        """The cameras of the central parts of their images. InputError if these are larger."""
        margin = self.sizes.rows - sizes.rows
        if bool((margin < 0).any()):
            raise InputError(f"images of {self.sizes}: cannot be cropped to {sizes}, give less")
        intrinsics = self.intrinsics.clone()
        intrinsics[:, :2, 2] -= (margin // 2).to(intrinsics)
        return dataclasses.replace(self, intrinsics=intrinsics, sizes=sizes)

    def rays(self, camera: Int[Tensor, "*batch"], pixel: Float[Tensor, "*batch 2"]) -> Rays:
        """Rays through `pixel` = (x, y), differentiable in the pose and the intrinsics."""
        intrinsics = self.intrinsics[camera]
        focal = torch.stack([intrinsics[..., 0, 0], intrinsics[..., 1, 1]], dim=-1)
        skew, center = intrinsics[..., 0, 1], intrinsics[..., :2, 2]
        offset = (pixel - center) / focal
        x = offset[..., 0] - skew / focal[..., 0] * offset[..., 1]
        direction = torch.stack([x, offset[..., 1], torch.ones_like(x)], dim=-1)
        length = direction.norm(dim=-1, keepdim=True)
        pose = self.world_from_camera[camera]
        rotated = (pose[..., :3] @ (direction / length)[..., None])[..., 0]
        # A disc with the variance of the pixel's square footprint: 2/sqrt(12) of its width.
        radius = 2 / 12**0.5 / (focal[..., 0] * length[..., 0])
        times = None if self.times is None else self.times[camera]
        return Rays(pose[..., 3], rotated, radius, camera, times)

    def project(
        self, camera: Int[Tensor, "*batch"], points: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
        """Pixels (x, y) of world points, and their depth along the optical axis.

        Points behind the camera have a negative depth, and their pixels are meaningless.
        """
        pose = self.world_from_camera[camera]
        local = (pose[..., :3].mT @ (points - pose[..., 3])[..., None])[..., 0]
        projected = (self.intrinsics[camera] @ local[..., None])[..., 0]
        return projected[..., :2] / projected[..., 2:], local[..., 2]


def times_in_words(times: Float[Tensor, "times"]) -> str:
    """The first and the last of some times, or the only one."""
    first, last = (f"{float(each):g}" for each in times.aminmax())
    return f"time {first}" if first == last else f"times {first} to {last}"


def concatenate(parts: list[Cameras]) -> Cameras:
    """Concatenate a non-empty list of cameras, all with times or all without.

    InputError if only some have times.
    """
    times = [part.times for part in parts if part.times is not None]
    if times and len(times) < len(parts):
        raise InputError("some cameras have times and others none: give all or none of them")
    return Cameras(
        torch.cat([part.world_from_camera for part in parts]),
        torch.cat([part.intrinsics for part in parts]),
        sizes=image_sizes.joined([(part.sizes, len(part)) for part in parts]),
        times=torch.cat(times) if times else None,
    )


def _sizes(width: int | None, height: int | None, sizes: ImageSizes | None) -> ImageSizes:
    """One size for all images, or else `sizes`; what is not given is as in `sizes`."""
    if width is None and height is None:
        assert sizes is not None, "give width and height, or sizes"
        return sizes
    if width is None or height is None:
        assert sizes is not None, "give width and height"
        width, height = width or sizes.one[0], height or sizes.one[1]
    return ImageSizes.of([(width, height)])


def as_slice(index: int | slice, length: int) -> slice:
    """The slice that selects what `index` selects. Raises IndexError if it is out of range.

    >>> as_slice(-1, 5)
    slice(4, 5, None)
    """
    if isinstance(index, slice):
        return index
    if not -length <= index < length:
        raise IndexError(f"index {index} is out of range for length {length}")
    return slice(index % length, index % length + 1)


def _points(name: str, points: PointsLike) -> Float[Tensor, "points 3"]:
    """One point or several, as floating point. Raises InputError if they are not finite."""
    try:
        found = torch.as_tensor(points)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name}: give three numbers, or n times three") from None
    if found.ndim not in {1, 2} or found.shape[-1] != 3:
        raise InputError(f"{name}: has the shape {list(found.shape)}; give [3] or [n, 3]")
    found = found if found.is_floating_point() else found.float()
    if not bool(found.isfinite().all()):
        raise InputError(f"{name}: contains NaN or Inf; give finite numbers")
    return found.reshape(-1, 3)


def _numbers(vector: Float[Tensor, "3"]) -> str:
    return f"({', '.join(f'{x:g}' for x in vector.tolist())})"
