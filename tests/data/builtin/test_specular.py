"""Path tracing of rectangles and balls, against the library's path tracer and closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from unrender.data.builtin import specular_scene
from unrender.data.builtin.specular import GRATING, LAMP, MATTE, MIRROR, Surfaces
from unrender.data.builtin.specular_scene import Ball, Hologram, Quad, box, checker, lit, packed
from unrender.data.builtin.specular_views import render_view
from unrender.files.arrays import Array
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.rendering.light.bsdf import Glass, Lambert, Material, Mirror
from unrender.rendering.light.grating import LONGEST, SHORTEST, Grating, rgb_response
from unrender.rendering.light.path_tracer import PathOptions, Radiance, path_radiance
from unrender.rendering.light.scene import Scene, SceneObject
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere

WIDTH, HEIGHT = 24, 18
HOLOGRAM = Hologram(
    np.array([[0, 1], [1, 0]]),
    np.array([[1.0, 0.0, 1200.0], [0.6, 0.8, 900.0]]),
    (0.2, 0.3, 0.1),
)


def gray(value: float) -> Array:
    return np.array([[[value, 0.8 * value, 0.5 * value]]])


def room() -> tuple[list[list[Quad]], list[Ball]]:
    """A closed room of 4 × 4 × 3 with a lamp, a mirror, a grating, and balls."""
    walls = box(
        (-2, -2, 0), (2, 2, 3), 0.0, MATTE, inward=True, albedo=gray(0.5), texels=(40, 40)
    )
    lamp = Quad((-0.8, -0.8, 2.99), (0, 1.6, 0), (1.6, 0, 0), LAMP, (5.0, 4.0, 3.0))
    side = Quad((1.99, -1.0, 0.8), (0, 0, 1.0), (0, 0.6, 0), LAMP, (6.0, 6.0, 6.0))
    mirror = Quad((-1.6, 1.9, 0.2), (1.2, -0.3, 0), (0, 0, 1.2), MIRROR, (0.9, 0.8, 0.7))
    grating = Quad((-0.1, 1.0, 0.4), (0.9, 0, 0), (0, 0.3, 0.8), GRATING, (0.9, 0.9, 0.9))
    balls = [
        Ball((-0.7, 0.1, 0.4), 0.4, (0.9, 0.7, 0.4)),
        Ball((0.5, -0.1, 0.35), 0.35, (1.0, 1.0, 1.0), 1.5),
    ]
    return [[*walls, lamp, side], [mirror, grating]], balls


def camera(width: int = WIDTH, height: int = HEIGHT) -> Cameras:
    eye = torch.tensor([[0.1, -1.9, 1.3]])
    pose = look_at(eye, torch.tensor([[0.0, 0.5, 0.6]]), torch.tensor([0.0, 0, 1]))
    return Cameras.from_focal(pose, 0.8 * width, width, height)


def traced(scene: Surfaces, cameras: Cameras, seed: int = 0, samples: int = 4) -> Array:
    """Radiance of one camera's pixels."""
    shape = (cameras.height, cameras.width)
    color, depth, normals = (np.zeros((*shape, n), np.float32) for n in (3, 1, 3))
    render_view(
        scene, cameras.world_from_camera[0].double().numpy(),
        cameras.intrinsics[0].double().numpy(), samples, seed, True, color, depth[..., 0],
        normals, np.zeros(shape, np.int64),
    )  # fmt: skip
    return color


def mesh_of(quads: list[Quad]) -> Mesh:
    corners = [
        np.array([q.corner, np.add(q.corner, q.first), np.add(q.corner, q.second)])
        for q in quads
    ]
    every = [np.stack([a, b, b + c - a, c]) for a, b, c in corners]
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    return Mesh(
        torch.from_numpy(np.concatenate(every)).float(),
        torch.cat([faces + 4 * k for k in range(len(quads))]),
    )


