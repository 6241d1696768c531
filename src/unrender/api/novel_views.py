"""Novel views of an object in photographs, or of a scene that no model was fitted to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from unrender.api.cameras import CameraPath, square, turntable
from unrender.api.pose import as_images
from unrender.api.run import Run
from unrender.api.view_models import Kind, view_model, with_sampling
from unrender.api.view_targets import check_outside, object_ball, placed
from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions, load_dataset
from unrender.data.object_photograph import (
    ObjectPhotograph,
    cut_out,
    object_views,
    read_object,
)
from unrender.data.squares import squares
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
from unrender.files import check_new, ending, replacing
from unrender.flows.data_space import OverWhite
from unrender.flows.stochastic_conditioning import sample_with_random_inputs
from unrender.geometry.cameras import Cameras
from unrender.geometry.nearest_views import nearest_views
from unrender.geometry.paths import spread_out
from unrender.imaging.color import Color
from unrender.imaging.files import STILLS, png_bytes, is_image_file
from unrender.imaging.save import contact_sheet, save_images, show_image
from unrender.imaging.video import write_video
from unrender.notes import note
from unrender.rendering.renderer import Images
from unrender.training.fit import Device
from unrender.training.method import Fitted
from unrender.training.progress import told_progress

How = Literal["nearest", "all", "random"]
"""Which of the inputs a view is made from."""
NEIGHBORS = 4
"""Nearest inputs that a view is made from, by default."""
AT_ONCE = 32
"""Views that are made at once, at most; fewer where a GPU's memory is too small."""
FILMS = (".mp4", ".gif", ".webp")
"""Endings of films; of other images several become one contact sheet."""
SIDE = 256
"""Pixels per side of views of a model that makes any size."""
