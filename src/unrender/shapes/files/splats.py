"""Files of Gaussians: the .ply layout of other programs, and .splat.

The layout of Kerbl et al.'s program: x y z, nx ny nz (zeros), f_dc_0 to 2 (the constant
harmonic), f_rest_* (the other harmonics, all of red, then green, then blue), opacity (logit),
scale_0 to 2 (logarithms), rot_0 to 3 (quaternion w, x, y, z). Files with two scales hold flat
Gaussians (2D Gaussian splatting). A .splat file has 32 bytes for each Gaussian: position and
scales as floats, red, green, blue and opacity as bytes, and a quaternion as bytes about 128.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.files import read_bytes
from unrender.files.arrays import check_numbers
from unrender.notes import note
from unrender.shapes.files.ply import PlyHeader, read_header, read_vertices, write_ply
from unrender.shapes.splats import CONSTANT_HARMONIC, Splats

SPLAT = ".splat"
COMPRESSED = {".spz": "SPZ", ".ksplat": "KSPLAT", ".sog": "SOG"}
"""Compressed formats, which are not read."""
CONVERT = "convert it to .ply, with SuperSplat or `splat-transform IN OUT.ply`"
NEEDED = {"f_dc_0", "opacity", "scale_0", "rot_0"}
"""Columns by which a .ply file with Gaussians is told from points."""
COEFFICIENTS = (0, 9, 24, 45, 72)
"""Numbers of f_rest_* for the degrees 0 to 4."""
FLAT = -20.0
"""Logarithm of the thickness of flat Gaussians."""
MAX_LOG_SCALE = 30.0
ROW = np.dtype(
    [("mean", "<f4", (3,)), ("scale", "<f4", (3,)), ("rgba", "u1", (4,)), ("turn", "u1", (4,))]
)


def is_splats(path: Path) -> bool:
    """Whether a file holds Gaussians, by its ending and the header of a .ply.

    Raises InputError, with the remedy, for compressed formats, and if it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in COMPRESSED:
        raise InputError(
            f"{path}: holds compressed Gaussians ({COMPRESSED[suffix]}), which are not read: "
            f"{CONVERT}"
        )
    return suffix == SPLAT or (suffix == ".ply" and has_splats(path, read_header(path)))


def has_splats(path: Path, header: PlyHeader) -> bool:
    """Whether the vertices of a .ply file are Gaussians. InputError if they are compressed."""
    columns = set(header.columns("vertex"))
    if {"packed_position", "packed_scale"} <= columns:
        raise InputError(
            f"{path}: holds compressed Gaussians (SuperSplat's .compressed.ply), which are not "
            f"read: {CONVERT}"
        )
    return columns >= NEEDED


def write_splats(path: str | Path, splats: Splats) -> None:
    """Write a .ply file, completely or not at all."""

    def columns(prefix: str, values: Tensor) -> dict[str, np.ndarray]:
        array = values.detach().cpu().float().numpy()
        return {f"{prefix}{k}": array[:, k] for k in range(array.shape[1])}

    zeros = torch.zeros_like(splats.means)
    named = dict(zip(("x", "y", "z"), columns("", splats.means).values(), strict=True))
    named |= dict(zip(("nx", "ny", "nz"), columns("", zeros).values(), strict=True))
    named |= columns("f_dc_", splats.colors)
    named |= columns("f_rest_", splats.harmonics.transpose(1, 2).flatten(1))
    named |= {"opacity": splats.opacity_logits.detach().cpu().float().numpy()}
    named |= columns("scale_", splats.log_scales)
    named |= columns("rot_", splats.quaternions)
    write_ply(Path(path), named)


def read_splats(path: str | Path) -> Splats:
    """Read the Gaussians of a .ply or .splat file. Raises InputError if it cannot be read.

    Gaussians without an orientation are left out, with a note.
    """
    path = Path(path)
    splats = _from_splat(path) if path.suffix.lower() == SPLAT else _from_ply(path)
    if len(splats) == 0:
        raise InputError(f"{path}: has no Gaussians: it is empty")
    check_numbers(str(path), "write it again", **vars(splats))
    if float(splats.log_scales.max()) > MAX_LOG_SCALE:
        largest = float(splats.log_scales.max())
        raise InputError(
            f"{path}: has a logarithm of a scale of {largest:.3g}, of more than "
            f"{MAX_LOG_SCALE:g}: write it again"
        )
    turned = splats.quaternions.norm(dim=1) > 0
    if not bool(turned.all()):
        missing = int((~turned).sum())
        note(f"{path}: {missing} Gaussians have no orientation (rot is 0): left out")
        if missing == len(splats):
            raise InputError(f"{path}: no Gaussian has an orientation: write it again")
        return Splats(**{name: values[turned] for name, values in vars(splats).items()})
    return splats


def _from_ply(path: Path) -> Splats:
    found = read_vertices(path)

    def columns(names: list[str]) -> Tensor:
        missing = [name for name in names if name not in found]
        if missing:
            raise InputError(f"{path}: has no column `{missing[0]}`: it has no Gaussians")
        # Numbers that are too large are refused later.
        with np.errstate(over="ignore"):
            return torch.from_numpy(
                np.stack([found[name].astype(np.float32) for name in names], 1)
            )

    rest = sorted(
        (name for name in found if name.startswith("f_rest_")),
        key=lambda name: int(name[7:]) if name[7:].isdecimal() and len(name) < 12 else -1,
    )
    if len(rest) not in COEFFICIENTS:
        numbers = ", ".join(map(str, COEFFICIENTS))
        raise InputError(f"{path}: has {len(rest)} columns f_rest_*, not one of {numbers}")
    count = len(next(iter(found.values())))
    if rest and count:
        harmonics = columns(rest).view(count, 3, -1).transpose(1, 2)
    else:
        harmonics = torch.zeros(count, len(rest) // 3, 3)
    flat = "scale_1" in found and "scale_2" not in found
    scales = columns([f"scale_{k}" for k in range(2 if flat else 3)])
    if flat:
        note(f"{path}: holds flat Gaussians, of two scales")
        scales = torch.cat([scales, torch.full((count, 1), FLAT)], dim=1)
    return Splats(
        columns(["x", "y", "z"]),
        scales,
        columns([f"rot_{k}" for k in range(4)]),
        columns(["opacity"])[:, 0],
        columns([f"f_dc_{k}" for k in range(3)]),
        harmonics.contiguous(),
    )


def _from_splat(path: Path) -> Splats:
    content = read_bytes(path)
    if len(content) % ROW.itemsize:
        raise InputError(
            f"{path}: has {len(content)} bytes, not a multiple of {ROW.itemsize}: it is "
            "truncated: copy it again"
        )
    rows = np.frombuffer(content, ROW)
    scales = torch.from_numpy(rows["scale"].copy())
    if not bool((scales >= 0).all()):
        raise InputError(f"{path}: has scales that are negative or not finite: write it again")
    rgba = torch.from_numpy(rows["rgba"].astype(np.float32)) / 255
    # The bytes 0 and 255 would be infinite.
    opacity = rgba[:, 3].clamp(0.5 / 255, 254.5 / 255)
    return Splats(
        torch.from_numpy(rows["mean"].copy()),
        scales.clamp_min(torch.finfo(torch.float32).tiny).log(),
        (torch.from_numpy(rows["turn"].astype(np.float32)) - 128) / 128,
        opacity.logit(),
        (rgba[:, :3] - 0.5) / CONSTANT_HARMONIC,
        torch.zeros(len(rows), 0, 3),
    )
