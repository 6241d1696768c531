"""What a path holds: its format, its cameras, and what looks wrong with them; or a run."""

from dataclasses import dataclass, replace
from pathlib import Path

from unrender.api.automatic import choice_for
from unrender.api.run import Run
from unrender.data.formats.idr import find_idr, idr_cameras, read_idr_matrices
from unrender.data.formats.nerfies import IMAGES, is_nerfies, nerfies_cameras
from unrender.data.formats.realestate10k import (
    find_frames,
    is_realestate10k,
    read_realestate10k,
)
from unrender.data.light_field import find_grid, grid_facts
from unrender.data.load import load_dataset, recognize
from unrender.data.options import DEFAULTS, LoadOptions
from unrender.data.summary import (
    Summary,
    camera_facts,
    camera_warnings,
    summarize,
    time_facts,
)
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views, joined
from unrender.errors import InputError
from unrender.evaluation.scores import with_unit
from unrender.files import system_errors_told
from unrender.geometry.cameras import Cameras
from unrender.geometry.sizes import ImageSizes
from unrender.notes import collected
from unrender.shapes.files.shape import load_shape
from unrender.shapes.files.splats import is_splats, read_splats
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.shapes.mesh_checks import mesh_problems
from unrender.shapes.points import PointCloud
from unrender.shapes.shape import Shape, bounds
from unrender.shapes.splats import Splats
from unrender.training.data_kinds.shape import SHAPE
from unrender.training.run_folder import RunFolder

REALESTATE_SIZE = (640, 360)
"""Its files give intrinsics in shares of the image, and no size."""


@dataclass(frozen=True)
class Inspection:
    """A path's cameras, and its photographs where it has some."""

    name: str
    summary: Summary
    cameras: Cameras
    views: Views | None
    ids: ViewIds | None = None
    held_out: int = 0
    """The last cameras are held out for testing, so many."""


@system_errors_told()
def inspect(path: Path, options: LoadOptions = DEFAULTS) -> Inspection:
    """Look at a scene, or a list of cameras. Raises InputError if it is neither."""
    if path.is_file() and is_realestate10k(path) and find_frames(path) is None:
        cameras, _ = read_realestate10k(path, *REALESTATE_SIZE)
        size = f"unknown; taken as {REALESTATE_SIZE[0]}×{REALESTATE_SIZE[1]} pixels"
        facts = {"format": "realestate10k", "cameras": str(len(cameras)), "size": size}
        facts |= camera_facts(cameras)
        summary = Summary(facts, tuple(camera_warnings(cameras)))
        return Inspection(path.stem, summary, cameras, None)
    if is_nerfies(path) and not (path / IMAGES).is_dir():
        return _inspect_nerfies_cameras(path)
    if path.exists():
        layout = recognize(path).name
        with collected() as notes:
            scene = load_dataset(path, options)
    else:
        layout, scene, notes = "built-in", load_dataset(str(path), options), []
    views = joined([scene.train, scene.test])
    found = summarize(views)
    held_out = str(len(scene.test))
    facts = {"format": layout, **found.facts, "held-out views": held_out}
    facts |= time_facts(views.cameras, views.ids, len(scene.test))
    field = find_grid(views, len(scene.test))
    if field is not None:
        facts |= grid_facts(*field)
    if layout == "idr":
        facts |= _idr_facts(path, views)
    summary = replace(found, facts=facts, notes=tuple(notes))
    return Inspection(scene.name, summary, views.cameras, views, views.ids, len(scene.test))


def _inspect_nerfies_cameras(path: Path) -> Inspection:
    """Cameras in the layout of Nerfies that come without their images."""
    with collected() as notes:
        cameras, ids, held_out = nerfies_cameras(path)
    facts = {"format": "nerfies, without images", "cameras": str(len(cameras))}
    facts |= {"size": f"{cameras.sizes} pixels", **camera_facts(cameras)}
    facts |= {"held-out views": str(held_out), **time_facts(cameras, ids, held_out)}
    summary = Summary(facts, tuple(camera_warnings(cameras)), tuple(notes))
    return Inspection(path.resolve().name, summary, cameras, None, ids, held_out)


@system_errors_told()
def inspect_run(path: Path) -> tuple[dict[str, str], list[str]]:
    """What a run folder holds, by name, and what was assumed of its data. InputError."""
    run = Run.open(path)
    facts = {
        "method": run.preset + (f", {run.reason}" if run.reason else ""),
        "fitted to": run.source or "data in memory",
        "steps": f"{run.steps}{'' if run.finished else ', not finished'}",
        "seconds": f"{run.seconds:.0f}",
        "parameters": f"{run.fitted.num_parameters} ({run.fitted.megabytes:.1f} MB)",
    }
    if run.method.moves:
        first, last = run.method.time_range(run.model)
        facts["film"] = f"times {first:g} to {last:g}"
    if run.method.data is not SHAPE:
        return facts, []
    facts["shape"] = describe_shape(run.shape())
    if not run.method.is_solid:
        return facts, []
    if run.source is None or not Path(run.source).is_file():
        return facts, [f"{facts['fitted to']}: is no longer there"]
    return facts, SHAPE.remarks(run.method, run.load_data())


