"""The `unrender` command."""

import importlib.metadata
import importlib.util
import math
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
import tyro
from tqdm import tqdm

from unrender import __version__
from unrender.api.field_tasks import evaluate_picture, fit_picture, target_picture
from unrender.api.opened_run import open_run
from unrender.api.prediction import evaluate_predictor, train_predictor
from unrender.api.shape_tasks import evaluate_fit, read_target, target_of
from unrender.api.tasks import (
    evaluate_run,
    expectation,
    fit_run,
    image_background,
    make_folder,
    read_images,
    refine_on_scene,
    scene_of,
    starting_poses,
    training_cameras,
)
from unrender.app.cli_fields import compare_fields
from unrender.app.cli_files import compare, export, inspect, process
from unrender.app.cli_light import show_spectrum
from unrender.app.cli_render import check_output, on_bar, render
from unrender.app.cli_shapes import fit_a_shape, fit_to_shape, make, predict, show
from unrender.app.demo import DemoOptions, run_demo
from unrender.data.formats.camera_files import NamedCameras, write_cameras
from unrender.data.formats.npz import save_npz
from unrender.data.load import LoadOptions
from unrender.data.make_views import make_views
from unrender.data.picture import read_picture
from unrender.data.validate import Background
from unrender.errors import InputError
from unrender.geometry.paths import spherical_shell
from unrender.imaging.color import matte
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.methods import METHODS
from unrender.methods.image_field import ImageField
from unrender.studies import EXPERIMENTS, STUDIES, write_experiment, write_study
from unrender.studies.study import Experiment, open_subject
from unrender.training.fit import Device, FitOptions, pick_device
from unrender.training.method import ShapeMethod
from unrender.training.shape_fit import ShapeFit

if TYPE_CHECKING:
    from unrender.methods import AnyMethod
    from unrender.studies.study import Study
else:
    AnyMethod = tyro.extras.subcommand_type_from_defaults(METHODS, prefix_names=False)
    Study = tyro.extras.subcommand_type_from_defaults(
        {**STUDIES, **EXPERIMENTS}, prefix_names=False
    )


def fit(
    method: Annotated[AnyMethod, tyro.conf.arg(name="")],
    data: Annotated[str, tyro.conf.arg(aliases=("--image",))],
    out: Path,
    resume: bool = False,
    reading: Annotated[LoadOptions, tyro.conf.arg(name="")] = LoadOptions(),
    options: Annotated[FitOptions, tyro.conf.arg(name="")] = FitOptions(),
) -> None:
    """Fit a scene, a flow, a picture or a shape, or train what predicts shapes.

    Args:
        method: What to fit.
        data: A scene: Blender, nerfstudio, COLMAP, LLFF, IDR or CO3D folder, an .npz of views,
            or a built-in one: bricks, chair, hotdog. For the methods image-to-…, an .npz of
            `unrender make-shapes`, or a folder of ShapeNet's models with renderings. For
            image-field, an image; for sdf and occupancy, a mesh or points.
        out: The run folder to make.
        resume: Continue the run in --out from its last checkpoint.
        reading: How the views are read.
        options: The training loop.
    """
    if isinstance(method, ShapeMethod):
        opened, result = train_predictor(method, Path(data), out, options, resume)
    elif isinstance(method, ImageField):
        opened, result = fit_picture(read_picture(Path(data)), method, out, options, resume)
    elif isinstance(method, ShapeFit):
        truth = read_target(Path(data), "auto")
        opened, result = fit_to_shape(method, truth, Path(data), "auto", out, options, resume)
    else:
        opened, result = fit_run(method, data, out, options, reading, resume)
    if result.interrupted:
        print(f"Stopped after {result.steps} steps; continue with --resume.")
    else:
        print(f"Fitted in {result.seconds:.0f} s, {result.steps} steps.")
    print(opened.run.path)


@dataclass(frozen=True)
class Shell:
    """Where random cameras stand, and how they look."""

    radius: tuple[float, float] | None = None
    """Least and greatest distance from the origin; by default as the training cameras."""
    elevation: tuple[float, float] | None = None
    """Least and greatest elevation in degrees; by default as the training cameras."""
    roll: float = 0.0
    """Largest turn about the optical axis, either way, in degrees."""
    look_at_jitter: float = 0.0
    """Radius of the ball around the origin in which the point looked at is drawn."""


