"""A pavilion of signed distances: 26 shapes, blended, repeated and warped, sphere-traced.

    python examples/15_sphere_tracing.py

Writes sphere_tracing.png, and sphere_tracing_inside.png: steps per ray, depth, normals, and the
derivative of depth with respect to the radius of the columns, by implicit differentiation and
by finite differences.
"""

import math
import time
from dataclasses import replace

import torch

import unrender as ur
from unrender.geometry.pixels import pixel_grid
from unrender.rendering import renderer as renderers
from unrender.rendering.implicit import sphere_tracing, surface
from unrender.rendering.light import lights
from unrender.shapes.implicit import colored, sdf, solids, warps

WIDTH, HEIGHT = 640, 480
STONE, SAND, WATER = (0.82, 0.78, 0.70), (0.75, 0.62, 0.45), (0.25, 0.55, 0.75)
GOLD, ROSE, TEAL = (0.90, 0.68, 0.22), (0.78, 0.32, 0.36), (0.15, 0.50, 0.48)


def tiles(points: torch.Tensor) -> torch.Tensor:
    """A floor in rings of two colors."""
    x, y, _ = points.unbind(1)
    ring, turn = (x * x + y * y).sqrt() * 1.6, torch.atan2(y, x) * 12 / math.pi
    odd = ((ring.floor() + turn.floor()) % 2)[:, None]
    return odd * points.new_tensor(SAND) + (1 - odd) * points.new_tensor((0.62, 0.5, 0.38))


def column(widening: torch.Tensor) -> sdf.SDF:
    """A base, a moulding, a twisted shaft of six sides, a capital and a slab."""
    shaft = solids.hexagonal_prism(0.15 + widening, 0.75)
    capital = solids.capped_cone(0.14, 0.25, 0.1)
    return sdf.smooth_union(
        sdf.union(
            sdf.translated(solids.rounded_box((0.25, 0.25, 0.08), 0.03), (0.0, 0.0, 0.1)),
            sdf.translated(sdf.torus(0.17, 0.05), (0.0, 0.0, 0.22)),
            sdf.translated(capital, (0.0, 0.0, 1.72)),
            sdf.translated(solids.rounded_box((0.27, 0.27, 0.06), 0.02), (0.0, 0.0, 1.86)),
        ),
        sdf.translated(warps.twisted(shaft, 2.2, 0.2), (0.0, 0.0, 0.9)),
        0.06,
    )


