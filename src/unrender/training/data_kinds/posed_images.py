"""Posed images: what radiance fields, surfaces and pose flows are fitted to."""

import dataclasses
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from unrender.data.capture import is_cut_out
from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions, load_dataset
from unrender.data.squares import squares
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.evaluation.lpips import LPIPS
from unrender.evaluation.poses import PoseScores, score_poses
from unrender.evaluation.renders import ImageEvaluation, evaluate_images
from unrender.evaluation.scores import Scores
from unrender.geometry.bounds import scene_center
from unrender.rendering.renderer import PoseEstimate
from unrender.training.method import DataKind, Description, Evaluation, Fitted


@dataclass(frozen=True)
class ViewsEvaluation:
    """A model's images and poses beside the held-out views."""

    views: Views
    images: ImageEvaluation | None
    """For methods that render images."""
    estimate: PoseEstimate | None
    """For methods that estimate poses; `poses` are its errors."""
    poses: PoseScores | None


class PosedImages(DataKind[Dataset, Views]):
    """Images with the cameras that took them, split into training and held-out views."""

    name: ClassVar[str] = "posed images"
    options: ClassVar[type[Any]] = LoadOptions

    def read(self, source: object, options: LoadOptions) -> Dataset:
        if isinstance(source, Dataset):
            return source
        if isinstance(source, Views):
            return Dataset.of_views(source)
        if isinstance(source, str | Path):
            return load_dataset(source, options)
        raise InputError(
            f"{type(source).__name__}: is not posed images: give a path, the name of a "
            "built-in scene, a Dataset or Views"
        )

    def training(self, data: Dataset) -> Views:
        return data.train

    def describe(self, data: Dataset) -> Description:
        views = data.train
        source: dict[str, Any] = {"source": data.source, "scene": data.name}
        if data.options is not None:
            source |= dataclasses.asdict(data.options)
        return Description(
            {**source, "train_views": len(data.train), "test_views": len(data.test)},
            views.cameras,
            views.names or tuple(f"view {k}" for k in range(len(views))),
            chain(
                [views.cameras.world_from_camera, *_moments(views)],
                map(views.store.__getitem__, range(len(views))),
            ),
            None if views.background is None else views.background.tolist(),
            not is_cut_out(views),
            origin=views.origin,
        )

    def evaluate(
        self, fitted: Fitted[Any], data: Dataset, lpips: LPIPS | None = None
    ) -> Evaluation:
        """PSNR, SSIM and LPIPS of rendered images, and errors of estimated poses."""
        if not len(data.test):
            raise InputError(
                f"{data.name}: has no held-out views: name other data to evaluate on"
            )
        method, test = fitted.method, data.test
        size = fitted.image_size
        if size is not None:
            test = squares(test, size)
        sizes = test.cameras.sizes
        scores: dict[str, Any] = {"scene": data.name, "num_views": len(test)}
        if sizes.mixed:
            scores["sizes"] = sizes.rows.tolist()
        else:
            scores["width"], scores["height"] = sizes.one
        images: ImageEvaluation | None = None
        if method.makes_images:
            images = evaluate_images(fitted.renderer, test, lpips)
            scores |= {
                "background": images.background,
                **images.scores.to_json(),
                "lpips_net": "weights not given" if lpips is None else lpips.net,
                "seconds_per_view": images.seconds / len(test),
                "model_mb": fitted.megabytes,
            }
        estimate: PoseEstimate | None = None
        poses: PoseScores | None = None
        if method.finds_poses:
            large = squares(data.test, int(data.test.cameras.sizes.rows.min()))
            estimate = fitted.estimate_poses(large.rgba)
            center = scene_center((data.train if len(data.train) else test).cameras)
            poses = score_poses(estimate.cameras, test.cameras, center)
            scores["poses"] = poses.to_json()
        return Evaluation(Scores(scores), ViewsEvaluation(test, images, estimate, poses))


def _moments(views: Views) -> list[Tensor]:
    """What tells the moments of one scene that moves from those of another: times and ids."""
    ids, times = views.ids, views.cameras.times
    found = [] if times is None else [times]
    return found if ids is None else [*found, ids.appearance, ids.deformation, ids.camera]


POSED_IMAGES = PosedImages()
