"""What every method owes that reads a shape from an image: it learns, goes on, and restores."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from unrender.data.image_shape.make_shapes import make_shapes
from unrender.data.image_shape.pairs import Draw, ImageShapePairs
from unrender.errors import InputError
from unrender.evaluation.predicted_shapes import NOTHING, PredictedScores, evaluate_shapes
from unrender.fields.resnet import ResNet18
from unrender.geometry.cameras import Cameras
from unrender.methods.image_to_mesh import ImageToMesh
from unrender.methods.image_to_occupancy import ImageToOccupancy
from unrender.methods.image_to_points import ImageToPoints
from unrender.methods.image_to_voxels import ImageToVoxels
from unrender.shapes.mesh import Mesh, is_watertight
from unrender.shapes.points import PointCloud
from unrender.shapes.shape import Shape
from unrender.shapes.voxels import VoxelGrid
from unrender.training.fit import FitOptions, train
from unrender.training.image_to_shape import ImageToShape
from unrender.training.method import Progress
from unrender.training.run_folder import RunFolder

AnyMethod = ImageToShape[Any]

SMALL: dict[str, Any] = {"encoder_width": 8, "batch": 8, "warm_up": 5, "learning_rate": 3e-3}
TINY: dict[str, tuple[AnyMethod, int, float]] = {
    "points": (ImageToPoints(points=256, width=64, target_points=256, **SMALL), 80, 0.75),
    "mesh": (ImageToMesh(level=3, width=64, samples=256, **SMALL), 120, 0.7),
    "voxels": (ImageToVoxels(channels=32, **SMALL), 100, 0.6),
    "occupancy": (
        ImageToOccupancy(code=32, width=32, blocks=2, query_points=256, cells=24, **SMALL),
        160,
        0.5,
    ),
}
"""Small forms, the steps in which they learn four shapes, and the F1 at 0.05 they reach."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """In networks this small, threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shapes() -> ImageShapePairs:
    """Four chairs, six images of each."""
    return make_shapes("chair", 4, 6, 32)[0]


@dataclass(frozen=True)
class Fitted:
    name: str
    method: AnyMethod
    model: nn.Module
    run: RunFolder
    least: float

    def scores(
        self, shapes: ImageShapePairs, model: nn.Module | None = None
    ) -> PredictedScores:
        chosen = model or self.model
        return evaluate_shapes(lambda images: self.method.predict(chosen, images), shapes)


def fit_into(
    method: AnyMethod,
    shapes: ImageShapePairs,
    out: Path,
    options: FitOptions,
    resume: bool = False,
) -> tuple[nn.Module, RunFolder]:
    run = RunFolder.open(out) if resume else RunFolder.create(out, {})
    return train(method, shapes, options, run, resume, show=False)[0], run


@pytest.fixture(scope="module", params=sorted(TINY))
def fitted(
    request: pytest.FixtureRequest,
    shapes: ImageShapePairs,
    tmp_path_factory: pytest.TempPathFactory,
) -> Fitted:
    method, steps, least = TINY[request.param]
    out = tmp_path_factory.mktemp("runs") / request.param
    model, run = fit_into(method, shapes, out, FitOptions(steps=steps, device="cpu"))
    return Fitted(request.param, method, model, run, least)


def test_learns_four_shapes(fitted: Fitted, shapes: ImageShapePairs) -> None:
    assert fitted.scores(shapes).f1[-1] > fitted.least


def test_the_figure_can_fail(fitted: Fitted, shapes: ImageShapePairs) -> None:
    """An untrained model, or one that is shown other images, must not pass for a good one."""
    untrained = fitted.method.build(shapes, torch.Generator().manual_seed(0))
    least = fitted.scores(shapes).f1[-1]
    assert fitted.scores(shapes, untrained).f1[-1] < least - 0.1
    swapped = replace(shapes, shape_index=(shapes.shape_index + 1) % 4)
    assert fitted.scores(swapped).f1[-1] < least - 0.1


def test_answers_lie_in_the_unit_cube(fitted: Fitted, shapes: ImageShapePairs) -> None:
    drawn = Draw(torch.arange(3), torch.zeros(3, dtype=torch.bool))
    found = fitted.method.predict(fitted.model, shapes.rgba(drawn))
    kinds = {"points": PointCloud, "mesh": Mesh, "voxels": VoxelGrid, "occupancy": Mesh}
    for shape in found:
        assert type(shape) is kinds[fitted.name]
        if isinstance(shape, Mesh):
            assert is_watertight(shape.faces)
            assert float(shape.vertices.abs().max()) < 0.6
        if isinstance(shape, VoxelGrid):
            assert shape.values.shape == (32, 32, 32)
            assert (shape.low, shape.high) == ((-0.5,) * 3, (0.5,) * 3)
            assert 0 <= float(shape.values.min()) <= float(shape.values.max()) <= 1
        if isinstance(shape, PointCloud):
            assert float(shape.points.abs().max()) < 0.6


