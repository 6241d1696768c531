"""Image-shape datasets: generation, round trip, split, sampling and damaged files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from unrender.data.builtin.families import make_shape
from unrender.data.image_shape.make_shapes import CELLS, make_shapes
from unrender.data.image_shape.pairs import Draw, ImageShapePairs, load_shapes, save_shapes
from unrender.errors import InputError
from unrender.files.arrays import write_arrays


@pytest.fixture(scope="module")
def made() -> tuple[ImageShapePairs, torch.Tensor]:
    return make_shapes("chair", 12, 3, 24)


@pytest.fixture(scope="module")
def file(
    made: tuple[ImageShapePairs, torch.Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("shapes") / "chairs.npz"
    save_shapes(path, *made)
    return path


def plain(images: list[int], mirrored: bool = False) -> Draw:
    return Draw(torch.tensor(images), torch.full((len(images),), mirrored))


def test_the_same_again_and_other_ones_by_another_seed(
    made: tuple[ImageShapePairs, torch.Tensor],
) -> None:
    again, _ = make_shapes("chair", 12, 3, 24)
    other, _ = make_shapes("chair", 12, 3, 24, seed=1)
    assert torch.equal(again.images, made[0].images)
    assert torch.equal(again.points, made[0].points)
    assert not set(other.names) & set(again.names)
    assert not torch.equal(again.points, other.points)


def test_comes_back_from_disk(made: tuple[ImageShapePairs, torch.Tensor], file: Path) -> None:
    shapes, held_out = made
    loaded = load_shapes(file)
    assert loaded.name == "chairs"
    train = shapes.select((~held_out).nonzero()[:, 0])
    for name in ("images", "shape_index", "points", "normals", "voxels", "queries", "occupied"):
        assert torch.equal(getattr(loaded.train, name), getattr(train, name)), name
    assert loaded.train.names == train.names
    torch.testing.assert_close(
        loaded.train.cameras.world_from_camera, train.cameras.world_from_camera
    )
    assert torch.equal(loaded.train.cameras.intrinsics, train.cameras.intrinsics)


def test_held_out_shapes_are_others(file: Path) -> None:
    loaded = load_shapes(file)
    assert len(loaded.train) == 11
    assert len(loaded.test) == 1
    assert not set(loaded.train.names) & set(loaded.test.names)
    assert len(loaded.test.images) == 3
    assert not any(
        torch.equal(points, other)
        for points in loaded.train.points
        for other in loaded.test.points
    )


def test_what_is_stored_is_the_shape(made: tuple[ImageShapePairs, torch.Tensor]) -> None:
    shapes, _ = made
    for k, name in enumerate(shapes.names[:4]):
        family, seed = name.split("-")
        shape = make_shape(family, int(seed))
        drawn = plain([3 * k])
        assert np.array_equal(shapes.voxel_grids(drawn)[0].numpy() > 0, shape.voxels(CELLS))
        generator = torch.Generator().manual_seed(0)
        places, inside = shapes.occupancy(drawn, 2000, generator)
        assert np.array_equal(shape.occupied(places[0].double().numpy()), inside[0].numpy() > 0)
        assert 0.02 < float(inside.mean()) < 0.6
        points, normals = shapes.surface(drawn, 500, generator)
        # Half floats move points by a few ten-thousandths.
        outside = shape.occupied((points + 2e-3 * normals)[0].double().numpy())
        within = shape.occupied((points - 2e-3 * normals)[0].double().numpy())
        assert outside.mean() < 0.03
        assert within.mean() > 0.97


def test_mirrors_mirror_all_alike(made: tuple[ImageShapePairs, torch.Tensor]) -> None:
    shapes, _ = made
    straight, turned = plain([0, 4]), plain([0, 4], mirrored=True)
    assert torch.equal(shapes.rgba(turned), shapes.rgba(straight).flip(2))
    assert torch.equal(shapes.voxel_grids(turned), shapes.voxel_grids(straight).flip(1))
    sign = torch.tensor([-1.0, 1, 1])
    for read in (shapes.surface, shapes.occupancy):
        found = [read(d, 50, torch.Generator().manual_seed(0)) for d in (straight, turned)]
        torch.testing.assert_close(found[1][0], sign * found[0][0])
    # The voxels that hold the points say that both are mirrored along the same axis.
    points, _ = shapes.surface(turned, 800, torch.Generator().manual_seed(0))
    index = ((points + 0.5) * CELLS).long().clamp(0, CELLS - 1)
    for grid, row in zip(shapes.voxel_grids(turned), index, strict=True):
        i, j, k = row.unbind(1)
        assert float(grid[i, j, k].mean()) > 0.6


def test_draws_follow_the_generator(made: tuple[ImageShapePairs, torch.Tensor]) -> None:
    shapes, _ = made
    one, two = (shapes.draw(400, torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(one.image, two.image)
    assert 0.4 < float(one.mirrored.float().mean()) < 0.6
    assert set(one.image.tolist()) == set(range(36))


def test_images_are_premultiplied(made: tuple[ImageShapePairs, torch.Tensor]) -> None:
    rgba = made[0].rgba(plain([0, 1, 2]))
    assert bool((rgba[..., :3] <= rgba[..., 3:] + 1e-6).all())
    assert rgba.dtype == torch.float32


Arrays = dict[str, np.ndarray]
DAMAGES: dict[str, Callable[[Arrays], object]] = {
    "no points": lambda a: a.pop("points"),
    "shapes of other counts": lambda a: a.update(points=a["points"][:-1]),
    "flat images": lambda a: a.update(images=a["images"][:, :, 0]),
    "images that are not square": lambda a: a.update(images=a["images"][:, 1:]),
    "images of floats": lambda a: a.update(images=a["images"].astype(np.float32)),
    "no images": lambda a: a.update(images=a["images"][:0]),
    "an index too large": lambda a: a.update(shape_index=a["shape_index"] + 1),
    "an index below 0": lambda a: a.update(shape_index=a["shape_index"] - 1),
    "points of NaN": lambda a: a["points"].fill(np.nan),
    "infinite intrinsics": lambda a: a["intrinsics"].fill(np.inf),
    "poses that are not rotations": lambda a: a["poses"].fill(2),
    "too few names": lambda a: a.update(names=a["names"][:5]),
    "names that are not text": lambda a: a["names"].fill(255),
    "voxels that are not a cube": lambda a: a.update(voxels=a["voxels"][:, :-1]),
    "queries alone": lambda a: a.pop("occupied"),
    "fewer bits than queries": lambda a: a.update(occupied=a["occupied"][:, :-1]),
    "nothing held out": lambda a: a["held_out"].fill(0),
    "everything held out": lambda a: a["held_out"].fill(1),
    "scalars": lambda a: a.update(shape_index=np.array(3)),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_damaged_files_are_refused(damage: str, file: Path, tmp_path: Path) -> None:
    with np.load(file) as archive:
        arrays = {name: archive[name].copy() for name in archive.files}
    DAMAGES[damage](arrays)
    path = tmp_path / "damaged.npz"
    write_arrays(path, arrays)
    with pytest.raises(InputError, match=r"damaged\.npz") as caught:
        load_shapes(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    for name, part in {"empty": b"", "cut": content[:-100], "noise": b"PK\x03\x04" * 9}.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(part)
        with pytest.raises(InputError, match=name):
            load_shapes(path)
    with pytest.raises(InputError, match="no such file"):
        load_shapes(tmp_path / "absent.npz")


def test_what_is_optional_may_be_absent(file: Path, tmp_path: Path) -> None:
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name in ("voxels", "queries", "occupied"):
        del arrays[name]
    write_arrays(tmp_path / "bare.npz", arrays)
    shapes = load_shapes(tmp_path / "bare.npz").train
    with pytest.raises(InputError, match="without voxels"):
        shapes.voxel_grids(plain([0]))
    with pytest.raises(InputError, match="without occupancy samples"):
        shapes.occupancy(plain([0]), 5, torch.Generator())
    assert shapes.to("cpu").voxels is None


def test_writing_refuses(
    made: tuple[ImageShapePairs, torch.Tensor], file: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="exists already"):
        save_shapes(file, *made)
    with pytest.raises(InputError, match=r"written as \.npz"):
        save_shapes(tmp_path / "shapes.zip", *made)
    for options in ({"count": 1}, {"views": 0}, {"size": 2}):
        with pytest.raises(InputError, match="at least"):
            make_shapes("chair", **({"count": 5, "views": 1, "size": 16} | options))