def cells_of(quad: Quad, grating: int) -> list[Quad]:
    """The part of the hologram that has this grating."""
    rows, columns = HOLOGRAM.cells.shape
    first, second = np.array(quad.first) / columns, np.array(quad.second) / rows
    return [
        Quad(quad.corner + j * first + i * second, first, second, GRATING)
        for i in range(rows) for j in range(columns) if HOLOGRAM.cells[i, j] == grating
    ]  # fmt: skip


def same_scene(groups: list[list[Quad]], balls: list[Ball]) -> Scene:
    """The scene for the library's path tracer."""
    objects: list[SceneObject] = []
    for quad in (quad for group in groups for quad in group):
        color = torch.tensor(quad.color).float()
        if quad.kind == MATTE:
            assert quad.albedo is not None
            material: Material = Lambert(torch.from_numpy(quad.albedo[0, 0]).float())
            objects.append(SceneObject(mesh_of([quad]), material))
        elif quad.kind == LAMP:
            objects.append(SceneObject(mesh_of([quad]), Lambert(torch.zeros(3)), color))
        elif quad.kind == MIRROR:
            objects.append(SceneObject(mesh_of([quad]), Mirror(color)))
        else:
            one, two = (
                np.array(side) / np.linalg.norm(side) for side in (quad.first, quad.second)
            )
            for k, (a, b, period) in enumerate(HOLOGRAM.gratings.tolist()):
                across = tuple((a * one + b * two).tolist())
                material = Grating(color, period, across, HOLOGRAM.efficiency)
                objects.append(SceneObject(mesh_of(cells_of(quad, k)), material))
    for ball in balls:
        color = torch.tensor(ball.color)
        shape = icosphere(5)
        shape = Mesh(shape.vertices * ball.radius + torch.tensor(ball.center), shape.faces)
        material = Glass(color, ball.index) if ball.index else Mirror(color)
        objects.append(SceneObject(shape, material, smooth=True))
    return Scene(objects)


@pytest.fixture(scope="module")
def both() -> tuple[Surfaces, Array, Radiance]:
    groups, balls = room()
    scene = lit(packed(groups, balls, HOLOGRAM))
    # Depth 8 from the camera, as of specular.py, plus what its light map adds.
    options = PathOptions(samples=1024, max_depth=10, roulette=6)
    return (
        scene,
        traced(scene, camera()),
        path_radiance(same_scene(groups, balls), camera(), options),
    )


def excess(found: Array, expected: Radiance, rows: int) -> Tensor:
    """Differences of the means of blocks of rows × rows pixels, in standard errors."""

    def blocks(values: Tensor) -> Tensor:
        return values.unfold(0, rows, rows).unfold(1, rows, rows).mean((-1, -2))

    mean = blocks(expected.color[0])
    error = blocks(expected.error[0].square()).sqrt() / rows
    # The light map is coarse, and its reflections between walls are finite: 4%.
    return (blocks(torch.from_numpy(found)) - mean).abs() / (3.5 * error + 0.04 * mean + 0.01)


def test_it_agrees_with_the_path_tracer(both: tuple[Surfaces, Array, Radiance]) -> None:
    _, found, expected = both
    assert float(excess(found, expected, 3).amax()) < 1
    assert float(found.mean()) == pytest.approx(float(expected.color.mean()), rel=0.03)


def test_a_difference_would_be_found(both: tuple[Surfaces, Array, Radiance]) -> None:
    """Without the hologram's first orders, or with glass of another index."""
    scene, _, expected = both
    weak = scene._replace(efficiency=np.array([0.2, 0.0, 0.1]))
    assert float(excess(traced(weak, camera()), expected, 3).amax()) > 1.2
    balls = scene.balls.copy()
    balls[1, 7] = 1.2
    other = scene._replace(balls=balls)
    assert float(excess(traced(other, camera()), expected, 3).amax()) > 1.2


