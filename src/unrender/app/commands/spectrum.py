"""`unrender spectrum`: one scene from flat shading to path tracing."""

from pathlib import Path
from typing import Annotated

from unrender.app.options import Words
from unrender.errors import InputError
from unrender.files import check_target


def spectrum(
    out: Annotated[Path, Words(metavar="FILE.html")] = Path("spectrum.html"),
    mesh: Annotated[Path | None, Words(metavar="MESH")] = None,
    size: Annotated[int, Words(metavar="PIXELS")] = 256,
    samples: int = 256,
    seed: int = 0,
    quiet: bool = False,
) -> None:
    """Render one scene flat, Gouraud, Phong, with shadows, occlusion, direct light and paths.

    Args:
        out: The page to write.
        mesh: A mesh (.obj, .ply, .glb, .gltf, .off, .stl) that stands in the scene; by default
            a ring.
        size: Pixels per side.
        samples: Paths per pixel.
        seed: Seed of the paths.
        quiet: Print the page only.

    Examples:
        unrender spectrum --mesh cow.obj --out cow.html
    """
    check_target(out, (".html",))
    if not 8 <= size <= 4096:
        raise InputError(f"--size {size}: give 8 to 4096 pixels")
    if samples < 1:
        raise InputError(f"--samples {samples}: give at least 1")
    from unrender.shapes.files.meshes import read_mesh  # noqa: PLC0415 - imports torch
    from unrender.studies.spectrum import spectrum as stages_of  # noqa: PLC0415
    from unrender.studies.spectrum import spectrum_scene  # noqa: PLC0415
    from unrender.studies.spectrum_page import write_spectrum  # noqa: PLC0415 - matplotlib
    from unrender.training.progress import working  # noqa: PLC0415

    scene, camera = spectrum_scene(None if mesh is None else read_mesh(mesh))
    with working("Rendering seven stages, from flat shading to path tracing", not quiet):
        stages = stages_of(scene, camera(size), samples, seed)
    write_spectrum(out, stages, samples)
    if not quiet:
        for stage in stages:
            print(f"{stage.name:20} {stage.seconds:8.3f} s  {stage.adds}")
    print(out)
