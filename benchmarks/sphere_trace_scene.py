"""Time of sphere tracing: a scene of 24 primitives at 256×256, with normals and shading.

    python benchmarks/sphere_trace_scene.py

Four smooth unions of five, a twisted box, a repeated box, a ring of tori and a floor.
"""

import torch
from record import Figures, figure, show
from timing import in_turn

from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import turntable
from unrender.rendering.implicit.surface import SurfaceRenderOptions, sdf_renderer
from unrender.shapes.implicit import sdf
from unrender.shapes.implicit import solids as sdf_shapes
from unrender.shapes.implicit import warps as sdf_warps
from unrender.shapes.implicit.colored import ColoredSDF, colored_union, with_color

SIZE = 256
KINDS = (
    lambda: sdf.sphere(0.24),
    lambda: sdf_shapes.rounded_box((0.2, 0.15, 0.18), 0.04),
    lambda: sdf.torus(0.2, 0.07),
    lambda: sdf.cylinder(0.15, 0.2),
    lambda: sdf.capsule((-0.1, 0.0, 0.0), (0.2, 0.1, 0.1), 0.1),
)


def scene() -> ColoredSDF:
    """24 primitives, each asked at every step."""
    generator = torch.Generator().manual_seed(0)
    parts: list[ColoredSDF] = []
    for _ in range(4):
        middle = 0.7 * (2 * torch.rand(3, generator=generator) - 1)
        colors = torch.rand(5, 3, generator=generator)
        places = middle + 0.35 * torch.randn(5, 3, generator=generator)
        group = [
            with_color(sdf.translated(kind(), place), color)
            for kind, place, color in zip(KINDS, places, colors, strict=True)
        ]
        parts.append(colored_union(*group, blend=0.1))
    twisted = sdf_warps.twisted(sdf.box((0.12, 0.12, 0.8)), 3.0, 0.2)
    beads = sdf_warps.repeated(sdf.sphere(0.07), (0.25, 0.25, 0.0), (9, 9, 1))
    rings = sdf_warps.repeated_around(sdf.translated(sdf.torus(0.15, 0.04), (1.2, 0.0, 0.0)), 9)
    floor = sdf.plane((0.0, 0.0, 1.0), -1.2)
    parts += [
        with_color(sdf.translated(twisted, (-0.9, -0.9, -0.4)), (0.9, 0.7, 0.2)),
        with_color(sdf.translated(beads, (0.0, 0.0, -1.12)), (0.3, 0.5, 0.8)),
        with_color(sdf.translated(rings, (0.0, 0.0, -0.9)), (0.8, 0.3, 0.3)),
        with_color(floor, (0.7, 0.7, 0.65)),
    ]
    return colored_union(*parts)


def sphere_trace_figures(seconds: float = 5.0) -> Figures:
    """Median time of a whole image: rays, intersections, normals, colors and light."""
    render = sdf_renderer(scene(), SurfaceRenderOptions(far=30.0))
    camera = Cameras.from_focal(turntable(1, 4.5, 0.5), 1.3 * SIZE, SIZE, SIZE)
    with torch.no_grad():
        covered = float(render(camera).opacity.mean())
        (times,) = in_turn([lambda: render(camera)], "cpu", seconds)
    median = sorted(times)[len(times) // 2]
    return {
        "sphere_trace_seconds": figure(median, "s", at_most=1.0),
        "sphere_trace_rays": figure(SIZE * SIZE / median, "rays/s"),
        "sphere_trace_covered": figure(covered, "of the image"),
    }


if __name__ == "__main__":
    show(sphere_trace_figures())
