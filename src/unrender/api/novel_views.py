"""Novel views of an object in photographs, or of a scene that no model was fitted to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.api.cameras import CameraPath, turntable
from unrender.api.random_cameras import square
from unrender.api.run import Run
from unrender.api.view_models import Kind, view_model, with_sampling
from unrender.api.view_sources import (
    Angles,
    Photographs,
    ViewSource,
    is_photograph,
    of_photographs,
    of_scene,
)
from unrender.api.view_targets import check_outside, placed
from unrender.data.dataset import Dataset
from unrender.data.formats.camera_files import read_cameras
from unrender.data.load import DEFAULTS, LoadOptions
from unrender.data.object_ball import object_ball
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.images import ImageScores
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.novel_view_baselines import (
    best_of,
    mean_input,
    mean_of,
    nearest_inputs,
    score_novel_views,
    warped_inputs,
)
from unrender.evaluation.scores import Scores
from unrender.files import check_new, check_target, ending, replacing
from unrender.geometry.cameras import Cameras
from unrender.imaging.color import Color
from unrender.imaging.files import STILLS, png_bytes, write_image
from unrender.imaging.save import contact_sheet, show_image
from unrender.imaging.video import write_video
from unrender.rendering.renderer import Images
from unrender.training.fit import Device
from unrender.training.method import Fitted
from unrender.training.progress import told_progress
from unrender.training.view_generation import InputChoice, generate_views, is_flow

FILMS = (".mp4", ".gif", ".webp")
"""Endings of films; in an image, several views become one contact sheet."""
SIDE = 256
"""Pixels per side of views, by models that make any size."""


@dataclass(frozen=True, repr=False)
class NovelViews:
    """Views that a view model made, with what they were made from.

    >>> import torch
    >>> import unrender as ur
    >>> cameras = ur.Cameras.look_at([(4, 0, 1), (0, 4, 1)], size=(32, 32))
    >>> made = ur.Views(cameras, torch.zeros(2, 32, 32, 4))
    >>> ur.NovelViews((made,), inputs=made[:1])
    NovelViews(2 × 32×32 RGBA, from 1 input)
    """

    samples: tuple[Views, ...]
    """The views, once for each sample of a flow."""
    inputs: Views
    """What they were made from, as the model was given it."""
    scores: Mapping[str, Scores] = field(default_factory=dict)
    """Of held-out views that were made again, and of baselines; see `unrender.novel_views`."""

    @property
    def views(self) -> Views:
        """The views, of the first sample."""
        return self.samples[0]

    @property
    def cameras(self) -> Cameras:
        return self.views.cameras

    def __len__(self) -> int:
        return len(self.views)

    def __repr__(self) -> str:
        inputs = f"{len(self.inputs)} input{'' if len(self.inputs) == 1 else 's'}"
        many = f", {len(self.samples)} samples" if len(self.samples) > 1 else ""
        sizes = self.cameras.sizes
        return f"NovelViews({len(self)} × {sizes} RGBA, from {inputs}{many})"

    def frames(self, background: Color = "white") -> Float[Tensor, "views height width 3"]:
        """RGB images over a background; those of several samples side by side."""
        shown = [views.over(background).clamp(0, 1) for views in self.samples]
        return torch.cat(shown, dim=2)

    def save(self, path: str | Path, *, background: Color = "white", fps: int = 24) -> None:
        """Save the views as the ending says, whole or not at all.

        Args:
            path: .mp4, .gif or .webp for a film; .png or .jpg for a contact sheet; .npz, or a
                new folder in the Blender layout, for images with their cameras, which
                `unrender.load` reads. Of several samples a folder has one folder each.
            background: Color behind the object, in films and sheets.
            fps: Frames per second of a film.

        InputError for other endings and places that cannot be written.

        >>> import torch
        >>> import unrender as ur
        >>> cameras = ur.Cameras.look_at([(4, 0, 1), (0, 4, 1)], size=(32, 32))
        >>> made = ur.Views(cameras, torch.zeros(2, 32, 32, 4))
        >>> ur.NovelViews((made,), inputs=made[:1]).save("two.gif")
        """
        target = Path(path)
        check_writable(target, len(self.samples))
        suffix = ending(target)
        if suffix in FILMS:
            write_video(target, self.frames(background), fps)
        elif suffix in STILLS:
            write_image(target, contact_sheet(self.frames(background)))
        elif len(self.samples) == 1:
            self.views.save(target)
        else:
            with replacing(target, folder=True) as temporary:
                for k, views in enumerate(self.samples):
                    views.save(temporary / f"sample_{k}")

    def show(self) -> None:
        """Show some of them: in a notebook inline, on a desktop in a window, else in a file.

        >>> import torch
        >>> import unrender as ur
        >>> cameras = ur.Cameras.look_at([(4, 0, 1), (0, 4, 1)], size=(32, 32))
        >>> made = ur.Views(cameras, torch.zeros(2, 32, 32, 4))
        >>> ur.NovelViews((made,), inputs=made[:1]).show()
        There is no display here: see ...
        """
        show_image(contact_sheet(self.frames()), "novel_views")

    def _repr_png_(self) -> bytes | None:
        return png_bytes(contact_sheet(self.frames())) if len(self) else None


def novel_views(
    source: "Photographs | Views | Dataset",
    cameras: "Cameras | CameraPath | str | Path | None" = None,
    *,
    run: "Run | Fitted[Any] | str | Path | None" = None,
    model: Kind = "regression",
    inputs: InputChoice = "nearest",
    neighbors: int | None = None,
    count: int | None = None,
    rotation_only: bool = False,
    masks: Sequence[str | Path] = (),
    azimuth: Angles = (),
    elevation: Angles = (),
    fov: float | None = None,
    guidance: float | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    size: int | None = None,
    scene: "Run | str | Path | None" = None,
    lpips: str | Path | None = None,
    options: LoadOptions = DEFAULTS,
    device: Device = "auto",
    progress: bool = True,
) -> NovelViews:
    """Make views of an object in photographs, or of a scene, that no model was fitted to.

    Args:
        source: Image files or tensors of an object, without cameras; or a scene: a folder of
            posed images, a built-in name, a Dataset or Views.
        cameras: From where: cameras, their file, or a path such as `unrender.turntable(60)`. By
            default a turntable around photographs, and the held-out views of a scene, which are
            then compared with the truth.
        run: A run of view-regression or view-flow; by default the `model` of the package.
        model: "regression", the expected view, or "flow", samples of what it may be.
        inputs: Each view is made from the "nearest" inputs, from "all", or from "random" ones,
            which change at every step of a flow.
        neighbors: How many nearest or random ones; by default 4 and 1.
        count: How many of the scene's views are inputs, evenly spread; by default all.
        rotation_only: The nearest are those of the smallest rotation, wherever they stand.
        masks: Of photographs, one image file for each: white where the object is.
        azimuth: Of several photographs, degrees around the object, counterclockwise from above.
        elevation: Of photographs, degrees above the horizon; by default 20.
        fov: Horizontal field of view of photographs in degrees; by default that of their EXIF
            data, or else 40 of what is framed.
        guidance: Scale of classifier-free guidance of a flow.
        steps: Steps of a flow.
        samples: Samples of a flow, made with the seeds from `seed` on.
        seed: Seed of samples, and of the choice of inputs.
        size: Pixels per side of the views, enlarged or averaged from those of the model.
        scene: A run that was fitted to the scene: inputs warped by its depths are then
            compared as well.
        lpips: File of LPIPS weights (.safetensors), for comparisons.
        options: How a scene is read.
        device: Where to compute; a `Run` keeps its device.
        progress: Whether to show a progress bar.

    Returns `NovelViews`. Its `scores` are empty unless held-out views were made. InputError for
    a photograph whose object cannot be told from its background, for cameras inside the object,
    and for more inputs than there are.

    >>> import unrender as ur
    >>> photo = ur.load("chair", downscale=5).test.rgba[0]
    >>> ur.novel_views(photo, ur.turntable(8), progress=False)
    NovelViews(8 × 32×32 RGBA, from 1 input)
    """
    for name, value in (("samples", samples), ("size", size)):
        if value is not None and value < 1:
            raise InputError(f"--{name} {value}: give at least 1")
    if neighbors is not None and inputs == "all":
        raise InputError(f"--neighbors {neighbors}: --inputs all takes all of them: omit one")
    if is_photograph(source):
        found = of_photographs(source, masks, azimuth, elevation, fov)
    else:
        found = of_scene(source, options)
    fitted = with_sampling(view_model(run, model, device), guidance, steps)
    if samples > 1 and not is_flow(fitted):
        raise InputError(f"--samples {samples}: a regression makes one: give --model flow")
    side = fitted.image_size or SIDE
    given = found.inputs(side, count, seed)
    compare = cameras is None and not found.of_photographs
    for name, value in (("scene", scene), ("lpips", lpips)):
        if value is not None and not compare:
            raise InputError(
                f"--{name}: is for held-out views of a scene, which are compared: omit it"
            )
    weights = None if lpips is None else LPIPS.read(Path(lpips))
    warping = Run.open(scene, device) if isinstance(scene, str | Path) else scene
    truth = found.truth(side) if compare else None
    targets = _targets(found, cameras, side) if truth is None else truth.cameras
    if found.of_object:
        assert given.ball is not None
        check_outside(targets, given.ball)
    images: list[Images] = []
    total = samples * len(targets)
    with told_progress("make views", "view", progress) as tell:
        for k in range(samples):

            def told(done: int, _: int, before: int = k * len(targets)) -> None:
                tell(before + done, total)

            some = (inputs, neighbors, rotation_only)
            images.append(generate_views(fitted, given, targets, *some, seed + k, told))
    scores: dict[str, Scores] = {}
    if truth is not None:
        scores = _compared(images, given, truth, rotation_only, warping, weights)
    made = [Views(targets, each, ball=given.ball) for each in images]
    if size is not None:
        made = [views.resized(size, size) for views in made]
    return NovelViews(tuple(made), given, scores)


def _targets(source: ViewSource, cameras: object, side: int) -> Cameras:
    """Square cameras of the model's size. InputError."""
    if cameras is None:
        cameras = turntable()
    if isinstance(cameras, str | Path):
        cameras = read_cameras(Path(cameras), source.known.origin).cameras
    if isinstance(cameras, CameraPath):
        cameras = placed(cameras, source.known, source.of_photographs)
    if not isinstance(cameras, Cameras):
        raise InputError(
            f"{type(cameras).__name__}: is not cameras: give Cameras, or a path such as "
            "unrender.turntable(60)"
        )
    return square(cameras, side)


