"""Path tracing: the rendering equation, estimated by random walks.

    L(x, o) = E(x, o) + ∫ f(x, i, o) L(y, −i) |cos θᵢ| di

(Kajiya 1986; Veach, "Robust Monte Carlo Methods for Light Transport Simulation", 1997, 3.7)

The radiance L that leaves x toward o is the emission of x plus the radiance it scatters from
all directions i, each of which leaves a point y in turn. A path starts at the camera. At every
hit it samples one direction from the BSDF, along which it continues, and one toward a light;
the two estimates are combined by multiple importance sampling (ch. 9). The throughput is the
product of f |cos θ| / PDF along the path. Paths of low throughput are terminated by Russian
roulette and the survivors weighted up accordingly: the estimate is unbiased, and its standard
error falls with the square root of the number of paths.

All paths of a batch advance together. Arrays are [3, paths], as in bsdf.py.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.imaging.color import display_from_linear
from unrender.kernels.runtime.jit import run_threads
from unrender.rendering.light.bsdf import (
    ROUGH,
    Numbers,
    Vectors,
    dot,
    evaluate,
    frame,
    in_frame,
    sample,
    unit,
)
from unrender.rendering.light.scene import BuiltScene, Scene, Surface, build
from unrender.rendering.renderer import Renderer, Rendering, mean_depth

BATCH = 1 << 15
"""Paths traced together: few enough for their arrays to stay in cache."""
MAX_SURVIVAL = 0.95
"""Cap on the Russian-roulette survival probability."""
SHORTER = 1 - 1e-4
"""Fraction of the way to a light that shadow rays test: the light itself is at its end."""


@dataclass(frozen=True)
class PathOptions:
    """Options of path tracing."""

    samples: int = 64
    """Paths per pixel."""
    max_depth: int = 8
    """Segments of the longest path: 1 shows emission only, 2 adds direct light, more add
    indirect light."""
    roulette: int = 5
    """Segments after which Russian roulette starts."""
    strategy: Literal["both", "light", "surface"] = "both"
    """What estimates direct light: light sampling, BSDF sampling, or both by multiple
    importance sampling. Mirrors, glass and gratings always use BSDF sampling, and sources
    without extent light sampling."""
    power: float = 2.0
    """Exponent of the weights: 1 is the balance heuristic, 2 the power heuristic (Veach, sec.
    9.2)."""
    show_environment: bool = False
    """Whether the environment is visible behind objects; else there is no opacity."""
    exposure: float = 1.0
    """Factor on the radiance before conversion to sRGB; results above 1 are clipped."""
    seed: int = 0


@dataclass(frozen=True)
class Radiance:
    """Estimated radiance and geometry of each pixel, before conversion to display colors."""

    color: Float[Tensor, "cameras height width 3"]
    """Mean radiance, linear RGB, over black; negative where a grating's is outside sRGB."""
    error: Float[Tensor, "cameras height width 3"]
    """Standard error of the mean: standard deviation of the paths over √samples."""
    opacity: Float[Tensor, "cameras height width"]
    """Fraction of the paths that hit an object; 1 if the environment is visible."""
    depth: Float[Tensor, "cameras height width"]
    """Mean distance to the first hit, in scene units; 0 where nothing is hit."""
    normals: Float[Tensor, "cameras height width 3"]
    """Mean normal at the first hit, toward the camera; 0 where nothing is hit."""


def path_renderer(scene: Scene, options: PathOptions | None = None) -> Renderer:
    """The scene as a `Renderer`: sRGB of the mean radiance times the exposure, clipped at 1.

    `path_radiance` returns linear radiance. Not differentiable. Raises InputError if the scene
    cannot be rendered.
    """
    chosen = PathOptions() if options is None else options
    built = build(scene)

    def render(cameras: Cameras) -> Rendering:
        found = path_radiance(built, cameras, chosen)
        covered = found.opacity[..., None].clamp_min(1e-6)
        color = display_from_linear((chosen.exposure * found.color / covered).clamp(0, 1))
        shown = torch.where(found.opacity[..., None] > 0, color * found.opacity[..., None], 0.0)
        return Rendering(shown, found.opacity, found.depth, found.normals)

    return render


