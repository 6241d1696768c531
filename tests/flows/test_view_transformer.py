"""The transformer of novel views: frames, units, sets; a flow begins as its regression."""

import dataclasses

import pytest
import torch
from torch import Tensor

from unrender.flows.view_transformer import (
    CameraConditions,
    ViewTransformer,
    ViewTransformerSize,
    from_patches,
    patches,
)
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.poses import so3_exp

SIZE = ViewTransformerSize(16, 8, 32, 2, 1, 2)


def network(size: ViewTransformerSize = SIZE) -> ViewTransformer:
    """A network whose last layer is not zero."""
    found = ViewTransformer(size, torch.Generator().manual_seed(0))
    with torch.no_grad():
        found.final.weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    return found


def cameras(count: int, seed: int) -> Cameras:
    generator = torch.Generator().manual_seed(seed)
    return Cameras.from_focal(spherical_shell(count, (2.0, 3.0), generator), 20.0, 16, 16)


def images(sets: int, views: int, seed: int = 0) -> Tensor:
    return torch.randn(sets, views, 4, 16, 16, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def decoded(
    net: ViewTransformer, inputs: Cameras, targets: Cameras, given: Tensor, *noisy: Tensor
) -> Tensor:
    geometry = net.geometry(inputs, targets, len(given))
    return net.decode(net.encode(given, geometry), geometry, *noisy)


def test_patches_are_undone() -> None:
    given = images(2, 3)
    assert torch.equal(from_patches(patches(given, 4), 4, 4), given)


@pytest.mark.parametrize("kind", ["rays-prope", "rays", "prope", "6dof"])
def test_frame_and_unit_of_the_world_do_not_matter(kind: CameraConditions) -> None:
    net = network(dataclasses.replace(SIZE, cameras=kind))
    inputs, targets, given = cameras(4, 0), cameras(6, 1), images(2, 2)
    expected = decoded(net, inputs, targets, given)
    turn = so3_exp(torch.tensor([0.3, -1.0, 0.5]))

    def changed(each: Cameras) -> Cameras:
        return each.with_poses(
            torch.cat([turn @ each.rotations, 2.5 * (turn @ each.centers[..., None])], dim=-1)
        )

    found = decoded(net, changed(inputs), changed(targets), given)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    other = decoded(net, inputs, changed(targets), given)
    assert not torch.allclose(other, expected, atol=1e-2)


def test_3dof_knows_the_vertical_and_no_unit() -> None:
    net = network(dataclasses.replace(SIZE, cameras="3dof"))
    inputs, targets, given = cameras(4, 0), cameras(6, 1), images(2, 2)
    expected = decoded(net, inputs, targets, given)

    def turned(each: Cameras, by: Tensor) -> Cameras:
        turn = so3_exp(by)
        return each.with_poses(
            torch.cat([turn @ each.rotations, 2.5 * (turn @ each.centers[..., None])], dim=-1)
        )

    up, aside = torch.tensor([0.0, 0.0, 0.7]), torch.tensor([0.7, 0.0, 0.0])
    found = decoded(net, turned(inputs, up), turned(targets, up), given)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    found = decoded(net, turned(inputs, aside), turned(targets, aside), given)
    assert not torch.allclose(found, expected, atol=1e-2)


def test_targets_and_sets_do_not_see_each_other() -> None:
    net = network()
    inputs, targets, given = cameras(4, 0), cameras(6, 1), images(2, 2)
    together = decoded(net, inputs, targets, given)
    for number in range(2):
        seen, asked = inputs[2 * number : 2 * number + 2], targets[3 * number : 3 * number + 1]
        own = decoded(net, seen, asked, given[number : number + 1])
        torch.testing.assert_close(own[0, 0], together[number, 0], rtol=1e-4, atol=1e-4)


def test_every_input_counts() -> None:
    net = network()
    inputs, targets, given = cameras(3, 0), cameras(1, 1), images(1, 3)
    expected = decoded(net, inputs, targets, given)
    for number in range(3):
        other = given.clone()
        other[:, number] += 1
        assert not torch.allclose(decoded(net, inputs, targets, other), expected, atol=1e-3)


def test_a_flow_begins_as_its_regression() -> None:
    regression = network()
    flow = ViewTransformer(dataclasses.replace(SIZE, noisy=True), torch.Generator())
    flow.begin_with(regression.state_dict())
    inputs, targets, given = cameras(2, 0), cameras(4, 1), images(2, 1)
    noisy = images(2, 2, seed=5), torch.rand(2, 2)
    torch.testing.assert_close(
        decoded(flow, inputs, targets, given, *noisy),
        decoded(regression, inputs, targets, given),
    )


def test_a_flow_refuses_another_network() -> None:
    flow = ViewTransformer(dataclasses.replace(SIZE, noisy=True), torch.Generator())
    wider = ViewTransformer(dataclasses.replace(SIZE, width=48), torch.Generator())
    with pytest.raises(RuntimeError):
        flow.begin_with(wider.state_dict())


def test_dropped_inputs_are_unknown() -> None:
    net = network()
    inputs, targets = cameras(2, 0), cameras(2, 1)
    geometry = net.geometry(inputs, targets, 2)
    dropped = torch.tensor([True, False])
    with torch.no_grad():
        net.unknown.fill_(0.5)
        seen = [net.encode(images(2, 1, seed), geometry, dropped) for seed in (0, 1)]
    assert torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[0][0], torch.full_like(seen[0][0], 0.5))
    assert not torch.equal(seen[0][1], seen[1][1])
