"""`unrender render`: images or a video of a run or a shape."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from unrender.app.choices import Up
from unrender.app.light_field import Lens, is_posed_images
from unrender.app.options import Words
from unrender.app.parsing import color_of, did_you_mean
from unrender.errors import InputError
from unrender.files import check_new_folder, check_target, ending, make_folder
from unrender.ranges import Range
from unrender.training.options import Device

if TYPE_CHECKING:
    from unrender.api.cameras import CameraPath
    from unrender.geometry.cameras import Cameras
    from unrender.rendering.renderer import Rendering

PATHS = ("auto", "turntable", "spiral", "interpolate", "test")
CHANNELS = ("color", "depth", "normals", "opacity")
ENDINGS = (".mp4", ".gif", ".png", ".jpg", ".jpeg", ".webp", ".npz")
SHAPE_SIZE = 512
"""Pixels of the longer side of images of shapes, by default."""


@dataclass(frozen=True)
class _Moment:
    """When a moving scene is rendered, and from which training view: what was typed."""

    time: float | None
    times: tuple[float, float] | None
    camera: int | None

    def check_none(self, source: Path) -> None:
        """InputError if anything was typed."""
        for name, value in vars(self).items():
            if value is not None:
                raise InputError(f"--{name}: needs a run of a moving scene; {source} is none")

    def of(self, path: "CameraPath | Cameras", run: Any) -> "CameraPath | Cameras":
        """The path at one time, through a part of the film, or through all of it."""
        import torch  # noqa: PLC0415 - slow

        from unrender.geometry.cameras import Cameras  # noqa: PLC0415 - imports torch

        if self.time is not None:
            return path.at_times(self.time)
        times = self.times
        if times is None and path.times is None and isinstance(path, Cameras):
            times = run.method.time_range(run.model)
        return (
            path
            if times is None
            else path.at_times(torch.linspace(times[0], times[1], len(path)))
        )


def render(
    source: Annotated[Path, Words(positional=True, metavar="RUN|SHAPE|GRID")],
    out: Annotated[Path, Words(metavar="FILE|FOLDER")],
    what: Annotated[str, Words(metavar="CHANNELS")] = "color",
    size: Annotated[int | None, Words(metavar="PIXELS")] = None,
    supersample: int | None = None,
    background: Annotated[tuple[str, ...], Words(metavar="COLOR")] = ("white",),
    unlit: bool | None = None,
    fps: int = 24,
    cameras: Annotated[str, Words(metavar="PATH", box="cameras")] = "auto",
    data: Annotated[str | None, Words(metavar="DATA", box="cameras")] = None,
    frames: Annotated[int, Words(box="cameras")] = 60,
    elevation: Annotated[float | None, Words(metavar="DEGREES", box="cameras")] = None,
    radius: Annotated[float | None, Words(box="cameras")] = None,
    time: Annotated[float | None, Words(metavar="T", box="moving scenes")] = None,
    times: Annotated[
        tuple[float, float] | None, Words(metavar="FIRST LAST", box="moving scenes")
    ] = None,
    camera: Annotated[int | None, Words(metavar="N", box="moving scenes")] = None,
    focus: Annotated[
        tuple[float, ...], Words(metavar="DEPTH [DEPTH]", box="light fields")
    ] = (),
    aperture: Annotated[float | None, Words(metavar="DIAMETER", box="light fields")] = None,
    fov: Annotated[
        float | None, Range(1, 150), Words(metavar="DEGREES", box="light fields")
    ] = None,
    reference_plane: Annotated[
        float | None, Range(0, 1e9), Words(metavar="DEPTH", box="light fields")
    ] = None,
    up: Up = "auto",
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Render a video or images of a fitted model, a shape's file or a light field.

    Of a scene that moves, time runs from the first to the last frame, through the whole film. A
    light field, images of a grid of cameras, is rendered as it is, without a fit.

    Args:
        source: A run folder, or a mesh (.obj, .ply, .glb, .gltf, .off, .stl), points (.ply,
            .xyz, .npz) or voxels (.binvox, .npz); or a folder of posed images whose cameras
            stand in rows and columns and look one way.
        out: A video (.mp4, .gif), images (.png, .jpg, .webp; several are numbered), all numbers
            (.npz), or a folder for one .png for each frame and channel.
        what: color, depth, normals or opacity; several with commas between them stand side by
            side.
        size: Pixels of the longer side; by default as the training images, and 512 for a shape.
            A pose flow has a size of its own.
        supersample: Rays per side of each pixel; by default 2 for shapes, else 1.
        background: A color's name, or three numbers from 0 to 1.
        unlit: Show a mesh's own colors without light, as those of photographs are; by default
            where its .glb says so, as `unrender export` writes it.
        fps: Frames per second of a video.
        cameras: auto is interpolate where a moving camera filmed a moving scene, else spiral
            where the training cameras all look one way, else turntable; turntable, around what
            they look at, on the side where they stand, or around the shape; spiral, about their
            mean; interpolate, through them in their order; test, the held-out views; or a file
            of cameras such as `unrender pose` writes. Of a light field, auto is the middle
            camera, and a spiral for a film with one focus.
        data: Where the run's data are now, for --cameras test, if they were moved.
        frames: Frames of the turntable, spiral or interpolation.
        elevation: Degrees above the horizon, for the turntable; by default 30 or the nearest
            of a training camera, 20 for a shape.
        radius: Distance from the center, for the turntable; by default the training cameras',
            or that from which all of a shape is visible.
        time: Stop a moving scene at this time, in the unit of the training views' times: the
            camera moves around it (auto is spiral or turntable).
        times: Let time run from FIRST to LAST instead of through the whole film.
        camera: Stop the camera at the training view N, counted from 0, while time runs.
        focus: Depth of what is sharp, as its distance from the plane of the cameras; two for a
            sweep from one to the other. By default where the images agree best.
        aperture: Diameter of the lens in the unit of the cameras' positions: what is off the
            focus is blurred. By default a pinhole.
        fov: Where the names of the images have no lens: their horizontal field of view.
        reference_plane: For such names: depth of the plane to which the images were rectified;
            0 for images that were not.
        up: Which axis of a mesh file points up; auto takes y for .obj, .glb and .gltf, else z.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Print the outcome's path only, without progress.

    Examples:
        unrender render runs/bricks --out clip.mp4
        unrender render cow.obj --out cow.gif --what color,normals --frames 30
        unrender render runs/bricks --cameras cameras.json --out views
        unrender render runs/lamp --time 0.5 --out stopped.mp4
        unrender render GRID --focus 3.0 --aperture 0.1 --out focused.png
    """
    from unrender.api.run import Run  # noqa: PLC0415 - imports torch
    from unrender.api.shapes import load_shape  # noqa: PLC0415
    from unrender.api.shapes import render as render_source  # noqa: PLC0415
    from unrender.geometry.cameras import Cameras  # noqa: PLC0415
    from unrender.imaging.color import as_color  # noqa: PLC0415
    from unrender.training.progress import told_progress  # noqa: PLC0415

    moment = _Moment(time, times, camera)
    channels = _checked(out, what, frames, fps, cameras, radius, supersample, moment)
    behind = as_color(color_of(background))
    lens = Lens(focus, aperture, fov, reference_plane)
    if is_posed_images(source):
        moment.check_none(source)
        drawn = lens.render(
            source, out, cameras, frames, elevation, radius, size, supersample, device,
            not quiet,
        )  # fmt: skip
        _save([drawn], out, channels, behind, fps)
        print(out)
        return
    target: Any
    if source.is_dir() or not source.exists():
        target = Run.open(source, device)
        if not target.method.makes_images:
            raise InputError(f"{source}: makes no images: render what it predicts")
        a_shape = target.method.has_shape
    else:
        target, a_shape = load_shape(source, up=up), True
    lens.check_none(source)
    if a_shape or not target.method.moves:
        moment.check_none(source)
    path = _path(target, a_shape, cameras, data, frames, elevation, radius, moment)
    if size is None and a_shape and cameras in ("auto", "turntable"):
        size = SHAPE_SIZE
    rays = supersample or (2 if a_shape else 1)
    parts = list(path) if isinstance(path, Cameras) and path.sizes.mixed else [path]
    if len(parts) > 1 and ending(out) == ".npz":
        raise InputError(
            f"{out}: holds images of one size, and --cameras {cameras} has several: name a "
            "folder"
        )
    renderings: list[Rendering] = []
    with told_progress("render", "frame", len(parts) > 1 and not quiet) as tell:
        for part in parts:
            drawn = render_source(
                target,
                part,
                size=size,
                supersample=rays,
                device=device,
                progress=not quiet,
                **({} if unlit is None else {"shading": "none" if unlit else "phong"}),
            )
            renderings.append(drawn)
            tell(len(renderings), len(parts))
    _save(renderings, out, channels, behind, fps)
    print(out)