@torch.no_grad()
def path_radiance(
    scene: Scene | BuiltScene, cameras: Cameras, options: PathOptions | None = None
) -> Radiance:
    """The mean radiance of each pixel, and its standard error.

    Deterministic in the seed, for any number of threads. Raises InputError if the scene cannot
    be rendered, or an option is out of range.
    """
    options = PathOptions() if options is None else options
    _check(options)
    built = build(scene) if isinstance(scene, Scene) else scene
    # Sphere tracing has a high fixed cost per step, so larger batches pay off.
    batch = 8 * BATCH if built.functions else BATCH
    chunk = max(1, batch // options.samples)
    pixels = cameras.width * cameras.height
    jobs = [
        (camera, first, min(first + chunk, pixels))
        for camera in range(len(cameras))
        for first in range(0, pixels, chunk)
    ]

    def trace(number: int) -> Float[Tensor, "pixels 11"]:
        return _trace_pixels(built, cameras, *jobs[number], options, number)

    if cameras.device.type == "cpu":
        parts = run_threads(trace, range(len(jobs)), include_caller=False)
    else:
        parts = [trace(number) for number in range(len(jobs))]
    found = torch.cat(parts).view(len(cameras), cameras.height, cameras.width, 11)
    assert bool(found.isfinite().all()), "the radiance contains NaN or Inf"
    color, error, opacity, depth, normals = found.split([3, 3, 1, 1, 3], dim=3)
    return Radiance(color, error, opacity[..., 0], depth[..., 0], normals)


def _trace_pixels(
    scene: BuiltScene,
    cameras: Cameras,
    camera: int,
    first: int,
    last: int,
    options: PathOptions,
    number: int,
) -> Float[Tensor, "pixels 11"]:
    """Color, error, opacity, depth and normal of the pixels [first, last) of a camera."""
    device = cameras.device
    generator = torch.Generator(device)
    # CPU generators use only 32 bits of the seed. The factors are odd and far from small
    # fractions of 2^32, so that nearby batches and seeds do not collide.
    mixed = options.seed * 0x9E3779B1 + number * 0x85EBCA6B
    generator.manual_seed(mixed % (1 << 32))
    pixel = torch.arange(first, last, device=device).repeat_interleave(options.samples)
    shift = torch.rand(2, len(pixel), generator=generator, device=device)
    place = torch.stack([pixel % cameras.width, pixel // cameras.width]) + shift
    matrix = cameras.rotations[camera] @ torch.linalg.inv(cameras.intrinsics[camera])
    directions = unit(matrix @ torch.cat([place, torch.ones_like(place[:1])]))
    origins = cameras.centers[camera][:, None].expand_as(directions).contiguous()
    found = _follow(scene, _Paths.start(origins, directions), options, generator)
    found = found.view(8, last - first, options.samples)
    mean = found.mean(2)
    spread = found[:3].var(2) if options.samples > 1 else torch.zeros_like(mean[:3])
    color, opacity, depth, normals = mean.split([3, 1, 1, 3])
    depth = mean_depth(depth, opacity)
    if options.show_environment:
        opacity = torch.ones_like(opacity)
    error = (spread / options.samples).sqrt()
    return torch.cat([color, error, opacity, depth, unit(normals)]).T


@dataclass(frozen=True)
class _Paths:
    """The active paths of a batch, with their next rays."""

    number: Int[Tensor, "paths"]
    """Index of the path in the batch."""
    origins: Vectors
    directions: Vectors
    throughput: Vectors
    density: Numbers
    """PDF over solid angle with which the previous hit sampled the ray's direction."""

    @classmethod
    def start(cls, origins: Vectors, directions: Vectors) -> "_Paths":
        number = torch.arange(origins.shape[1], device=origins.device)
        # Camera rays act like mirror reflections: light sampling cannot produce them.
        sharp = torch.full_like(origins[0], torch.inf)
        return cls(number, origins, directions, torch.ones_like(origins), sharp)

    def select(self, keep: Int[Tensor, "kept"]) -> "_Paths":
        return _Paths(
            self.number.index_select(0, keep),
            self.origins.index_select(1, keep),
            self.directions.index_select(1, keep),
            self.throughput.index_select(1, keep),
            self.density.index_select(0, keep),
        )


def _follow(
    scene: BuiltScene, paths: _Paths, options: PathOptions, generator: torch.Generator
) -> Float[Tensor, "8 all_paths"]:
    """Trace all paths. Returns radiance, whether an object is hit, distance and normal."""
    out = torch.zeros(8, len(paths.number), device=paths.origins.device)
    for depth in range(1, options.max_depth + 1):
        hits = scene.intersect(paths.origins, paths.directions)
        gone = (hits.object_index < 0).nonzero()[:, 0]
        if scene.lights.sky is not None and (depth > 1 or options.show_environment):
            _add_background(out, scene, paths.select(gone), options)
        if len(gone) > 0:
            keep = (hits.object_index >= 0).nonzero()[:, 0]
            paths, hits = paths.select(keep), hits.select(keep)
        if len(paths.number) == 0:
            break
        surface = scene.surface(paths.origins, paths.directions, hits)
        if depth == 1:
            first = torch.cat([hits.distance[None], surface.normals])
            out[3, paths.number] = 1
            out[4:].index_copy_(1, paths.number, first)
        if scene.shines:
            _add_emission(out, scene, paths, surface, options)
        if depth == options.max_depth:
            break
        _add_direct(out, scene, paths, surface, options, generator)
        paths = _scattered(scene, paths, surface, generator)
        paths = _survivors(paths, depth >= options.roulette, generator)
    return out


def _add_background(
    out: Float[Tensor, "8 all_paths"], scene: BuiltScene, paths: _Paths, options: PathOptions
) -> None:
    """Add the environment's radiance to paths that leave the scene."""
    light, drawn = scene.lights.background(paths.directions)
    weight = _weight(paths.density, drawn, "surface", options)
    out[:3].index_add_(1, paths.number, paths.throughput * light * weight)


def _add_emission(
    out: Float[Tensor, "8 all_paths"],
    scene: BuiltScene,
    paths: _Paths,
    surface: Surface,
    options: PathOptions,
) -> None:
    """Add the emission of the surfaces that were hit."""
    light = scene.emission.index_select(1, surface.object_index)
    shines = ((light.amax(0) > 0) & surface.outside).nonzero()[:, 0]
    if len(shines) == 0:
        return
    light, paths = light.index_select(1, shines), paths.select(shines)
    found = surface.select(shines)
    weight = torch.ones_like(paths.density)
    if scene.lights.panels is not None:
        # Convert the PDF over area to solid angle as seen from the ray's origin.
        square = (found.points - paths.origins).square().sum(0)
        cosine = dot(found.normals, paths.directions).abs().clamp_min(1e-6)
        drawn = scene.lights.panel_density(light) * square / cosine
        weight = _weight(paths.density, drawn, "surface", options)
        # Distance functions are never sampled as lights.
        weight = torch.where(found.on_mesh, weight, 1.0)
    out[:3].index_add_(1, paths.number, paths.throughput * light * weight)


def _add_direct(
    out: Float[Tensor, "8 all_paths"],
    scene: BuiltScene,
    paths: _Paths,
    surface: Surface,
    options: PathOptions,
    generator: torch.Generator,
) -> None:
    """Next-event estimation: add the light that one sampled source contributes to each path."""
    rough = [kind for kind in scene.kinds if kind < ROUGH]
    if not rough or not scene.lights.kinds:
        return
    if len(rough) < len(scene.kinds):
        keep = (surface.materials.kind < ROUGH).nonzero()[:, 0]
        paths, surface = paths.select(keep), surface.select(keep)
    uniform = torch.rand(3, len(paths.number), generator=generator, device=out.device)
    light = scene.lights.sample(surface.points, uniform)
    axes = frame(surface.shading)
    outgoing, incoming = _enter(axes, -paths.directions), _enter(axes, light.direction)
    value, drawn = evaluate(rough, surface.materials, outgoing, incoming)
    weight = _weight(light.density, drawn, "light", options)
    found = paths.throughput * value * light.weight * weight
    # An interpolated normal may face a light that is behind the face itself.
    lit = (dot(surface.normals, light.direction) > 0) & (found.amax(0) > 0)
    lit = lit.nonzero()[:, 0]
    direction, distance = light.direction.index_select(1, lit), light.distance[lit]
    there = surface.select(lit)
    start = there.leave(direction, scene.grain)
    # The shadow ray goes from its offset origin to the sampled point itself: a parallel shift
    # of the whole ray could hit a lamp at grazing angles before its end.
    way = there.points + distance * direction - start
    length = way.square().sum(0).sqrt()
    nearby = distance.isfinite()
    direction = torch.where(nearby, way / length, direction)
    farthest = SHORTER * torch.where(nearby, length, distance)
    occluded = scene.occluded(start, direction, farthest)
    free = lit.index_select(0, (~occluded).nonzero()[:, 0])
    out[:3].index_add_(1, paths.number.index_select(0, free), found.index_select(1, free))


def _scattered(
    scene: BuiltScene, paths: _Paths, surface: Surface, generator: torch.Generator
) -> _Paths:
    """The paths continued in directions sampled from the BSDF."""
    uniform = torch.rand(3, len(paths.number), generator=generator, device=paths.origins.device)
    axes = frame(surface.shading)
    outgoing = _enter(axes, -paths.directions)
    materials = in_frame(surface.materials, axes)
    drawn = sample(scene.kinds, materials, surface.outside, outgoing, uniform)
    direction = _leave(axes, drawn.direction)
    # Directions that pass through the face because of an interpolated normal carry no light.
    through = dot(surface.normals, direction) < 0
    weight = torch.where(through == (drawn.direction[2] < 0), drawn.weight, 0.0)
    start = surface.leave(direction, scene.grain)
    return _Paths(paths.number, start, direction, paths.throughput * weight, drawn.density)


def _survivors(paths: _Paths, roulette: bool, generator: torch.Generator) -> _Paths:
    """Paths of nonzero throughput; with Russian roulette, they survive in proportion to it."""
    left = paths.throughput.amax(0)
    if not roulette:
        keep = (left > 0).nonzero()[:, 0]
        return paths if len(keep) == len(left) else paths.select(keep)
    survival = left.clamp_max(MAX_SURVIVAL)
    uniform = torch.rand(len(left), generator=generator, device=left.device)
    keep = (uniform < survival).nonzero()[:, 0]
    kept = paths.select(keep)
    return replace(kept, throughput=kept.throughput / survival.index_select(0, keep))


def mis_weight(own: Numbers, other: Numbers, power: float) -> Numbers:
    """Multiple importance sampling weight of a sample with PDF `own` under its own strategy and
    `other` under the other one.

    The weights of both strategies sum to 1 (Veach, eq. 9.8 and 9.13); 1 where `own` is
    infinite.
    """
    return 1 / (1 + (other / own.clamp_min(1e-30)) ** power)


def _weight(
    own: Numbers, other: Numbers, strategy: Literal["light", "surface"], options: PathOptions
) -> Numbers:
    if options.strategy == "both":
        return mis_weight(own, other, options.power)
    # Samples of a delta distribution cannot come from the other strategy.
    return torch.ones_like(own) if strategy == options.strategy else own.isinf().to(own)


def _enter(axes: tuple[Vectors, Vectors, Vectors], directions: Vectors) -> Vectors:
    """Transform world directions to the local shading frame."""
    return torch.stack([dot(axis, directions) for axis in axes])


def _leave(axes: tuple[Vectors, Vectors, Vectors], local: Vectors) -> Vectors:
    """The inverse of `_enter`."""
    x, y, z = axes
    return unit(local[0] * x + local[1] * y + local[2] * z)


def _check(options: PathOptions) -> None:
    numbers = (
        ("samples", options.samples, 1, 1 << 16),
        ("max_depth", options.max_depth, 1, 1 << 16),
        ("roulette", options.roulette, 1, 1 << 16),
        ("seed", options.seed, 0, (1 << 31) - 1),
    )
    for name, value, least, most in numbers:
        if not least <= value <= most:
            raise InputError(f"{name} {value}: give one from {least} to {most}")
    if not (options.power > 0 and options.exposure > 0):
        raise InputError(
            f"power {options.power:g}, exposure {options.exposure:g}: give numbers above 0"
        )
