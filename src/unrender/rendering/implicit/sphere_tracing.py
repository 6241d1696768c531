"""Where rays meet the surface of a signed distance function.

Around any point the ball of its distance is empty, so a ray may advance by it (Hart, "Sphere
Tracing", The Visual Computer 1996). Rays that are not done are all asked together.

    radius    the distance over the function's Lipschitz constant: free space on all sides
    clear     how far along its ray the free ball reaches
    gap       between two balls that do not touch: a step too far, to be taken back
    bracket   a part of the ray from outside to inside, in which there is a surface

Steps are longer than the radius where the last two say that the surface recedes or is
approached aslant: as long as the next ball, were the surface flat, would still touch (Keinert
et al., "Enhanced Sphere Tracing", 2014; Bálint and Valasek, "Accelerating Sphere Tracing",
2018). Where a step ends inside, the surface is looked for in its bracket, so that functions
which are not quite distances, as learned ones, lead to their surface too.
"""

from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.kernels.runtime.backend import Backend
from unrender.kernels.runtime.jit import num_threads, run_threads
from unrender.kernels.tape import record
from unrender.kernels.tape.recorder import Tape
from unrender.shapes.implicit.sdf import SDF

Normals = Literal["autograd", "tetrahedron"]

LONGEST = 4.0
"""What a step is at most, in radii."""
SLANT = 0.1
"""What is left of the way at the end is at most the radius over this cosine."""
NARROWER = 0.1
"""A bracket loses at least this share with each step."""
RECORDED = 2048
"""Rays that are worth the time to record what they follow."""
RAYS_A_THREAD = 4096
"""At least; fewer are not worth another thread."""
GRAZING = 1e-2
"""Rays at less than this cosine to the surface are differentiated as if at this one."""
STEP = 5e-4
"""Of finite differences, in scene units."""


@dataclass(frozen=True)
class Marching:
    """How rays go."""

    max_steps: int = 256
    """Every ray ends after so many."""
    tolerance: float = 1e-4
    """A ray has arrived when the surface is nearer than this share of the way it came: the
    angle, in radians, by which it may have missed. A pixel has about 0.003."""
    lipschitz: float = 1.0
    """How much the function changes at most over a unit of length. 1 for all of `scenes.sdf`;
    the longest gradient, for a learned function."""
    relaxed: bool = True
    """Whether steps may be longer than the radius."""


@dataclass(frozen=True)
class Hits:
    """What became of rays. No gradients flow; `reached` has them."""

    mask: Bool[Tensor, "rays"]
    """Whether the ray met the surface."""
    distance: Float[Tensor, "rays"]
    """Along the ray to the surface, in units of its direction; 0 where there is none."""
    inside: Bool[Tensor, "rays"]
    """Whether the ray began inside: what it met, it saw from within."""
    exhausted: Bool[Tensor, "rays"]
    """Rays that ran out of steps: they are no hits, though they may be near a surface."""
    steps: Int[Tensor, "rays"]
    """How often the function was asked for the ray."""


@dataclass(frozen=True)
class _Front:
    """The rays that still go; all of them have the same fields."""

    number: Int[Tensor, "rays"]
    origin: Float[Tensor, "3 rays"]
    direction: Float[Tensor, "3 rays"]
    far: Float[Tensor, "rays"]
    side: Float[Tensor, "rays"]
    """−1 for rays that began inside, whose distances count as positive there."""
    place: Float[Tensor, "rays"]
    """Where the function is asked next."""
    low: Float[Tensor, "rays"]
    """The last place outside, and the radius there."""
    low_radius: Float[Tensor, "rays"]
    high: Float[Tensor, "rays"]
    """The first place known to be inside, and the radius there; infinite without any."""
    high_radius: Float[Tensor, "rays"]

    def points(self) -> Float[Tensor, "rays 3"]:
        """Column by column in memory, which functions of coordinates are faster on."""
        return torch.addcmul(self.origin, self.place, self.direction).T

    def select(self, chosen: Bool[Tensor, "rays"]) -> "_Front":
        index = chosen.nonzero()[:, 0]
        return _Front(
            *(getattr(self, field.name).index_select(-1, index) for field in fields(self))
        )


