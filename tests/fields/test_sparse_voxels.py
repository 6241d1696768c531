"""Sparse voxels: boxes around what is occupied, and grids over them."""

import torch

from unrender.fields.ball import Box
from unrender.fields.sparse_voxels import (
    bounding_box,
    full_index,
    refine_index,
    vertex_positions,
)


def blob(seed: int = 0) -> torch.Tensor:
    """A grid of 24³ vertices with a box of random occupied ones in it."""
    generator = torch.Generator().manual_seed(seed)
    occupied = torch.zeros(24, 24, 24, dtype=torch.bool)
    occupied[4:12, 9:20, 7:10] = torch.rand(8, 11, 3, generator=generator) < 0.2
    return occupied


def test_the_box_contains_all_that_is_occupied() -> None:
    for seed in range(5):
        occupied = blob(seed)
        low, high = bounding_box(occupied, 1.05)
        places = occupied.nonzero() / 23
        assert bool((places >= low).all())
        assert bool((places <= high).all())
        # And is tight: only a twentieth is added.
        extent = places.amax(0) - places.amin(0)
        torch.testing.assert_close(high - low, 1.05 * extent)


def test_a_single_vertex_has_a_box() -> None:
    occupied = torch.zeros(8, 9, 10, dtype=torch.bool)
    occupied[3, 4, 5] = True
    low, high = bounding_box(occupied, 1.0)
    place = torch.tensor([3 / 7, 4 / 8, 5 / 9])
    assert bool(((low < place) & (place < high)).all())


def test_a_finer_grid_has_rows_wherever_there_is_something() -> None:
    """Each occupied vertex's own cells are covered, but for the faces of the box."""
    occupied = blob()
    box = bounding_box(occupied, 1.05)
    index = refine_index(occupied, [30, 40, 20], box)
    assert index.shape == (30, 40, 20)
    rows = index[index > 0]
    assert torch.equal(rows, torch.arange(1, len(rows) + 1, dtype=rows.dtype))
    points = torch.lerp(*box, vertex_positions(full_index([30, 40, 20])))
    near = (points[:, None] - occupied.nonzero() / 23).abs().amax(2).amin(1) < 1 / 23
    inner = torch.zeros(30, 40, 20, dtype=torch.bool)
    inner[1:-1, 1:-1, 1:-1] = True
    assert bool((index > 0)[near.view(30, 40, 20) & inner].all())
    assert not bool((index > 0)[~inner].any())


def test_empty_space_is_pruned() -> None:
    occupied = torch.zeros(24, 24, 24, dtype=torch.bool)
    occupied[12, 12, 12] = True
    index = refine_index(occupied, [47, 47, 47])
    places = vertex_positions(index)
    # Within the cells of its neighbors: two voxels away at most.
    assert float((places - 12 / 23).abs().max()) < 2 / 23
    assert float((places - 12 / 23).abs().max()) > 1 / 23


def test_a_shrunk_box_keeps_points_where_they_are() -> None:
    box = Box()
    box.center.copy_(torch.tensor([1.0, 2.0, 3.0]))
    box.radius.fill_(2.0)
    low, high = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 0.9, 0.6])
    corners = [box.center + box.radius * (2 * each - 1) for each in (low, high)]
    middle = (corners[0] + corners[1]) / 2
    for _ in range(2):
        # The second time by the whole box, which changes nothing.
        box.shrink(low, high)
        for corner, wanted in zip((*corners, middle), (0.0, 1.0, 0.5), strict=True):
            torch.testing.assert_close(
                box.to_box(box.to_unit(corner)), torch.full((3,), wanted), atol=1e-5, rtol=0
            )
        assert float(box.half_sides.max()) == 1
        low, high = torch.zeros(3), torch.ones(3)


def test_grids_have_cubes_for_voxels() -> None:
    box = Box()
    assert box.grid_sizes(160.0) == [160, 160, 160]
    box.half_sides.copy_(torch.tensor([1.0, 0.5, 0.25]))
    a, b, c = box.grid_sizes(64.0)
    assert (a, b, c) == (128, 64, 32)
    assert a * b * c == 64**3
