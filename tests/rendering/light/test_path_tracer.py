"""The path tracer against closed forms, and its strategies against each other."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.imaging.color import display_from_linear
from unrender.rendering.light import scene as path_scene
from unrender.rendering.light.bsdf import Glass, Lambert, Material, Metal, Mirror
from unrender.rendering.light.lights import (
    AmbientLight,
    DirectionalLight,
    Environment,
    Light,
    PhongLight,
    PointLight,
)
from unrender.rendering.light.path_tracer import (
    PathOptions,
    Radiance,
    mis_weight,
    path_radiance,
    path_renderer,
)
from unrender.rendering.light.scene import Scene, SceneObject
from unrender.rendering.mesh.shading import Material as Phong
from unrender.rendering.mesh.shading import MeshRenderOptions, mesh_renderer
from unrender.shapes.implicit.sdf import SDF, sphere, translated
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import cube, icosphere
from unrender.shapes.textures import UVTexture, VertexColors

WHITE = torch.ones(3)
SKY = Environment(torch.ones(1, 1, 3))


def camera(eye: tuple[float, float, float], size: int = 8, zoom: float = 1.5) -> Cameras:
    at = torch.tensor([eye], dtype=torch.float32)
    pose = look_at(at, torch.zeros_like(at), torch.tensor([0.0, 0, 1]))
    return Cameras.from_focal(pose, zoom * size, size, size)


def patch(center: tuple[float, float, float], half: float, up: float = 1.0) -> Mesh:
    """A square in a level plane, its normal up or down."""
    corners = torch.tensor([[-half, -half], [half, -half], [half, half], [-half, half]])
    vertices = torch.cat([corners, torch.zeros(4, 1)], dim=1) + torch.tensor(center)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    return Mesh(vertices, faces if up > 0 else faces.flip(1))


def look(scene: Scene, cameras: Cameras, **options: object) -> Radiance:
    return path_radiance(scene, cameras, PathOptions(**options))


def mean_and_error(found: Radiance) -> tuple[Tensor, Tensor]:
    """Mean of the whole image."""
    pixels = found.color[..., 0].numel()
    return found.color.mean((0, 1, 2)), found.error.square().sum((0, 1, 2)).sqrt() / pixels


def close(found: Radiance, expected: Tensor | float, sigmas: float = 5.0) -> bool:
    mean, error = mean_and_error(found)
    return bool(((mean - expected).abs() <= sigmas * error + 1e-5).all())


# --- furnaces ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [icosphere(2), sphere(1.0)], ids=["mesh", "function"])
@pytest.mark.parametrize("material", [Lambert(WHITE), Mirror(WHITE), Glass(WHITE)])
def test_white_objects_vanish_in_a_furnace(shape: Mesh | SDF, material: Material) -> None:
    """Under uniform light, objects that absorb nothing are invisible."""
    scene = Scene([SceneObject(shape, material)], [SKY])
    found = look(
        scene, camera((0, -3, 0)), samples=64, max_depth=64, roulette=64, show_environment=True
    )
    assert close(found, 1.0)
    assert (found.opacity == 1).all()
    if isinstance(material, Glass):
        return
    # Lambertian estimates with a single type of light have noise; here there is none.
    sharp = look(
        scene, camera((0, -3, 0)), samples=16, max_depth=64, roulette=64, strategy="surface",
        show_environment=True,
    )  # fmt: skip
    torch.testing.assert_close(sharp.color, torch.ones_like(sharp.color), atol=2e-2, rtol=0)


def test_rough_metal_in_a_furnace_loses_energy_as_predicted() -> None:
    """A convex object scatters light once: its radiance is the directional albedo."""
    scene = Scene([SceneObject(icosphere(3), Metal(WHITE, 0.8), smooth=True)], [SKY])
    found = look(scene, camera((0, -50, 0), zoom=400.0), samples=4096)
    # Straight from above: by quadrature of f cos, with D and G of GGX and F = 1.
    u = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    square = 0.8**2
    half = torch.acos(((1 - u) / (1 + (square - 1) * u)).sqrt())
    incoming = 2 * half
    tangent = incoming.tan().square()
    hidden = torch.where(incoming < math.pi / 2, 2 / (1 + (1 + square * tangent).sqrt()), 0)
    # Normals drawn by D cos: the weight is G (h·o) / (cos_o cos_h) with o straight above.
    expected = float(hidden.mean())
    assert close(found, expected)
    assert expected < 0.95


def test_half_the_albedo_reflects_half_of_a_furnace() -> None:
    """A convex gray object has exactly its albedo as radiance, for any number of bounces."""
    scene = Scene([SceneObject(icosphere(2), Lambert(0.5 * WHITE))], [SKY])
    found = look(scene, camera((0, -3, 0), zoom=6.0), samples=64)
    assert close(found, 0.5)


def test_inside_a_furnace_light_adds_up_to_a_geometric_series() -> None:
    """In a closed box with emission 1 and albedo ρ, the radiance is Σ ρᵏ = 1 / (1 − ρ)."""
    objects = [SceneObject(_inside_out(cube()), Lambert(0.6 * WHITE), emission=WHITE)]
    for depth, total in ((1, 1.0), (2, 1.6), (3, 1.96), (60, 2.5)):
        found = look(Scene(objects), camera((0, -0.2, 0)), samples=64, max_depth=depth)
        assert close(found, total), depth


def _inside_out(mesh: Mesh) -> Mesh:
    return dataclasses.replace(mesh, faces=mesh.faces.flip(1))


# --- closed forms --------------------------------------------------------------------------


def irradiance_of_square(half: float, height: float) -> float:
    """Below the center of a square of radiance 1: four form factors of a corner times π.

    A point under a corner of a rectangle a × b at height h (Howell's catalogue, B-3):
    F = (1/2π) (A/√(1+A²) atan(B/√(1+A²)) + B/√(1+B²) atan(A/√(1+B²))), A = a/h, B = b/h.
    """
    a = half / height
    root = (1 + a * a) ** 0.5
    return 4 * math.pi * (a / root * math.atan(a / root)) / math.pi


@pytest.mark.parametrize("strategy", ["both", "light", "surface"])
def test_irradiance_of_a_square_light(strategy: str) -> None:
    floor = SceneObject(patch((0, 0, 0), 5.0), Lambert(0.8 * WHITE))
    lamp = SceneObject(patch((0, 0, 1), 0.7, up=-1), Lambert(0 * WHITE), emission=3 * WHITE)
    found = look(
        Scene([floor, lamp]), camera((2, -2, 0.9), zoom=3000.0, size=2), samples=20_000,
        max_depth=2, strategy=strategy,
    )  # fmt: skip
    expected = 0.8 / math.pi * 3 * irradiance_of_square(0.7, 1.0)
    assert close(found, expected)
    # Control: a factor of 1.05 is far outside of the error.
    assert not close(found, 1.05 * expected)


def test_point_and_directional_light() -> None:
    """The radiance is ρ c cos θ / r² or without falloff ρ c cos θ, and ρ c cos θ."""
    floor = SceneObject(patch((0, 0, 0), 5.0), Lambert(0.5 * WHITE))
    eye = camera((0.5, -1, 2), zoom=3000.0, size=2)
    lamp = PointLight(torch.tensor([1.0, 2, 2]), torch.tensor([9.0, 6, 3]) / math.pi)
    flat = dataclasses.replace(lamp, falloff=False)
    sun = DirectionalLight(torch.tensor([0, 3.0, -4]), torch.tensor([1.0, 2, 3]) / math.pi)
    expected = [0.5 * lamp.color / 9 * 2 / 3, 0.5 * flat.color * 2 / 3, 0.5 * sun.color * 0.8]
    for light, radiance in zip((lamp, flat, sun), expected, strict=True):
        found = look(Scene([floor], [light]), eye, samples=4, max_depth=2)
        torch.testing.assert_close(found.color.mean((0, 1, 2)), radiance, rtol=1e-3, atol=0)
    every = look(Scene([floor], [lamp, flat, sun]), eye, samples=4096, max_depth=2)
    assert close(every, sum(expected, torch.zeros(3)))


@pytest.mark.parametrize(
    "light",
    [
        AmbientLight(torch.tensor([0.5, 0.6, 0.7])),
        DirectionalLight(torch.tensor([0.3, 0.4, -1.0]), torch.tensor([0.9, 0.5, 0.2])),
        PointLight(torch.tensor([0.2, 0.3, 1.5]), torch.tensor([0.9, 0.5, 0.2])),
        PointLight(torch.tensor([0.2, 0.3, 1.5]), torch.tensor([0.9, 0.5, 0.2]), falloff=False),
    ],
)
def test_a_light_has_the_same_color_in_both_renderers(light: PhongLight) -> None:
    """On a white matte floor without shadows, path tracing gives what Phong shading does."""
    floor, eye = patch((0, 0, 0), 5.0), camera((0.5, -1, 2), zoom=300.0, size=4)
    white = dataclasses.replace(floor, texture=VertexColors(torch.ones(4, 3)))
    options = MeshRenderOptions(lights=[light], material=Phong(specular=0.0), antialias=False)
    drawn = mesh_renderer(white, options)(eye).color
    scene = Scene([SceneObject(floor, Lambert(WHITE))], [light])
    traced = look(scene, eye, samples=256, max_depth=2).color
    torch.testing.assert_close(traced, drawn, rtol=0.02, atol=0)


def test_irradiance_of_half_a_sky() -> None:
    """A sky that is white above and black below, of any resolution, gives a floor radiance
    ρ.
    """
    image = torch.ones(6, 10, 3)
    image[3:] = 0
    floor = SceneObject(patch((0, 0, 0), 5.0), Lambert(0.5 * WHITE))
    eye = camera((1, -1, 2), zoom=30.0)
    for strategy in ("both", "light", "surface"):
        found = look(Scene([floor], [Environment(image)]), eye, samples=256, strategy=strategy)
        assert close(found, 0.5), strategy


def test_the_environment_has_the_right_orientation() -> None:
    """The right pixels are visible toward +z, +x etc.; columns run to the right from inside."""
    rows, columns = 4, 8
    image = torch.zeros(rows, columns, 3)
    image[..., 0] = torch.arange(rows)[:, None] / 10
    image[..., 1] = torch.arange(columns) / 10
    hidden = [SceneObject(patch((0, 0, -1000), 0.1), Lambert(WHITE))]
    scene = Scene(hidden, [Environment(image)])
    for direction, row, column in (
        ((1, 0.1, 0.1), 1, 3), ((0.1, 1, 0.1), 1, 2), ((-1, 0.1, -0.1), 2, 0),
        ((0.1, -1, -0.1), 2, 5), ((-1, -0.1, 2), 0, 7),
    ):  # fmt: skip
        away = -torch.tensor([direction]).float()
        eye = Cameras.from_focal(
            look_at(away, torch.zeros(1, 3), torch.tensor([0.0, 0, 1])), 1e4, 1, 1
        )
        found = look(scene, eye, samples=4, show_environment=True).color[0, 0, 0]
        assert found[0].item() == pytest.approx(row / 10)
        assert found[1].item() == pytest.approx(column / 10)


def test_a_glass_ball_shows_the_background_upside_down() -> None:
    """A ball of glass shows the sky's white upper half at the bottom."""
    image = torch.zeros(2, 1, 3)
    image[0] = 1
    scene = Scene([SceneObject(sphere(1.0), Glass(WHITE))], [Environment(image)])
    found = look(scene, camera((0, -6, 0), size=9, zoom=8.0), samples=64).color[0, ..., 0]
    assert found[7, 4] > 0.7
    assert found[1, 4] < 0.3


def test_a_glass_ball_is_the_same_as_a_mesh_and_as_a_function() -> None:
    """Refracted paths leave the surface, instead of hitting it again at once."""
    image = torch.zeros(2, 1, 3)
    image[0] = 1
    found = [
        look(
            Scene([SceneObject(shape, Glass(WHITE), smooth=True)], [Environment(image)]),
            camera((0, -4, 1), size=8, zoom=10.0),
            samples=512,
            max_depth=12,
            show_environment=True,
        )
        for shape in (icosphere(5), sphere(1.0))
    ]
    assert close(found[1], mean_and_error(found[0])[0])


# --- estimators ----------------------------------------------------------------------------


def small_room() -> Scene:
    """All materials, three kinds of light, a mesh with a texture and a distance function."""
    colors = VertexColors(torch.rand(162, 3, generator=torch.Generator().manual_seed(0)))
    ball = dataclasses.replace(icosphere(2), texture=colors)
    ball = dataclasses.replace(
        ball, vertices=0.5 * ball.vertices + torch.tensor([-0.8, 0, 0.5])
    )
    glass = icosphere(3)
    place = torch.tensor([0.3, -0.6, 0.4])
    glass = dataclasses.replace(glass, vertices=0.39 * glass.vertices + place)
    objects = [
        SceneObject(patch((0, 0, 0), 3.0), Lambert(torch.tensor([0.7, 0.6, 0.5]))),
        SceneObject(ball, Lambert(), smooth=True),
        SceneObject(glass, Glass(WHITE), smooth=True),
        SceneObject(translated(sphere(0.5), [0.8, 0.4, 0.5]), Metal(0.8 * WHITE, 0.4)),
        SceneObject(patch((0, 0, 2.5), 0.5, up=-1), Lambert(0 * WHITE), emission=4 * WHITE),
    ]
    sky = Environment(torch.rand(4, 8, 3, generator=torch.Generator().manual_seed(1)))
    lamp = PointLight(torch.tensor([2.0, -2, 2]), 2 / math.pi * WHITE)
    return Scene(objects, [sky, lamp], reach=10.0)


def test_strategies_have_the_same_mean() -> None:
    """Block means of light sampling, BSDF sampling, and both."""
    eye = camera((0, -4, 2), size=12)
    found = {
        s: look(small_room(), eye, samples=128, strategy=s)
        for s in ("both", "light", "surface")
    }
    for one, other in (("both", "light"), ("both", "surface"), ("light", "surface")):
        assert excess(found[one], found[other]) < 2.0, (one, other)
    for power in (1.0, 2.0):
        balanced = look(small_room(), eye, samples=64, power=power, seed=1)
        assert excess(found["both"], balanced) < 2.0
    # Control: light that is 10% too bright.
    brighter = dataclasses.replace(found["both"], color=1.1 * found["both"].color)
    assert excess(brighter, found["surface"]) > 2.0


def excess(a: Radiance, b: Radiance, side: int = 4) -> float:
    """Mean square difference of blocks over its variance: 1 if the expectations are equal."""

    def blocks(image: Tensor) -> Tensor:
        return image.unflatten(2, (-1, side)).unflatten(1, (-1, side)).mean((2, 4))

    difference = blocks(a.color) - blocks(b.color)
    variance = blocks(a.error.square() + b.error.square()) / side**2
    return float((difference.square() / variance.clamp_min(1e-12)).mean())


def test_both_is_less_noisy_than_either() -> None:
    eye = camera((0, -4, 2))
    noise = {
        s: look(small_room(), eye, samples=64, strategy=s).error.square().mean()
        for s in ("both", "light", "surface")
    }
    assert noise["both"] < noise["surface"]
    assert noise["both"] < 1.2 * noise["light"]


def test_variance_falls_as_one_over_n() -> None:
    """The variance over seeds, at 4 and 64 paths per pixel, and its estimate from one image."""
    eye, room = camera((0, -4, 2), size=8), path_scene.build(small_room())
    variance = {}
    for samples in (4, 64):
        runs = [
            path_radiance(room, eye, PathOptions(samples=samples, max_depth=3, seed=k))
            for k in range(12)
        ]
        images = torch.stack([run.color for run in runs])
        # The median over pixels: rare bright paths dominate the mean of variances.
        covered = runs[0].opacity == 1
        variance[samples] = images.var(0)[covered].quantile(0.5)
        estimated = (
            torch.stack([run.error.square() for run in runs]).mean(0)[covered].quantile(0.5)
        )
        assert 0.6 < float(variance[samples] / estimated) < 1.5
    assert 8 < float(variance[4] / variance[64]) < 32


def test_russian_roulette_is_unbiased() -> None:
    eye = camera((0, -4, 2), size=12)
    early = look(small_room(), eye, samples=128, roulette=1)
    late = look(small_room(), eye, samples=128, roulette=100, seed=1)
    assert excess(early, late) < 2.0


@settings(deadline=None, max_examples=50)
@given(
    st.floats(0.0009765625, 1048576, width=32),
    st.floats(0.0009765625, 1048576, width=32),
    st.sampled_from([1.0, 2.0, 3.5]),
)
def test_weights_of_both_strategies_sum_to_one(a: float, b: float, power: float) -> None:
    first, second = torch.tensor([a]), torch.tensor([b])
    total = mis_weight(first, second, power) + mis_weight(second, first, power)
    torch.testing.assert_close(total, torch.ones(1))


def test_images_depend_on_the_seed_alone() -> None:
    """The same seed gives the same image for any number of threads; another seed another
    one.
    """
    eye, room = (
        camera((0, -4, 2), size=40),
        Scene([SceneObject(cube(), Lambert(WHITE))], [SKY]),
    )
    one = look(room, eye, samples=32, max_depth=3)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        again = look(room, eye, samples=32, max_depth=3)
    finally:
        torch.set_num_threads(threads)
    other = look(room, eye, samples=32, max_depth=3, seed=1)
    assert torch.equal(one.color, again.color)
    assert not torch.equal(one.color, other.color)


# --- the renderer --------------------------------------------------------------------------


def test_the_renderer_converts_radiance_to_srgb() -> None:
    options = PathOptions(samples=16, exposure=0.5)
    eye = camera((0, -4, 2), size=12)
    shown = path_renderer(small_room(), options)(eye)
    found = path_radiance(small_room(), eye, options)
    straight = found.color / found.opacity[..., None].clamp_min(1e-6)
    expected = display_from_linear((0.5 * straight).clamp(0, 1)) * found.opacity[..., None]
    torch.testing.assert_close(shown.color, expected)
    assert (shown.color <= shown.opacity[..., None] + 1e-6).all()
    assert float(shown.opacity.min()) > 0 or float(shown.opacity.max()) == 1


def test_depth_and_normals() -> None:
    """Depth and normals of a plane seen from above, and none where nothing is hit."""
    scene = Scene([SceneObject(patch((0, 0, 0), 0.5), Lambert(WHITE))], [SKY])
    found = look(scene, camera((0, 0, 3), size=9), samples=16)
    assert found.depth[0, 4, 4].item() == pytest.approx(3, abs=0.01)
    torch.testing.assert_close(found.normals[0, 4, 4], torch.tensor([0.0, 0, 1]))
    assert found.opacity[0, 0, 0] == 0
    assert found.depth[0, 0, 0] == 0
    assert (found.color[0, 0, 0] == 0).all()


@pytest.mark.parametrize("factor", [None, 0.5])
def test_textures_are_converted_to_linear(factor: float | None) -> None:
    """Those with colors too, by which the image is multiplied in linear light."""
    image = torch.full((4, 4, 3), 0.5)
    uv = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    plain = dataclasses.replace(
        patch((0, 0, 0), 5.0),
        texture=UVTexture(
            image,
            uv,
            torch.tensor([[0, 1, 2], [0, 2, 3]]),
            None if factor is None else torch.full((4, 3), factor),
        ),
    )
    scene = Scene([SceneObject(plain, Lambert())], [SKY])
    found = look(scene, camera((0, -1, 3), zoom=30.0), samples=64, strategy="surface")
    wanted = 0.21404 if factor is None else 0.21404**2
    torch.testing.assert_close(
        found.color, torch.full_like(found.color, wanted), atol=1e-4, rtol=0
    )


def test_a_light_inside_a_box_is_occluded_outside() -> None:
    floor = SceneObject(patch((0, 0, -1), 5.0), Lambert(WHITE))
    box = SceneObject(cube(), Lambert(WHITE))
    lamp = PointLight(torch.zeros(3), WHITE)
    found = look(Scene([floor, box], [lamp]), camera((0, -4, 2)), samples=16)
    assert float(found.color.max()) == 0


def test_a_lamp_touching_the_floor() -> None:
    """A lamp of radiance 1, as a mesh and as a distance function, with many grazing rays.

    Functions are hit only by BSDF sampling. Shadow rays parallel to the line to the sampled
    point, instead of toward it, lost 0.8% here.
    """
    floor = SceneObject(patch((0, 0, -1), 5.0), Lambert(0.8 * WHITE))
    eye = camera((0, -4, 2))
    found = [
        look(
            Scene([floor, SceneObject(shape, Lambert(0 * WHITE), WHITE)], reach=10.0), eye,
            samples=2048, strategy=strategy, seed=seed,
        )
        for seed, (shape, strategy) in enumerate(
            ((icosphere(5), "both"), (icosphere(5), "light"), (icosphere(5), "surface"),
             (sphere(1.0), "both"))
        )
    ]  # fmt: skip
    pairs = [mean_and_error(each) for each in found]
    # Light sampling alone is the noisiest.
    for (mean, error), most in zip(pairs[1:], (0.03, 0.015, 0.015), strict=True):
        apart = (mean - pairs[0][0]).abs()
        assert (apart < 4 * (error.square() + pairs[0][1].square()).sqrt()).all()
        assert (4 * error < most * mean).all()


# --- bad input -----------------------------------------------------------------------------

FLOOR = SceneObject(patch((0, 0, 0), 1.0), Lambert(WHITE))
NAN_MESH = dataclasses.replace(
    patch((0, 0, 0), 1.0), texture=VertexColors(torch.full((4, 3), torch.nan))
)


@pytest.mark.parametrize(
    ("objects", "lights", "words"),
    [
        ([], [SKY], "no objects"),
        ([FLOOR], [], "no light"),
        ([FLOOR], [Environment(torch.zeros(2, 2, 3))], "black"),
        ([FLOOR], [Environment(torch.full((2, 2, 3), torch.nan))], "NaN or Inf"),
        ([FLOOR], [Environment(torch.zeros(0, 2, 3))], "no pixels"),
        ([FLOOR], [SKY, SKY], "2 environments"),
        ([FLOOR], [PointLight(torch.zeros(3), -WHITE)], "negative"),
        ([FLOOR], [PointLight(torch.full((3,), torch.inf), WHITE)], "finite"),
        ([FLOOR], [DirectionalLight(torch.zeros(3), WHITE)], "direction"),
        ([SceneObject(patch((0, 0, 0), 0.0), Lambert(WHITE))], [SKY], "no area"),
        ([SceneObject(patch((0, 0, 0), 0.0), Lambert(WHITE), WHITE)], [], "no area"),
        ([SceneObject(patch((0, 0, math.nan), 1.0), Lambert(WHITE))], [SKY], "NaN or Inf"),
        ([SceneObject(NAN_MESH, Lambert())], [SKY], "0, 1"),
        ([SceneObject(FLOOR.shape, Lambert())], [SKY], "no texture"),
        ([SceneObject(FLOOR.shape, Lambert(WHITE), -WHITE)], [SKY], "emission"),
        ([SceneObject(sphere(1.0), Lambert())], [SKY], "no texture"),
    ],
)  # fmt: skip
def test_bad_scenes_are_refused(
    objects: list[SceneObject], lights: list[Light], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        path_scene.build(Scene(objects, lights))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 0}, "samples 0"),
        ({"max_depth": 0}, "max_depth"),
        ({"exposure": -1.0}, "above 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        look(Scene([FLOOR], [SKY]), camera((0, -1, 1)), **options)


def test_functions_that_return_nan_are_refused() -> None:
    scene = Scene([SceneObject(lambda points: points[:, 0] * torch.nan, Lambert(WHITE))], [SKY])
    with pytest.raises(InputError, match="gave NaN"):
        look(scene, camera((0, -1, 1)))


def test_marching_terminates_along_a_surface() -> None:
    """A function that never reaches 0 and grazing rays: bounded time, and no NaN."""
    scene = Scene([SceneObject(lambda p: 2e-4 + 0 * p[:, 0], Lambert(WHITE))], [SKY], reach=1e6)
    found = look(scene, camera((0, -1, 1), size=2), samples=2)
    assert (found.opacity == 0).all()