def views(
    run: Annotated[Path, tyro.conf.Positional],
    out: Path,
    count: int = 2000,
    size: int = 32,
    supersample: int = 3,
    seed: int = 0,
    device: Device = "auto",
    shell: Annotated[Shell, tyro.conf.arg(name="")] = Shell(),
) -> None:
    """Render a data set of random views with a fitted scene.

    Args:
        run: The scene's run folder.
        out: The .npz to write: images, poses, focal.
        count: How many views.
        size: Pixels a side.
        supersample: Rays a side of each pixel; 1 aliases.
        seed: Seed of the cameras.
        device: Where to compute.
        shell: The cameras.
    """
    for name, value in (("count", count), ("size", size), ("supersample", supersample)):
        if value < 1:
            raise InputError(f"--{name} {value}: give at least 1")
    check_output(out, (".npz",))
    if out.exists():
        raise InputError(f"{out}: exists already: choose another --out, or delete it")
    opened = open_run(run, pick_device(device))
    low, high = shell.elevation or opened.cameras["elevation_deg"]
    poses = spherical_shell(
        count,
        shell.radius or tuple(opened.cameras["radius"]),
        torch.Generator().manual_seed(seed),
        (math.radians(low), math.radians(high)),
        roll=math.radians(shell.roll),
        look_at_jitter=shell.look_at_jitter,
    )
    cameras = training_cameras(opened, poses).resized(size, size)
    with tqdm(total=count, unit="view") as bar:
        made = make_views(
            opened.renderer,
            cameras,
            supersample,
            on_bar(bar),
        )
    save_npz(out, made)
    print(out)


def pose(
    run: Annotated[Path, tyro.conf.Positional],
    images: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Path = Path("cameras.json"),
    start: Path | None = None,
    flow: Path | None = None,
    background: Background = "auto",
    device: Device = "auto",
    options: Annotated[RenderAndCompare, tyro.conf.arg(name="")] = RenderAndCompare(),
) -> None:
    """Find the cameras of images: by a flow, or refined on a fitted scene.

    Args:
        run: A flow's run folder, or a scene's with --start or --flow.
        images: Image files of one size: RGBA, or RGB on a constant background.
        out: The JSON to write: cameras in the layout of transforms.json, with expected errors.
        start: Cameras to refine on the scene, in the order of the images.
        flow: Run folder of the flow whose answer is refined on the scene.
        background: Colour behind images without alpha; auto takes that of the scene's images.
        device: Where to compute.
        options: The refinement.
    """
    check_output(out, (".json",))
    if not images:
        raise InputError("pose: no image was given: name one or more image files")
    opened = open_run(run, pick_device(device))
    pictures = read_images(list(images))
    color = image_background(opened, pictures, images[0], background)
    where = pick_device(device)
    if opened.fixed_size is not None:
        if color is not None:
            pictures = matte(pictures[..., :3], color)
        estimate = opened.estimate_poses(pictures)
    else:
        cut_out = pictures if color is None else matte(pictures[..., :3], color)
        begin = starting_poses(start, flow, images, cut_out, where)
        estimate = refine_on_scene(opened, pictures, begin, options, color)
    names = tuple(str(path) for path in images)
    write_cameras(out, NamedCameras(estimate.cameras, names), estimate)
    for index, name in enumerate(names):
        print(f"{name}: {expectation(estimate, index)}")
    print(out)


def evaluate(
    run: Annotated[Path, tyro.conf.Positional],
    data: str | None = None,
    background: Background = "auto",
    lpips: Path | None = None,
    device: Device = "auto",
) -> None:
    """Score a run on held-out views or shapes: evaluation.json, and of views report.html.

    Args:
        run: The run folder.
        data: Views, or shapes, to be judged by; by default the held-out ones of what the run
            was fitted to.
        background: Colour behind images without alpha.
        lpips: Weights of LPIPS, a .safetensors file; without it this figure is left out, since
            the weights are no part of this library (evaluation/lpips.py says how to get them).
        device: Where to compute.
    """
    opened = open_run(run, pick_device(device))
    if isinstance(opened.method, ShapeMethod):
        show(evaluate_predictor(opened, None if data is None else Path(data)))
        return
    if isinstance(opened.method, ShapeFit):
        show(evaluate_fit(opened, target_of(opened, data)))
        return
    if isinstance(opened.method, ImageField):
        show(evaluate_picture(opened, target_picture(opened, data)))
        return
    figures, report = evaluate_run(opened, scene_of(opened, data, background), lpips)
    for name, value in figures.items():
        if isinstance(value, int | float):
            print(f"{name:28} {value:.4g}")
    if figures.get("lpips_net") == "weights not given":
        print(f"{'lpips':28} not known: its weights were not given with --lpips")
    print(report)