def _checked(
    out: Path,
    what: str,
    frames: int,
    fps: int,
    cameras: str,
    radius: float | None,
    supersample: int | None,
    moment: _Moment,
) -> tuple[str, ...]:
    """The channels, once all options that need no data are known to be right. InputError."""
    if ending(out):
        check_target(out, ENDINGS)
    else:
        check_new_folder(out)
    channels = tuple(what.split(","))
    for channel in channels:
        if channel not in CHANNELS:
            hint = did_you_mean(channel, CHANNELS)
            raise InputError(f"--what: {channel!r} is not one of {', '.join(CHANNELS)}{hint}")
    for name, value in (("frames", frames), ("fps", fps), ("supersample", supersample)):
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}: give at least 1")
    if radius is not None and not 0 < radius < float("inf"):
        raise InputError(f"--radius {radius}: give a positive length")
    if moment.time is not None and moment.times is not None:
        raise InputError("give --time to stop time or --times to let it run, not both")
    if moment.camera is not None and cameras != "auto":
        raise InputError("give --camera to stop the camera or --cameras to move it, not both")
    if cameras not in PATHS and not Path(cameras).exists():
        hint = did_you_mean(cameras, PATHS)
        raise InputError(
            f"--cameras: {cameras!r} is neither {', '.join(PATHS)} nor a file that exists{hint}"
        )
    return channels


