"""What config.json and state.json of a run folder must hold: each fault is said in one line."""

import math
from collections.abc import Mapping
from typing import Any

from unrender.errors import InputError
from unrender.files import finite_number, number, shown

MAX_SIDE = 1 << 20
"""Largest width or height of images, in pixels."""
CORRECT = "correct it, or fit again"


def checked_config(label: str, config: dict[str, Any]) -> dict[str, Any]:
    """The content of a config.json, whose `label` begins messages. InputError.

    What is there is right; which parts there must be depends on what the run is used for.
    """
    if config.get("format") != 1:
        raise InputError(
            f"{label}: format {shown(config.get('format'))} is not 1: use the version of "
            "unrender that wrote it"
        )
    for key in ("method", "fit", "data", "views"):
        if key in config and not isinstance(config[key], dict):
            raise _wrong(label, key, config[key], "an object")
    _check_texts(label, "method", config.get("method", {}), ("name", "preset", "reason"))
    _check_texts(label, "data", config.get("data", {}), ("source", "scene"))
    if "views" in config:
        _check_views(label, config["views"])
    return config


def _check_texts(
    label: str, where: str, values: Mapping[str, Any], keys: tuple[str, ...]
) -> None:
    for key in keys:
        if not isinstance(values.get(key), str | None):
            raise _wrong(label, f"{where}.{key}", values[key], "a text")


def _check_views(label: str, views: Mapping[str, Any]) -> None:
    """The description of the training views, of which some keys are newer than others."""
    for key in ("width", "height"):
        side = _integer(label, f"views.{key}", views.get(key))
        if not 1 <= side <= MAX_SIDE:
            raise _wrong(label, f"views.{key}", side, f"from 1 to {MAX_SIDE}")
    intrinsics = views.get("intrinsics")
    if not isinstance(intrinsics, list) or len(intrinsics) != 3:
        raise _wrong(label, "views.intrinsics", intrinsics, "a 3×3 matrix")
    rows = [_numbers(label, "views.intrinsics", row, 3) for row in intrinsics]
    if rows[0][0] <= 0 or rows[1][1] <= 0:
        raise _wrong(label, "views.intrinsics", intrinsics, "one with positive focal lengths")
    radius = _numbers(label, "views.radius", views.get("radius"), 2)
    if not 0 <= radius[0] <= radius[1]:
        raise _wrong(label, "views.radius", radius, "two distances, the smaller one first")
    if "elevation_deg" in views:
        _numbers(label, "views.elevation_deg", views["elevation_deg"], 2)
    if views.get("background") is not None:
        _numbers(label, "views.background", views["background"], 3)
    if not isinstance(views.get("opaque", False), bool):
        raise _wrong(label, "views.opaque", views["opaque"], "true or false")


def checked_state(label: str, state: dict[str, Any], remedy: str) -> dict[str, Any]:
    """The content of a state.json; messages end with `remedy`. InputError."""
    try:
        for key in ("step", "count"):
            if _integer(label, key, state.get(key)) < 0:
                raise _wrong(label, key, state[key], "0 or more")
        if finite_number(label, "seconds", state.get("seconds")) < 0:
            raise _wrong(label, "seconds", state["seconds"], "0 or more")
        if not isinstance(state.get("finished"), bool):
            raise _wrong(label, "finished", state.get("finished"), "true or false")
        if not isinstance(state.get("sums"), dict):
            raise _wrong(label, "sums", state.get("sums"), "an object")
        for name, value in state["sums"].items():
            if not math.isfinite(number(label, f"sums.{name:.40}", value)):
                raise _wrong(label, f"sums.{name:.40}", value, "a finite number")
    except InputError as error:
        raise InputError(f"{str(error).rpartition(';')[0] or error}; {remedy}") from error
    return state


def _integer(label: str, what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 10**15:
        raise _wrong(label, what, value, "an integer")
    return value


def _numbers(label: str, what: str, value: Any, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise _wrong(label, what, value, f"a list of {count} numbers")
    return [finite_number(label, what, each) for each in value]


def _wrong(label: str, what: str, value: object, wanted: str) -> InputError:
    return InputError(f"{label}: {what} is {shown(value)}, not {wanted}; {CORRECT}")