def study(
    study: Annotated[Study, tyro.conf.arg(name="")],
    run: Path | None = None,
    scene: Path | None = None,
    data: str | None = None,
    out: Path | None = None,
    work: Path | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Study a question: write a page with plots, and a CSV of every measurement.

    Args:
        study: What to find out; ntk, gradients and inverse-problems need no run.
        run: The flow's run folder.
        scene: Run folder of the scene whose renders the flow was trained on.
        data: Views to be judged by; by default the test views of what the scene was fitted to.
        out: Folder of the page; by default studies/ in the flow's run folder, or here.
        work: Folder of the flows that the study trains, which are used again; by default
            studies/runs in the flow's run folder.
        seed: Seed of the cameras, and of the flows that the study trains.
        device: Where to compute.
    """
    if isinstance(study, Experiment):
        given = {"run": run, "scene": scene, "data": data, "work": work}
        for name, value in given.items():
            if value is not None:
                raise InputError(f"--{name} {value}: this study looks at no run: leave it out")
        folder = out or Path("studies")
        make_folder(folder)
        print(write_experiment(study, folder, seed))
        return
    if run is None or scene is None:
        raise InputError(
            "study: looks at a flow: give its --run, and the --scene whose renders it learned"
        )
    subject = open_subject(run, scene, data, work, seed, pick_device(device))
    folder = out or run / "studies"
    make_folder(folder)
    print(write_study(study, subject, folder))


def demo(
    options: Annotated[DemoOptions, tyro.conf.arg(name="")] = DemoOptions(),
) -> None:
    """Run the whole loop: a scene from images, images from poses, poses from images."""
    print(run_demo(options, tqdm.write))


def doctor() -> None:
    """Print versions, the device, the kernels' backends and the optional parts."""
    print(f"unrender {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for name in ("torch", "numpy", "numba", "tyro", "safetensors", "pillow"):
        print(f"{name:16} {importlib.metadata.version(name)}")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(
        f"{'device':16} {pick_device('auto')} ({torch.get_num_threads()} threads; GPU: {gpu})"
    )
    kernels = sorted(
        path.name
        for path in (Path(__file__).parents[1] / "kernels").iterdir()
        if (path / "reference.py").is_file()
    )
    for name in kernels:
        print(f"{'kernel':16} {name}: reference (torch), cpu (Numba), cuda (Triton)")
    for name, purpose in (
        ("torchdiffeq", "adaptive solver"),
        ("diffusers", "latents: --autoencoder"),
        ("beartype", "tests"),
        ("pytest", "tests"),
        ("ruff", "development"),
    ):
        found = importlib.util.find_spec(name) is not None
        print(f"{'optional':16} {name}: {'installed' if found else 'absent'} ({purpose})")


def main() -> None:
    """Run the command line; bad input ends with one line and exit code 2."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            {
                "demo": demo,
                "fit": fit,
                "make-views": views,
                "render": render,
                "pose": pose,
                "evaluate": evaluate,
                "compare": compare,
                "export": export,
                "process": process,
                "fit-shape": fit_a_shape,
                "make-shapes": make,
                "predict": predict,
                "inspect": inspect,
                "compare-fields": compare_fields,
                "spectrum": show_spectrum,
                "study": study,
                "doctor": doctor,
            },
            prog="unrender",
            description="Inverse graphics: images to scenes, poses to images, images to poses.",
            config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitArgPrefixes),
        )
    except InputError as error:
        print(f"unrender: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("unrender: interrupted", file=sys.stderr)
        sys.exit(130)