def test_a_lamp_is_seen_in_the_color_of_its_angle() -> None:
    """A lamp far away, where the first order of 550 nm comes from, in an empty space."""
    sine = 0.55
    place = 10 * np.array([sine, 0.0, math.sqrt(1 - sine**2)])
    toward = -place / 10
    first = 0.2 * np.array([0.0, 1.0, 0.0])
    second = np.cross(toward, first)
    lamp = Quad(place - first / 2 - second / 2, first, second, LAMP, (100.0,) * 3)
    card = Quad((-1, -1, 0), (2, 0, 0), (0, 2, 0), GRATING, (1.0, 1.0, 1.0))
    floor = Quad((50, 50, 0), (1, 0, 0), (0, 1, 0), MATTE, albedo=gray(0.5))
    eye = torch.tensor([[0.0, 0.0, 100.0]])
    pose = look_at(eye, torch.zeros_like(eye), torch.tensor([0.0, 1.0, 0.0]))
    above = Cameras.from_focal(pose, 2e5, 4, 4)

    def color(angle: float, period: float = 1000.0) -> Tensor:
        gratings = np.array([[math.cos(angle), math.sin(angle), period]])
        hologram = Hologram(np.array([[0]]), gratings, (0.0, 0.25, 0.0))
        scene = packed([[lamp, card, floor]], [], hologram)
        return torch.from_numpy(traced(scene, above, samples=16).mean((0, 1)))

    width = 1000 * 0.02 * math.sqrt(1 - sine**2)
    near = torch.linspace(550 - width / 2, 550 + width / 2, 101)
    expected = 0.25 * 100 * rgb_response(near).mean(0) * width / (LONGEST - SHORTEST)
    torch.testing.assert_close(color(0.0), expected, atol=0.05, rtol=0.05)
    torch.testing.assert_close(color(math.pi), expected, atol=0.05, rtol=0.05)
    # Lines in the other direction, or such that only infrared light came from the lamp: none.
    assert not color(math.pi / 2).any()
    assert not color(0.0, 700.0).any()


def test_irradiance_below_a_square_lamp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times the form factor of a square with a corner above the point, a half high."""
    monkeypatch.setattr(specular_scene, "GATHER_SAMPLES", (16,))
    lamp = Quad((-0.5, -0.5, 0.5), (0, 1, 0), (1, 0, 0), LAMP, (2.0, 1.0, 0.0))
    point = Quad((-0.01, -0.01, 0), (0.02, 0, 0), (0, 0.02, 0), MATTE, albedo=gray(0.5))
    light = lit(packed([[lamp, point]], [], HOLOGRAM)).light
    factor = 4 / (2 * math.pi) * 2 * math.sqrt(0.5) * math.atan(math.sqrt(0.5))
    assert light[0].tolist() == pytest.approx([2 * factor, factor, 0.0], rel=2e-3)


def test_images_depend_on_the_seed_alone(both: tuple[Surfaces, Array, Radiance]) -> None:
    scene, found, _ = both
    assert np.array_equal(traced(scene, camera()), found)
    other = traced(scene, camera(), seed=1)
    assert not np.array_equal(other, found)
    # The seed shifts wavelengths: only what shows the grating changes, and only a little.
    assert np.median(np.abs(other - found)) == 0
    assert np.square(other - found).mean() < 1e-3


def test_boxes_face_outward_and_rooms_inward() -> None:
    for inward in (False, True):
        sign = -1 if inward else 1
        for quad in box((-1, -2, -3), (1, 2, 3), 0.3, MIRROR, inward):
            middle = np.add(quad.corner, 0.5 * np.add(quad.first, quad.second))
            assert sign * np.dot(np.cross(quad.first, quad.second), middle) > 0


def test_a_checker_has_both_colors_equally() -> None:
    tile = checker((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), 8)
    assert tile.shape == (8, 8, 3)
    assert tile.mean((0, 1)).tolist() == [0.5, 0.0, 0.5]
    assert tile[0, 0].tolist() != tile[0, 4].tolist() == tile[4, 0].tolist()
