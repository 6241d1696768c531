"""What a demo can do in its time: the size of images, and how many views judge it."""

import dataclasses
import math
import time

import torch

from unrender.api.automatic import choice_for, reason_of
from unrender.api.pose import refine
from unrender.api.run import Run
from unrender.data.dataset import Dataset
from unrender.data.load import downscaled
from unrender.data.squares import square_focal, squares
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.flows.checks import FIELD_OF_VIEW_TOLERANCE
from unrender.geometry.paths import evenly
from unrender.inverse.photometric_poses import RenderAndCompare
from unrender.rendering.renderer import PoseEstimate

FLOW_SIZE = 32
"""Pixels a side of the flow's images."""
LARGEST = 640
"""Longer side of the photographs in pixels; larger ones are downscaled."""
MAX_TEST_VIEWS = 50
"""Held-out views that are used; evenly spaced ones of more."""
REFINE_SHARE = 0.24
"""Fraction of the demo's minutes that refining the poses of held-out views may take."""
FEWEST_TEST_VIEWS = 3
"""Held-out views that are used at least, however slow their refinement is."""
PROBED_VIEWS, PROBED_STEPS = 4, 4


def prepared(scene: Dataset) -> tuple[Dataset, str, str]:
    """The scene at a size for minutes, the preset that suits it, and why. InputError.

    Test views are at most MAX_TEST_VIEWS, of the field of view that the flow can render.
    """
    # The flow knows poses and no times, so that it learns a scene that stands still.
    train, test = (
        dataclasses.replace(views, cameras=views.cameras.at_times(None))
        for views in (scene.train, scene.test)
    )
    scene = dataclasses.replace(scene, train=train, test=test)
    choice = choice_for(scene)
    if not len(scene.test):
        raise InputError(f"{scene.name}: the demo needs held-out views: give more images")
    longest = int(scene.train.cameras.sizes.rows.max())
    if longest > LARGEST:
        scene = downscaled(scene, math.ceil(longest / LARGEST))
    test = scene.test.select(torch.tensor(evenly(MAX_TEST_VIEWS, len(scene.test))))
    found = squares(test, FLOW_SIZE, square_focal(scene.train)).cameras
    wanted = FLOW_SIZE * square_focal(scene.train)
    off = (found.focal - wanted).abs() < FIELD_OF_VIEW_TOLERANCE * FLOW_SIZE
    if bool(off.any()):
        test = test.select(off)
    return dataclasses.replace(scene, test=test), choice.preset, reason_of(choice)


def affordable(
    scene_run: Run, scene: Dataset, minutes: float, refinement: RenderAndCompare
) -> Dataset:
    """The scene with as many held-out views, evenly spaced, as are refined within the time."""
    large = squares_of(scene, scene.test[:PROBED_VIEWS])
    half = PROBED_STEPS // 2
    probe = dataclasses.replace(refinement, coarse_steps=half, fine_steps=half, newton_steps=1)
    unknown = torch.zeros(len(large))
    start = PoseEstimate.isotropic(large.cameras, unknown, unknown)
    seconds = 0.0
    for _ in range(2):  # The first time compiles.
        began = time.perf_counter()
        refine(scene_run, large.opaque, start, large.background, probe)
        seconds = time.perf_counter() - began
    # Beside gradient steps, twelve renders tell the expected error. Half of the views have two
    # modes.
    longer = (refinement.coarse_steps + refinement.fine_steps) / (PROBED_STEPS + 6)
    if scene_run.method.antialiased:
        longer = refinement.newton_steps
    view = 1.5 * longer * seconds / len(large)
    count = int(60 * REFINE_SHARE * minutes / view)
    chosen = evenly(max(FEWEST_TEST_VIEWS, count), len(scene.test))
    return dataclasses.replace(scene, test=scene.test.select(torch.tensor(chosen)))


def squares_of(scene: Dataset, views: Views, size: int | None = None) -> Views:
    """The squares of some views that the flow sees, by default as large as they are."""
    known = scene.train.cameras
    focal = None if has_one_square_lens(scene) else square_focal(scene.train)
    return squares(views, size or int(known.sizes.rows.min()), focal)


def has_one_square_lens(scene: Dataset) -> bool:
    """Whether the photographs are squares of one size and field of view."""
    known = scene.train.cameras
    if known.sizes.mixed or known.width != known.height:
        return False
    return bool((known.intrinsics - known.intrinsics[0]).abs().max() < 1e-3 * known.width)
