"""Presets: all of them build, by their names and by the names they had before."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import golden
import pytest
import torch

from unrender import methods
from unrender.errors import InputError
from unrender.methods import describe, from_description, method_class
from unrender.methods.presets import (
    BASES,
    PRESETS,
    TASKS,
    find_preset,
    nearest,
)
from unrender.methods.presets.listing import Presets
from unrender.methods.presets.renamed import ADDED_OPTIONS, RENAMED, RENAMED_OPTIONS
from unrender.methods.presets.sizes import MEGABYTES
from unrender.training.method import DataKind, Method


@pytest.mark.parametrize("name", BASES)
def test_every_class_is_where_its_name_says(name: str) -> None:
    kind = method_class(name)
    assert issubclass(kind, Method)
    assert dataclasses.is_dataclass(kind)
    assert isinstance(kind.data, DataKind)
    assert describe(kind())["name"] == name


def test_every_preset_builds() -> None:
    for name, preset in PRESETS.items():
        method = preset.method()
        assert type(method) is method_class(preset.base), name
        for option, value in preset.options.items():
            assert getattr(method, option) == value, name
        assert preset.task in TASKS
        assert (preset.minutes is None) or preset.minutes > 0
        assert preset.size in preset.summary
        assert preset.paper
        assert preset.purpose in preset.summary
        assert preset.paper in preset.summary


def test_the_tables_have_the_same_methods() -> None:
    assert set(BASES) == {preset.base for preset in PRESETS.values()}
    modules = {file.stem for file in Path(methods.__path__[0]).glob("*.py")}
    named = {place.split(":")[0] for place, _ in BASES.values()}
    assert named <= modules


@pytest.mark.parametrize("name", PRESETS)
def test_a_description_gives_the_method_back(name: str) -> None:
    method = PRESETS[name].method()
    described = describe(method, name)
    assert described["preset"] == name
    assert from_description(described, "x") == method


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_old_names_resolve(old: str, new: str) -> None:
    assert old not in PRESETS
    assert find_preset(old) is PRESETS[new]
    # Runs of a method whose name changed open again.
    if old in {"mesh", "fit-sdf", "fit-occupancy"}:
        method = PRESETS[new].method()
        assert from_description({**describe(method), "name": old}, "x") == method


@pytest.mark.parametrize("name", ADDED_OPTIONS)
def test_runs_that_lack_an_added_option_open(name: str) -> None:
    method = method_class(name)()
    described = describe(method)
    for option in ADDED_OPTIONS[name]:
        del described["options"][option]
    assert from_description(described, "x") == method


def test_underscores_and_capitals_are_accepted() -> None:
    assert find_preset("Instant_NGP_Fast") is PRESETS["instant-ngp-fast"]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("instant-npg", "Did you mean instant-ngp"),
        ("nefr", "nerf"),
        ("gausian-splatting", "gaussian-splatting"),
        ("photosynthesis", "unrender.methods"),
    ],
)
def test_the_nearest_names_are_suggested(wrong: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint) as caught:
        find_preset(wrong)
    assert wrong in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("levls", "Did you mean levels"), ("batch_siz", r"has no option 'batch_siz'")],
)
def test_the_nearest_options_are_suggested(wrong: str, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        PRESETS["instant-ngp-fast"].method(**{wrong: 1})


def test_options_over_those_of_the_preset() -> None:
    preset = PRESETS["nerf-fast"]
    method = preset.method(width=32)
    assert method == dataclasses.replace(preset.method(), width=32)


def test_options_of_other_names_lead_to_options_that_exist() -> None:
    loop = {"steps", "minutes", "out"}
    fields = [dataclasses.fields(method_class(name)) for name in BASES]
    known = loop | {field.name for each in fields for field in each}
    for old, new in RENAMED_OPTIONS.items():
        assert new in known, f"{old} is said to be {new} now"


def test_what_is_like_nothing_has_no_suggestion() -> None:
    assert nearest("xyzzy", ["levels"]) == "."
    assert nearest("levels", ["levels"]) == ". Did you mean levels?"


def test_the_module_is_the_listing() -> None:
    listing = Presets()
    assert list(methods) == list(listing) == list(PRESETS)
    assert len(methods) == len(PRESETS)
    assert methods["nerf"] is PRESETS["nerf"]
    assert "nerf" in methods
    assert "no such method" not in methods
    assert methods.values() == list(PRESETS.values())
    assert methods.keys() == list(PRESETS)
    assert dict(methods.items()) == PRESETS
    assert repr(methods) == repr(listing)
    for name, preset in PRESETS.items():
        assert name in repr(listing)
        assert preset.purpose in repr(listing)
    html = methods._repr_html_()
    assert html.count("<tr>") == len(PRESETS) + len(TASKS)
    assert {p.name for _, group in methods.by_task() for p in group} == set(PRESETS)


def test_the_list_comes_without_torch() -> None:
    code = (
        "import sys; from unrender.methods import presets; "
        "from unrender.methods.presets import listing; repr(listing.Presets()); "
        "import unrender; repr(unrender.methods); presets.find_preset('nerf'); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", [name for name, size in MEGABYTES.items() if size < 20])
def test_the_size_of_a_small_model_is_as_listed(name: str) -> None:
    method = PRESETS[name].method()
    model = method.build(golden.case_for(method).data, torch.Generator().manual_seed(0))
    found = sum(each.numel() * each.element_size() for each in model.state_dict().values())
    assert found / 1e6 == pytest.approx(MEGABYTES[name], rel=0.1, abs=0.01)


def test_every_size_is_listed() -> None:
    assert MEGABYTES.keys() == PRESETS.keys()


ADAM: dict[str, Any] = {
    "learning_rate": 1e-4, "learning_rate_decay": 1.0, "warm_up": 1, "beta2": 0.999,
    "weight_decay": 0.0, "max_norm": 0.0,
}  # fmt: skip
"""A constant rate, and nothing that Adam does not have."""

PAPERS: dict[str, dict[str, Any]] = {
    # Mildenhall et al. 2020, sec. 5.3 and the authors' code.
    "nerf": {
        "width": 256, "depth": 8, "frequencies": 10, "direction_frequencies": 4,
        "coarse_bins": 64, "fine_bins": 128, "rays": 4096, "learning_rate": 5e-4,
        "learning_rate_decay": 0.1, "beta2": 0.999, "identity": True, "crop_steps": 500,
    },
    # Barron et al. 2021, sec. 4 and the authors' code.
    "mip-nerf": {
        "width": 256, "depth": 8, "frequencies": 16, "direction_frequencies": 4, "bins": 128,
        "rays": 4096, "learning_rate": 5e-4, "learning_rate_decay": 0.01, "warm_up": 2500,
        "coarse_weight": 0.1, "density_shift": -1.0, "beta2": 0.999,
    },
    # Barron et al. 2022, supplement, and the authors' settings for 360° scenes and Blender's.
    "mip-nerf-360": {
        "width": 1024, "depth": 8, "proposal_width": 256, "proposal_depth": 4,
        "frequencies": 12,
        "bottleneck": 256, "color_width": 128, "proposals": 2, "proposal_bins": 64, "bins": 32,
        "near": 0.2, "far": 1e6, "distortion": 0.01, "charbonnier": 1e-3, "max_norm": 1e-3,
        "learning_rate": 2e-3, "learning_rate_decay": 0.01, "warm_up": 512, "dilation": True,
        "single_jitter": True, "opaque_background": True, "interlevel": 1.0, "beta2": 0.999,
    },
    "mip-nerf-360-object": {
        "unbounded": False, "distortion": 0.0, "charbonnier": 0.0, "basis": "axes",
        "frequencies": 16,
    },
    # Park et al. 2021, sec. 4 and the authors' settings for the validation rig.
    "nerfies": {
        "width": 256, "depth": 8, "frequencies": 8, "direction_frequencies": 4,
        "coarse_bins": 128, "fine_bins": 128, "rays": 6144, "learning_rate": 1e-3,
        "codes": 8, "appearance": 2, "deformation_frequencies": 8, "deformation_width": 128,
        "deformation_depth": 6, "deformation_skip": 4, "window_until": 0.8,
        "deformation": "rigid", "elastic": 1e-3, "elastic_samples": 0, "background": 1.0,
    },
    # Park et al. 2021 (HyperNeRF), the authors' settings for the validation rig.
    "hypernerf": {
        "width": 256, "depth": 8, "frequencies": 8, "coarse_bins": 128, "fine_bins": 128,
        "rays": 6144, "learning_rate": 1e-3, "learning_rate_decay": 0.1, "codes": 8,
        "appearance": 8, "deformation_frequencies": 6, "ambient": 2, "ambient_frequencies": 1,
        "slicing_frequencies": 6, "slicing_width": 64, "slicing_depth": 6, "slicing_skip": 4,
        "elastic": 0.0, "background": 1.0,
    },
    # Tancik et al. 2023, and nerfstudio 1.1.
    "nerfacto": {
        "levels": 16, "log2_table_size": 19, "coarsest": 16, "finest": 2048, "width": 64,
        "proposal_finest": 128, "proposal_bins": 256, "second_bins": 96, "bins": 48,
        "near": 0.05, "spacing": "piecewise", "single_jitter": True, "appearance": 32,
        "rays": 4096, "learning_rate": 1e-2, "distortion": 2e-3, "translation_penalty": 1e-2,
        "rotation_penalty": 1e-3, "interlevel": 1.0,
    },
    # Suhail et al. 2022, and the authors' settings for forward-facing scenes.
    "light-field": {
        "views": 10, "samples": 128, "width": 256, "heads": 1, "hidden": 256,
        "epipolar_layers": 8, "view_layers": 8, "neighborhood": 2, "frequencies": 4,
        "search_layers": 0, "residual": False, "learning_rate": 2e-3,
        "learning_rate_decay": 0.01, "warm_up": 2500,
    },
    # Gkioxari et al. 2019: the authors' settings for a sphere on ShapeNet.
    "image-to-mesh": {
        "level": 4, "samples": 5000, "squared": True, "edge": 0.2, "normal": 0.0,
        "laplacian": 0.0, "batch": 64, **ADAM,
    },
    # Fan et al. 2017, sec. 3.2 and the authors' code.
    "image-to-points": {
        "points": 1024, "squared": True, "begin_at_shapes": False, "batch": 32, **ADAM,
        "learning_rate": 3e-5,
    },
    # Xie et al. 2019, Pix2Vox-F, and the authors' code.
    "image-to-voxels": {
        "channels": 128, "pointwise": True, "occupied_weight": 1.0, "batch": 64, **ADAM,
        "learning_rate": 1e-3,
    },
    # Mescheder et al. 2019, supplement, and the authors' settings for images.
    "image-to-occupancy": {
        "encoder_width": 64, "regions": 1, "code": 256, "width": 256, "blocks": 5,
        "query_points": 2048, "cells": 128, "threshold": 0.2, "batch": 64, **ADAM,
    },
    # Ma et al. 2024, table of sizes, and the authors' code.
    **{
        f"sit-{name}-{patch}": {
            "patch": patch, "width": width, "depth": depth, "heads": heads, "batch": 256,
            "muon": False, "average_decay": 0.9999, **ADAM,
        }
        for name, width, depth, heads in (
            ("s", 384, 12, 6), ("b", 768, 12, 12), ("l", 1024, 24, 16), ("xl", 1152, 28, 16)
        )
        for patch in (2, 4, 8)
    },
}  # fmt: skip
"""Published values of options, by preset."""


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_sizes_are_as_published(name: str) -> None:
    method = PRESETS[name].method()
    assert {option: getattr(method, option) for option in PAPERS[name]} == PAPERS[name]