def pavilion(widening: torch.Tensor) -> colored.ColoredSDF:
    """All of it; the columns' radius is 0.15 and what they widen by."""
    steps = [
        sdf.translated(warps.rounded(sdf.cylinder(2.9 - 0.25 * k, 0.06), 0.02), (0.0, 0.0, z))
        for k, z in enumerate((-0.32, -0.18, -0.04))
    ]
    columns = warps.repeated_around(sdf.translated(column(widening), (1.9, 0.0, 0.0)), 10)
    gem = sdf.union(
        sdf.translated(solids.octahedron(0.16), (0.0, 0.0, 0.46)),
        sdf.translated(solids.cone(0.14, 0.28), (0.0, 0.0, 0.04)),
    )
    turn = math.pi / 10
    gems = warps.repeated_around(sdf.translated(gem, (1.9, 0.0, 0.0)), 10)
    c, s = math.cos(turn), math.sin(turn)
    gems = sdf.rotated(gems, torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]))
    # The architrave's underside is carved with waves.
    ring = solids.revolved(solids.polygon([(1.68, 1.9), (2.12, 1.9), (2.18, 2.1), (1.62, 2.1)]))
    carved = warps.displaced(
        ring, lambda points: 0.02 * (24 * torch.atan2(points[:, 1], points[:, 0])).sin(), 0.4
    )
    arch = warps.bent(solids.rounded_box((2.6, 0.09, 0.07), 0.03), -0.56, 0.12)
    arch = sdf.translated(arch, (0.0, 0.0, 3.75))
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    arches = sdf.smooth_union(arch, sdf.rotated(arch, quarter), 0.15)
    finial = sdf.smooth_union(
        sdf.translated(sdf.sphere(0.17), (0.0, 0.0, 3.9)),
        sdf.translated(solids.cone(0.08, 0.5), (0.0, 0.0, 3.95)),
        0.1,
    )
    bowl = sdf.smooth_difference(
        sdf.translated(solids.ellipsoid((0.85, 0.85, 0.42)), (0.0, 0.0, 0.55)),
        sdf.translated(solids.ellipsoid((0.76, 0.76, 0.36)), (0.0, 0.0, 0.68)),
        0.06,
    )
    bowl = sdf.intersection(bowl, sdf.plane((0.0, 0.0, 1.0), 0.62))
    foot = sdf.translated(solids.capped_cone(0.42, 0.16, 0.16), (0.0, 0.0, 0.16))
    water = colored.colored_union(
        *(
            colored.with_color(sdf.translated(sdf.sphere(r), (x, y, z)), WATER)
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
        solids.link(0.045, 0.045, 0.016),
        sdf.translated(
            sdf.rotated(solids.link(0.045, 0.045, 0.016), quarter_x()), (0.0, 0.15, 0.0)
        ),
    )
    chain = warps.repeated(links, (0.0, 0.3, 0.0), (1, 6, 1), neighbors=True)
    chain = sdf.translated(sdf.rotated(chain, quarter_x()), (0.0, 0.0, 2.75))
    return colored.colored_union(
        colored.with_color(sdf.plane((0.0, 0.0, 1.0), -0.4), tiles),
        colored.with_color(sdf.union(*steps), STONE),
        colored.with_color(columns, STONE),
        colored.with_color(carved, ROSE),
        colored.with_color(gems, TEAL),
        colored.with_color(sdf.smooth_union(bowl, foot, 0.08), ROSE),
        water,
        colored.with_color(arches, STONE),
        colored.with_color(sdf.union(finial, chain), GOLD),
    )


def quarter_x() -> torch.Tensor:
    """A quarter turn about x."""
    return torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def main() -> None:
    """Render it."""
    camera = ur.Cameras.look_at((6.9, -5.2, 4.0), (0, 0, 1.6), fov=49, size=(WIDTH, HEIGHT))
    sky_and_suns = (
        lights.AmbientLight(torch.tensor([0.30, 0.34, 0.42])),
        lights.DirectionalLight(
            torch.tensor([-0.8, 0.25, -0.75]), torch.tensor([0.85, 0.78, 0.66])
        ),
        lights.DirectionalLight(torch.tensor([0.4, 0.9, 0.1]), torch.full((3,), 0.12)),
    )
    shiny = replace(surface.SurfaceRenderOptions().material, specular=0.2)
    options = surface.SurfaceRenderOptions(sky_and_suns, shiny, far=40.0, shadows=True)
    # A sky that is darker at the top.
    up = torch.linspace(0, 1, HEIGHT)[:, None, None]
    sky = (1 - up) * torch.tensor([0.42, 0.62, 0.86]) + up * torch.tensor([0.93, 0.95, 0.97])

    still = pavilion(torch.tensor(0.0))
    began = time.perf_counter()
    fine = renderers.supersampled(surface.sdf_renderer(still, options), 2)
    with torch.no_grad():
        picture = fine(camera).over(sky)[0]
    print(f"{4 * WIDTH * HEIGHT} rays with shadows: {time.perf_counter() - began:.1f} s")
    ur.save_panels("sphere_tracing.png", {"26 signed distances, sphere-traced": picture})

    small = camera.resized(WIDTH // 2, HEIGHT // 2)
    pixels = pixel_grid(small.width, small.height)
    rays = small.rays(torch.zeros(small.height, small.width, dtype=torch.long), pixels)
    hits = sphere_tracing.sphere_trace(
        still.sdf, rays.origins.view(-1, 3), rays.directions.view(-1, 3), 0.0, options.far
    )
    steps = hits.steps.float().view(small.height, small.width)
    print(f"{float(steps.mean()):.1f} steps per ray on average, at most {int(steps.max())}; "
          f"{int(hits.exhausted.sum())} rays ran out of steps")  # fmt: skip
    plain = surface.SurfaceRenderOptions(sky_and_suns, far=options.far)
    with torch.no_grad():
        rendering = surface.sdf_renderer(still, plain)(small)
    implicit, differences = derivatives(small, plain)
    panels = {
        "color": rendering.over(sky[::2])[0],
        "steps per ray (white: 60)": steps[..., None].expand(-1, -1, 3) / 60,
        "depth": rendering.images("depth")[0],
        "normals": rendering.images("normals")[0],
        "d(depth) / d(radius), implicit": red_and_blue(implicit),
        "d(depth) / d(radius), finite differences": red_and_blue(differences),
    }
    ur.save_panels("sphere_tracing_inside.png", panels, columns=3)


def derivatives(
    camera: ur.Cameras, options: surface.SurfaceRenderOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    """Derivative of each depth by the columns' radius: implicit, and by finite differences."""

    def depth(widening: torch.Tensor) -> torch.Tensor:
        return surface.sdf_renderer(pavilion(widening), options)(camera).depth[0]

    with torch.no_grad():
        ahead, behind = depth(torch.tensor(1e-3)), depth(torch.tensor(-1e-3))
    # One parameter moves all pixels: forward mode, by differentiating the backward pass.
    widening = torch.zeros((), requires_grad=True)
    weights = torch.zeros(camera.height, camera.width, requires_grad=True)
    weighted = (depth(widening) * weights).sum()
    (of_weights,) = torch.autograd.grad(weighted, widening, create_graph=True)
    (implicit,) = torch.autograd.grad(of_weights, weights)
    differences = (ahead - behind) / 2e-3
    moved = (differences.abs() < 10) & (implicit != 0)
    error = (implicit - differences)[moved].abs().mean()
    print(f"derivatives of depth: {float(implicit[moved].abs().mean()):.2f} on average, "
          f"{float(error):.4f} from finite differences")  # fmt: skip
    return implicit, differences


def red_and_blue(rate: torch.Tensor) -> torch.Tensor:
    """Blue where the surface comes nearer, red where it recedes, white where it stays."""
    away, near = rate.clamp(0, 3)[..., None] / 3, (-rate).clamp(0, 3)[..., None] / 3
    return 1 - away * torch.tensor([0.1, 0.8, 0.9]) - near * torch.tensor([0.9, 0.7, 0.1])


if __name__ == "__main__":
    main()