def surface(shape: Shape) -> Tensor:
    if isinstance(shape, VoxelGrid):
        return shape.values
    return shape.vertices if isinstance(shape, Mesh) else shape.points


def test_photographs_of_any_size_and_place(fitted: Fitted, shapes: ImageShapePairs) -> None:
    """The same cut-out elsewhere in a larger photograph gives the same shape."""
    drawn = Draw(torch.tensor([0]), torch.zeros(1, dtype=torch.bool))
    image = shapes.rgba(drawn)
    larger = torch.zeros(1, 60, 90, 4)
    larger[:, 20:52, 50:82] = image
    one, two = (fitted.method.predict(fitted.model, each)[0] for each in (image, larger))
    torch.testing.assert_close(surface(one), surface(two))
    with pytest.raises(InputError, match="empty"):
        fitted.method.predict(fitted.model, torch.zeros(1, 8, 8, 4))


def test_predictions_do_not_depend_on_the_batch(
    fitted: Fitted, shapes: ImageShapePairs
) -> None:
    drawn = Draw(torch.arange(5), torch.zeros(5, dtype=torch.bool))
    images = shapes.rgba(drawn)
    together = fitted.method.predict(fitted.model, images)
    alone = fitted.method.predict(fitted.model, images[3:4])
    if fitted.name != "occupancy":
        torch.testing.assert_close(
            surface(together[3]), surface(alone[0]), atol=1e-4, rtol=1e-4
        )


def test_a_run_predicts_the_same_without_its_data(
    fitted: Fitted, shapes: ImageShapePairs
) -> None:
    again = fitted.method.restore(fitted.run.load().model)
    drawn = Draw(torch.arange(2), torch.zeros(2, dtype=torch.bool))
    for one, two in zip(
        fitted.method.predict(fitted.model, shapes.rgba(drawn)),
        fitted.method.predict(again, shapes.rgba(drawn)),
        strict=True,
    ):
        assert torch.equal(surface(one), surface(two))


