"""Path tracing: the rendering equation, estimated by random walks.

    L(x, o) = E(x, o) + ∫ f(x, i, o) L(y, −i) |cos θᵢ| di

(Kajiya 1986; Veach, "Robust Monte Carlo Methods for Light Transport Simulation", 1997, 3.7)

The light L that leaves x toward o is what x emits and what it scatters of the light from all
directions i, each of which leaves a point y in turn. A path leaves the camera, and at each
point draws one direction to go on in by the BSDF, and one to a light; what both find is
weighted by how likely either was to find it (multiple importance sampling, ch. 9). Its
throughput is the product of f |cos θ| / density so far. Paths that carry little end early by
lot, and the others count more (Russian roulette): the mean is right for any number of paths,
and its error falls with their square root.

All paths of a batch take each step together. Arrays are [3, paths], as in bsdf.py.
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
    sample,
    unit,
)
from unrender.rendering.light.scene import BuiltScene, Scene, Surface, build
from unrender.rendering.renderer import Renderer, Rendering

BATCH = 1 << 15
"""Paths that take their steps together: as many as stay in cache."""
MAX_SURVIVAL = 0.95
"""Cap on the Russian-roulette survival probability."""
SHORTER = 1 - 1e-4
"""Of the way to a light, what must be free: the light itself lies at its end."""


@dataclass(frozen=True)
class PathOptions:
    """How paths are drawn."""

    samples: int = 64
    """Paths of each pixel."""
    max_depth: int = 8
    """Edges of the longest path: 1 shows what shines, 2 adds direct light, more add light that
    comes by other objects."""
    roulette: int = 5
    """Edges after which paths may end by lot."""
    strategy: Literal["both", "light", "surface"] = "both"
    """How light is found: by directions to lights, by those that the surface scatters to, or
    both, weighted. Mirrors and glass always scatter; sources without extent are always
    asked."""
    power: float = 2.0
    """Exponent of the weights: 1 is the balance heuristic, 2 the power heuristic (Veach,
    9.2)."""
    show_environment: bool = False
    """Whether the environment is seen behind objects; else there is no opacity."""
    exposure: float = 1.0
    """Radiance that is shown as white is 1 over this; what is brighter is cut off."""
    seed: int = 0


@dataclass(frozen=True)
class Radiance:
    """What paths found, before a display."""

    color: Float[Tensor, "cameras height width 3"]
    """Mean radiance, linear RGB from 0 up, over black."""
    error: Float[Tensor, "cameras height width 3"]
    """Standard error of the mean: standard deviation of the paths over √samples."""
    opacity: Float[Tensor, "cameras height width"]
    """Share of the paths that met something; 1 where the environment is seen."""
    depth: Float[Tensor, "cameras height width"]
    """Mean distance to the first hit, in scene units; 0 where nothing is hit."""
    normals: Float[Tensor, "cameras height width 3"]
    """Their mean direction at the first meeting, toward the camera; 0 where nothing was."""


def path_renderer(scene: Scene, options: PathOptions | None = None) -> Renderer:
    """The scene as a `Renderer`: sRGB of the mean radiance times the exposure, cut off at 1.

    For linear light, `path_radiance`. No gradients flow. InputError if the scene cannot be
    drawn.
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
    """The mean radiance of each pixel, and its error.

    The same seed gives the same numbers, on any number of threads. InputError if the scene
    cannot be drawn, or an option is out of range.
    """
    options = PathOptions() if options is None else options
    _check(options)
    built = build(scene) if isinstance(scene, Scene) else scene
    # Steps toward distance functions cost the same for few rays as for many thousands.
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
        parts = run_threads(trace, range(len(jobs)), takes_part=False)
    else:
        parts = [trace(number) for number in range(len(jobs))]
    found = torch.cat(parts).view(len(cameras), cameras.height, cameras.width, 11)
    assert bool(found.isfinite().all()), "a path carries what is no number"
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
    """The means of the pixels [first, last) of a camera: colour, error, opacity and so on."""
    device = cameras.device
    generator = torch.Generator(device)
    # 32 bits are all that counts on the CPU. The factors are odd, and far from small fractions
    # of 2^32, so that neither batches nor seeds that are near to each other meet.
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
    depth = torch.where(opacity > 0, depth / opacity.clamp_min(1e-9), 0.0)
    if options.show_environment:
        opacity = torch.ones_like(opacity)
    error = (spread / options.samples).sqrt()
    return torch.cat([color, error, opacity, depth, unit(normals)]).T


