"""The command that shows light: one scene from flat shading to path tracing."""

from pathlib import Path

from unrender.errors import InputError
from unrender.shapes.files.meshes import read_mesh
from unrender.studies.spectrum import spectrum, spectrum_scene


def show_spectrum(
    out: Path,
    mesh: Path | None = None,
    size: int = 256,
    samples: int = 256,
    seed: int = 0,
) -> None:
    """Draw one scene flat, Gouraud, Phong, with shadows, occlusion, direct light and paths.

    Args:
        out: The page to write, an .html file.
        mesh: A mesh (.obj, .ply, .glb, .gltf, .off, .stl) that stands in the scene; by default
            a ring.
        size: Pixels a side.
        samples: Paths of each pixel.
        seed: Seed of the paths.
    """
    if out.suffix != ".html" or not out.parent.is_dir():
        raise InputError(f"{out}: is no .html file in a folder that exists: change --out")
    if not 8 <= size <= 4096:
        raise InputError(f"--size {size}: give 8 to 4096 pixels")
    from unrender.studies.spectrum_page import write_spectrum  # noqa: PLC0415 - matplotlib is slow

    scene, camera = spectrum_scene(None if mesh is None else read_mesh(mesh))
    stages = spectrum(scene, camera(size), samples, seed)
    write_spectrum(out, stages, samples)
    for stage in stages:
        print(f"{stage.name:20} {stage.seconds:8.3f} s  {stage.adds}")
    print(out)