def _compared(
    images: Sequence[Images],
    inputs: Views,
    truth: Views,
    rotation_only: bool,
    scene: Run | None,
    lpips: LPIPS | None,
) -> dict[str, Scores]:
    """Scores of samples and of baselines, by what they are."""
    ball = object_ball(inputs)
    samples = [score_novel_views(each, truth, lpips) for each in images]
    rows = {"this model": mean_of(samples)}
    if len(samples) > 1:
        rows[f"best of {len(samples)} samples"] = best_of(samples)
    made = {
        "nearest input": nearest_inputs(inputs, truth.cameras, ball[:3], rotation_only),
        "mean of the inputs": mean_input(inputs, truth.cameras),
    }
    if scene is not None:
        made["inputs warped by its depth"] = warped_inputs(
            inputs, truth.cameras, scene.renderer, ball[:3]
        )
    rows |= {name: score_novel_views(each, truth, lpips) for name, each in made.items()}
    return {name: _as_scores(each) for name, each in rows.items()}


def _as_scores(found: ImageScores) -> Scores:
    return Scores({name: found.to_json()[name] for name in ("psnr", "ssim", "lpips")})


def check_writable(target: Path, samples: int = 1) -> None:
    """InputError for a file or folder that `NovelViews.save` cannot write."""
    suffix = ending(target)
    if not suffix:
        check_new(target)
    elif suffix == ".npz" and samples > 1:
        raise InputError(f"{target}: holds one sample: name a folder for {samples} of them")
    else:
        check_target(target, (*FILMS, *STILLS, ".npz"))
