"""The built-in shiny scene: metal, glass and a card with a hologram, on a table in a room.

What is seen in metal, glass and the hologram depends on the view more than on the place. The
cameras look forward, from a jittered grid, as in captures for light fields; the held-out views
are between them. Images are opaque.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.data.builtin.cached import views_of
from unrender.data.builtin.specular import GRATING, LAMP, MATTE, MIRROR, Surfaces
from unrender.data.builtin.specular_scene import Ball, Hologram, Quad, box, checker, lit, packed
from unrender.data.builtin.specular_views import render_view
from unrender.data.dataset import Dataset
from unrender.data.views import Views
from unrender.files.arrays import Array
from unrender.geometry.cameras import Cameras, concatenate
from unrender.geometry.poses import look_at
from unrender.kernels.runtime.jit import run_threads

NAME = "shiny"
WIDTH, HEIGHT = 200, 150
COLUMNS, ROWS = 10, 6
"""Of the grid of cameras for training. Held-out views are in the middle of every third cell."""
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
POINTS = 4000
"""Points on matte surfaces that come with the training views."""
MATERIALS = ("diffuse", "metal", "glass", "hologram", "lamp")

CARD = (1.2, 1.2 / 1.5858)
"""Sides of the card, in the proportions of ISO/IEC 7810 ID-1."""
LEAN = math.radians(20)
"""Of the card, from upright."""
HOLOGRAM = 0.62
"""Side of the hologram, a square."""
CELLS = 24
"""Cells of the hologram along each side: each is a grating of one direction and period."""
SECTORS, PERIODS = 12, (680.0, 800.0, 950.0)
"""Directions of gratings, and periods in nanometers. Between neighboring cameras the wavelength
that a lamp sends changes by some 35 nm."""
EFFICIENCY = (0.25, 0.25, 0.1)
"""Share of the light in orders 0, ±1 and ±2."""


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


def _room() -> list[Quad]:
    """Floor (the table), walls and ceiling."""
    low, high = (-3.6, -6.4, 0.0), (3.6, 2.4, 4.6)
    looks = [
        (checker((0.70, 0.66, 0.55), (0.16, 0.24, 0.32)), (5, 3)),  # left
        (checker((0.60, 0.22, 0.14), (0.72, 0.64, 0.50)), (3, 5)),  # right
        (checker((0.14, 0.22, 0.34), (0.60, 0.62, 0.64)), (3, 4)),  # behind the cameras
        (
            _stripes((0.62, 0.20, 0.12), (0.70, 0.62, 0.40), (0.12, 0.34, 0.36),
                     (0.75, 0.72, 0.66), (0.78, 0.45, 0.10), (0.10, 0.14, 0.30)),
            (2, 1),
        ),
        (checker((0.42, 0.24, 0.12), (0.66, 0.50, 0.32)), (14, 11)),  # the table
        (checker((0.75, 0.75, 0.75), (0.70, 0.70, 0.70)), (4, 4)),
    ]  # fmt: skip
    texels = [(48, 48)] * 4 + [(160, 128), (48, 48)]
    quads = box(low, high, 0.0, MATTE, inward=True)
    return [
        replace(quad, albedo=albedo, repeat=repeat, texels=size)
        for quad, (albedo, repeat), size in zip(quads, looks, texels, strict=True)
    ]


def _lamps() -> list[Quad]:
    return [
        # A soft one above the scene, and narrow ones whose spectra the hologram shows.
        Quad((-1.0, -0.6, 4.59), (0.0, 1.6, 0.0), (2.0, 0.0, 0.0), LAMP, (6.0, 5.8, 5.4)),
        Quad((-2.4, -2.2, 4.59), (0.0, 0.5, 0.0), (4.8, 0.0, 0.0), LAMP, (12.0, 12.0, 12.0)),
        Quad((-3.59, -4.0, 1.2), (0.0, 0.5, 0.0), (0.0, 0.0, 2.8), LAMP, (12.0, 12.0, 12.0)),
        Quad((3.59, -4.0, 1.2), (0.0, 0.0, 2.8), (0.0, 0.5, 0.0), LAMP, (12.0, 12.0, 12.0)),
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
        corner, width * right, height * up, MATTE, albedo=_print(),
        texels=(24, 36),
    )  # fmt: skip
    rear = Quad(
        back, height * up, width * right, MATTE, albedo=gray,
        texels=(24, 16),
    )  # fmt: skip
    margin = 0.5 * (height - HOLOGRAM) - 0.03
    place = corner + (width - HOLOGRAM - 0.06) * right + margin * up + 0.003 * toward
    hologram = Quad(place, HOLOGRAM * right, HOLOGRAM * up, GRATING, (0.95, 0.95, 0.95))
    stand = box(
        (-0.25, -0.70, 0.0), (0.35, -0.50, 0.10), 0.0, MATTE,
        albedo=np.array([[[0.25, 0.12, 0.05]]]), texels=(8, 12),
    )  # fmt: skip
    return [front, rear, *stand, hologram]


def groups() -> list[list[Quad]]:
    """All rectangles of the scene: those of the room, and those of each object."""
    steel = box(
        (0.65, 0.45, 0.0), (1.25, 1.05, 1.3), math.radians(32), MIRROR, color=(0.80, 0.82, 0.84)
    )
    block = box(
        (-0.75, 0.95, 0.0), (-0.15, 1.55, 1.1), math.radians(-15), MATTE,
        albedo=checker((0.70, 0.08, 0.06), (0.75, 0.68, 0.55)), repeat=(2, 3), texels=(16, 16),
    )  # fmt: skip
    return [[*_room(), *_lamps()], steel, block, _card()]


def balls() -> list[Ball]:
    return [
        Ball((-1.05, 0.1, 0.45), 0.45, (0.90, 0.90, 0.92)),
        Ball((-0.95, -1.0, 0.22), 0.22, (1.0, 0.77, 0.34)),
        Ball((-0.45, 1.25, 1.38), 0.28, (0.95, 0.64, 0.54)),
        Ball((1.12, -0.45, 0.42), 0.42, (1.0, 1.0, 1.0), 1.5),
    ]


def hologram() -> Hologram:
    """A rosette of sectors and rings; around it, the gratings' direction makes half a turn."""
    y, x = (np.mgrid[0:CELLS, 0:CELLS] + 0.5) / CELLS - 0.5
    around = (np.arctan2(y, x) / (2 * math.pi)) % 1.0
    ring = np.minimum((np.hypot(x, y) / 0.25).astype(np.int64), len(PERIODS) - 1)
    sector = (around * SECTORS).astype(np.int64)
    gratings = [
        (math.cos(math.pi * k / SECTORS), math.sin(math.pi * k / SECTORS), period)
        for period in PERIODS
        for k in range(SECTORS)
    ]
    return Hologram(ring * SECTORS + sector, np.array(gratings), EFFICIENCY)


@cache
def dark() -> Surfaces:
    """The scene without light on matte surfaces."""
    return packed(groups(), balls(), hologram())


@cache
def surfaces() -> Surfaces:
    """The scene with its light map."""
    return lit(dark())


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
    matte, metal, glass, grating, lamp = range(len(MATERIALS))
    kinds = {MATTE: matte, MIRROR: metal, GRATING: grating, LAMP: lamp}
    table = [kinds[quad.kind] for group in groups() for quad in group]
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
    views = render(concatenate(list(cameras)))
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
