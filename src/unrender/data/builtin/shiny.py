"""The built-in shiny scene: metal, glass and a card with a hologram, on a table in a room.

What is seen in metal, glass and the hologram depends on the view more than on the place. The
cameras look forward, from a jittered grid, as in captures for light fields; the held-out views
are between them. Images are opaque.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.data.builtin.cached import views_of
from unrender.data.builtin.specular import (
    GRATING,
    LAMP,
    MATTE,
    MIRROR,
    Surfaces,
    gather,
    render_view,
)
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.files.arrays import Array
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.poses import look_at
from unrender.kernels.runtime.jit import run_threads, shares
from unrender.rendering.light.grating import LONGEST, SHORTEST, rgb_response

NAME = "shiny"
WIDTH, HEIGHT = 200, 150
COLUMNS, ROWS = 10, 6
"""Of the grid of cameras for training; held-out views are in the middle of every third cell."""
NUM_TEST = 15
BASELINE = (1.6, 0.9)
"""Width and height of the grid."""
EYE = (0.0, -4.4, 1.25)
"""Center of the grid."""
TARGET = (0.0, 0.0, 0.58)
FIELD_OF_VIEW = 0.6911112
"""Horizontal, in radians, as in the other built-in scenes."""
JITTER = 0.25
"""Of the cameras, relative to the spacing of the grid."""
SUPERSAMPLE = 4
GATHER_SAMPLES = (64, 64, 256)
"""Directions from which each texel of the light map gathers light, in each pass: the first is
direct light, the others add reflections between matte surfaces."""
POINTS = 4000
"""Points on matte surfaces that come with the training views."""
MATERIALS = ("diffuse", "metal", "glass", "hologram", "lamp")

CARD = (1.2, 1.2 / 1.5858)
"""Sides of the card, in the proportions of ISO/IEC 7810 ID-1."""
LEAN = math.radians(20)
"""Of the card, from upright."""
HOLOGRAM = 0.62
CELLS = 24
"""Cells of the hologram along each side: each is a grating of one direction and period."""
SECTORS, PERIODS = 12, (950.0, 1150.0, 1400.0)
EFFICIENCY = (0.25, 0.25, 0.1)


@dataclass(frozen=True)
class Quad:
    """A rectangle; only the side toward `first` × `second` is not black."""

    corner: tuple[float, float, float]
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    kind: int
    color: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Reflectance of a mirror or grating, radiance of a lamp."""
    albedo: Array | None = None
    """Linear RGB [rows, columns, 3] of a matte surface."""
    repeat: tuple[float, float] = (1.0, 1.0)
    texels: tuple[int, int] = (1, 1)
    """Size of the light map."""

    @property
    def normal(self) -> Array:
        normal = np.cross(self.first, self.second)
        return normal / np.linalg.norm(normal)


@dataclass(frozen=True)
class Ball:
    center: tuple[float, float, float]
    radius: float
    color: tuple[float, float, float]
    index: float = 0.0
    """Index of refraction of glass; 0 for metal."""


