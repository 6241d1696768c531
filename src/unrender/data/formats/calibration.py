"""Intrinsics and lenses in transforms.json, by the keys of nerfstudio and instant-ngp.

What stands in a frame takes precedence over what stands in the file. Keys that change the
geometry of images in a way that is not read are refused, never ignored.
"""

import math
from typing import Any, cast

from unrender.errors import InputError
from unrender.files import Json, finite_number, shown
from unrender.geometry.lenses import LENS_MODELS, Lens
from unrender.geometry.undistortion import Calibration
from unrender.imaging.orientation import same_aspect

FOCAL = {
    "x": ("fl_x", "x_fov", "camera_angle_x"),
    "y": ("fl_y", "y_fov", "camera_angle_y"),
}
"""Keys of the focal length: in pixels, or the field of view in degrees, or in radians."""
COEFFICIENTS = (
    *(f"k{n}" for n in range(7)),
    *("p0", "p1", "p2", "sx1", "sy1", "s0", "s1", "s2", "s3", "omega"),
)
PERSPECTIVE, FISHEYE = ("k1", "k2", "k3", "p1", "p2"), ("k1", "k2", "k3", "k4", "p1", "p2")
"""Coefficients that nerfstudio applies, whatever the model's name is."""
LIST = ("k1", "k2", "k3", "k4", "p1", "p2")
"""Order of nerfstudio's `distortion_params`."""
REFUSED = {
    **{f"ftheta_p{n}": "an f-theta lens" for n in range(5)},
    "fisheye624_params": "a lens of the model FISHEYE624",
    "halflatlong": "a half panorama",
    "equirectangular": "a panorama of equal areas",
    "orthographic": "an orthographic camera",
    "rolling_shutter": "a rolling shutter",
    "sk_x": "skew",
    "sk_y": "skew",
}
"""Keys of other lenses and cameras."""


def frame_calibration(
    label: str, shared: Json, frame: Json, width: int, height: int
) -> Calibration:
    """The camera of an image of `width`×`height` pixels, by the keys of a frame and its file.

    `label` names the frame in messages. `w` and `h` are the size that focal length and
    principal point refer to. An image twice as wide as high, without any focal length and
    model, is a panorama. Raises InputError.
    """
    values = _together(shared, frame)
    _refuse_other_cameras(label, values)
    model = _model(label, values)
    given = any(key in values for keys in FOCAL.values() for key in keys)
    if model == "EQUIRECTANGULAR" or (model is None and not given and width == 2 * height):
        return Calibration.panorama(width, height)
    lens = _lens(label, model, values)
    across, down = _scale(label, values, width, height)
    focal = _focal(label, values, (width, height), (across, down))
    center = (
        _center(label, "cx", values, across, width / 2),
        _center(label, "cy", values, down, height / 2),
    )
    if "w" not in values and _is_turned(center, width, height):
        raise InputError(
            f"{label}: is {width}x{height}, but its principal point is the middle of "
            f"{height}x{width} pixels: give the frame the intrinsics of its own camera"
        )
    return Calibration.checked(label, lens, focal, center, (width, height))


def _is_turned(center: tuple[float, float], width: int, height: int) -> bool:
    """Whether a principal point is in the middle of an image of the other orientation only."""
    x, y = center
    near = 0.02 * max(width, height)
    middle_of_other = abs(x - height / 2) < near and abs(y - width / 2) < near
    return middle_of_other and abs(width - height) > 0.1 * max(width, height)


def _together(shared: Json, frame: Json) -> Json:
    """The keys of a file and a frame that are not null; the frame's come first."""
    own = {key: value for key, value in frame.items() if value is not None}
    file = {key: value for key, value in shared.items() if value is not None}
    dropped: set[str] = set()
    focal_keys = {key for keys in FOCAL.values() for key in keys}
    if focal_keys & own.keys():
        dropped |= focal_keys
    coefficients = {*COEFFICIENTS, "distortion_params"}
    other_model = any(
        key in own and own[key] != file.get(key) for key in ("camera_model", "is_fisheye")
    )
    if other_model and coefficients & own.keys():
        dropped |= coefficients
    if "camera_model" in own:
        dropped.add("is_fisheye")
    return {key: value for key, value in file.items() if key not in dropped} | own


def _refuse_other_cameras(label: str, values: Json) -> None:
    for key, what in REFUSED.items():
        value = values.get(key)
        if value and (not isinstance(value, list) or any(cast(list[Any], value))):
            raise InputError(
                f"{label}: `{key}` is {shown(value)}: {what} is not supported; undistort the "
                "images to a pinhole camera first"
            )
    ends = [values.get(f"transform_matrix_{end}") for end in ("start", "end")]
    if ends[0] != ends[1]:
        raise InputError(
            f"{label}: `transform_matrix_start` and `transform_matrix_end` differ: motion "
            "during the exposure is not supported; give one `transform_matrix`"
        )


