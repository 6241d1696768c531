"""Sphere tracing: intersection of rays with the surface of a signed distance function.

The ball around a point whose radius is its distance is empty, so a ray may advance by that
radius (Hart, "Sphere Tracing", The Visual Computer 1996). All active rays are evaluated as one
batch.

    radius    the distance over the function's Lipschitz constant: radius of the empty ball
    clear     how far along the ray the empty ball reaches
    gap       between two balls that do not touch: the step was too long and is taken back
    bracket   an interval of the ray from outside to inside, which contains a surface

Steps are longer than the radius if the last two radii show that the surface recedes or is
approached at an angle: as long as the next ball would still touch if the surface were a plane
(Keinert et al., "Enhanced Sphere Tracing", 2014; Bálint and Valasek, "Accelerating Sphere
Tracing", 2018). If a step ends inside, the surface is bracketed and found by root finding, so
that functions that are only approximate distances, such as learned ones, work too.
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
"""Longest step, in radii."""
SLANT = 0.1
"""Smallest cosine between ray and normal assumed for the last step, to the surface itself."""
NARROWER = 0.1
"""A bracket shrinks by at least this fraction with each step."""
RECORDED = 2048
"""Smallest number of rays for which recording the function for the kernel pays off."""
RAYS_A_THREAD = 4096
"""Smallest number of rays per thread."""
GRAZING = 1e-2
"""Smallest cosine between ray and normal used in derivatives."""
STEP = 5e-4
"""Step of finite differences, in scene units."""


@dataclass(frozen=True)
class Marching:
    """Options of sphere tracing."""

    max_steps: int = 256
    """Steps after which a ray stops."""
    tolerance: float = 1e-4
    """A ray hits when the surface is nearer than this fraction of the distance traveled: the
    angle, in radians, by which it may have missed. A pixel has about 0.003."""
    lipschitz: float = 1.0
    """Lipschitz constant of the function: 1 for everything in `shapes.implicit`, the largest
    gradient norm for a learned function."""
    relaxed: bool = True
    """Whether steps may be longer than the radius."""


@dataclass(frozen=True)
class Hits:
    """Results of sphere tracing, without gradients; `reached` adds them."""

    mask: Bool[Tensor, "rays"]
    """Whether the ray hit the surface."""
    distance: Float[Tensor, "rays"]
    """Distance along the ray in scene units; 0 for a miss."""
    inside: Bool[Tensor, "rays"]
    """Whether the ray started inside, so that it hits the surface from the inside."""
    exhausted: Bool[Tensor, "rays"]
    """Whether the ray ran out of steps. It counts as a miss, though it may be near a
    surface."""
    steps: Int[Tensor, "rays"]
    """Number of evaluations of the function on the ray."""

    @classmethod
    def none(cls, like: Float[Tensor, "rays"]) -> "Hits":
        """No hits, after no steps."""
        no = torch.zeros_like(like, dtype=torch.bool)
        return cls(no, torch.zeros_like(like), no.clone(), no.clone(), no.long())


@dataclass(frozen=True)
class _Front:
    """State of the active rays."""

    number: Int[Tensor, "rays"]
    origin: Float[Tensor, "3 rays"]
    direction: Float[Tensor, "3 rays"]
    far: Float[Tensor, "rays"]
    side: Float[Tensor, "rays"]
    """−1 for rays that started inside, for which the sign of the function is flipped."""
    place: Float[Tensor, "rays"]
    """Distance at which the function is evaluated next."""
    low: Float[Tensor, "rays"]
    """The last distance outside, and the radius there."""
    low_radius: Float[Tensor, "rays"]
    high: Float[Tensor, "rays"]
    """The first distance known to be inside, and the radius there; infinite without any."""
    high_radius: Float[Tensor, "rays"]

    def points(self) -> Float[Tensor, "rays 3"]:
        """The points to evaluate, column-major in memory, which is faster for most
        functions.
        """
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
    """The first sign change of the function along each ray between `near` and `far`.

    Directions have unit length. A surface without an interior (the distance to a sheet) is hit
    where it is within the tolerance. Rays that start inside continue until they leave. Rays
    with `far` ≤ `near` miss. Raises InputError if the function does not return one number per
    point, or returns NaN. On the CPU, large batches of rays are traced by a kernel if the
    function can be recorded (`kernels.tape`); `backend="reference"` always evaluates the
    function itself.
    """
    start = torch.as_tensor(near).to(origins).expand(len(origins))
    end = torch.as_tensor(far).to(origins).expand(len(origins))
    if len(origins) >= RECORDED and backend in ("auto", "cpu"):
        # The recording is checked at some points along the rays.
        some = slice(None, None, len(origins) // 64)
        way = directions[some] * torch.linspace(0, 2, 9)[:, None, None].to(origins)
        middle = origins[some].norm(dim=1, keepdim=True).clamp_min(1)
        checked = (origins[some] + middle * way).reshape(-1, 3)
        tape = record(sdf, checked, backend)
        found = tape and _followed(tape, origins, directions, start, end, marching)
        if found:
            return found
    threads = num_threads() if origins.device.type == "cpu" else 1
    threads = min(threads, max(1, len(origins) // RAYS_A_THREAD))

    def trace(first: int) -> Hits:
        # Neighboring rays go to different threads, which balances the load.
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
    """`_trace` by the kernel; None if it encountered NaN."""
    from unrender.kernels.tape import cpu  # noqa: PLC0415 - Numba compiles when it is used

    hits = Hits.none(start)
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
    """`sphere_trace` in one thread."""
    hits = Hits.none(start)
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
        # Finished rays are dropped only when enough have finished to pay for the copy.
        if int(going.sum()) < 0.8 * len(going):
            front, going = front.select(going), going[going]
    hits.exhausted[front.number[going]] = True
    return hits


def _interleaved(parts: list[Tensor]) -> Tensor:
    """Elements of the parts in round-robin order: the inverse of slicing with a stride."""
    whole = torch.empty(sum(map(len, parts)), dtype=parts[0].dtype, device=parts[0].device)
    for first, part in enumerate(parts):
        whole[first :: len(parts)] = part
    return whole


def _advanced(
    front: _Front, radius: Float[Tensor, "rays"], marching: Marching
) -> tuple[_Front, Bool[Tensor, "rays"], Bool[Tensor, "rays"]]:
    """Advance the rays by one evaluation. Also returns which have hit and which have missed."""
    place, clear = front.place, front.low + front.low_radius
    close = marching.tolerance * place.abs()
    free = front.high.isinf()
    # If this ball does not touch the last one, there may be a surface in between.
    gap = free & (place - radius.abs() > clear + 1e-3 * close)
    narrow = ~free & (front.high - front.low <= close)
    arrived = ~gap & (radius.abs() <= close) | narrow
    came = place - front.low
    # Rate of approach: for a planar surface, the cosine between the ray and the normal.
    approach = torch.where(came > 0, (front.low_radius - radius) / came, 1.0)
    inside = ~gap & (radius < 0)
    outside = ~gap & ~inside
    low, low_radius = torch.where(outside, torch.stack([place, radius]), _low(front)).unbind()
    high, high_radius = torch.where(inside, torch.stack([place, radius]), _high(front)).unbind()
    step = radius
    if marching.relaxed:
        # A plane has distance r − c s after a step s; solve r + (r − c s) = s.
        step = 2 * radius / (1 + approach.clamp(2 / LONGEST - 1, 1))
    following = torch.where(gap, clear, torch.minimum(place + step, front.far))
    share = (low_radius / (low_radius - high_radius)).clamp(NARROWER, 1 - NARROWER)
    following = torch.where(high.isinf(), following, low + share * (high - low))
    # Rays that hit take the remaining distance in one step, as if the surface were a plane.
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
    """Values of the function. Raises InputError if they are NaN or not one number per point."""
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
            f"points, first at ({x:.4g}, {y:.4g}, {z:.4g}): correct it there"
        )
    return found


def reached(
    sdf: SDF,
    origins: Float[Tensor, "hits 3"],
    directions: Float[Tensor, "hits 3"],
    distance: Float[Tensor, "hits"],
) -> Float[Tensor, "hits"]:
    """The same distances, with gradients with respect to the rays and the function's
    parameters.

    By implicit differentiation, f(o + t d; θ) = 0 gives
    dt = −(∂f/∂θ dθ + ∇f · (do + t dd)) / (∇f · d), however the root was found (Yariv et al.,
    IDR, NeurIPS 2020, eq. 3; Niemeyer et al., DVR, CVPR 2020). At grazing rays the derivative
    is unbounded: the cosine is clamped at `GRAZING`.
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
    """Normalized gradients, which are outward normals on the surface; 0 where it vanishes.

    `autograd` is exact; its own gradients require a twice differentiable function.
    `tetrahedron` needs no derivatives: with the vertices v of a tetrahedron, (1, −1, −1) etc.,
    Σ v f(x + step v) = 4 step ∇f.
    """
    if way == "autograd":
        return normalize(_gradient(sdf, points), dim=1)
    corners = [(1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0)]
    total = torch.zeros_like(points)
    for corner in points.new_tensor(corners):
        total = total + evaluated(sdf, points + step * corner)[:, None] * corner
    return normalize(total, dim=1)


def _gradient(sdf: SDF, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
    """∇f; differentiable if the points or the function's parameters require gradients."""
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
    """Points on rays, column-major in memory."""
    return torch.addcmul(origins.T, distance, directions.T).T
