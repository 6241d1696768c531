"""`unrender novel-views`: views of an object in photographs, or of a scene."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from unrender.app.options import Words
from unrender.app.output import main_scores, note
from unrender.app.parsing import color_of, did_you_mean
from unrender.errors import InputError
from unrender.files import ending
from unrender.ranges import Range
from unrender.training.options import Device

if TYPE_CHECKING:
    from unrender.api.cameras import CameraPath

PATHS = ("auto", "turntable", "spiral", "interpolate", "test")
Numbers = tuple[float, ...]


def novel_views(
    photos: Annotated[tuple[Path, ...], Words(positional=True, metavar="PHOTO")] = (),
    out: Annotated[Path | None, Words(metavar="FILE|FOLDER")] = None,
    size: Annotated[int | None, Words(metavar="PIXELS")] = None,
    background: Annotated[tuple[str, ...], Words(metavar="COLOR")] = ("white",),
    fps: int = 24,
    mask: Annotated[tuple[Path, ...], Words(metavar="FILE", box="photographs")] = (),
    azimuth: Annotated[Numbers, Words(metavar="DEGREES ...", box="photographs")] = (),
    elevation: Annotated[Numbers, Words(metavar="DEGREES ...", box="photographs")] = (),
    fov: Annotated[float | None, Words(metavar="DEGREES", box="photographs")] = None,
    data: Annotated[str | None, Words(metavar="DATA", box="scene")] = None,
    count: Annotated[int | None, Words(box="scene")] = None,
    inputs: Annotated[Literal["nearest", "all", "random"], Words(box="scene")] = "nearest",
    neighbors: Annotated[int | None, Range(1, 1 << 24), Words(box="scene")] = None,
    rotation_only: Annotated[bool, Words(box="scene")] = False,
    masks: Annotated[str | None, Words(metavar="FOLDER", box="scene")] = None,
    downscale: Annotated[int, Range(1, 1 << 16), Words(box="scene")] = 1,
    hold_out: Annotated[int | None, Range(0, 1 << 24), Words(box="scene")] = None,
    scene: Annotated[Path | None, Words(metavar="RUN", box="scene")] = None,
    lpips: Annotated[Path | None, Words(metavar="FILE", box="scene")] = None,
    cameras: Annotated[str, Words(metavar="PATH", box="cameras")] = "auto",
    frames: Annotated[int, Words(box="cameras")] = 60,
    azimuths: Annotated[Numbers, Words(metavar="DEGREES ...", box="cameras")] = (),
    elevations: Annotated[Numbers, Words(metavar="DEGREES ...", box="cameras")] = (),
    run: Annotated[Path | None, Words(metavar="RUN|FILE", box="model")] = None,
    model: Annotated[Literal["regression", "flow"], Words(box="model")] = "regression",
    guidance: Annotated[float | None, Range(0, 100), Words(box="model")] = None,
    steps: Annotated[int | None, Range(1, 10_000), Words(box="model")] = None,
    samples: Annotated[int, Words(box="model")] = 1,
    seed: Annotated[int, Words(box="model")] = 0,
    device: Device = "auto",
    quiet: bool = False,
) -> None:
    """Make views of an object in one photograph or a few, or of a scene, from other cameras.

    Nothing is fitted: a view model that was trained on many objects makes the views. From a
    photograph, the object is cut out by its alpha, by --mask, or against a plain background,
    and framed; z is up, its center is the origin and its longest side about 1. From a scene,
    the held-out views are made again and compared with the truth, with copies of the nearest
    input, and with the mean of the inputs; --cameras names others instead.

    The distance between cameras is that of their centers, relative to their mean distance from
    what they look at, plus the angle between them in radians.

    Args:
        photos: Photographs of one object, without cameras.
        out: A film (.mp4, .gif, .webp), a contact sheet (.png, .jpg), or images with their
            cameras: an .npz, or a new folder in the Blender layout.
        size: Pixels per side; by default as many as the model makes.
        background: Behind the object in films and sheets: a color's name, or three numbers
            from 0 to 1.
        fps: Frames per second of a film.
        mask: For each photograph an image that is white where the object is.
        azimuth: From where around the object each of several photographs was taken,
            counterclockwise from above; the first is usually 0.
        elevation: How far above the horizon the photographs were taken; by default 20.
        fov: Horizontal field of view of the photographs; by default that of their EXIF data,
            or else 40 of what is framed.
        data: Instead of photographs posed images: a Blender, nerfstudio, COLMAP, LLFF, IDR or
            CO3D folder, an .npz, or a built-in scene: bricks, chair, hotdog, lamp,
            shiny.
        count: How many of the scene's views are inputs, evenly spread; by default all.
        inputs: Each view is made from the nearest of them, from all, or from random ones, which
            change at every step of a flow.
        neighbors: How many nearest or random ones; by default 4 and 1.
        rotation_only: The nearest are those of the smallest rotation, wherever they stand.
        masks: Folder with a mask for each image of the scene.
        downscale: Integer factor by which the scene's images are downscaled.
        hold_out: Hold out every N-th view where the data have no test split, 0 for none; by
            default 10 where held-out views are made, and else 0.
        scene: A run fitted to the scene, by whose depths inputs are warped for comparison.
        lpips: LPIPS weights (.safetensors), for comparisons.
        cameras: turntable, around the object; spiral, about the first photograph or the mean
            of the inputs; interpolate, through the inputs in their order; test, the held-out
            views; or a file of cameras. auto is turntable for photographs and test for scenes.
        frames: Frames of the turntable, spiral or interpolation.
        azimuths: Instead of a path: angles around the object from the first input.
        elevations: Angles above that of the first input; with --azimuths, each with each.
        run: A run of view-regression or view-flow, or a checkpoint of zero123 or ZeroNVS
            (.ckpt, .safetensors); by default the --model in the package.
        model: regression is the expected view, blurred where it is not known; flow samples what
            it may be.
        guidance: Scale of classifier-free guidance of a flow; 1 is none.
        steps: Steps of a flow.
        samples: Samples of a flow, side by side; a folder has one folder for each.
        seed: Seed of samples, and of the choice of inputs.
        device: Where to compute; auto takes a CUDA GPU if there is one, else the CPU.
        quiet: Print the scores and the file only, without progress.

    Examples:
        unrender novel-views photo.png --cameras turntable --out film.mp4
        unrender novel-views photo.jpg --mask mask.png --azimuths 0 90 180 270 --out sheet.png
        unrender novel-views --data scene --inputs nearest --count 50
    """
    from unrender.api.novel_views import check_writable  # noqa: PLC0415 - imports torch
    from unrender.api.novel_views import novel_views as make  # noqa: PLC0415
    from unrender.data.load import LoadOptions  # noqa: PLC0415
    from unrender.data.options import HOLD_OUT_EVERY  # noqa: PLC0415
    from unrender.imaging.color import as_color  # noqa: PLC0415

    behind = as_color(color_of(background))
    targets = _targets(cameras, frames, azimuths, elevations, bool(photos))
    if (data is None) == (not photos):
        raise InputError("give either photographs of an object, or a scene by --data")
    if out is None and (photos or targets is not None):
        raise InputError("--out FILE is missing: name a film, such as views.mp4, or a folder")
    if out is not None:
        check_writable(out, samples)
    _check_belongs(bool(photos), locals())
    if hold_out is None:
        hold_out = HOLD_OUT_EVERY if targets is None else 0
    made = make(
        data if data is not None else list(photos),
        targets,
        run=run,
        model=model,
        inputs=inputs,
        neighbors=neighbors,
        count=count,
        rotation_only=rotation_only,
        masks=mask,
        azimuth=azimuth,
        elevation=elevation,
        fov=fov,
        guidance=guidance,
        steps=steps,
        samples=samples,
        seed=seed,
        size=size,
        scene=scene,
        lpips=lpips,
        options=LoadOptions(masks=masks, downscale=downscale, hold_out=hold_out),
        device=device,
        progress=not quiet,
    )
    if made.scores:
        note(f"{len(made)} held-out views of {made.samples[0].cameras.sizes} on white:", quiet)
    longest = max(map(len, made.scores), default=0)
    for name, scores in made.scores.items():
        print(f"{name:{longest}}  {main_scores(scores)}")
    if out is None:
        return
    made.save(out, background=behind, fps=fps)
    print(out)
    if not quiet and not ending(out):
        print(f"Next: unrender fit instant-ngp-fast --data {out}")


def _targets(
    cameras: str, frames: int, azimuths: Numbers, elevations: Numbers, photos: bool
) -> "CameraPath | Path | None":
    """The path by its name, a file of cameras, or angles; None for the held-out views."""
    from unrender.api.cameras import path_by_name  # noqa: PLC0415 - imports torch
    from unrender.api.view_targets import offsets  # noqa: PLC0415

    if frames < 1:
        raise InputError(f"--frames {frames}: give at least 1")
    if azimuths or elevations:
        if cameras != "auto":
            raise InputError("--azimuths and --elevations: are instead of --cameras: omit it")
        return offsets(azimuths, elevations)
    if cameras not in PATHS and not Path(cameras).exists():
        hint = did_you_mean(cameras, PATHS)
        raise InputError(
            f"--cameras: {cameras!r} is neither {', '.join(PATHS)} nor a file that exists{hint}"
        )
    if cameras == "auto":
        cameras = "turntable" if photos else "test"
    if cameras == "test":
        if photos:
            raise InputError("--cameras test: photographs have no held-out views: give another")
        return None
    if cameras not in PATHS:
        return Path(cameras)
    found: Any = path_by_name(cameras, frames)
    return found


def _check_belongs(photos: bool, given: dict[str, Any]) -> None:
    """InputError for options of scenes with photographs, and the other way around."""
    of_scenes = {"count": None, "masks": None, "scene": None, "lpips": None, "downscale": 1}
    of_photographs = {"mask": (), "azimuth": (), "elevation": (), "fov": None}
    for name, default in (of_scenes if photos else of_photographs).items():
        if given[name] != default:
            kind = "scenes (--data)" if photos else "photographs"
            raise InputError(f"--{name.replace('_', '-')}: is an option of {kind}: omit it")