@dataclass(frozen=True)
class _Paths:
    """Paths that have not ended, and the rays that they go on along."""

    number: Int[Tensor, "paths"]
    """Of all paths of the batch."""
    origins: Vectors
    directions: Vectors
    throughput: Vectors
    density: Numbers
    """With which the surface that the ray leaves drew its direction, over solid angle."""

    @classmethod
    def start(cls, origins: Vectors, directions: Vectors) -> "_Paths":
        number = torch.arange(origins.shape[1], device=origins.device)
        # A camera is as sharp as a mirror: nothing else finds what it sees.
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
    """Of each path the radiance, whether it meets an object, how far away, and the normal."""
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
    """The environment's light, of paths that leave the scene."""
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
    """What the surface itself emits."""
    light = scene.emission.index_select(1, surface.object_index)
    shines = ((light.amax(0) > 0) & surface.outside).nonzero()[:, 0]
    if len(shines) == 0:
        return
    light, paths = light.index_select(1, shines), paths.select(shines)
    found = surface.select(shines)
    weight = torch.ones_like(paths.density)
    if scene.lights.panels is not None:
        # A density over area, as it is over the solid angle that the area fills from there.
        square = (found.points - paths.origins).square().sum(0)
        cosine = dot(found.normals, paths.directions).abs().clamp_min(1e-6)
        drawn = scene.lights.panel_density(light) * square / cosine
        weight = _weight(paths.density, drawn, "surface", options)
        # Distance functions are never drawn: chance alone finds them.
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
    """Next-event estimation: what one light sends to the surface, and that to the path."""
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
    # A light behind the face itself might still shine on normals that are interpolated.
    lit = (dot(surface.normals, light.direction) > 0) & (found.amax(0) > 0)
    lit = lit.nonzero()[:, 0]
    direction, distance = light.direction.index_select(1, lit), light.distance[lit]
    there = surface.select(lit)
    start = there.leave(direction, scene.grain)
    # From where the ray starts to the very point: shifted alongside, it would meet a lamp that
    # it grazes before its end.
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
    """The paths in directions that the surface draws."""
    uniform = torch.rand(3, len(paths.number), generator=generator, device=paths.origins.device)
    axes = frame(surface.shading)
    outgoing = _enter(axes, -paths.directions)
    drawn = sample(scene.kinds, surface.materials, surface.outside, outgoing, uniform)
    direction = _leave(axes, drawn.direction)
    # Where interpolated normals let light pass through the face itself, it is lost.
    through = dot(surface.normals, direction) < 0
    weight = torch.where(through == (drawn.direction[2] < 0), drawn.weight, 0.0)
    start = surface.leave(direction, scene.grain)
    return _Paths(paths.number, start, direction, paths.throughput * weight, drawn.density)


def _survivors(paths: _Paths, by_lot: bool, generator: torch.Generator) -> _Paths:
    """Those that still carry something; by lot, if so, the more likely the more it is."""
    left = paths.throughput.amax(0)
    if not by_lot:
        keep = (left > 0).nonzero()[:, 0]
        return paths if len(keep) == len(left) else paths.select(keep)
    share = left.clamp_max(MAX_SURVIVAL)
    lot = torch.rand(len(left), generator=generator, device=left.device)
    keep = (lot < share).nonzero()[:, 0]
    kept = paths.select(keep)
    return replace(kept, throughput=kept.throughput / share.index_select(0, keep))


def mis_weight(own: Numbers, other: Numbers, power: float) -> Numbers:
    """Of what one strategy drew with density `own`, and another would have with `other`.

    The weights of both sum to 1 (Veach, eq. 9.8 and 9.13); 1 where `own` is infinite.
    """
    return 1 / (1 + (other / own.clamp_min(1e-30)) ** power)


def _weight(
    own: Numbers, other: Numbers, strategy: Literal["light", "surface"], options: PathOptions
) -> Numbers:
    if options.strategy == "both":
        return mis_weight(own, other, options.power)
    # What is drawn with infinite density, no other strategy finds.
    return torch.ones_like(own) if strategy == options.strategy else own.isinf().to(own)


def _enter(axes: tuple[Vectors, Vectors, Vectors], directions: Vectors) -> Vectors:
    """World directions in the surface's frame."""
    return torch.stack([dot(axis, directions) for axis in axes])


def _leave(axes: tuple[Vectors, Vectors, Vectors], local: Vectors) -> Vectors:
    """The inverse."""
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
        raise InputError("power and exposure have to be above 0")
