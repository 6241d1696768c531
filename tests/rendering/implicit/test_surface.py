"""Renderers of distance functions: against meshes, and shapes recovered from images."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras, Rays
from unrender.geometry.paths import turntable
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import look_at
from unrender.rendering.implicit.sphere_tracing import sphere_trace
from unrender.rendering.implicit.surface import SurfaceRenderOptions, sdf_renderer, silhouettes
from unrender.rendering.light.lights import AmbientLight, DirectionalLight, PointLight
from unrender.rendering.mesh.shading import Material, MeshRenderOptions, mesh_renderer
from unrender.rendering.renderer import supersampled
from unrender.shapes.convert import mesh_from_sdf
from unrender.shapes.implicit import sdf
from unrender.shapes.implicit.colored import colored_union, with_color
from unrender.shapes.implicit.sdf import SDF
from unrender.shapes.voxels import VoxelGrid

SIZE = 48
WHITE = torch.ones(3)


def cameras(count: int = 2, size: int = SIZE, radius: float = 4.0) -> Cameras:
    return Cameras.from_focal(turntable(count, radius, 0.4), 1.3 * size, size, size)


def shape() -> SDF:
    ball = sdf.translated(sdf.sphere(0.6), (0.3, 0.2, 0.1))
    return sdf.smooth_union(sdf.torus(0.9, 0.25), ball, 0.2)


def all_rays(camera: Cameras) -> Rays:
    pixels = pixel_grid(camera.width, camera.height).view(-1, 2)
    return camera.rays(torch.zeros(len(pixels), dtype=torch.long), pixels)


def test_images_equal_those_of_the_mesh() -> None:
    """Mask, depth, normals and shading, against marching cubes and rasterization."""
    mesh = mesh_from_sdf(shape(), VoxelGrid.cube(torch.zeros(96, 96, 96), 1.3))
    traced = sdf_renderer(shape())(cameras())
    drawn = mesh_renderer(mesh, MeshRenderOptions(antialias=False))(cameras())
    assert float((traced.opacity != drawn.opacity).float().mean()) < 0.005
    both = (traced.opacity > 0) & (drawn.opacity > 0)
    assert float(both.float().mean()) > 0.1
    assert float((traced.depth - drawn.depth)[both].abs().mean()) < 1e-3
    assert traced.normals is not None
    assert drawn.normals is not None
    cosine = (traced.normals * drawn.normals).sum(-1)[both]
    assert float(cosine.mean()) > 0.998
    assert float((traced.color - drawn.color)[both].abs().mean()) < 0.01
    empty = traced.opacity == 0
    for values in (traced.color, traced.depth[..., None], traced.normals):
        assert float(values[empty].abs().sum()) == 0


def test_an_empty_scene_is_an_empty_image() -> None:
    for nothing in (colored_union(), sdf.union()):
        found = sdf_renderer(nothing, SurfaceRenderOptions(shadows=True))(cameras())
        assert found.color.shape == (2, SIZE, SIZE, 3)
        assert float(found.color.sum() + found.opacity.sum() + found.depth.sum()) == 0


def test_a_camera_inside_a_shape_renders_its_inside() -> None:
    camera = cameras(1, radius=0.1)
    found = sdf_renderer(sdf.sphere(1.5))(camera)
    assert bool((found.opacity == 1).all())
    assert found.normals is not None
    points = all_rays(camera).origins.view(SIZE, SIZE, 3)
    points = points + found.depth[0, ..., None] * all_rays(camera).directions.view(
        SIZE, SIZE, 3
    )
    torch.testing.assert_close(
        points.norm(dim=-1), torch.full((SIZE, SIZE), 1.5), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(found.normals[0], -points / 1.5, atol=1e-3, rtol=0)
    assert float(found.color.min()) > 0.1


def test_each_part_has_its_color() -> None:
    scene = colored_union(
        with_color(sdf.translated(sdf.sphere(0.5), (0.0, 0.0, 0.6)), (0.9, 0.1, 0.1)),
        with_color(
            sdf.translated(sdf.sphere(0.5), (0.0, 0.0, -0.6)), lambda points: 0.5 + 0 * points
        ),
    )
    options = SurfaceRenderOptions(
        lights=(AmbientLight(WHITE),), material=Material(specular=0.0)
    )
    found = sdf_renderer(scene, options)(cameras(1))
    seen = found.color[found.opacity > 0].unique(dim=0)
    torch.testing.assert_close(seen, torch.tensor([[0.5, 0.5, 0.5], [0.9, 0.1, 0.1]]))


@pytest.mark.parametrize("kind", ["directional", "point"])
def test_shadows_are_where_the_light_is_occluded(kind: str) -> None:
    """The shadow of a ball on a plane is a disc, of the same radius under directional light."""
    scene = sdf.union(
        sdf.plane((0.0, 0.0, 1.0), 0.0), sdf.translated(sdf.sphere(0.5), (0.0, 0.0, 1.5))
    )
    light = DirectionalLight(torch.tensor([0.0, 0, -1]), WHITE)
    if kind == "point":
        light = PointLight(torch.tensor([0.0, 0, 3.5]), WHITE, falloff=False)
    radius = 0.5
    if kind == "point":
        # Rays from the light are tangent to the ball at an angle whose sine is radius /
        # distance.
        radius = 3.5 * math.tan(math.asin(0.5 / 2.0))
    eye = torch.tensor([[6.0, 0, 4.0]])
    pose = look_at(eye, torch.zeros(1, 3), torch.tensor([0.0, 0, 1]))
    camera = Cameras.from_focal(pose, 110.0, 64, 64)
    options = SurfaceRenderOptions(
        lights=(light,), material=Material(specular=0.0), shadows=True
    )
    found = sdf_renderer(scene, options)(camera)
    rays = all_rays(camera)
    points = rays.origins + found.depth.view(-1, 1) * rays.directions
    floor = (found.opacity.view(-1) > 0) & (points[:, 2].abs() < 1e-2)
    away, dark = points[floor, :2].norm(dim=1), found.color.view(-1, 3)[floor, 0] < 1e-3
    sure = (away - radius).abs() > 0.03
    assert torch.equal(dark[sure], away[sure] < radius)
    assert bool(dark.any())


def test_supersampling_softens_edges() -> None:
    found = supersampled(sdf_renderer(shape()), 3)(cameras(1))
    assert bool(((found.opacity > 0) & (found.opacity < 1)).any())


def test_normals_by_differences_give_the_same_image() -> None:
    exact, near = (
        sdf_renderer(shape(), SurfaceRenderOptions(normals=way))(cameras(1)).color
        for way in ("autograd", "tetrahedron")
    )
    torch.testing.assert_close(exact, near, atol=0.02, rtol=0)


def test_color_gradients_by_finite_differences() -> None:
    """Gradients of pixels inside the silhouette with respect to a radius and a pose."""
    radius = torch.tensor(0.6, requires_grad=True)
    camera = cameras(1)
    poses = camera.world_from_camera.clone().requires_grad_()

    def color(radius: Tensor, poses: Tensor) -> Tensor:
        found = sdf_renderer(sdf.smooth_union(sdf.sphere(radius), sdf.torus(0.9, 0.2), 0.2))(
            camera.with_poses(poses)
        )
        return torch.cat([found.color[0], found.depth[0, ..., None]], dim=-1)

    image = color(radius, poses)
    step = 1e-3
    with torch.no_grad():
        way = torch.zeros_like(poses)
        way[0, :, 3] = torch.tensor([0.3, 0.5, -0.4])
        moved = [color(radius + s * step, poses) for s in (1, -1)]
        turned = [color(radius, poses + s * step * way) for s in (1, -1)]
    # Only pixels over which neither step moves a silhouette or an edge.
    for pair, by in ((moved, radius), (turned, poses)):
        rate = (pair[0] - pair[1]) / (2 * step)
        calm = (rate.abs().amax(-1) < 8) & (image.detach()[..., 3] > 0)
        assert float(calm.float().mean()) > 0.05
        total = (image * calm[..., None]).sum((0, 1))
        for channel in range(4):
            (slope,) = torch.autograd.grad(total[channel], by, retain_graph=True)
            found = float(slope if by is radius else (slope * way).sum())
            expected = float((rate[..., channel] * calm).sum())
            assert found == pytest.approx(expected, rel=0.05, abs=0.5)


def test_soft_masks_are_half_at_the_silhouette() -> None:
    rays = all_rays(cameras(1))
    soft = silhouettes(sdf.sphere(0.8), rays, 1.0, 8.0, 60.0)
    b = (rays.origins * rays.directions).sum(1)
    across = (rays.origins.square().sum(1) - b * b).sqrt()
    torch.testing.assert_close(soft, torch.sigmoid(-60 * (across - 0.8)), atol=2e-3, rtol=0)
    hit = sphere_trace(sdf.sphere(0.8), rays.origins, rays.directions, 0.0, 9.0).mask
    assert torch.equal(soft > 0.5, hit)


def test_soft_mask_gradients_by_finite_differences() -> None:
    rays = all_rays(cameras(1, 20))
    rays = Rays(
        *(each.double() for each in (rays.origins, rays.directions, rays.pixel_radius)),
        rays.camera_index,
    )
    place = torch.tensor([0.1, 0.2, -0.1, 0.6], dtype=torch.double, requires_grad=True)

    def mask(place: Tensor) -> Tensor:
        ball = sdf.translated(sdf.sphere(place[3]), place[:3])
        return silhouettes(sdf.union(ball, sdf.torus(0.9, 0.2)), rays, 2.0, 6.0, 8.0).mean()

    assert torch.autograd.gradcheck(mask, (place,), eps=1e-5, atol=1e-5, rtol=1e-3)


def test_a_sphere_is_recovered_from_silhouettes() -> None:
    """Center and radius, by gradient descent on soft masks."""
    views = [cameras(4, 24).select(slice(k, k + 1)) for k in range(4)]
    rays = [all_rays(view) for view in views]
    rays = Rays(
        *(torch.cat([getattr(each, name) for each in rays]) for name in
          ("origins", "directions", "pixel_radius", "camera_index"))
    )  # fmt: skip
    true = sdf.translated(sdf.sphere(0.7), (0.3, -0.2, 0.25))
    masks = sphere_trace(true, rays.origins, rays.directions, 0.0, 9.0).mask.float()
    center = torch.zeros(3, requires_grad=True)
    radius = torch.tensor(0.4, requires_grad=True)
    optimizer = torch.optim.Adam([center, radius], lr=0.03)
    for step in range(120):
        guess = sdf.translated(sdf.sphere(radius), center)
        soft = silhouettes(guess, rays, 2.0, 6.0, 10.0 + step, 16)
        loss = (soft - masks).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float((center.detach() - torch.tensor([0.3, -0.2, 0.25])).norm()) < 0.02
    assert float(radius.detach()) == pytest.approx(0.7, abs=0.02)


def test_bad_ranges_and_functions_are_refused() -> None:
    rays = all_rays(cameras(1, 4))
    with pytest.raises(InputError, match="near < far"):
        silhouettes(sdf.sphere(1.0), rays, 3.0, 1.0, 10.0)
    with pytest.raises(InputError, match="3 or more"):
        silhouettes(sdf.sphere(1.0), rays, 1.0, 3.0, 10.0, 2)
    with pytest.raises(InputError, match="NaN"):
        sdf_renderer(lambda points: normalize(points, dim=1)[:, 0] * torch.nan)(cameras(1, 4))
