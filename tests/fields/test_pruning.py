"""Pruning keeps the scene, or does not prune."""

import torch
from torch import Tensor

from unrender.data.dataset import Dataset
from unrender.fields.pruning import keeps_most
from unrender.fields.sparse_voxels import index_occupied, pruned_index
from unrender.methods.dvgo import DVGO, DVGOModel
from unrender.methods.gaussian_splatting import GaussianSplatting
from unrender.methods.plenoxels import Plenoxels
from unrender.training.method import Progress


def solid(size: int) -> Tensor:
    """Whether vertices are in a ball about the middle of the cube."""
    axis = torch.linspace(-1, 1, size)
    return torch.cartesian_prod(axis, axis, axis).norm(dim=1).view(size, size, size) < 0.4


def rising(size: int, low: float, high: float) -> Tensor:
    """Optical depths in the ball that rise by equal factors; 0 elsewhere."""
    inside = solid(size)
    depth = torch.zeros(inside.shape)
    depth[inside] = low * (high / low) ** torch.linspace(0, 1, int(inside.sum()))
    return depth


DENSE = index_occupied(torch.ones(9, 9, 9, dtype=torch.bool))


def test_what_is_kept_is_most_of_it() -> None:
    values = torch.tensor([0.0, 0.04, 0.05, 0.95])
    assert keeps_most(values, values > 0.5)
    assert not keeps_most(values, (values > 0) & (values < 0.5))
    assert not keeps_most(torch.zeros(4), torch.ones(4, dtype=torch.bool))


def test_empty_space_is_pruned() -> None:
    depth = rising(17, 0.1, 1.0) + 1e-6
    found = pruned_index(DENSE, depth, 1e-3, 1e-6)
    assert found is not None
    assert bool((found[solid(17)] > 0).all())
    assert bool((found == 0).float().mean() > 0.5)


def test_a_scene_that_is_just_emerging_is_not_pruned() -> None:
    """A few vertices are above the threshold, and nearly all of the scene is below."""
    depth = rising(17, 1e-5, 1.1e-3)
    assert bool((depth > 1e-3).any())
    assert pruned_index(DENSE, depth, 1e-3, 0.0) is None
    # A sparse grid keeps its vertices and those between them.
    sparse = index_occupied(solid(9))
    found = pruned_index(sparse, depth, 1e-3, 0.0)
    assert found is not None
    assert bool((found[::2, ::2, ::2][solid(9)] > 0).all())
    assert bool((found == 0).any())


def test_the_haze_of_the_start_is_no_scene() -> None:
    """Unseen vertices keep their density, and may hold more than the scene."""
    depth = torch.full((17, 17, 17), 9e-4)
    depth[8, 8, 8] = 0.5
    found = pruned_index(DENSE, depth, 1e-3, 1e-3)
    assert found is not None
    assert int((found > 0).sum()) == 27
    assert pruned_index(DENSE, depth, 1e-3, 0.0) is None


@torch.no_grad()
def emerging(model: DVGOModel, brightness: float) -> None:
    """A ball whose voxels' optical depths rise to `brightness`."""
    depth = rising(len(model.index), brightness / 100, brightness)
    shift = model.activated(torch.full((1, 1), 15.0)) * model.voxel
    raw = depth.clamp_min(1e-9).expm1().log() - shift.expm1().log()
    model.raw_density[1:] = raw.view(-1, 1)
    model.scale[1:] = 1


def test_dvgo_keeps_what_the_coarse_stage_found(small_scene: Dataset) -> None:
    method = DVGO(coarse_vertices=24, finest=36, refinements=2, width=8)
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    optimizer = method.optimizer(model)
    emerging(model, 2.5e-3)
    assert not method._refine(model, optimizer, 1)
    assert not model.stage
    assert len(model.index) == 24
    emerging(model, 1.0)
    assert method._refine(model, optimizer, 1)
    assert int(model.stage) == 1
    # Later refinements of a scene that has faded do not empty it.
    with torch.no_grad():
        model.raw_density[1:] = -9
    share = float((model.index > 0).float().mean())
    assert method._refine(model, optimizer, 2)
    assert float((model.index > 0).float().mean()) > 0.8 * share


def test_plenoxels_wait_for_the_scene(small_scene: Dataset) -> None:
    method = Plenoxels(coarsest=24, finest=48, initial_density=0.01)
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    optimizer = method.optimizer(model)
    assert not method._refine(model, optimizer, 32)
    assert len(model.index) == 24
    with torch.no_grad():
        model.density[1:] = rising(24, 0.1, 5.0).view(-1, 1) / model.voxel
    assert method._refine(model, optimizer, 32)
    assert len(model.index) == 32


@torch.no_grad()
def test_gaussians_stay_while_the_dead_are_the_scene(small_scene: Dataset) -> None:
    method = GaussianSplatting(initial_gaussians=200, max_gaussians=300, relocate_every=1)
    model = method.build(small_scene.train, torch.Generator().manual_seed(0))
    optimizer = method.optimizer(model)
    with torch.no_grad():
        model.opacity_logits[:200] = torch.logit(torch.tensor(0.0045))
        model.opacity_logits[0] = torch.logit(torch.tensor(0.0055))
    means = model.means.detach().clone()
    generator = torch.Generator().manual_seed(0)
    method._relocate(model, optimizer, Progress(0, 0.5), generator)
    assert torch.equal(model.means, means)
    assert int(model.alive) == 200
    with torch.no_grad():
        model.opacity_logits[:100] = 2.0
    method._relocate(model, optimizer, Progress(0, 0.5), generator)
    assert int(model.alive) == 300
    assert not torch.equal(model.means[100:200], means[100:200])