def _path(
    target: Any,
    a_shape: bool,
    name: str,
    data: str | None,
    frames: int,
    elevation: float | None,
    radius: float | None,
    moment: _Moment,
) -> "CameraPath | Cameras":
    """The cameras by the name of a path, or from a file. InputError."""
    from unrender.api.cameras import path_by_name, still  # noqa: PLC0415 - imports torch
    from unrender.data.origin import HERE  # noqa: PLC0415

    if a_shape and name in ("spiral", "interpolate", "test"):
        raise InputError(
            f"--cameras {name}: a shape was fitted to no views: give turntable or a file"
        )
    stopped = moment.time is not None
    if moment.camera is not None:
        return moment.of(still(1 if stopped else frames, moment.camera), target)
    origin = HERE if a_shape else target.origin
    found = path_by_name(name, frames, elevation, radius, origin, stopped)
    if isinstance(found, str):
        found = target.load_data(data).test.cameras
    return found if a_shape or not target.method.moves else moment.of(found, target)


def _save(
    renderings: "list[Rendering]",
    out: Path,
    channels: tuple[str, ...],
    background: Any,
    fps: int,
) -> None:
    import torch  # noqa: PLC0415 - slow

    from unrender.imaging.files import write_image  # noqa: PLC0415 - imports torch
    from unrender.imaging.save import save_images  # noqa: PLC0415

    if ending(out) == ".npz":
        renderings[0].save(out)
        return
    images = {
        name: [image for each in renderings for image in each.images(name, background)]
        for name in channels
    }
    if ending(out):
        beside = zip(*images.values(), strict=True)
        save_images(out, [torch.cat(frame, dim=1) for frame in beside], fps)
        return
    make_folder(out)
    for name, frames in images.items():
        for k, image in enumerate(frames):
            write_image(out / f"{name}_{k:04d}.png", image)