def _checker(
    one: tuple[float, float, float], other: tuple[float, float, float], texels: int = 32
) -> Array:
    odd = np.add.outer(np.arange(2), np.arange(2)) % 2
    tile = np.where(odd[..., None] == 1, one, other)
    return tile.repeat(texels // 2, 0).repeat(texels // 2, 1)


def _stripes(*colors: tuple[float, float, float]) -> Array:
    return np.array(colors)[None].repeat(8, 1)


def _print() -> Array:
    """The print of the card: a portrait, lines of text, and a band. Row 0 is at the bottom."""
    rows, columns = 96, 152
    y, x = np.mgrid[0:rows, 0:columns]
    shade = (0.5 + 0.5 * np.sin(0.25 * x + 0.12 * y))[..., None]
    image = np.array([0.35, 0.52, 0.72]) * (1 - 0.35 * shade) + 0.12 * shade
    image[80:] = (0.55, 0.05, 0.06)
    image[84:90, 8:60] = (0.85, 0.85, 0.85)
    image[24:72, 8:44] = (0.75, 0.74, 0.70)
    head = ((x - 26) / 8) ** 2 + ((y - 55) / 10) ** 2 < 1
    chest = (((x - 26) / 14) ** 2 + ((y - 30) / 14) ** 2 < 1) & (y >= 24)
    image[head] = (0.55, 0.30, 0.20)
    image[chest] = (0.05, 0.07, 0.18)
    random = np.random.default_rng(0)
    for row in (8, 14):
        for column in range(8, 64, 3):
            if random.random() < 0.8:
                image[row : row + 3, column : column + 2] = (0.03, 0.03, 0.05)
    return image


def _box(
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    turn: float,
    kind: int,
    inward: bool = False,
    **look: object,
) -> list[Quad]:
    """The six sides of a box between two corners, turned about its vertical axis."""
    low_, high_ = np.array(low), np.array(high)
    center, sides = (low_ + high_) / 2, high_ - low_
    c, s = math.cos(turn), math.sin(turn)
    axes = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    quads: list[Quad] = []
    for axis in range(3):
        for sign in (-1, 1):
            one, two = (axis + 1) % 3, (axis + 2) % 3
            if (sign < 0) != inward:
                one, two = two, one
            first, second = axes[one] * sides[one], axes[two] * sides[two]
            middle = center + 0.5 * sign * sides[axis] * axes[axis]
            corner = middle - 0.5 * first - 0.5 * second
            quads.append(
                Quad(tuple(corner), tuple(first), tuple(second), kind, **look)  # pyright: ignore
            )
    return quads


def _room() -> list[Quad]:
    """Floor (the table), walls and ceiling."""
    low, high = (-3.6, -6.4, 0.0), (3.6, 2.4, 4.6)
    looks = [
        (_checker((0.70, 0.66, 0.55), (0.16, 0.24, 0.32)), (5, 3)),  # left
        (_checker((0.60, 0.22, 0.14), (0.72, 0.64, 0.50)), (3, 5)),  # right
        (_checker((0.14, 0.22, 0.34), (0.60, 0.62, 0.64)), (3, 4)),  # behind the cameras
        (
            _stripes((0.62, 0.20, 0.12), (0.70, 0.62, 0.40), (0.12, 0.34, 0.36),
                     (0.75, 0.72, 0.66), (0.78, 0.45, 0.10), (0.10, 0.14, 0.30)),
            (2, 1),
        ),
        (_checker((0.42, 0.24, 0.12), (0.66, 0.50, 0.32)), (14, 11)),  # the table
        (_checker((0.75, 0.75, 0.75), (0.70, 0.70, 0.70)), (4, 4)),
    ]  # fmt: skip
    texels = [(48, 48)] * 4 + [(160, 128), (48, 48)]
    quads = _box(low, high, 0.0, MATTE, inward=True)
    return [
        replace(quad, albedo=albedo, repeat=repeat, texels=size)
        for quad, (albedo, repeat), size in zip(quads, looks, texels, strict=True)
    ]


def _lamps() -> list[Quad]:
    return [
        # A soft one above the scene, and narrow ones whose spectra the hologram shows.
        Quad((-1.0, -0.6, 4.59), (0.0, 1.6, 0.0), (2.0, 0.0, 0.0), LAMP, (6.0, 5.8, 5.4)),
        Quad((-2.4, -3.85, 4.59), (0.0, 0.45, 0.0), (4.8, 0.0, 0.0), LAMP, (12.0, 12.0, 12.0)),
        Quad((-3.59, -5.3, 1.2), (0.0, 0.5, 0.0), (0.0, 0.0, 2.8), LAMP, (12.0, 12.0, 12.0)),
        Quad((3.59, -5.3, 1.2), (0.0, 0.0, 2.8), (0.0, 0.5, 0.0), LAMP, (12.0, 12.0, 12.0)),
    ]


def _card() -> list[Quad]:
    """The card in its stand, with the hologram on it, last."""
    width, height = CARD
    up = np.array([0.0, math.sin(LEAN), math.cos(LEAN)])
    right = np.array([1.0, 0.0, 0.0])
    toward = np.cross(right, up)
    corner = np.array([-0.55, -0.62, 0.06])
    back = corner - 0.012 * toward
    gray = np.full((1, 1, 3), 0.6)
    front = Quad(
        tuple(corner), tuple(width * right), tuple(height * up), MATTE, albedo=_print(),
        texels=(24, 36),
    )  # fmt: skip
    rear = Quad(
        tuple(back), tuple(height * up), tuple(width * right), MATTE, albedo=gray,
        texels=(24, 16),
    )  # fmt: skip
    margin = 0.5 * (height - HOLOGRAM) - 0.03
    place = corner + (width - HOLOGRAM - 0.06) * right + margin * up + 0.003 * toward
    hologram = Quad(
        tuple(place), tuple(HOLOGRAM * right), tuple(HOLOGRAM * up), GRATING, (0.95, 0.95, 0.95)
    )
    stand = _box(
        (-0.25, -0.70, 0.0), (0.35, -0.50, 0.10), 0.0, MATTE,
        albedo=np.array([[[0.25, 0.12, 0.05]]]), texels=(8, 12),
    )  # fmt: skip
    return [front, rear, *stand, hologram]


def _groups() -> list[list[Quad]]:
    """All rectangles of the scene: those of the room, and those of each object."""
    steel = _box(
        (0.65, 0.45, 0.0), (1.25, 1.05, 1.3), math.radians(32), MIRROR, color=(0.80, 0.82, 0.84)
    )
    block = _box(
        (-0.75, 0.95, 0.0), (-0.15, 1.55, 1.1), math.radians(-15), MATTE,
        albedo=_checker((0.70, 0.08, 0.06), (0.75, 0.68, 0.55)), repeat=(2, 3), texels=(16, 16),
    )  # fmt: skip
    return [[*_room(), *_lamps()], steel, block, _card()]


def quads() -> list[Quad]:
    """All rectangles of the scene."""
    return [quad for group in _groups() for quad in group]


def balls() -> list[Ball]:
    return [
        Ball((-1.05, 0.1, 0.45), 0.45, (0.90, 0.90, 0.92)),
        Ball((-0.95, -1.0, 0.22), 0.22, (1.0, 0.77, 0.34)),
        Ball((-0.45, 1.25, 1.38), 0.28, (0.95, 0.64, 0.54)),
        Ball((1.12, -0.45, 0.42), 0.42, (1.0, 1.0, 1.0), 1.5),
    ]


def hologram_cells() -> tuple[Array, Array]:
    """The grating of each cell, and all gratings: direction in the card, period in nanometers.

    A rosette of sectors and rings; the direction turns by half a turn around it.
    """
    y, x = (np.mgrid[0:CELLS, 0:CELLS] + 0.5) / CELLS - 0.5
    around = (np.arctan2(y, x) / (2 * math.pi)) % 1.0
    ring = np.minimum((np.hypot(x, y) / 0.25).astype(np.int64), len(PERIODS) - 1)
    sector = (around * SECTORS).astype(np.int64)
    rows = [
        (math.cos(math.pi * k / SECTORS), math.sin(math.pi * k / SECTORS), period)
        for period in PERIODS
        for k in range(SECTORS)
    ]
    return ring * SECTORS + sector, np.array(rows)


@cache
def dark() -> Surfaces:
    """The scene without light on matte surfaces."""
    every = quads()
    maps = np.zeros((len(every), 6), np.int64)
    albedo: list[Array] = []
    texels = 0
    for k, quad in enumerate(every):
        if quad.albedo is None:
            continue
        maps[k] = (sum(map(len, albedo)), *quad.albedo.shape[:2], texels, *quad.texels)
        albedo.append(quad.albedo.reshape(-1, 3))
        texels += quad.texels[0] * quad.texels[1]
    sides = np.array([(quad.first, quad.second) for quad in every])
    sides = sides / np.square(sides).sum(-1, keepdims=True)
    normals = np.array([quad.normal for quad in every])
    groups: list[tuple[float, ...]] = []
    first = 0
    for group in _groups():
        corners = np.array([
            np.add(each.corner, i * np.array(each.first) + j * np.array(each.second))
            for each in group for i in (0, 1) for j in (0, 1)
        ])  # fmt: skip
        center = corners.mean(0)
        square = np.square(corners - center).sum(1).max() * 1.001
        groups.append((*center, square, first, first + len(group)))
        first += len(group)
    cells, gratings = hologram_cells()
    step = (LONGEST - SHORTEST) / 600
    middles = SHORTEST + step * (torch.arange(600, dtype=torch.float64) + 0.5)
    return Surfaces(
        np.concatenate(
            [np.array([quad.corner for quad in every]), sides.reshape(-1, 6), normals], axis=1
        ),
        np.array(groups),
        np.array([quad.kind for quad in every]),
        maps,
        np.array([(*quad.color, *quad.repeat) for quad in every]),
        np.array([(*ball.center, ball.radius, *ball.color, ball.index) for ball in balls()]),
        np.concatenate(albedo),
        np.zeros((texels, 3)),
        cells,
        gratings,
        np.array(EFFICIENCY),
        rgb_response(middles).numpy(),
    )


def _gather(
    scene: Surfaces, samples: int, light: Array, job: tuple[int, tuple[int, int]]
) -> None:
    quad, rows = job
    gather(scene, quad, rows, samples, 0, light)


@cache
def surfaces() -> Surfaces:
    """The scene with its light map."""
    scene = dark()
    jobs = [
        (k, rows)
        for k, quad in enumerate(quads())
        if quad.kind == MATTE
        for rows in shares(quad.texels[0], 8)
    ]
    for samples in GATHER_SAMPLES:
        light = np.zeros_like(scene.light)

        run_threads(partial(_gather, scene, samples, light), jobs)
        scene = scene._replace(light=light)
    return scene


def render_shiny(
    cameras: Cameras, supersample: int = SUPERSAMPLE, seed: int = 0, linear: bool = False
) -> Views:
    """Render the scene from any cameras in the room, path-traced.

    Images are RGBA with alpha 1, means of `supersample`² rays per pixel, on metal, glass and
    the hologram four times as many. Depths and normals are those of the rays through the
    pixels' centers. The `seed` shifts the wavelengths at which each pixel of the hologram is
    computed. `linear`: radiance, rather than colors for display.
    """
    images, depths, normals, _ = _rendered(cameras, supersample, seed, linear)
    return replace(views_of(cameras, images, depths, normals), masks=None)


def shiny_materials(cameras: Cameras) -> Int[Tensor, "cameras height width"]:
    """What is seen in the center of each pixel: an index into `MATERIALS`."""
    found = torch.from_numpy(_rendered(cameras, 0, 0, False)[3]).long()
    metal, glass, hologram = (MATERIALS.index(k) for k in ("metal", "glass", "hologram"))
    kinds = {MATTE: 0, MIRROR: metal, GRATING: hologram, LAMP: MATERIALS.index("lamp")}
    table = [kinds[quad.kind] for quad in quads()]
    table += [glass if ball.index > 0 else metal for ball in balls()]
    return torch.tensor(table)[found]


def _rendered(
    cameras: Cameras, supersample: int, seed: int, linear: bool
) -> tuple[Array, Array, Array, Array]:
    """Images, depths, normals, and indices of surfaces."""
    scene = surfaces() if supersample else dark()
    shape = (len(cameras), cameras.height, cameras.width)
    images = np.ones((*shape, 4), np.float32)
    depths, normals = np.zeros(shape, np.float32), np.zeros((*shape, 3), np.float32)
    surface = np.zeros(shape, np.int64)
    poses = cameras.world_from_camera.detach().cpu().double().numpy()
    intrinsics = cameras.intrinsics.detach().cpu().double().numpy()

    def render(k: int) -> None:
        render_view(
            scene, poses[k], intrinsics[k], supersample, seed, linear, images[k], depths[k],
            normals[k], surface[k],
        )  # fmt: skip

    run_threads(render, range(len(cameras)))
    return images, depths, normals, surface


def shiny_cameras() -> tuple[Cameras, Cameras]:
    """The cameras of the training views and of the held-out views, which are between them."""
    columns, rows = torch.meshgrid(torch.arange(COLUMNS), torch.arange(ROWS), indexing="xy")
    train = torch.stack([columns, rows], dim=-1).view(-1, 2).double()
    generator = torch.Generator().manual_seed(1)
    shift = torch.rand(train.shape, generator=generator, dtype=torch.float64)
    train = train + JITTER * (2 * shift - 1)
    cells = (COLUMNS - 1) * (ROWS - 1)
    chosen = torch.arange(NUM_TEST) * cells // NUM_TEST + 1
    test = torch.stack([chosen % (COLUMNS - 1), chosen // (COLUMNS - 1)], dim=1) + 0.5
    return _looking(train), _looking(test)


def _looking(place: Float[Tensor, "views 2"]) -> Cameras:
    """Cameras at positions on the grid, in units of its spacing."""
    last = place.new_tensor([COLUMNS - 1, ROWS - 1])
    aside = (place / last - 0.5) * place.new_tensor(BASELINE)
    eyes = torch.stack([aside[:, 0], torch.zeros_like(aside[:, 0]), aside[:, 1]], dim=1)
    eyes = eyes + eyes.new_tensor(EYE)
    up = eyes.new_tensor([0.0, 0.0, 1.0])
    poses = look_at(eyes, eyes.new_tensor(TARGET).expand_as(eyes), up).float()
    return Cameras.from_focal(poses, WIDTH / (2 * math.tan(FIELD_OF_VIEW / 2)), WIDTH, HEIGHT)


def make_shiny(render: Callable[[Cameras], Views] = render_shiny) -> Dataset:
    """The training views and the held-out views, rendered by `render`.

    With them come points on matte surfaces, as from structure from motion.
    """
    cameras = shiny_cameras()
    views = render(concatenate(cameras))
    views = replace(views, masks=None)
    points, colors = _points(views.select(slice(0, len(cameras[0]))))
    views = replace(views, points=points, point_colors=colors)
    first = len(cameras[0])
    return Dataset(NAME, views.select(slice(0, first)), views.select(slice(first, None)))


def _points(views: Views) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points 3"]]:
    """Random points on matte surfaces that the views see, and their colors."""
    matte = (shiny_materials(views.cameras) == MATERIALS.index("diffuse")).nonzero()
    generator = torch.Generator().manual_seed(3)
    camera, row, column = matte[
        torch.randperm(len(matte), generator=generator)[:POINTS]
    ].unbind(1)
    assert views.depths is not None
    rays = views.cameras.rays(camera, torch.stack([column, row], dim=1) + 0.5)
    points = rays.origins + views.depths[camera, row, column][:, None] * rays.directions
    return points, views.images[camera, row, column, :3]