def _model(label: str, values: Json) -> str | None:
    """Name of the lens model in `LENS_MODELS`, or None if none is named."""
    given = values.get("camera_model")
    model = None
    if given is not None:
        model = str(given).upper()
        if model not in LENS_MODELS:
            raise InputError(
                f"{label}: `camera_model` {shown(given)} is not supported: undistort the "
                "images to PINHOLE first, or give another model of this lens"
            )
    for key in ("is_fisheye", "latlong"):
        if values.get(key, False) not in (False, True):
            raise InputError(f"{label}: `{key}` is {shown(values[key])}; give true or false")
    if values.get("is_fisheye"):
        if model is not None and LENS_MODELS[model].projection != "fisheye":
            raise InputError(
                f"{label}: `is_fisheye` is true, but `camera_model` is {shown(given)}: remove "
                "the one that is wrong"
            )
        model = model or "OPENCV_FISHEYE"
    return "EQUIRECTANGULAR" if values.get("latlong") else model


def _lens(label: str, model: str | None, values: Json) -> Lens:
    given: Json = dict(values)
    listed = given.get("distortion_params")
    if listed is not None:
        if not isinstance(listed, list) or len(cast(list[Any], listed)) != len(LIST):
            raise InputError(
                f"{label}: `distortion_params` is {shown(listed)}; give {', '.join(LIST)}"
            )
        given |= dict(zip(LIST, cast(list[Any], listed), strict=True))
    found = {
        key: finite_number(label, f"`{key}`", given[key])
        for key in (*COEFFICIENTS, "k", "alpha", "beta")
        if key in given
    }
    known = LENS_MODELS[model or "OPENCV"]
    usual = {"perspective": PERSPECTIVE, "fisheye": FISHEYE}.get(known.projection, ())
    if model == "RAD_TAN_THIN_PRISM_FISHEYE":
        usual = ()
    accepted = {*usual, *known.coefficients}
    for key in COEFFICIENTS:
        if found.get(key) and key not in accepted:
            raise InputError(
                f"{label}: `{key}` is {found[key]:g}, which {model or 'OPENCV'} does not have: "
                "name the lens by `camera_model`, such as FULL_OPENCV or OPENCV_FISHEYE"
            )
    return Lens.of(model or "OPENCV", {key: found[key] for key in accepted & found.keys()})


def camera_size(label: str, shared: Json, frame: Json) -> tuple[float, float] | None:
    """`w` and `h`, the size that intrinsics refer to; None if one is missing. InputError."""
    values = _together(shared, frame)
    width, height = (_positive(label, key, values) for key in ("w", "h"))
    return None if width is None or height is None else (width, height)


def _scale(label: str, values: Json, width: int, height: int) -> tuple[float, float]:
    """Width and height of the image relative to `w` and `h`. InputError for other aspects."""
    wide, high = (_positive(label, key, values) for key in ("w", "h"))
    if wide is None or high is None:
        factor = width / wide if wide else height / high if high else 1.0
        return factor, factor
    if not same_aspect((width, height), (wide, high)):
        raise InputError(
            f"{label}: is {width}x{height}, but its camera has {wide:g}x{high:g} pixels: give "
            "the frame the `w`, `h` and focal length of its own camera"
        )
    return width / wide, height / high


def _focal(
    label: str, values: Json, size: tuple[int, int], scale: tuple[float, float]
) -> tuple[float, float]:
    """Focal lengths in pixels of the image; that of one axis is also that of the other."""
    found: list[float | None] = []
    for axis, pixels, factor in zip(FOCAL, size, scale, strict=True):
        length, degrees, radians = FOCAL[axis]
        focal = _positive(label, length, values)
        if focal is not None:
            found.append(focal * factor)
            continue
        angle = None
        for key, half_turn, unit in (
            (degrees, 180.0, "degrees"),
            (radians, math.pi, "radians"),
        ):
            if angle is None and key in values:
                value = finite_number(label, f"`{key}`", values[key])
                if not 0 < value < half_turn:
                    limit = "π" if key == radians else "180"
                    raise InputError(
                        f"{label}: `{key}` is {value}; it must be between 0 and {limit} {unit}"
                    )
                angle = value / half_turn * math.pi
        found.append(None if angle is None else 0.5 * pixels / math.tan(angle / 2))
    x, y = found
    if x is None and y is None:
        raise InputError(
            f"{label}: has neither `camera_angle_x` nor `fl_x`; add one to the file"
        )
    across, down = scale
    if x is None:
        assert y is not None
        return y / down * across, y
    return x, x / across * down if y is None else y


def _center(label: str, key: str, values: Json, scale: float, middle: float) -> float:
    if key not in values:
        return middle
    return finite_number(label, f"`{key}`", values[key]) * scale


def _positive(label: str, key: str, values: Json) -> float | None:
    if key not in values:
        return None
    value = finite_number(label, f"`{key}`", values[key])
    if value <= 0:
        raise InputError(f"{label}: `{key}` is {value}; it must be positive")
    return value
