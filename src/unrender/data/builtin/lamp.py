"""The built-in moving scene: a desk lamp that bends and turns beside a box that opens.

All parts are rigid, so the position of each surface point is known exactly at any time. Two
cameras film the scene at the same moments, as in the evaluation of Nerfies
(https://arxiv.org/abs/2011.12948, sec. 5): the views of a hand-held camera are for training,
and those of a second camera are held out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unrender.data.builtin.families.solids import (
    Color,
    Solid,
    ball,
    closed_surfaces,
    lathe,
    slab,
    stick,
)
from unrender.data.dataset import Dataset
from unrender.data.view_ids import ViewIds
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import compose, look_at, so3_exp
from unrender.kernels.runtime.jit import run_threads
from unrender.rendering.mesh.raster import visible_faces
from unrender.rendering.renderer import box_filtered
from unrender.shapes.mesh import Mesh
from unrender.shapes.sampling import sample_surface

NAME = "lamp"
FRAMES, SIZE = 80, 160
"""Number of moments, and pixels per side of the images."""
FIELD_OF_VIEW = 0.6911112
"""Horizontal, in radians, as in the other built-in scenes."""
DISTANCE = 4.0
ASIDE = math.radians(20)
"""Azimuth from the hand-held camera to the second one."""
MIDDLE = (0.0, 0.1, 0.85)
"""Origin of the world frame, in the frame of the table top."""
BALL = (0.0, 0.0, 0.0, 1.4)
"""Center and radius of the scene's bounding sphere."""
STRIPES = 9.0
"""Number of stripes per unit of length of the checkered pattern on the parts."""
LIGHT = (0.4, -0.6, 0.8)
AMBIENT, KEY = 0.45, 0.6
POINTS = 2000
"""Points on what stands still."""
TOLERANCE = 1e-3
"""A point counts as visible if it is at most this fraction farther than the first surface."""

METAL: Color = (0.30, 0.42, 0.62)
SHADE: Color = (0.85, 0.36, 0.18)
WOOD: Color = (0.58, 0.42, 0.25)
LOWER, UPPER = 0.8, 0.75
"""Lengths of the two arms."""
HINGE = (-0.62, 0.35, 0.36)
"""Position of the lid's hinge, at the back of the box."""


@dataclass(frozen=True)
class _Parts:
    """The surfaces of all parts, each in its own frame."""

    vertices: Float[Tensor, "vertices 3"]
    faces: Int[Tensor, "faces 3"]
    part: Int[Tensor, "faces"]
    colors: Float[Tensor, "faces 3"]


def _solids() -> list[list[Solid]]:
    """The solids of each part: table, lower arm, upper arm, head, lid."""
    x, y, z = HINGE
    table = [
        *lathe([(0.42, 0.0), (0.38, 0.08)], (0.0, 0.0), METAL, 24),
        slab((x - 0.3, y - 0.5, 0.0), (x + 0.3, y, z), WOOD),
    ]
    lower = [stick((0, 0, 0), (0, 0, LOWER), 0.06, METAL, 10), ball((0, 0, 0), 0.1, METAL)]
    upper = [stick((0, 0, 0), (0, 0, UPPER), 0.05, METAL, 10), ball((0, 0, 0), 0.09, METAL)]
    # The shade is not round, so that its rotation is visible.
    head = [
        *lathe([(0.12, -0.1), (0.34, 0.32)], (0.0, 0.0), SHADE, 8, 0.8),
        ball((0, 0, -0.08), 0.12, METAL),
    ]
    lid = [slab((-0.3, -0.5, 0.0), (0.3, 0.0, 0.06), SHADE)]
    return [table, lower, upper, head, lid]


