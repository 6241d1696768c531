"""The stream of procedural objects: what a step draws depends on the step alone."""

import torch

from unrender.data.builtin.families import FAMILIES
from unrender.data.view_sets.objects import HELD_OUT, ObjectStream, make_object
from unrender.data.view_sets.view_sets import ViewBatch, on_random_backgrounds, white

SIZE = 16


def stream() -> ObjectStream:
    return ObjectStream(tuple(FAMILIES), pool=6, fresh=2, views=3, size=SIZE)


def drawn(of: ObjectStream, step: int) -> ViewBatch:
    return of.draw(4, 2, step, torch.Generator().manual_seed(step))


def test_a_stream_that_is_continued_draws_the_same() -> None:
    whole = stream()
    batches = [drawn(whole, step) for step in range(5)]
    for step in (0, 1, 4):
        again = drawn(stream(), step)
        assert torch.equal(again.images, batches[step].images)
        assert torch.equal(again.world_from_camera, batches[step].world_from_camera)
    # Also when it goes back, as a fit does that repeats a step with half the batch.
    assert torch.equal(drawn(whole, 1).images, batches[1].images)


def test_objects_are_replaced() -> None:
    first, later = stream(), stream()
    generator = torch.Generator().manual_seed(0)
    before = first.draw(64, 3, 0, generator).world_from_camera.flatten(1).unique(dim=0)
    generator = torch.Generator().manual_seed(0)
    after = later.draw(64, 3, 3, generator).world_from_camera.flatten(1).unique(dim=0)
    both = torch.cat([before, after]).unique(dim=0)
    assert len(both) == len(before) + len(after)


def test_views_are_distinct_and_of_one_object() -> None:
    batch = drawn(stream(), 0)
    assert batch.images.shape == (4, 2, SIZE, SIZE, 4)
    assert not torch.equal(batch.world_from_camera[:, 0], batch.world_from_camera[:, 1])
    matrix = batch.intrinsics
    assert bool((matrix[..., 0, 0] > 0).all())


def test_held_out_objects_are_others() -> None:
    held_out = stream().held_out(4)
    assert len(held_out) == 4
    trained = stream().draw(64, 3, 0, torch.Generator().manual_seed(0))
    rows = torch.cat([held_out.world_from_camera, trained.world_from_camera])
    known = trained.world_from_camera.flatten(1).unique(dim=0)
    assert len(rows.flatten(1).unique(dim=0)) == len(known) + 4


def test_every_object_is_seen() -> None:
    for family in FAMILIES:
        for number in range(4):
            images, cameras = make_object(family, HELD_OUT + number, 4, SIZE)
            alpha = images[..., 3].float() / 255
            assert bool((alpha.mean((1, 2)) > 0.005).all()), (family, number)
            # The object's center is in the image, and in front of the camera.
            pixel, depth = cameras.project(torch.arange(4), torch.zeros(4, 3))
            assert bool((depth > 0.5).all())
            assert bool(((pixel > -SIZE) & (pixel < 2 * SIZE)).all())


def test_backgrounds_make_sets_opaque() -> None:
    batch = drawn(stream(), 0)
    generator = torch.Generator().manual_seed(0)
    assert on_random_backgrounds(batch, 0.0, generator) is batch
    every = on_random_backgrounds(batch, 1.0, generator).images
    torch.testing.assert_close(every[..., 3], torch.ones_like(every[..., 3]))
    corner = every[:, :, 0, 0, :3]
    torch.testing.assert_close(corner[:, 0], corner[:, 1])
    torch.testing.assert_close(white(every), every[..., :3])
