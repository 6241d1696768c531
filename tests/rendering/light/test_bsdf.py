"""Laws of BSDFs: reciprocity, energy conservation, and PDFs that match the sampling."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unrender.errors import InputError
from unrender.rendering.light.bsdf import (
    Glass,
    Lambert,
    Material,
    Metal,
    Mirror,
    Scatter,
    check_material,
    dot,
    frame,
    fresnel,
    lambert,
    metal,
    sample_glass,
    sample_lambert,
    sample_metal,
    sample_mirror,
    unit,
)

ROUGHNESS = [0.1, 0.3, 1.0]
COSINES = [0.2, 0.7, 0.999]


def uniforms(rows: int, count: int, seed: int = 0) -> Tensor:
    return torch.rand(rows, count, generator=torch.Generator().manual_seed(seed))


def hemisphere(count: int, seed: int = 0) -> Tensor:
    """Uniform directions on the upper hemisphere."""
    z, turn = uniforms(2, count, seed)
    radius = (1 - z.square()).sqrt()
    turn = 2 * math.pi * turn
    return torch.stack([radius * turn.cos(), radius * turn.sin(), z])


def from_above(cosine: float, count: int) -> Tensor:
    return torch.tensor([[(1 - cosine**2) ** 0.5], [0.0], [cosine]]).expand(3, count)


Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Sample = Callable[[Tensor, Tensor], Scatter]


def materials() -> list[tuple[str, Evaluate, Sample]]:
    color = torch.tensor([[0.9], [0.5], [0.1]])
    found: list[tuple[str, Evaluate, Sample]] = [
        (
            "lambert",
            lambda o, i: lambert(color.expand_as(o), i),
            lambda o, u: sample_lambert(color.expand_as(o), u[:2]),
        )
    ]
    for roughness in ROUGHNESS:

        def evaluate(o: Tensor, i: Tensor, r: float = roughness) -> tuple[Tensor, Tensor]:
            return metal(color.expand_as(o), torch.full_like(o[0], r), o, i)

        def sample(o: Tensor, u: Tensor, r: float = roughness) -> Scatter:
            return sample_metal(color.expand_as(o), torch.full_like(o[0], r), o, u[:2])

        found.append((f"metal {roughness}", evaluate, sample))
    return found


CASES = [pytest.param(e, s, id=name) for name, e, s in materials()]


@pytest.mark.parametrize(("evaluate", "sample"), CASES)
def test_reciprocity(evaluate: Evaluate, sample: Sample) -> None:
    a, b = hemisphere(5000, 0), hemisphere(5000, 1)
    forth, back = evaluate(a, b)[0] / b[2], evaluate(b, a)[0] / a[2]
    torch.testing.assert_close(forth, back, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("cosine", COSINES)
@pytest.mark.parametrize(("evaluate", "sample"), CASES)
def test_energy_and_pdf(evaluate: Evaluate, sample: Sample, cosine: float) -> None:
    """The albedo is at most 1; the mean of f cos / PDF over samples is the integral of f cos,
    and that of 1 / PDF is the solid angle of the hemisphere, less that of samples below it.
    """
    count = 200_000
    outgoing = from_above(cosine, count)
    drawn = sample(outgoing, uniforms(3, count))
    albedo = drawn.weight.mean(1)
    assert albedo.max() <= 1 + 1e-4
    torch.testing.assert_close(drawn.direction.square().sum(0), torch.ones(count))
    # The same by quadrature over the hemisphere.
    polar = (torch.arange(400) + 0.5) / 400 * (math.pi / 2)
    turn = (torch.arange(400) + 0.5) / 400 * math.pi
    theta, phi = torch.meshgrid(polar, turn, indexing="ij")
    sine = theta.sin()
    grid = torch.stack([sine * phi.cos(), sine * phi.sin(), theta.cos()]).flatten(1)
    value, density = evaluate(from_above(cosine, grid.shape[1]), grid)
    # Half of the directions; the other half is symmetric.
    solid = 2 * sine.flatten() * (math.pi / 2 / 400) * (math.pi / 400)
    expected, total = (value * solid).sum(1), float((density * solid).sum())
    spread = drawn.weight.std(1) / count**0.5
    assert ((albedo - expected).abs() < 5 * spread + 2e-3 * expected).all()
    above = float((drawn.direction[2] > 0).float().mean())
    assert total == pytest.approx(above, abs=0.01)


@pytest.mark.parametrize(("evaluate", "sample"), CASES)
def test_directions_are_sampled_by_their_pdf(evaluate: Evaluate, sample: Sample) -> None:
    """χ² test of sample counts in cells of equal solid angle against the mean PDF there."""
    count, cells, fine = 200_000, 8, 40
    outgoing = from_above(0.7, count)
    direction = sample(outgoing, uniforms(3, count, 5)).direction
    direction = direction[:, direction[2] > 0]
    turn = torch.atan2(direction[1], direction[0]) / (2 * math.pi) + 0.5
    cell = (direction[2] * cells).long().clamp_max(cells - 1) * cells
    cell += (turn * cells).long().clamp_max(cells - 1)
    counts = cell.bincount(minlength=cells**2).double()
    z = (torch.arange(cells * fine) + 0.5) / (cells * fine)
    phi = ((torch.arange(cells * fine) + 0.5) / (cells * fine) - 0.5) * 2 * math.pi
    z, phi = torch.meshgrid(z, phi, indexing="ij")
    radius = (1 - z.square()).sqrt()
    grid = torch.stack([radius * phi.cos(), radius * phi.sin(), z])
    density = evaluate(from_above(0.7, z.numel()), grid.flatten(1))[1].view_as(z).double()
    mean = density.unflatten(0, (cells, fine)).unflatten(2, (cells, fine)).mean((1, 3))
    expected = (mean * (2 * math.pi / cells**2) * count).flatten()
    often = expected > 20
    excess = (counts - expected)[often].square() / expected[often]
    # The mean is 1, and the standard deviation √(2 / cells).
    assert float(excess.mean()) < 1 + 6 * (2 / int(often.sum())) ** 0.5
    assert float(counts[~often].sum()) < 20 * int((~often).sum()) + 20


def test_a_wrong_pdf_is_caught() -> None:
    """Control for the tests above: the PDF of another roughness."""
    outgoing = from_above(0.7, 100_000)
    color, rough = torch.ones_like(outgoing), torch.full_like(outgoing[0], 0.3)
    drawn = sample_metal(color, rough, outgoing, uniforms(2, 100_000))
    value, density = metal(color, 0.9 * rough, outgoing, drawn.direction)
    wrong = torch.where(density > 0, value / density, 0.0).mean()
    assert abs(float(wrong - drawn.weight.mean())) > 0.002


def test_white_metal_loses_energy_as_predicted() -> None:
    """At normal incidence and roughness 1, half of the facets reflect upward, with cosines c
    uniform in [0, 1] and masking 2c / (1 + c): the albedo is ½ ∫ 2c / (1 + c) dc = 1 − ln 2.
    """
    count = 100_000
    outgoing = from_above(1.0, count)
    white = torch.ones_like(outgoing)
    left: list[float] = []
    for roughness in (1.0, 0.3, 0.01):
        rough = torch.full_like(outgoing[0], roughness)
        weight = sample_metal(white, rough, outgoing, uniforms(2, count)).weight
        left.append(float(weight.mean()))
    assert left[0] == pytest.approx(1 - math.log(2), abs=0.005)
    assert left[0] < left[1] < left[2]
    assert left[2] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("ratio", [1.5, 1 / 1.5, 1.0001])
def test_fresnel(ratio: float) -> None:
    """Normal incidence, Brewster's angle, grazing incidence, and Snell's law."""
    cosine = torch.tensor([1.0])
    index = torch.tensor([ratio])
    straight = ((ratio - 1) / (ratio + 1)) ** 2
    assert float(fresnel(cosine, index)[0]) == pytest.approx(straight, abs=1e-6)
    assert float(fresnel(cosine * 1e-5, index)[0]) == pytest.approx(1, abs=2e-2)
    brewster = torch.tensor([math.cos(math.atan(ratio))])
    reflected, refracted = fresnel(brewster, index)
    across = (brewster - index * refracted) / (brewster + index * refracted)
    assert float(reflected) == pytest.approx(float(across.square() / 2), abs=1e-6)
    sines = (1 - brewster.square()).sqrt(), (1 - refracted.square()).sqrt()
    assert float(sines[0]) == pytest.approx(ratio * float(sines[1]), abs=1e-5)


def test_glass_has_total_internal_reflection() -> None:
    cosine = torch.tensor([0.5])
    reflected, _ = fresnel(cosine, torch.tensor([1 / 1.5]))
    assert float(reflected) == 1
    out = sample_glass(
        torch.ones(3, 1), torch.tensor([1 / 1.5]), from_above(0.5, 1), torch.tensor([0.99])
    )
    torch.testing.assert_close(out.direction[:, 0], torch.tensor([-(0.75**0.5), 0, 0.5]))


def test_glass_is_reciprocal() -> None:
    """Veach, eq. 5.14: divided by the squared index, it is the same in both directions."""
    ratio, outgoing = torch.tensor([1.5]), from_above(0.8, 1)
    white, chance = torch.ones(3, 1), torch.tensor([0.999])
    into = sample_glass(white, ratio, outgoing, chance)
    assert float(into.direction[2]) < 0
    # From inside, with the frame flipped.
    back = sample_glass(
        white, 1 / ratio, -into.direction * torch.tensor([[1.0], [1.0], [1.0]]), chance
    )
    torch.testing.assert_close(-back.direction, outgoing, atol=1e-6, rtol=0)
    assert float(fresnel(outgoing[2], ratio)[0]) == pytest.approx(
        float(fresnel(-into.direction[2], 1 / ratio)[0]), abs=1e-6
    )
    torch.testing.assert_close(into.weight * back.weight, white)


def test_a_mirror_is_its_own_inverse() -> None:
    outgoing = hemisphere(100)
    white = torch.ones_like(outgoing)
    there = sample_mirror(white, outgoing)
    torch.testing.assert_close(sample_mirror(white, there.direction).direction, outgoing)
    assert there.density.isinf().all()


def test_frames_are_right_handed() -> None:
    normals = unit(torch.randn(3, 1000, generator=torch.Generator().manual_seed(0)))
    normals[:, 0] = torch.tensor([0.0, 0, -1])
    x, y, z = frame(normals)
    for a, b in ((x, y), (y, z), (z, x)):
        torch.testing.assert_close(dot(a, b), torch.zeros(1000), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.cross(x, y, dim=0), z, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("material", "words"),
    [
        (Lambert(torch.tensor([0.5, 1.2, 0.5])), "in \\[0, 1\\]"),
        (Lambert(torch.tensor([0.5, torch.nan, 0.5])), "in \\[0, 1\\]"),
        (Lambert(), "no texture"),
        (Metal(torch.ones(3), 0.0), "roughness 0"),
        (Metal(torch.ones(3), math.nan), "roughness nan"),
        (Mirror(torch.tensor([-1.0, 0, 0])), "in \\[0, 1\\]"),
        (Glass(torch.ones(3), 0.0), "index of refraction"),
    ],
)
def test_bad_materials_are_refused(material: Material, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_material(material, "object 0", textured=False)