@cache
def _parts() -> _Parts:
    vertices: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    part: list[np.ndarray] = []
    colors: list[np.ndarray] = []
    for number, solids in enumerate(_solids()):
        points, triangles, solid = closed_surfaces(solids)
        faces.append(triangles + sum(map(len, vertices)))
        vertices.append(points)
        part.append(np.full(len(triangles), number))
        colors.append(np.array([each.color for each in solids])[solid])
    return _Parts(
        torch.from_numpy(np.concatenate(vertices)).float(),
        torch.from_numpy(np.concatenate(faces)),
        torch.from_numpy(np.concatenate(part)),
        torch.from_numpy(np.concatenate(colors)).float(),
    )


def part_poses(times: Float[Tensor, "times"]) -> Float[Tensor, "times parts 3 4"]:
    """world_from_part of the five rigid parts at times in [0, 1]; part 0 does not move."""
    phase = 2 * math.pi * times.double()

    def turned(axis: tuple[int, int, int], angle: Tensor, at: tuple[float, ...]) -> Tensor:
        """The pose of a part that turns about an axis through a point of its parent's frame."""
        rotation = so3_exp(angle[:, None] * angle.new_tensor(axis))
        place = angle.new_tensor(at).expand(len(angle), 3)
        return torch.cat([rotation, place[..., None]], dim=-1)

    x, z = (1, 0, 0), (0, 0, 1)
    zero = torch.zeros_like(phase)
    middle = tuple(-each for each in MIDDLE)
    table = turned(z, zero, middle)
    lower = compose(table, turned(x, 0.35 + 0.3 * phase.sin(), (0.0, 0.0, 0.1)))
    bend = -1.2 + 0.45 * (phase + 1).sin()
    upper = compose(lower, turned(x, bend, (0.0, 0.0, LOWER)))
    nod = compose(upper, turned(x, -1.3 + 0.3 * (2 * phase).sin(), (0.0, 0.0, UPPER)))
    head = compose(nod, turned(z, 1.2 * phase.sin(), (0.0, 0.0, 0.0)))
    lid = compose(table, turned(x, -0.6 + 0.6 * phase.cos(), HINGE))
    return torch.stack([table, lower, upper, head, lid], dim=1).float()


def render_lamp(cameras: Cameras, supersample: int = 3) -> Views:
    """Render the scene from any cameras outside its ball, each at its own time in [0, 1].

    Images are RGBA, averaged over `supersample`² rays per pixel. Masks, depths and normals are
    those of the ray through each pixel's center. Raises InputError for cameras without times
    and for times outside [0, 1].
    """
    poses = part_poses(_checked_times(cameras))
    images: list[Tensor] = [torch.empty(0)] * len(cameras)
    maps: list[tuple[Tensor, Tensor]] = [(torch.empty(0), torch.empty(0))] * len(cameras)

    def render(index: int) -> None:
        camera = cameras[index]
        width, height = camera.sizes[0]
        fine = camera.resized(supersample * width, supersample * height)
        hit = _hits(fine, poses[index])
        images[index] = box_filtered(_shaded(hit)[None], supersample)[0]
        exact = _hits(camera, poses[index])
        maps[index] = exact.depth, exact.normal

    run_threads(render, range(len(cameras)))
    depth = torch.stack([each for each, _ in maps])
    normals = torch.stack([each for _, each in maps])
    return Views(
        cameras, torch.stack(images), masks=depth > 0, depths=depth, normals=normals,
        ball=torch.tensor(BALL),
    )  # fmt: skip


def lamp_flow(
    cameras: Cameras, others: Cameras
) -> tuple[Float[Tensor, "cameras height width 2"], Bool[Tensor, "cameras height width"]]:
    """Optical flow from each camera to another one, at another time, and where it is visible.

    The flow is (x, y) in pixels, from the pixel's center to the projection of the same surface
    point into the image of `others`, at the time of that camera; 0 where nothing is hit. The
    mask is true where the surface point is visible in both images. Raises InputError as
    `render_lamp` does.
    """
    before, after = (part_poses(_checked_times(each)) for each in (cameras, others))
    flows: list[Tensor] = []
    seen: list[Tensor] = []
    for index in range(len(cameras)):
        hit = _hits(cameras[index], before[index])
        other = others[index]
        pose = after[index][hit.part]
        points = (pose[..., :3] @ hit.local[..., None])[..., 0] + pose[..., 3]
        place, _ = other.project(torch.zeros_like(hit.part), points)
        here = pixel_grid(*cameras.sizes[index])
        flow = torch.where(hit.mask[..., None], place - here, torch.zeros_like(place))
        width, height = other.sizes[0]
        inside = ((place >= 0) & (place < place.new_tensor([width, height]))).all(-1)
        # The point is visible if no surface is in front of it.
        distance = (points - other.centers[0]).norm(dim=-1)
        first = _first_distance(other, after[index], points)
        flows.append(flow)
        seen.append(hit.mask & inside & (distance <= (1 + TOLERANCE) * first))
    return torch.stack(flows), torch.stack(seen)


