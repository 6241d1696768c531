"""What is fuzzed: for every loader its seeds, and how one input in a folder is read."""

import gzip
import math
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

from fuzz import light_field_seeds, moving_seeds, seeds
from fuzz.light_field_seeds import read_light_field
from fuzz.seeds import Files
from zero123_checkpoints import small_checkpoint

from unrender.api.fit import choose
from unrender.api.resume import resume
from unrender.app import inspect as inspection
from unrender.app.cli import COMMANDS, load
from unrender.app.extension import Extension
from unrender.app.options import combined, options_of
from unrender.app.parsing import parse, with_dataclasses
from unrender.data.formats.camera_files import read_cameras
from unrender.data.formats.rgbd import load_scan
from unrender.data.image_shape.pairs import load_shapes
from unrender.data.image_shape.shapenet import load_shapenet
from unrender.data.load import LoadOptions, load_dataset
from unrender.data.picture import read_picture
from unrender.data.sequences import sequences
from unrender.errors import InputError
from unrender.files import read_bytes
from unrender.files.checkpoints import open_tensors
from unrender.imaging.files import read_image, read_pixels, read_rgba, read_uint16
from unrender.imaging.video_reader import Video
from unrender.methods.presets.opened import open_folder
from unrender.notes import collected
from unrender.shapes.files.shape import load_shape
from unrender.shapes.files.splats import read_splats

Read = Callable[[Path], Any]


@dataclass(frozen=True)
class Target:
    """One loader."""

    name: str
    seeds: list[Files]
    read: Read
    """What is read of the files in a folder, and the lines that are said about it."""
    weight: float = 1.0
    """How often it is drawn, relative to others."""
    only: str = ""
    """Only files whose path begins with it are mutated."""

    def pick(self, random: Random) -> Files:
        return seeds.some(random, self.seeds)


def _inspected(folder: Path) -> Any:
    """A data set as `inspect` and `fit` read it."""
    found = load_dataset(folder)
    return found, inspection.inspect(folder).summary


def _inspected_alone(folder: Path) -> Any:
    """Cameras without images, which only `inspect` reads."""
    found = inspection.inspect(folder)
    return found.cameras, found.ids, found.summary


def _inspected_file(folder: Path) -> Any:
    path = _only(folder)
    return load_dataset(path), inspection.inspect(path).summary


def _masked(folder: Path) -> Any:
    return load_dataset(folder, LoadOptions(masks=str(folder / "masks")))


def _sequences(folder: Path) -> Any:
    return [each.load() for each in sequences(folder)]


def _annotated(folder: Path) -> Any:
    """The sequence, also if what is compressed is damaged and its checksum is not."""
    file = folder / "toy/frame_annotations.jgz"
    if file.is_file():
        # What is stored without compression is found again; the rest is left as it is.
        with suppress(OSError, zlib.error):
            unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read_bytes()[10:])
            file.write_bytes(gzip.compress(unpacked))
    return [*_sequences(folder), load_dataset(folder / "toy/s")]


def _only(folder: Path, *endings: str) -> Path:
    found = sorted(each for each in folder.iterdir() if not endings or each.suffix in endings)
    return found[0] if found else folder / "missing"


def _shape(*endings: str) -> Read:
    def read(folder: Path) -> Any:
        path = _only(folder, *endings)
        # The second answer is what a command prints.
        return load_shape(path), inspection.inspect_shape(path)

    return read


def _image(folder: Path) -> Any:
    path = _only(folder)
    deep = path.name.startswith("deep")
    found = [read_image(path, upright=True), read_pixels(path)]
    return (
        [*found, read_uint16(path)] if deep else [*found, read_rgba(path), read_picture(path)]
    )


def _run(folder: Path) -> Any:
    path = folder / "run"
    record, fitted = open_folder(path, "cpu")
    facts = inspection.inspect_run(path)
    text = [*facts[0].values(), *inspection.runs_below(folder).values()]
    views = inspection.Run.open(path, "cpu")
    if views.method.makes_images and views.record.cameras is not None:
        views.render(views.record.cameras.cameras[:1])
    return _logged(record.metrics), record.evaluation, record.cameras, fitted.model, text


def _logged(metrics: list[dict[str, float]]) -> list[dict[str, float]]:
    """The log, in which the loss of a fit that diverged may be large, but not infinite."""
    return [
        {
            k: v if k in ("step", "seconds") or not math.isfinite(v) else 0.0
            for k, v in row.items()
        }
        for row in metrics
    ]


def _resumed(folder: Path) -> Any:
    # Paths in the configuration are relative to the folder.
    config = folder / "run/config.json"
    if config.exists():
        place = str(folder).encode()
        config.write_bytes(config.read_bytes().replace(b'"./data"', b'"' + place + b'/data"'))
    run = resume(folder / "run", steps=5, progress=False)
    return _logged(run.metrics), run.steps, run.seconds


def _checkpoint(folder: Path) -> Any:
    with open_tensors(_only(folder)) as file:
        # Damaged numbers may be anything that is finite.
        return [(name, len(tensor.shape)) for name, tensor in file.finite(file.shapes)]


def _film(folder: Path) -> Any:
    video = Video(folder / "film.mp4")
    return list(video.frames(64)), video.times(), video.problem, video.seconds


