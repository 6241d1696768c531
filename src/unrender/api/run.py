"""A fitted model: what `fit` returns and `open` reads."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from unrender.api.cameras import CameraPath, as_cameras
from unrender.api.followed import Followed
from unrender.api.pose import Picture, find_poses
from unrender.api.random_cameras import random_cameras
from unrender.api.recorded import read_recorded
from unrender.api.run_shapes import RunShapes
from unrender.data.dataset import Dataset
from unrender.data.make_views import make_views
from unrender.data.picture import over_white
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.renders import render_in_parts
from unrender.evaluation.scores import Scores
from unrender.geometry.cameras import Cameras
from unrender.imaging.color import Color
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.methods.presets.opened import open_folder
from unrender.rendering.renderer import Images, PoseEstimate, Rendering, supersampled
from unrender.shapes.shape import Shape
from unrender.training.data_kinds.image import ONE_IMAGE, fitted_image
from unrender.training.fit import Device
from unrender.training.method import Evaluation, Fitted
from unrender.training.progress import told_progress
from unrender.training.run_folder import RunFolder


@dataclass(frozen=True, repr=False)
class Run(RunShapes):
    """A fitted model, which renders, finds poses, becomes a mesh, is scored and kept.

    `unrender.fit` returns one, in memory or in a folder; `unrender.open` reads one.

    >>> import unrender as ur
    >>> run = ur.fit("box", "bricks", downscale=8, steps=5, progress=False)
    >>> run
    Run(box on bricks, 5 steps)
    """

    @classmethod
    def open(cls, path: str | Path, device: Device = "auto") -> "Run":
        """The newest checkpoint of a run folder. InputError if the folder is not a run.

        >>> import unrender as ur
        >>> data = ur.load("bricks", downscale=8)
        >>> run = ur.fit("box", data, steps=5, out="runs/box", progress=False)
        >>> ur.Run.open("runs/box").steps
        5
        """
        record, fitted = open_folder(Path(path), device)
        return cls(record, fitted)

    def with_options(self, **options: Any) -> "Run":
        """The same model with other options of its method.

        >>> import unrender as ur
        >>> run = ur.fit("box", "bricks", downscale=8, steps=5, progress=False)
        >>> run.with_options(bins=64).method.bins
        64
        """
        method = self.method
        assert dataclasses.is_dataclass(method)
        fitted = Fitted(dataclasses.replace(method, **options), self.model)
        return dataclasses.replace(self, fitted=fitted)

    def render(
        self,
        cameras: "Cameras | CameraPath",
        *,
        size: int | tuple[int, int] | None = None,
        supersample: int = 1,
        progress: bool = True,
    ) -> Rendering:
        """Render images from cameras.

        Args:
            cameras: One or more cameras, or a path such as `unrender.turntable(60)`.
            size: Pixels of the longer side, or (width, height); by default the cameras' own.
            supersample: Rays per side of each pixel; more than 1 reduces aliasing.
            progress: Whether to show a progress bar for more than one camera.

        Returns a `Rendering` on the CPU. InputError for models that make no images.

        >>> import unrender as ur
        >>> data = ur.load("bricks", downscale=8)
        >>> run = ur.fit("box", data, steps=5, progress=False)
        >>> run.render(data.test.cameras[0], size=64)
        Rendering(1 × 64×64)
        """
        if not self.method.makes_images:
            raise InputError(f"{self.label}: makes no images: use its shape or prediction")
        found = as_cameras(cameras, self, size)
        renderer = supersampled(self.renderer, 1 if self.image_size else supersample)
        with told_progress("render", "frame", progress and len(found) > 1) as tell:
            rendering = render_in_parts(renderer, found, tell).to("cpu")
        return dataclasses.replace(rendering, cameras=found)

    def evaluate(self, data: object = None, *, lpips: str | Path | None = None) -> Scores:
        """Scores on held-out data.

        Args:
            data: Other data than the held-out part of what the run was fitted to.
            lpips: File of LPIPS weights (.safetensors); without it LPIPS is left out.

        Nothing is written. InputError if there is no held-out data.

        >>> import unrender as ur
        >>> run = ur.fit("box", "bricks", downscale=8, steps=5, progress=False)
        >>> run.evaluate()
        Scores(psnr=... dB, ssim=...)
        """
        return self.evaluation(data, lpips=lpips).scores

    def evaluation(
        self, data: object = None, *, lpips: str | Path | None = None, progress: bool = False
    ) -> Evaluation:
        """Scores on held-out data, and what a report shows beside them.

        >>> import unrender as ur
        >>> run = ur.fit("box", "bricks", downscale=8, steps=5, progress=False)
        >>> run.evaluation().scores
        Scores(psnr=... dB, ssim=...)
        """
        weights = None if lpips is None else LPIPS.read(Path(lpips))
        source = self.load_data(data)
        with told_progress("evaluate", "view", progress) as tell:
            fitted = Followed(self.method, self.model, tell, len(getattr(source, "test", ())))
            return self.method.data.evaluate(fitted, source, weights)

    def load_data(self, data: object = None) -> Any:
        """What the run was fitted to, or other data, read in the same way. InputError.

        InputError also if others are now where the run's own data were.

        >>> import unrender as ur
        >>> run = ur.fit("box", "bricks", downscale=8, steps=5, progress=False)
        >>> run.load_data()
        Dataset(bricks: train=100 views of 20×20, test=50)
        """
        kind = self.method.data
        if data is None and self.data is not None:
            return self.data
        if data is None or isinstance(data, str | Path):
            found = read_recorded(self.record, kind, None if data is None else str(data))
        else:
            found = kind.read(data, kind.options())
        # Other photographs of a place may have been given another origin.
        return found.about(self.origin) if isinstance(found, Dataset) else found

    def pose(
        self,
        images: "str | Path | Images | Picture | Views | Sequence[str | Path | Picture]",
        *,
        start: "PoseEstimate | Cameras | Run | str | Path | None" = None,
        background: "Color | None" = None,
        options: RenderAndCompare | None = None,
    ) -> PoseEstimate:
        """Estimate the cameras of images.

        A pose flow finds them from the images alone. Any other model refines a `start` by
        render-and-compare (iNeRF).

        Args:
            images: Files, or a tensor [n, height, width, 3 or 4] in [0, 1], or a list of
                [height, width, 4]; RGBA with straight alpha in files, premultiplied in tensors.
            start: What is refined: a pose flow's estimate, cameras, a file of cameras, or the
                pose flow itself.
            background: Color behind images without alpha: "white", "black", three numbers, or
                "opaque" if the background belongs to the scene. By default that of the training
                views, white where these have alpha.
            options: The refinement.

        Returns cameras with the error to expect about each axis. InputError.

        >>> import unrender as ur
        >>> data = ur.load("bricks", downscale=10)
        >>> flow = ur.fit("sit", data, width=32, depth=1, heads=2, steps=5, progress=False)
        >>> flow.pose(data.test.images[:2]).cameras
        Cameras(2 × 16×16, fov 39.6°)
        """
        return find_poses(self, images, start, background, options or RenderAndCompare())

    def make_views(
        self,
        count: int = 2000,
        *,
        size: int = 32,
        radius: tuple[float, float] | None = None,
        elevation: tuple[float, float] | None = None,
        roll: float = 0.0,
        look_at_jitter: float = 0.0,
        supersample: int = 3,
        seed: int = 0,
        progress: bool = True,
    ) -> Views:
        """Render posed images from random cameras: a dataset for a pose flow.

        Args:
            count: Number of views.
            size: Pixels per side.
            radius: Range of distances; by default that of the training cameras.
            elevation: Range of elevations in degrees; by default that of the training cameras.
            roll: Largest rotation about the optical axis, either way, in degrees.
            look_at_jitter: Radius of the ball that holds the look-at points.
            supersample: Rays per side of each pixel; 1 aliases.
            seed: Seed of the cameras.
            progress: Whether to show a progress bar.

        >>> import unrender as ur
        >>> run = ur.fit("box", "bricks", downscale=8, steps=5, progress=False)
        >>> run.make_views(4, size=16, progress=False)
        Views(4 × 16×16 RGBA, fov 39.6°, radius 4.0)
        """
        cameras = random_cameras(
            self, count, size, radius, elevation, roll, look_at_jitter, seed
        )
        if supersample < 1:
            raise InputError(f"supersample {supersample}: give at least 1")
        with told_progress("render views", "view", progress) as tell:
            return make_views(self.renderer, cameras, supersample, tell, self.behind)

    def image(self) -> Float[Tensor, "height width 3"]:
        """The image that an image-field was fitted to, over white. InputError for others.

        >>> import torch
        >>> import unrender as ur
        >>> ur.fit("image-field", torch.rand(24, 32, 3), steps=5, progress=False).image().shape
        torch.Size([24, 32, 3])
        """
        if self.method.data is not ONE_IMAGE:
            raise InputError(f"{self.label}: is not an image: render it, or use its shape")
        return over_white(fitted_image(self.fitted))

    def predict(
        self, image: "str | Path | Images", *, background: "Color | None" = None
    ) -> Shape:
        """Predict the shape in one image; see `unrender.predict`. InputError.

        >>> import torch
        >>> import unrender as ur
        >>> options = {"encoder_width": 8, "batch": 2, "steps": 2, "progress": False}
        >>> run = ur.fit("image-to-points", "chairs.npz", **options)
        >>> image = torch.zeros(32, 32, 4)
        >>> image[8:24, 8:24] = torch.tensor([0.5, 0.2, 0.1, 1.0])
        >>> run.predict(image)
        PointCloud(1024 points)
        """
        from unrender.api.shapes import predict  # noqa: PLC0415 - it imports this module

        return predict(self, image, background=background)

    def resume(
        self,
        *,
        minutes: float | None = None,
        steps: int | None = None,
        progress: bool = True,
        watch: Callable[[Any, float], None] | None = None,
    ) -> "Run":
        """Continue the fit, bit-identically where the budget is in steps.

        `minutes` or `steps` count from the first step and replace the budget that it had.

        >>> import unrender as ur
        >>> run = ur.fit("box", "bricks", downscale=8, steps=5, progress=False)
        >>> run.resume(steps=8, progress=False).steps
        8
        """
        from unrender.api.resume import resume_run  # noqa: PLC0415 - it imports this module

        return resume_run(self.record, self.data, minutes, steps, progress, watch)

    def save(self, path: str | Path) -> "Run":
        """Keep the run in a new folder, which `unrender.open` reads; returns that run.

        >>> import unrender as ur
        >>> run = ur.fit("box", "bricks", downscale=8, steps=5, progress=False)
        >>> run = run.save("runs/kept")
        >>> ur.open("runs/kept")
        Run(box on bricks, 5 steps)
        """
        folder = RunFolder.copy(self.record, Path(path))
        return dataclasses.replace(self, record=folder)


def open_run(path: str | Path, *, device: Device = "auto") -> Run:
    """Open a run folder: `unrender.open`.

    Args:
        path: The folder that `fit` was given as `out`, or `Run.save` made.
        device: "auto" takes a CUDA GPU if there is one, else the CPU.

    Raises InputError for a folder that is not a run.

    >>> import unrender as ur
    >>> run = ur.fit("box", "bricks", downscale=8, out="runs/box", steps=5, progress=False)
    >>> ur.open("runs/box")
    Run(box on bricks, 5 steps)
    >>> ur.open("no such folder")
    Traceback (most recent call last):
    unrender.errors.InputError: no such folder: is not a run folder: give the folder of a fit
    """
    return Run.open(path, device)
