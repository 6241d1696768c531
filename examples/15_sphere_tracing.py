"""A pavilion of signed distances: 26 shapes, blended, repeated and warped, sphere-traced.

    python examples/15_sphere_tracing.py

Writes sphere_tracing.png, and sphere_tracing_inside.png: how many steps each ray took, depths,
normals, and how fast depths change as the pavilion's columns grow thicker, by implicit
differentiation and by finite differences.
"""

import math
import time
from pathlib import Path

import torch

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.imaging.files import write_image
from unrender.rendering.channels import as_images
from unrender.rendering.implicit.sphere_tracing import sphere_trace
from unrender.rendering.implicit.surface import SurfaceRenderOptions, sdf_renderer
from unrender.rendering.mesh.shading import AmbientLight, DirectionalLight, Material
from unrender.rendering.renderer import Renderer, pixel_grid, supersampled
from unrender.shapes.implicit import sdf
from unrender.shapes.implicit import solids as sdf_shapes
from unrender.shapes.implicit import warps as sdf_warps
from unrender.shapes.implicit.colored import ColoredSDF, colored_union, with_color

WIDTH, HEIGHT = 400, 300
STONE, SAND, WATER = (0.82, 0.78, 0.70), (0.75, 0.62, 0.45), (0.25, 0.55, 0.75)
GOLD, ROSE, TEAL = (0.90, 0.68, 0.22), (0.78, 0.32, 0.36), (0.15, 0.50, 0.48)


def tiles(points: torch.Tensor) -> torch.Tensor:
    """A floor in rings of two colours."""
    x, y, _ = points.unbind(1)
    ring, turn = (x * x + y * y).sqrt() * 1.6, torch.atan2(y, x) * 12 / math.pi
    odd = ((ring.floor() + turn.floor()) % 2)[:, None]
    return odd * points.new_tensor(SAND) + (1 - odd) * points.new_tensor((0.62, 0.5, 0.38))


def column(widening: torch.Tensor) -> sdf.SDF:
    """A base, a moulding, a twisted shaft of six sides, a capital and a slab."""
    shaft = sdf_shapes.hexagonal_prism(0.15 + widening, 0.75)
    capital = sdf_shapes.capped_cone(0.14, 0.25, 0.1)
    return sdf.smooth_union(
        sdf.union(
            sdf.translated(sdf_shapes.rounded_box((0.25, 0.25, 0.08), 0.03), (0.0, 0.0, 0.1)),
            sdf.translated(sdf.torus(0.17, 0.05), (0.0, 0.0, 0.22)),
            sdf.translated(capital, (0.0, 0.0, 1.72)),
            sdf.translated(sdf_shapes.rounded_box((0.27, 0.27, 0.06), 0.02), (0.0, 0.0, 1.86)),
        ),
        sdf.translated(sdf_warps.twisted(shaft, 2.2, 0.2), (0.0, 0.0, 0.9)),
        0.06,
    )


