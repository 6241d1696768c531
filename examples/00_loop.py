"""The loop in a page of Python: a scene from images, images from poses, poses from images.

    python examples/00_loop.py

Everything here is small, so that it runs in about a minute on two cores; `unrender demo` runs
the same steps at a useful size.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from unrender.api.tasks import fit_run

from unrender.data.builtin import render_scene
from unrender.data.dataset import Dataset
from unrender.data.make_views import make_views
from unrender.data.views import Views
from unrender.evaluation.poses import score_poses
from unrender.evaluation.renders import evaluate_images
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.methods.instant_ngp import InstantNGP
from unrender.methods.sit import PoseFlow, SiTFlow
from unrender.training.fit import FitOptions

SIZE = 32


def cameras(count: int, seed: int) -> Cameras:
    """Cameras around the upper half of a sphere, looking at its middle."""
    generator = torch.Generator().manual_seed(seed)
    poses = spherical_shell(count, (4.0, 4.0), generator, elevation=(0.1, 1.2))
    return Cameras.from_focal(poses, 1.4 * SIZE, SIZE, SIZE)


def photographs(count: int, seed: int) -> Views:
    """True images of a chair that exists only as a formula."""
    return render_scene("chair", cameras(count, seed))


with TemporaryDirectory() as folder:
    scene = Dataset("chair", photographs(60, seed=0), photographs(8, seed=1))

    # Images -> scene.
    method = InstantNGP(log2_table_size=14, finest=64, step_size=0.0165, occupancy_cells=64)
    fitted, _ = fit_run(
        method, "chair", Path(folder) / "scene", FitOptions(minutes=0.25), scene=scene
    )
    images = evaluate_images(fitted.renderer, scene.test)
    print(f"images -> scene: {images.scores.mean_psnr:.1f} dB on views it never saw")

    # Scene -> many views -> a flow between poses and images.
    views = make_views(fitted.renderer, cameras(500, seed=2), supersample=2)
    flow, _ = fit_run(
        SiTFlow(width=128, depth=3),
        "chair",
        Path(folder) / "flow",
        FitOptions(minutes=0.4),
        scene=Dataset("chair", views, views),
    )
    assert isinstance(flow.method, SiTFlow)
    assert isinstance(flow.model, PoseFlow)

    # Poses -> images.
    images = evaluate_images(flow.renderer, scene.test)
    print(f"poses -> images: {images.scores.mean_psnr:.1f} dB, by the flow")

    # Images -> poses: the flow backwards, then refined by rendering and comparing.
    estimate = flow.method.estimate_poses(flow.model, scene.test.images)
    scores = score_poses(estimate.cameras, scene.test.cameras)
    print(f"images -> poses: {scores.rotation_deg_median:.2f} degrees, by the flow")
    refined = RenderAndCompare().estimate(fitted.renderer, scene.test.images, estimate.cameras)
    scores = score_poses(refined.cameras, scene.test.cameras)
    print(f"images -> poses: {scores.rotation_deg_median:.2f} degrees, refined on the scene")