def is_run(path: Path) -> bool:
    """Whether a path is a run folder."""
    return (path / "config.json").is_file() and (path / "checkpoints").is_dir()


def runs_below(path: Path) -> dict[str, str]:
    """The runs in a folder and up to two folders further down: a line each, by their path."""
    found: dict[str, str] = {}
    for config in sorted(
        file for depth in range(1, 4) for file in path.glob("*/" * depth + "config.json")
    ):
        folder = config.parent
        if is_run(folder):
            try:
                found[str(folder)] = _run_in_a_line(folder)
            except InputError as error:
                found[str(folder)] = str(error)
    return found


def _run_in_a_line(path: Path) -> str:
    """Preset, data, steps and PSNR of a run. InputError if its files are damaged."""
    record = RunFolder.open(path)
    method, data = record.config.get("method"), record.config.get("data")
    if not isinstance(method, dict) or not isinstance(data, dict):
        raise InputError("its config.json is damaged")
    name = method.get("preset", method.get("name", "?"))
    source = data.get("scene") or data.get("source") or "data in memory"
    state, psnr = record.state, record.evaluation.get("psnr")
    parts = [
        f"{name} on {source}",
        f"{state['step']} steps" if "step" in state else "no checkpoint",
        *(["not finished"] if state and not record.finished else []),
        *([with_unit("psnr", psnr)] if isinstance(psnr, float) else []),
    ]
    return ", ".join(parts)


def advice(views: Views, path: Path) -> str:
    """The method to begin with and why, as a command; or why there is none."""
    try:
        choice = choice_for(views)
    except InputError as error:
        return str(error)
    line = f"unrender fit auto --data {path} takes {choice.preset}, because {choice.reason}"
    return f"{line}; {choice.advice}" if choice.advice else line


def describe_shape(shape: Shape) -> str:
    """What it is made of, in words."""
    if isinstance(shape, Mesh):
        return f"{len(shape.vertices)} vertices, {len(shape.faces)} faces"
    if isinstance(shape, PointCloud):
        return f"{len(shape)} points"
    cells = "×".join(map(str, shape.values.shape))
    return f"{cells} cells, {int(shape.filled().sum())} of them filled"


@system_errors_told()
def inspect_shape(path: Path) -> tuple[dict[str, str], list[str]]:
    """What a shape's file holds, by name, and what looks wrong with it. InputError."""
    if is_splats(path):
        return _inspect_splats(read_splats(path)), []
    shape = load_shape(path)
    low, high = (", ".join(f"{x:.4g}" for x in corner.tolist()) for corner in bounds(shape))
    facts = {"shape": describe_shape(shape), "from": low, "to": high}
    if isinstance(shape, PointCloud):
        facts["normals"] = "none" if shape.normals is None else "yes"
    if not isinstance(shape, Mesh):
        return facts, []
    texture = shape.texture
    facts["texture"] = "none" if texture is None else type(texture).__name__
    facts["watertight"] = "yes" if is_watertight(shape.faces) else "no"
    return facts, mesh_problems(shape)


def _inspect_splats(splats: Splats) -> dict[str, str]:
    low, high = splats.means.amin(0), splats.means.amax(0)
    opacity = splats.opacity_logits.sigmoid()
    return {
        "shape": f"{len(splats)} Gaussians (splats), drawn as such by `unrender render`",
        "from": ", ".join(f"{x:.4g}" for x in low.tolist()),
        "to": ", ".join(f"{x:.4g}" for x in high.tolist()),
        "harmonics": f"degree {splats.degree}",
        "opacity": f"{float(opacity.median()):.3g} in the median",
    }


def _idr_facts(path: Path, views: Views) -> dict[str, str]:
    """The first camera, and what the two matrices of the file mean for it."""
    file = find_idr(path)
    assert file is not None
    world, scale = read_idr_matrices(file)
    size = views.cameras.sizes[0]
    facts = {
        "world_mat_i": "the whole projection K [R | t] of view i, in pixels of full images",
        "scale_mat_i": "takes the unit sphere that holds the object to the world; not K",
    }
    kinds = [("in the world", None)] if scale is None else [
        ("in the world", None), ("in the unit sphere (world_mat @ scale_mat)", scale),
    ]  # fmt: skip
    for name, matrix in kinds:
        cameras = idr_cameras(file, world, matrix, ImageSizes.of([size]))
        k = cameras.intrinsics[0]
        facts[f"camera 0 {name}: K"] = (
            f"fx {k[0, 0]:.2f}, fy {k[1, 1]:.2f}, cx {k[0, 2]:.2f}, cy {k[1, 2]:.2f}, "
            f"skew {k[0, 1]:.3f} for {size[0]}×{size[1]} pixels"
        )
        rows = "; ".join(
            " ".join(f"{x:.4f}" for x in row) for row in cameras.rotations[0].mT.tolist()
        )
        facts[f"camera 0 {name}: R"] = rows
        center = " ".join(f"{x:.4f}" for x in cameras.centers[0].tolist())
        facts[f"camera 0 {name}: centre"] = center
    return facts