def lamp_moving(cameras: Cameras) -> Bool[Tensor, "cameras height width"]:
    """Whether each pixel shows a part that moves: the arms, the head or the lid.

    InputError as of `render_lamp`.
    """
    poses = part_poses(_checked_times(cameras))
    hits = [_hits(camera, pose) for camera, pose in zip(cameras, poses, strict=True)]
    return torch.stack([hit.mask & (hit.part > 0) for hit in hits])


def still_points(count: int = POINTS) -> Float[Tensor, "count 3"]:
    """Random points on what stands still, the foot and the box: as those of a reconstruction
    from photographs, of which the moving ones were left out.
    """
    parts = _parts()
    faces = parts.faces[parts.part == 0]
    mesh = Mesh(parts.vertices - torch.tensor(MIDDLE), faces)
    return sample_surface(mesh, count, torch.Generator().manual_seed(0)).points


def lamp_cameras(
    times: Float[Tensor, "times"], azimuth: float = 0.0, size: int = SIZE
) -> Cameras:
    """Poses of the hand-held camera at times in [0, 1], in square images of `size` pixels.

    The camera sways around the scene and up and down, and looks at the origin. `azimuth` is an
    angle in radians by which the whole path is turned about the z axis.
    """
    t = times.double()
    around = azimuth - 0.5 * math.pi + 0.6 * (10 * math.pi * t + 0.5).sin()
    above = 0.35 + 0.12 * (6 * math.pi * t).sin()
    distance = DISTANCE * (1 + 0.05 * (10 * math.pi * t + 2).sin())
    eyes = distance[:, None] * torch.stack(
        [above.cos() * around.cos(), above.cos() * around.sin(), above.sin()], dim=1
    )
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    poses = look_at(eyes, torch.zeros_like(eyes), up).float()
    focal = size / (2 * math.tan(FIELD_OF_VIEW / 2))
    return Cameras.from_focal(poses, focal, size, size).at_times(times)


def make_lamp(
    size: int = SIZE,
    frames: int = FRAMES,
    supersample: int = 3,
    render: Callable[[Cameras, int], Views] = render_lamp,
) -> Dataset:
    """Two films of the same moments: a training view and a held-out view of each.

    `render` renders views of cameras with this supersampling, or reads them from a cache.
    """
    times = torch.arange(frames) / max(frames - 1, 1)
    both = [lamp_cameras(times, azimuth, size) for azimuth in (0.0, ASIDE)]
    moment = torch.arange(frames).repeat(2)
    device = torch.arange(2).repeat_interleave(frames)
    views = replace(
        render(concatenate(both), supersample),
        names=tuple(
            f"camera {number}, frame {k}" for number in range(2) for k in range(frames)
        ),
        ids=ViewIds(torch.zeros_like(moment), moment, device),
        ball=torch.tensor(BALL),
        points=still_points(),
    )
    return Dataset(NAME, views.select(device == 0), views.select(device == 1))


@dataclass(frozen=True)
class _Hits:
    """What the rays of one image hit."""

    part: Int[Tensor, "height width"]
    local: Float[Tensor, "height width 3"]
    """The point in the frame of its part."""
    color: Float[Tensor, "height width 3"]
    normal: Float[Tensor, "height width 3"]
    depth: Float[Tensor, "height width"]
    """Along the ray; 0 where nothing is hit."""
    mask: Bool[Tensor, "height width"]


