"""Laws of diffraction gratings: the grating equation, energy, and colors."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.rendering.light.bsdf import Lambert, frame, unit
from unrender.rendering.light.grating import (
    LONGEST,
    SHORTEST,
    Grating,
    check_grating,
    cie_xyz,
    diffracted,
    rgb_response,
    sample_grating,
)
from unrender.rendering.light.light_sampling import brightness
from unrender.rendering.light.lights import AmbientLight
from unrender.rendering.light.path_tracer import PathOptions, Radiance, path_radiance
from unrender.rendering.light.scene import Scene, SceneObject
from unrender.shapes.mesh import Mesh

WHITE = torch.ones(3)
X = (1.0, 0.0, 0.0)


def at_angle(degrees: float) -> Tensor:
    """A direction at this angle from the normal, in the plane of x and z."""
    angle = math.radians(degrees)
    return torch.tensor([[math.sin(angle)], [0.0], [math.cos(angle)]])


def incoming(
    outgoing: Tensor,
    order: float,
    wavelength: float,
    period: float,
    direction: tuple[float, float, float] = X,
) -> tuple[Tensor, float]:
    numbers = (torch.tensor([float(value)]) for value in (order, wavelength, period))
    found, there = diffracted(outgoing, torch.tensor(direction)[:, None], *numbers)
    return found, float(there)


@pytest.mark.parametrize(
    ("out", "order", "wavelength", "period", "expected"),
    [
        # d = 1 µm at normal incidence sends green light of 500 nm to 30°.
        (0, 1, 500, 1000, 30.0),
        (0, -1, 500, 1000, -30.0),
        (0, 2, 433.0127, 1000, 60.0),
        # 600 lines per millimeter, seen from 20°: sin θ = 600e3 · 650e-9 − sin 20° = 0.04798.
        (20, 1, 650, 1e6 / 600, 2.7501),
        # Littrow: 2 d sin θ = m λ sends light back where it came from.
        (math.degrees(math.asin(0.3)), 1, 600, 1000, math.degrees(math.asin(0.3))),
    ],
)
def test_the_grating_equation(
    out: float, order: float, wavelength: float, period: float, expected: float
) -> None:
    found, there = incoming(at_angle(out), order, wavelength, period)
    assert there == 1
    torch.testing.assert_close(found, at_angle(expected), atol=1e-5, rtol=0)
    # Light takes the same way back.
    back, _ = incoming(found, order, wavelength, period)
    torch.testing.assert_close(back, at_angle(out), atol=1e-5, rtol=0)


def test_order_zero_is_a_mirror_and_so_is_the_other_direction() -> None:
    outgoing = unit(torch.tensor([[0.3], [-0.5], [0.8]]))
    mirrored = torch.cat([-outgoing[:2], outgoing[2:]])
    found, there = incoming(outgoing, 0, 500, 1000)
    assert there == 1
    torch.testing.assert_close(found, mirrored)
    # Along the lines the component is mirrored in every order.
    found, _ = incoming(outgoing, 1, 500, 1000)
    torch.testing.assert_close(found[1], mirrored[1])
    # Only the tangential part of the direction matters, and not its length.
    same, _ = incoming(outgoing, 1, 500, 1000, (7.0, 0.0, 3.0))
    torch.testing.assert_close(same, found)


def test_evanescent_orders_carry_no_light() -> None:
    assert incoming(at_angle(0), 1, 500, 499)[1] == 0
    assert incoming(at_angle(0), 1, 500, 501)[1] == 1
    # Below half of the wavelength no angle has any order but the mirror's.
    for angle in (0, 40, -40, 80, -80):
        assert incoming(at_angle(angle), 1, 500, 249)[1] == 0
        assert incoming(at_angle(angle), -1, 500, 249)[1] == 0
    numbers = torch.tensor([*X, 150.0, 0.0, 0.5, 0.0])[:, None].expand(7, 100)
    uniform = torch.rand(2, 100, generator=torch.Generator().manual_seed(0))
    found, weight = sample_grating(
        torch.ones(3, 100), numbers, at_angle(9).expand(3, 100), uniform
    )
    assert not weight.any()
    torch.testing.assert_close(found.norm(dim=0), torch.ones(100))


def test_color_matching_functions_and_white() -> None:
    """CIE 1931, 2°: the fit is within 0.04 of the tabulated values."""
    table = {450.0: (0.3362, 0.0380, 1.7721), 550.0: (0.4334, 0.9950, 0.0087),
             600.0: (1.0622, 0.6310, 0.0008)}  # fmt: skip
    for wavelength, values in table.items():
        found = cie_xyz(torch.tensor(wavelength))
        torch.testing.assert_close(found, torch.tensor(values), atol=0.04, rtol=0)
    every = torch.linspace(SHORTEST, LONGEST, 20001, dtype=torch.float64)
    torch.testing.assert_close(
        rgb_response(0.5 * (every[1:] + every[:-1])).mean(0), WHITE.double(), atol=1e-4, rtol=0
    )
    blue, green, red = rgb_response(torch.tensor([450.0, 530.0, 640.0])).argmax(1).tolist()
    assert (blue, green, red) == (2, 1, 0)


def test_orders_are_sampled_by_their_efficiency() -> None:
    """No energy is made: the mean weight is the sum of all efficiencies that are visible."""
    count = 200_000
    uniform = torch.rand(2, count, generator=torch.Generator().manual_seed(1))
    color = torch.tensor([[0.9], [0.5], [0.2]]).expand(3, count)

    def mean_weight(period: float) -> tuple[Tensor, Tensor]:
        numbers = torch.tensor([*X, period, 0.3, 0.2, 0.1])[:, None].expand(7, count)
        return sample_grating(color, numbers, at_angle(0).expand(3, count), uniform)

    found, weight = mean_weight(5000.0)
    torch.testing.assert_close(weight.mean(1), 0.9 * color[:, 0], atol=5e-3, rtol=0)
    assert (found[2] > 0).all()
    mirror = (found[0].abs() < 1e-6).float().mean()
    assert float(mirror) == pytest.approx(1 / 3, abs=5e-3)
    # Orders ±2 of red light are evanescent at a period of 1 µm.
    _, weight = mean_weight(1000.0)
    left = weight.mean(1) / color[:, 0]
    assert 0.69 < float(left[0]) < 0.8
    assert 0.7 < float(brightness(left)) < 0.9


# --- in scenes -----------------------------------------------------------------------------


def square(half: float, center: tuple[float, float, float], down: bool = False) -> Mesh:
    corners = torch.tensor([[-half, -half], [half, -half], [half, half], [-half, half]])
    vertices = torch.cat([corners, torch.zeros(4, 1)], dim=1) + torch.tensor(center)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    return Mesh(vertices, faces.flip(1) if down else faces)


def from_above(samples: int, objects: list[SceneObject], *lights: AmbientLight) -> Radiance:
    """What a camera straight above the origin sees there."""
    eye = torch.tensor([[0.0, 0.0, 100.0]])
    pose = look_at(eye, torch.zeros_like(eye), torch.tensor([0.0, 1.0, 0.0]))
    camera = Cameras.from_focal(pose, 2e5, 4, 4)
    options = PathOptions(samples=samples, strategy="surface")
    return path_radiance(Scene(objects, lights), camera, options)


def test_a_grating_that_loses_nothing_vanishes_in_a_furnace() -> None:
    grating = Grating(WHITE, 20_000.0, X, (0.2, 0.3, 0.1))
    found = from_above(4096, [SceneObject(square(1, (0, 0, 0)), grating)], AmbientLight(WHITE))
    error = found.error.square().sum((1, 2)).sqrt()[0] / 16
    assert ((found.color.mean((0, 1, 2)) - 1).abs() < 5 * error).all()


def color_of_lamp(wavelength: float, grating: Grating) -> Tensor:
    """RGB seen from above, of a small lamp where the first order of a wavelength comes from."""
    sine = wavelength / 1000.0
    place = 10 * torch.tensor([sine, 0.0, math.sqrt(1 - sine**2)])
    x, y, z = frame(-unit(place[:, None]))
    corners = torch.tensor([[-0.1, -0.1], [0.1, -0.1], [0.1, 0.1], [-0.1, 0.1]])
    vertices = place + corners[:, :1] * x.T + corners[:, 1:] * y.T
    lamp = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    assert float(z[2]) < 0
    shines = SceneObject(lamp, Lambert(torch.zeros(3)), 100 * WHITE)
    surface = SceneObject(square(1, (0, 0, 0)), grating)
    return from_above(16384, [surface, shines]).color.mean((0, 1, 2))


@pytest.mark.parametrize("wavelength", [450.0, 530.0, 590.0, 640.0])
def test_a_lamp_is_seen_in_the_color_of_its_angle(wavelength: float) -> None:
    grating = Grating(WHITE, 1000.0, X, (0.0, 0.25, 0.0))
    found = color_of_lamp(wavelength, grating)
    # The lamp covers 20 nm of the 300: radiance 100 times the share of its wavelengths.
    width = 1000 * 0.02 * math.sqrt(1 - (wavelength / 1000) ** 2)
    near = torch.linspace(wavelength - width / 2, wavelength + width / 2, 101)
    expected = 0.25 * 100 * rgb_response(near).mean(0) * width / (LONGEST - SHORTEST)
    torch.testing.assert_close(found, expected, atol=0.12, rtol=0.1)


def test_no_color_where_no_order_is_visible() -> None:
    grating = Grating(WHITE, 1000.0, X, (0.0, 0.25, 0.0))
    assert color_of_lamp(550.0, grating).amax() > 0.5
    # Lines along x instead of y send no light to the camera, nor do ultraviolet angles.
    turned = dataclasses.replace(grating, direction=(0.0, 1.0, 0.0))
    assert not color_of_lamp(550.0, turned).any()
    assert not color_of_lamp(350.0, grating).any()
    # A slanted direction is projected onto the surface.
    slanted = dataclasses.replace(grating, direction=(0.5, 0.0, 3.0))
    torch.testing.assert_close(color_of_lamp(550.0, slanted), color_of_lamp(550.0, grating))


@pytest.mark.parametrize(
    ("grating", "words"),
    [
        (Grating(WHITE, efficiency=(0.5, 0.3, 0.0)), "efficiency"),
        (Grating(WHITE, efficiency=(0.5, -0.1, 0.0)), "efficiency"),
        (Grating(WHITE, efficiency=(math.nan, 0.1, 0.0)), "efficiency"),
        (Grating(WHITE, period=0.0), "period 0"),
        (Grating(WHITE, period=math.nan), "period nan"),
        (Grating(WHITE, direction=(0.0, 0.0, 0.0)), "direction"),
        (Grating(WHITE, direction=(math.inf, 0.0, 0.0)), "direction"),
    ],
)
def test_bad_gratings_are_refused(grating: Grating, words: str) -> None:
    with pytest.raises(InputError, match=f"the card: {words}"):
        check_grating(grating, "the card")
