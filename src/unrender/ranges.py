"""Ranges of numeric options: each is declared once, and checked once, before any work.

An option's range stands in its type, `Annotated[int, Range(1, 64)]`, or here by its name, where
several methods have an option of that name and meaning. The command line and dataclasses of
options check it, and the help shows it. Nothing here imports torch.
"""

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from functools import cache
from typing import Any

from unrender.errors import InputError

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Range:
    """The numbers that an option may have; never NaN or infinity."""

    least: int | float
    most: int | float = math.inf
    above: bool = False
    """Whether `least` itself is excluded."""
    below: bool = False
    """Whether `most` itself is excluded."""

    def fault(self, value: Any) -> str | None:
        """What is wrong with a value, as what to give instead; None if nothing is."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "give a number"
        if isinstance(value, float) and not math.isfinite(value):
            return f"give a finite number, {self}"
        if value < self.least or (self.above and value <= self.least):
            return f"give {'more than' if self.above else 'at least'} {_text(self.least)}"
        if value > self.most or (self.below and value >= self.most):
            return f"give {'less than' if self.below else 'at most'} {_text(self.most)}"
        return None

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'at least'} {_text(self.least)}"
        if self.most == math.inf:
            return low
        if not self.above and not self.below:
            return f"{_text(self.least)} to {_text(self.most)}"
        return f"{low}, {'below' if self.below else 'at most'} {_text(self.most)}"


def _text(value: int | float) -> str:
    if isinstance(value, int) and abs(value) >= 2**31:
        return f"2^{(value + 1).bit_length() - 1}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


WHOLE, FLOAT = Range(-(2**63), MAX_SEED), Range(-1e15, 1e15)
"""For options whose range is not declared, such as arguments of commands."""
COUNT, SOME = Range(1, 1 << 24), Range(0, 1 << 24)
SIDE, SHARE = Range(1, 1 << 16), Range(0, 1)
RATE, WEIGHT = Range(0, 1e4), Range(0, 1e8)
POSITIVE, PART = Range(0, 1e9, above=True), Range(0, 1, above=True)
LAYERS = Range(0, 256)

_BY_RANGE: tuple[tuple[Range, str], ...] = (
    (COUNT, """rays batch samples max_rays occupancy_queries target_points query_points points
        pool_size fresh inputs targets initial_gaussians max_gaussians count pixels faces
        background_points"""),
    (SOME, """steps crop_steps extra_samples refine_steps image_steps inversion_steps warm_up
        modes coarse_steps fine_steps newton_steps relocate_every appearance
        elastic_samples"""),
    (SIDE, """bins coarse_bins proposal_bins second_bins fine_bins coarse_samples cells
        update_every log_every checkpoint_every views regions max_image_side size image_size fps
        frames coarsest channels features code codes ambient texture"""),
    (Range(1, 1 << 14), """width color_width proposal_width encoder_width small_width bottleneck
        fourier_features heads patch finest proposal_finest coarse_vertices search_width planes
        hidden deformation_width slicing_width"""),
    (Range(1, 1024), """resolution volume_resolution occupancy_cells preview_cells voxels"""),
    (Range(1, 256), """depth encoder_depth proposal_depth small_depth deformation_depth
        slicing_depth blocks"""),
    (LAYERS, """layers color_layers skip frequencies direction_frequencies refinements
        upsample_rounds rounds bisections proposals search_layers deformation_frequencies
        epipolar_layers view_layers neighborhood deformation_skip slicing_frequencies
        slicing_skip ambient_frequencies"""),
    (Range(1, 64), "levels initial_levels"),
    (Range(1, 26), "log2_table_size"),
    (Range(0, 3), "sh_degree"),
    (Range(0, 7), "level"),
    (Range(1, 16), "supersample"),
    (Range(0, MAX_SEED), "seed noise_seed"),
    (RATE, """learning_rate camera_learning_rate table_learning_rate pose_learning_rate
        density_learning_rate color_learning_rate grid_learning_rate network_learning_rate
        mean_learning_rate scale_learning_rate rotation_learning_rate opacity_learning_rate
        width_learning_rate deformation_learning_rate rate final_rate"""),
    (PART, """learning_rate_decay color_learning_rate_decay mean_learning_rate_decay late_decay
        refine_until coarse_share degree_every"""),
    (SHARE, """delay cooldown variation_share variation_until grow_until relocate_from
        relocate_until anneal_until gradient_share random_points end_share start_share
        opaque_share dropped_share window_until levels_until ambient_until
        occupancy_decay detail similarity
        threshold box_threshold prune_threshold"""),
    (Range(0, 1, below=True), "beta2 average_decay average"),
    (Range(0, 1, above=True, below=True), "initial_opacity"),
    (POSITIVE, """minutes density initial_softness final_softness softness density_gain
        step_size half_width far initial_density initial_scale radius initial_width
        tolerance gain fourier_scale omega epsilon stop_optical_depth
        smoothness"""),
    (WEIGHT, """charbonnier max_norm noise coarse_weight interlevel distortion huber
        weight_decay final_width growth near translation_penalty rotation_penalty orientation
        density_variation color_variation sample_weight entropy_weight opacity_weight
        scale_weight silhouette laplacian
        consistency mask_weight eikonal_weight normal_weight source_noise normals edges normal
        edge occupied_weight blend_weight search_weight roll look_at_jitter elastic
        background still"""),
    (Range(0, 100), "guidance time_spread"),
    (Range(-100, 100), "density_shift time_mean"),
)  # fmt: skip
BY_NAME = {name: limits for limits, names in _BY_RANGE for name in names.split()}
"""Ranges of the options that have one meaning wherever they are."""


def declared(name: str, hint: Any) -> Range | None:
    """The range of an option with this name and type; None if it is no number."""
    plain = hint
    if typing.get_origin(hint) is typing.Annotated:
        plain, *extras = typing.get_args(hint)
        for extra in extras:
            if isinstance(extra, Range):
                return extra
    if typing.get_origin(plain) in (types.UnionType, typing.Union):
        plain = next(each for each in typing.get_args(plain) if each is not type(None))
    if typing.get_origin(plain) is tuple:
        return FLOAT if set(typing.get_args(plain)) <= {int, float, Ellipsis} else None
    if plain not in (int, float):
        return None
    return BY_NAME.get(name, WHOLE if plain is int else FLOAT)


@cache
def ranges_of(kind: type) -> dict[str, Range]:
    """The ranges of a dataclass's numeric fields."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = {each.name: declared(each.name, hints[each.name]) for each in _fields(kind)}
    return {name: limits for name, limits in found.items() if limits is not None}


def check_ranges(options: Any) -> None:
    """InputError, which names it, for a numeric field of a dataclass outside its range.

    None is no number, and passes.
    """
    for name, limits in ranges_of(type(options)).items():
        value = getattr(options, name)
        if value is not None:
            check_range(name, value, limits)


def check_range(name: str, value: Any, limits: Range) -> None:
    """InputError, which begins with `name`, for a number, or one of several, out of range."""
    for each in value if isinstance(value, tuple | list) else (value,):
        fault = limits.fault(each)
        if fault is not None:
            raise InputError(f"{name} {_shown(each)}: {fault}")


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10**40:
        return "(more than 40 digits)"
    return f"{value:g}" if isinstance(value, float) else f"{value!r:.60}"


def _fields(kind: Any) -> tuple["dataclasses.Field[Any]", ...]:
    return dataclasses.fields(kind)