def _hits(camera: Cameras, poses: Float[Tensor, "parts 3 4"]) -> _Hits:
    parts = _parts()
    own = torch.zeros(len(parts.vertices), dtype=torch.long)
    own[parts.faces] = parts.part[:, None].expand_as(parts.faces)
    turn, move = poses[own][..., :3], poses[own][..., 3]
    vertices = (turn @ parts.vertices[..., None])[..., 0] + move
    face = visible_faces(Mesh(vertices, parts.faces), camera, cull=True)[0]
    mask = face >= 0
    index = face.clamp_min(0)
    a, b, c = (vertices[parts.faces[:, k]] for k in range(3))
    normals = normalize(torch.linalg.cross(b - a, c - a), dim=1)
    normal, corner = normals[index], a[index]
    width, height = camera.sizes[0]
    number = torch.zeros(height, width, dtype=torch.long)
    rays = camera.rays(number, pixel_grid(width, height))
    slope = (rays.directions * normal).sum(-1)
    depth = ((corner - rays.origins) * normal).sum(-1) / torch.where(mask, slope, 1.0)
    depth = torch.where(mask, depth, 0.0)
    points = rays.origins + depth[..., None] * rays.directions
    part = parts.part[index]
    pose = poses[part]
    local = (pose[..., :3].mT @ (points - pose[..., 3])[..., None])[..., 0]
    hidden = torch.zeros_like(normal)
    return _Hits(
        part, local, parts.colors[index], torch.where(mask[..., None], normal, hidden), depth,
        mask,
    )  # fmt: skip


def _shaded(hit: _Hits) -> Float[Tensor, "height width 4"]:
    """Premultiplied RGBA: a checkered pattern in each part's frame, in directional light."""
    stripe = (STRIPES * hit.local).floor().long().sum(-1) % 2
    light = normalize(torch.tensor(LIGHT), dim=0)
    shade = AMBIENT + KEY * (hit.normal @ light).clamp_min(0)
    color = hit.color * (0.6 + 0.4 * stripe)[..., None] * shade[..., None]
    alpha = hit.mask.float()[..., None]
    return torch.cat([color.clamp(0, 1) * alpha, alpha], dim=-1)


def _first_distance(
    camera: Cameras, poses: Float[Tensor, "parts 3 4"], points: Float[Tensor, "height width 3"]
) -> Float[Tensor, "height width"]:
    """Distance from the camera to the first surface in the direction of each point."""
    parts = _parts()
    own = torch.zeros(len(parts.vertices), dtype=torch.long)
    own[parts.faces] = parts.part[:, None].expand_as(parts.faces)
    vertices = (poses[own][..., :3] @ parts.vertices[..., None])[..., 0] + poses[own][..., 3]
    a, b, c = (vertices[parts.faces[:, k]] for k in range(3))
    origin = camera.centers[0]
    directions = normalize(points - origin, dim=-1).flatten(0, 1)
    # Möller and Trumbore's intersection of all rays with all triangles.
    first, second = b - a, c - a
    p = torch.linalg.cross(directions[:, None], second[None])
    volume = (first * p).sum(-1)
    scale = 1 / torch.where(volume.abs() > 1e-12, volume, torch.inf)
    s = origin - a
    u = (s * p).sum(-1) * scale
    q = torch.linalg.cross(s, first)
    v = (directions[:, None] * q).sum(-1) * scale
    t = (second * q).sum(-1) * scale
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
    return torch.where(hit, t, torch.inf).amin(1).view(points.shape[:2])


def _checked_times(cameras: Cameras) -> Float[Tensor, "times"]:
    times = cameras.times
    if times is None:
        raise InputError(f"{NAME}: the cameras have no times: give times in [0, 1]")
    for value in times[~((times >= 0) & (times <= 1))][:1].tolist():
        raise InputError(f"{NAME}: time {value:g} is outside the film: give 0 to 1")
    return times