def pavilion(widening: torch.Tensor) -> ColoredSDF:
    """All of it; the columns' radius is 0.15 and what they widen by."""
    steps = [
        sdf.translated(
            sdf_warps.rounded(sdf.cylinder(2.9 - 0.25 * k, 0.06), 0.02), (0.0, 0.0, z)
        )
        for k, z in enumerate((-0.32, -0.18, -0.04))
    ]
    columns = sdf_warps.repeated_around(sdf.translated(column(widening), (1.9, 0.0, 0.0)), 10)
    gem = sdf.union(
        sdf.translated(sdf_shapes.octahedron(0.16), (0.0, 0.0, 0.46)),
        sdf.translated(sdf_shapes.cone(0.14, 0.28), (0.0, 0.0, 0.04)),
    )
    turn = math.pi / 10
    gems = sdf_warps.repeated_around(sdf.translated(gem, (1.9, 0.0, 0.0)), 10)
    c, s = math.cos(turn), math.sin(turn)
    gems = sdf.rotated(gems, torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]))
    # The architrave's underside is carved with waves.
    ring = sdf_shapes.revolved(
        sdf_shapes.polygon([(1.68, 1.9), (2.12, 1.9), (2.18, 2.1), (1.62, 2.1)])
    )
    carved = sdf_warps.displaced(
        ring, lambda points: 0.02 * (24 * torch.atan2(points[:, 1], points[:, 0])).sin(), 0.4
    )
    arch = sdf_warps.bent(sdf_shapes.rounded_box((2.6, 0.09, 0.07), 0.03), -0.56, 0.12)
    arch = sdf.translated(arch, (0.0, 0.0, 3.75))
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    arches = sdf.smooth_union(arch, sdf.rotated(arch, quarter), 0.15)
    finial = sdf.smooth_union(
        sdf.translated(sdf.sphere(0.17), (0.0, 0.0, 3.9)),
        sdf.translated(sdf_shapes.cone(0.08, 0.5), (0.0, 0.0, 3.95)),
        0.1,
    )
    bowl = sdf.smooth_difference(
        sdf.translated(sdf_shapes.ellipsoid((0.85, 0.85, 0.42)), (0.0, 0.0, 0.55)),
        sdf.translated(sdf_shapes.ellipsoid((0.76, 0.76, 0.36)), (0.0, 0.0, 0.68)),
        0.06,
    )
    bowl = sdf.intersection(bowl, sdf.plane((0.0, 0.0, 1.0), 0.62))
    foot = sdf.translated(sdf_shapes.capped_cone(0.42, 0.16, 0.16), (0.0, 0.0, 0.16))
    water = colored_union(
        *(
            with_color(sdf.translated(sdf.sphere(r), (x, y, z)), WATER)
            for x, y, z, r in (
                (0.0, 0.0, 0.5, 0.4),
                (0.0, 0.0, 0.95, 0.2),
                (0.12, 0.05, 1.22, 0.13),
                (-0.12, 0.1, 1.4, 0.1),
                (0.02, -0.12, 1.58, 0.07),
            )
        ),
        blend=0.25,
    )
    links = sdf.union(
        sdf_shapes.link(0.045, 0.045, 0.016),
        sdf.translated(
            sdf.rotated(sdf_shapes.link(0.045, 0.045, 0.016), quarter_x()), (0.0, 0.15, 0.0)
        ),
    )
    chain = sdf_warps.repeated(links, (0.0, 0.3, 0.0), (1, 6, 1), neighbors=True)
    chain = sdf.translated(sdf.rotated(chain, quarter_x()), (0.0, 0.0, 2.75))
    return colored_union(
        with_color(sdf.plane((0.0, 0.0, 1.0), -0.4), tiles),
        with_color(sdf.union(*steps), STONE),
        with_color(columns, STONE),
        with_color(carved, ROSE),
        with_color(gems, TEAL),
        with_color(sdf.smooth_union(bowl, foot, 0.08), ROSE),
        water,
        with_color(arches, STONE),
        with_color(sdf.union(finial, chain), GOLD),
    )