def _command_line(folder: Path) -> Any:
    """What a command would be given, without running it."""
    text = read_bytes(folder / "words.txt").decode("utf-8", "surrogateescape")
    name, *words = text.replace("\0", "").split("\n")
    if name not in COMMANDS:
        raise InputError(f"{name!r} is not a command")
    with redirect_stderr(StringIO()):  # "Loading PyTorch"
        function, extend = load(name)
        extension = Extension() if extend is None else extend(words)
        options = combined(options_of(function), extension.options)
        values = with_dataclasses(function, parse(options, words, name, ""))
        method = values.get("method")
        if name == "fit" and method not in (None, "auto"):
            names = {each.name for each in extension.options} - {"data"}
            choose(method, {key: value for key, value in values.items() if key in names})
    return [each for each in values.values() if isinstance(each, int | float | tuple)]


def make_targets(fitted: dict[str, Files]) -> list[Target]:
    """All targets; `fitted` are the seeds that fits and encoders made."""
    one = {name: [make()] for name, make in seeds.PLAIN.items()}
    opencv = (9, 9, 4, 4, 0.01, 0, 0, 0.001)
    prism = (9, 9, 4, 4, 0.05, 0, 0, 0.001, 0, 0, 0.001, 0)
    binary = [
        seeds.colmap_binary(),
        seeds.colmap_binary(4, opencv),
        seeds.colmap_binary(5, (9, 9, 4, 4, 0.05, 0, 0, 0)),
        seeds.colmap_binary(10, prism),
        seeds.colmap_binary(16, (9, 9, 4, 4, 0.5, 1)),
    ]
    nerfies_ids = moving_seeds.nerfies(exact=False)
    mesh = _shape(".obj", ".ply", ".off", ".stl", ".glb", ".gltf")
    points = [seeds.ply_points(), seeds.ply_points(False)]
    plys = [seeds.ply_text(), seeds.ply_binary(), seeds.ply_binary("big")]
    found = [
        Target("blender", one["blender"], _inspected),
        Target("nerfstudio", one["nerfstudio"], _inspected),
        Target("lenses", [seeds.lenses()], _inspected),
        Target("multiscale", one["multiscale"], _inspected),
        Target("moving", [moving_seeds.dnerf(), moving_seeds.colmap_film()], _inspected),
        Target("nerfies", [moving_seeds.nerfies(), nerfies_ids], _inspected),
        Target("nerfies_cameras", [moving_seeds.nerfies(images=False)], _inspected_alone),
        Target("nonrigid_nerf", [moving_seeds.nonrigid_nerf()], _inspected),
        Target("light_field", light_field_seeds.light_fields(), read_light_field),
        Target("npz_film", [moving_seeds.npz_film()], _inspected_file),
        Target("colmap_binary", binary, _inspected),
        Target("colmap_text", one["colmap_text"], _inspected),
        Target("llff", one["llff"], _inspected),
        Target("idr", one["idr"], _inspected),
        Target("co3d", one["co3d"], _inspected),
        Target("realestate10k", one["realestate10k"], lambda f: inspection.inspect(_only(f))),
        Target("sequences", one["sequences"], _sequences),
        Target("co3d_annotated", one["co3d_annotated"], _annotated),
        Target("npz_views", [seeds.npz_views(), seeds.npz_views_rgb()], _inspected_file),
        Target("masks", one["masks"], _masked, 0.5, "masks"),
        Target("rgbd", one["rgbd"], load_scan),
        Target("shapenet", one["shapenet"], lambda f: load_shapenet(f, 8)),
        Target("shapes_npz", one["shapes_npz"], lambda f: load_shapes(f / "shapes.npz")),
        Target("obj", one["obj"], mesh),
        Target("ply_mesh", plys, mesh),
        Target("off", one["off"], mesh),
        Target("stl", [seeds.stl_text(), seeds.stl_binary()], mesh),
        Target("glb", one["glb"], mesh),
        Target("gltf", [seeds.gltf(), seeds.gltf_data()], mesh),
        Target("ply_points", points, _shape()),
        Target("npz_points", one["npz_points"], lambda f: load_shape(f / "p.npz")),
        Target("xyz", one["xyz"], _shape()),
        Target("splats", one["splats"], lambda f: read_splats(f / "s.ply")),
        Target("binvox", one["binvox"], _shape()),
        Target("npz_voxels", one["npz_voxels"], _shape()),
        Target("cameras", one["cameras"], lambda f: read_cameras(f / "cameras.json")),
        Target("checkpoint", [{"x.ckpt": small_checkpoint()}], _checkpoint),
        Target("images", seeds.images(), _image, 3.0),
        Target("command_line", seeds.command_lines(), _command_line),
    ]
    if "box" in fitted:
        found.append(Target("run_box", [fitted["box"]], _run, 0.6, "run/"))
        found.append(Target("resume_box", [fitted["box"]], _resumed, 0.4, "run/"))
    if "ngp" in fitted:
        found.append(Target("run_ngp", [fitted["ngp"]], _run, 0.2, "run/"))
    if "film" in fitted:
        found.append(Target("film", [fitted["film"]], _film, 0.08))
    return found


def read_collecting(target: Target, folder: Path) -> tuple[Any, list[str]]:
    """What the loader returns, and its notes."""
    with collected() as notes:
        return target.read(folder), notes