def test_resume_is_bit_identical(
    fitted: Fitted, shapes: ImageShapePairs, tmp_path: Path
) -> None:
    options = FitOptions(steps=8, device="cpu", checkpoint_every=5)
    whole, _ = fit_into(fitted.method, shapes, tmp_path / "whole", options)
    _, run = fit_into(fitted.method, shapes, tmp_path / "parts", options)
    # As if it had been killed after its first checkpoint.
    for checkpoint in run.checkpoints()[1:]:
        shutil.rmtree(checkpoint)
    parts, _ = fit_into(fitted.method, shapes, tmp_path / "parts", options, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_makes_no_images(fitted: Fitted) -> None:
    assert not fitted.method.makes_images
    cameras = Cameras.from_focal(torch.eye(4)[None, :3], 10.0, 8, 8)
    with pytest.raises(InputError, match="cannot be rendered"):
        fitted.method.render(fitted.model, cameras)


def test_begins_with_published_weights(shapes: ImageShapePairs, tmp_path: Path) -> None:
    source = ResNet18(torch.Generator().manual_seed(9), width=8, classes=10)
    save_file(source.state_dict(), tmp_path / "resnet.safetensors")
    method = replace(TINY["points"][0], weights=str(tmp_path / "resnet.safetensors"))
    model = method.build(shapes, torch.Generator().manual_seed(0))
    assert torch.equal(model.encoder.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    with pytest.raises(InputError, match="absent"):
        replace(method, weights=str(tmp_path / "absent")).build(shapes, torch.Generator())


def test_the_voxels_loss_sees_logits(shapes: ImageShapePairs) -> None:
    """Of sure and wrong answers it is as large as the logits: behind a sigmoid, below 1.5."""
    method = ImageToVoxels(channels=32, occupied_weight=1.0, **SMALL)
    filled = torch.zeros(1, 4, 4, 4)
    assert float(method.entropy(torch.full_like(filled, 30.0), filled)) == pytest.approx(30)
    logits = torch.linspace(-3, 3, 64).view(1, 4, 4, 4)
    filled[:, 1:3] = 1
    wanted = binary_cross_entropy(logits.sigmoid(), filled)
    torch.testing.assert_close(method.entropy(logits, filled), wanted)
    weighted = replace(method, occupied_weight=2.0).entropy(logits, filled)
    each = binary_cross_entropy(logits.sigmoid(), filled, reduction="none")
    torch.testing.assert_close(weighted, (each * (1 + filled)).mean())
    # What the network gives is no probability.
    model = method.build(shapes, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        found = model.logits(torch.randn(2, model.code_size))
    assert float(found.min()) < 0


def test_the_mean_answer_starts_on_the_shapes(shapes: ImageShapePairs) -> None:
    method = TINY["points"][0]
    model = method.build(shapes, torch.Generator().manual_seed(0))
    points = model.last.bias.detach().view(-1, 3)
    nearest = torch.cdist(points, shapes.points.float().flatten(0, 1)).amin(1)
    assert float(nearest.max()) < 1e-6


def test_a_lower_threshold_encloses_more(fitted: Fitted, shapes: ImageShapePairs) -> None:
    method = fitted.method
    if not isinstance(method, ImageToOccupancy):
        return
    image = shapes.rgba(Draw(torch.tensor([0]), torch.zeros(1, dtype=torch.bool)))
    found = [
        replace(method, threshold=level).predict(fitted.model, image)[0] for level in (0.2, 0.5)
    ]
    low, high = (float(solid_volume(shape)) for shape in found)
    assert low > high > 0


def solid_volume(shape: Shape) -> Tensor:
    """By the divergence theorem."""
    assert isinstance(shape, Mesh)
    a, b, c = shape.vertices[shape.faces].unbind(1)
    return (a * torch.linalg.cross(b, c)).sum() / 6


def test_the_papers_decoder_of_voxels(shapes: ImageShapePairs) -> None:
    """Pix2Vox-F: 2³ cells of 256 channels, doubled four times, and a pointwise convolution."""
    assert ImageToVoxels(pointwise=True).decoder_channels() == [256, 128, 64, 32, 8, 1]
    method = replace(TINY["voxels"][0], pointwise=True)
    assert isinstance(method, ImageToVoxels)
    model = method.build(shapes, torch.Generator().manual_seed(0))
    assert model.logits(torch.zeros(2, model.code_size)).shape == (2, 32, 32, 32)
    assert [layer.kernel_size[0] for layer in model.doublings] == [4, 4, 4, 4, 1]


def test_points_begin_at_the_training_shapes_or_not(shapes: ImageShapePairs) -> None:
    """With a code of zeros, predictions are the last layer's biases."""
    method = TINY["points"][0]
    assert isinstance(method, ImageToPoints)
    for begin in (True, False):
        varied = replace(method, begin_at_shapes=begin)
        model = varied.build(shapes, torch.Generator().manual_seed(0))
        points = model.points(torch.zeros(1, model.code_size)).detach()
        assert (float(points.abs().max()) > 0.2) == begin


def test_without_what_a_method_learns_from(shapes: ImageShapePairs) -> None:
    bare = replace(shapes, voxels=None, queries=None, occupied=None)
    missing = {"voxels": "without voxels", "occupancy": "without occupancy samples"}
    for name, match in missing.items():
        method = TINY[name][0]
        model = method.build(bare, torch.Generator().manual_seed(0))
        with pytest.raises(InputError, match=match):
            method.losses(model, bare, Progress(0, 0.0), torch.Generator())


def test_half_the_batch_for_a_small_gpu() -> None:
    method = TINY["points"][0].smaller()
    assert isinstance(method, ImageToPoints)
    assert method.batch == 4


def test_an_answer_of_nothing_scores_nothing(shapes: ImageShapePairs) -> None:
    nothing = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    found = evaluate_shapes(lambda images: [nothing] * len(images), shapes)
    assert found.f1 == (0.0,) * 5
    assert found.scores == (NOTHING,) * 4


def test_the_truth_scores_all(shapes: ImageShapePairs) -> None:
    """Its points against others of the same surface, its voxels against themselves."""
    order: list[int] = []

    def note(images: Tensor) -> list[Shape]:
        """Find each image's shape by its pixels."""
        everything = shapes.rgba(Draw(torch.arange(24), torch.zeros(24, dtype=torch.bool)))
        for image in images:
            order.append(int((everything - image).abs().sum((1, 2, 3)).argmin()))
        owner = shapes.shape_index[torch.tensor(order)]
        return [PointCloud(shapes.points[k, ::2].float()) for k in owner.tolist()]

    points = evaluate_shapes(note, shapes)
    assert points.f1[2] > 0.95
    drawn = Draw(torch.tensor(order), torch.zeros(4, dtype=torch.bool))
    grids = [VoxelGrid.cube(grid, 0.5) for grid in shapes.voxel_grids(drawn)]
    voxels = evaluate_shapes(lambda _: list(grids), shapes)
    assert voxels.voxel_iou == 1
    assert voxels.f1[-1] > 0.9
    content: Mapping[str, object] = voxels.to_json()
    assert content["num_images"] == 4
    assert content["voxel_iou"] == 1