def quarter_x() -> torch.Tensor:
    """A quarter turn about x."""
    return torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def main() -> None:
    """Draw it."""
    eye, middle = torch.tensor([[6.9, -5.2, 4.0]]), torch.tensor([[0.0, 0.0, 1.7]])
    pose = look_at(eye, middle, torch.tensor([0.0, 0.0, 1.0]))
    camera = Cameras.from_focal(pose, 1.3 * WIDTH, WIDTH, HEIGHT)
    white = torch.ones(3)
    lights = (
        AmbientLight(torch.tensor([0.30, 0.34, 0.42])),
        DirectionalLight(torch.tensor([-0.8, 0.25, -0.75]), torch.tensor([0.85, 0.78, 0.66])),
        DirectionalLight(torch.tensor([0.4, 0.9, 0.1]), 0.12 * white),
    )
    options = SurfaceRenderOptions(lights, Material(specular=0.2), far=40.0, shadows=True)
    # Darker at the top, as a sky is.
    up = torch.linspace(0, 1, HEIGHT)[:, None, None]
    sky = (1 - up) * torch.tensor([0.42, 0.62, 0.86]) + up * torch.tensor([0.93, 0.95, 0.97])

    still = pavilion(torch.tensor(0.0))
    began = time.perf_counter()
    with torch.no_grad():
        picture = supersampled(sdf_renderer(still, options), 2)(camera).over(sky)[0]
    print(f"{4 * WIDTH * HEIGHT} rays with shadows: {time.perf_counter() - began:.1f} s")
    write_image(Path("sphere_tracing.png"), picture.clamp(0, 1))

    small = camera.resized(WIDTH // 2, HEIGHT // 2)
    rays = small.rays(
        torch.zeros(HEIGHT // 2, WIDTH // 2, dtype=torch.long),
        pixel_grid(WIDTH // 2, HEIGHT // 2),
    )
    found = sphere_trace(
        still.sdf, rays.origins.view(-1, 3), rays.directions.view(-1, 3), 0.0, options.far
    )
    steps = found.steps.float().view(HEIGHT // 2, WIDTH // 2)
    print(f"{float(steps.mean()):.1f} steps a ray, at most {int(steps.max())}; "
          f"{int(found.exhausted.sum())} rays ran out of them")  # fmt: skip
    plain = SurfaceRenderOptions(lights, far=options.far)
    with torch.no_grad():
        rendering = sdf_renderer(still, plain)(small)
    inside = [steps[..., None].expand(-1, -1, 3) / 60]
    inside += [
        as_images(rendering, small, channel, white)[0] for channel in ("depth", "normals")
    ]
    inside += [red_and_blue(rate) for rate in derivatives(small, plain)]
    inside.insert(0, rendering.over(sky[::2])[0])
    rows = [torch.cat(inside[k : k + 3], dim=1) for k in (0, 3)]
    write_image(Path("sphere_tracing_inside.png"), torch.cat(rows).clamp(0, 1))


def derivatives(
    camera: Cameras, options: SurfaceRenderOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each pixel's depth by the columns' radius: implicitly, and by finite differences."""

    def depth(widening: torch.Tensor) -> torch.Tensor:
        render: Renderer = sdf_renderer(pavilion(widening), options)
        return render(camera).depth[0]

    with torch.no_grad():
        ahead, behind = depth(torch.tensor(1e-3)), depth(torch.tensor(-1e-3))
    # One number changes all pixels: a derivative in the other direction, by a second gradient.
    widening = torch.zeros((), requires_grad=True)
    weights = torch.zeros(camera.height, camera.width, requires_grad=True)
    (of_weights,) = torch.autograd.grad(
        (depth(widening) * weights).sum(), widening, create_graph=True
    )
    (implicit,) = torch.autograd.grad(of_weights, weights)
    differences = (ahead - behind) / 2e-3
    calm = differences.abs() < 10
    moved = calm & (implicit != 0)
    error = (implicit - differences)[moved].abs().mean()
    print(f"derivatives of depth: {float(implicit[moved].abs().mean()):.2f} in the mean, "
          f"{float(error):.4f} from finite differences")  # fmt: skip
    return implicit, differences


def red_and_blue(rate: torch.Tensor) -> torch.Tensor:
    """Blue where what is seen comes nearer, red where it goes away; white where it stays."""
    away, near = rate.clamp(0, 3)[..., None] / 3, (-rate).clamp(0, 3)[..., None] / 3
    return 1 - away * torch.tensor([0.1, 0.8, 0.9]) - near * torch.tensor([0.9, 0.7, 0.1])


if __name__ == "__main__":
    main()