@torch.no_grad()
def sphere_trace(
    sdf: SDF,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    near: float | Float[Tensor, "rays"],
    far: float | Float[Tensor, "rays"],
    marching: Marching = Marching(),
    backend: Backend = "auto",
) -> Hits:
    """The first place on each ray, from `near` to `far`, where the function changes its sign.

    Directions have unit length. A surface without an inside (the distance to a sheet) is met
    where it is as near as the tolerance. Rays that begin inside go on until they leave; where
    far is not beyond near, there is nothing. InputError if the function gives anything but one
    number a point, or NaN. On the CPU many rays go by a kernel, where the function can be
    recorded (`kernels.tape`); `backend="reference"` asks the function itself.
    """
    start = torch.as_tensor(near).to(origins).expand(len(origins))
    end = torch.as_tensor(far).to(origins).expand(len(origins))
    if len(origins) >= RECORDED and backend in ("auto", "cpu"):
        # Some points near where rays start, and as far again.
        some = slice(None, None, len(origins) // 64)
        way = directions[some] * torch.linspace(0, 2, 9)[:, None, None].to(origins)
        middle = origins[some].norm(dim=1, keepdim=True).clamp_min(1)
        checked = (origins[some] + middle * way).view(-1, 3)
        tape = record(sdf, checked, backend)
        found = tape and _followed(tape, origins, directions, start, end, marching)
        if found:
            return found
    threads = num_threads() if origins.device.type == "cpu" else 1
    threads = min(threads, max(1, len(origins) // RAYS_A_THREAD))

    def trace(first: int) -> Hits:
        # Neighbours go to different threads, so that all have as much to do.
        own = slice(first, None, threads)
        return _trace(sdf, origins[own], directions[own], start[own], end[own], marching)

    parts = [trace(0)] if threads == 1 else run_threads(trace, range(threads), False)
    names = [field.name for field in fields(Hits)]
    return Hits(*(_interleaved([getattr(part, name) for part in parts]) for name in names))


def _followed(
    tape: Tape,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    start: Float[Tensor, "rays"],
    end: Float[Tensor, "rays"],
    marching: Marching,
) -> Hits | None:
    """As `_trace`, by the kernel; None where it met what is no number."""
    from unrender.kernels.tape import cpu  # noqa: PLC0415 - Numba compiles when it is used

    no = torch.zeros_like(start, dtype=torch.bool)
    hits = Hits(no, torch.zeros_like(start), no.clone(), no.clone(), no.long())
    rays = [each.contiguous().numpy() for each in (origins, directions, start, end)]
    longest = LONGEST if marching.relaxed else 1.0
    settings = (marching.max_steps, marching.tolerance, marching.lipschitz, longest, NARROWER)
    outcome = [getattr(hits, field.name).numpy() for field in fields(Hits)]

    program = (tape.code, tape.constants, tape.num_registers, tape.result)
    threads = num_threads()

    def march(first: int) -> bool:
        return cpu.sphere_trace(*program, *rays, *settings, SLANT, first, threads, *outcome)

    return hits if all(run_threads(march, range(threads))) else None


def _trace(
    sdf: SDF,
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    start: Float[Tensor, "rays"],
    end: Float[Tensor, "rays"],
    marching: Marching,
) -> Hits:
    """As `sphere_trace`, by one thread."""
    no = torch.zeros_like(start, dtype=torch.bool)
    hits = Hits(no, torch.zeros_like(start), no.clone(), no.clone(), no.long())
    infinite, zero = torch.full_like(start, torch.inf), torch.zeros_like(start)
    front = _Front(
        torch.arange(len(start), device=start.device),
        origins.T,
        directions.T,
        end,
        torch.ones_like(start),
        start,
        start,
        zero,
        infinite,
        zero,
    ).select(start < end)
    going = torch.ones_like(front.number, dtype=torch.bool)
    for step in range(marching.max_steps):
        if not len(front.number):
            break
        radius = evaluated(sdf, front.points()) / marching.lipschitz
        if step == 0:
            front = replace(front, side=torch.where(radius < 0, -1.0, 1.0).to(radius))
            hits.inside[front.number] = radius < 0
        front, arrived, missed = _advanced(front, front.side * radius, marching)
        hits.steps[front.number[going]] = step + 1
        new = (going & arrived).nonzero()[:, 0]
        hits.mask[front.number[new]] = True
        hits.distance[front.number[new]] = front.place[new]
        going = going & ~arrived & ~missed
        # What is done is carried along until it is worth the copying.
        if int(going.sum()) < 0.8 * len(going):
            front, going = front.select(going), going[going]
    hits.exhausted[front.number[going]] = True
    return hits


def _interleaved(parts: list[Tensor]) -> Tensor:
    """One after the other from each part in turn."""
    whole = torch.empty(sum(map(len, parts)), dtype=parts[0].dtype, device=parts[0].device)
    for first, part in enumerate(parts):
        whole[first :: len(parts)] = part
    return whole


def _advanced(
    front: _Front, radius: Float[Tensor, "rays"], marching: Marching
) -> tuple[_Front, Bool[Tensor, "rays"], Bool[Tensor, "rays"]]:
    """The front after the function was asked; who has arrived, at its place, and who misses."""
    place, clear = front.place, front.low + front.low_radius
    close = marching.tolerance * place.abs()
    free = front.high.isinf()
    # Where the ball here does not touch the last one, a surface may lie between.
    gap = free & (place - radius.abs() > clear + 1e-3 * close)
    narrow = ~free & (front.high - front.low <= close)
    arrived = ~gap & (radius.abs() <= close) | narrow
    came = place - front.low
    # How fast the surface approaches: the cosine between the ray and a flat surface's normal.
    approach = torch.where(came > 0, (front.low_radius - radius) / came, 1.0)
    inside = ~gap & (radius < 0)
    outside = ~gap & ~inside
    low, low_radius = torch.where(outside, torch.stack([place, radius]), _low(front)).unbind()
    high, high_radius = torch.where(inside, torch.stack([place, radius]), _high(front)).unbind()
    step = radius
    if marching.relaxed:
        # A flat surface has distance r − c s after s, and r + (r − c s) = s.
        step = 2 * radius / (1 + approach.clamp(2 / LONGEST - 1, 1))
    following = torch.where(gap, clear, torch.minimum(place + step, front.far))
    share = (low_radius / (low_radius - high_radius)).clamp(NARROWER, 1 - NARROWER)
    following = torch.where(high.isinf(), following, low + share * (high - low))
    # Arrived rays go the little rest in one step, as if the surface were flat.
    rest = radius / approach.clamp(SLANT, 1)
    following = torch.where(arrived, place + torch.where(narrow, 0.0, rest), following)
    missed = outside & free & (place + radius >= front.far) & ~arrived
    front = replace(
        front,
        place=following,
        low=low,
        low_radius=low_radius,
        high=high,
        high_radius=high_radius,
    )
    return front, arrived, missed


def _low(front: _Front) -> Float[Tensor, "2 rays"]:
    return torch.stack([front.low, front.low_radius])


def _high(front: _Front) -> Float[Tensor, "2 rays"]:
    return torch.stack([front.high, front.high_radius])


def evaluated(sdf: SDF, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """The function's values. InputError if they are not one number a point, or NaN."""
    found = sdf(points)
    if found.shape != points.shape[:1]:
        raise InputError(
            f"the signed distance function gave {tuple(found.shape)} for "
            f"{tuple(points.shape)} points: it must give one number for each"
        )
    wrong = found.isnan()
    if bool(wrong.any()):
        x, y, z = points[wrong][0].tolist()
        raise InputError(
            f"the signed distance function gave NaN at {int(wrong.sum())} of {len(points)} "
            f"points, first at ({x:.4g}, {y:.4g}, {z:.4g}): mend it there"
        )
    return found


def reached(
    sdf: SDF,
    origins: Float[Tensor, "hits 3"],
    directions: Float[Tensor, "hits 3"],
    distance: Float[Tensor, "hits"],
) -> Float[Tensor, "hits"]:
    """The same distances, with gradients by the rays and by all that the function depends on.

    From f(o + t d; θ) = 0 follows dt = −(∂f/∂θ dθ + ∇f · (do + t dd)) / (∇f · d), whatever way
    the root was found (Yariv et al., IDR, NeurIPS 2020, eq. 3; Niemeyer et al., DVR, CVPR
    2020). Where a ray only grazes the surface, the true derivative has no bound: here it ends
    at a cosine of `GRAZING`.
    """
    distance = distance.detach()
    value = evaluated(sdf, along(origins, directions, distance))
    if not value.requires_grad:
        return distance
    with torch.no_grad():
        slope = _gradient(sdf, along(origins, directions, distance))
        cosine = (slope * directions).sum(1)
        cosine = torch.where(cosine < 0, cosine.clamp_max(-GRAZING), cosine.clamp_min(GRAZING))
    return distance - (value - value.detach()) / cosine


def sdf_normals(
    sdf: SDF, points: Float[Tensor, "points 3"], way: Normals = "autograd", step: float = STEP
) -> Float[Tensor, "points 3"]:
    """Unit vectors along the gradient: outward normals, for points on the surface; 0 without.

    `autograd` is exact; its own gradients need functions that can be differentiated twice.
    `tetrahedron` needs none: four points about each at √3 `step`, v (1, −1, −1) and so on, have
    values whose sum, each times its v, is 4 step ∇f.
    """
    if way == "autograd":
        return normalize(_gradient(sdf, points), dim=1)
    corners = [(1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0)]
    total = torch.zeros_like(points)
    for corner in points.new_tensor(corners):
        total = total + evaluated(sdf, points + step * corner)[:, None] * corner
    return normalize(total, dim=1)


def _gradient(sdf: SDF, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
    """∇f; itself differentiable where the points or what the function is made of are."""
    if not len(points):
        return torch.zeros_like(points)
    follow = torch.is_grad_enabled()
    follow = follow and (points.requires_grad or evaluated(sdf, points).requires_grad)
    with torch.enable_grad():
        places = points if points.requires_grad else points.detach().requires_grad_()
        value = evaluated(sdf, places)
        if not value.requires_grad:
            raise InputError(
                "the signed distance function has no gradients: use normals from differences, "
                'normals="tetrahedron"'
            )
        (slope,) = torch.autograd.grad(value.sum(), places, create_graph=follow)
    return slope


def along(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    distance: Float[Tensor, "rays"],
) -> Float[Tensor, "rays 3"]:
    """Points on rays, column by column in memory."""
    return torch.addcmul(origins.T, distance, directions.T).T
