"""Pixels and rays are drawn where they are."""

import numpy as np
import torch
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from unrender.geometry.cameras import Cameras
from unrender.geometry.poses import look_at
from unrender.report.rays3d import (
    draw_box,
    draw_image_plane,
    draw_pixel_grid,
    draw_rays,
    place_colors,
    space,
)

EYE = torch.tensor([[3.0, -2.0, 1.0]])
POSE = look_at(EYE, torch.zeros(1, 3), torch.tensor([0.0, 0.0, 1.0]))
CAMERA = Cameras.from_focal(POSE, 6.0, 5, 4)


def test_a_pixel_has_the_colour_of_its_place() -> None:
    figure = Figure()
    axes = figure.add_subplot()
    draw_pixel_grid(axes, 5, 4)
    image = np.asarray(axes.images[0].get_array())
    assert image.shape == (4, 5, 3)
    expected = place_colors(torch.tensor([3.5, 1.5]), 5, 4)
    np.testing.assert_allclose(image[1, 3], expected.numpy())
    # (x, y) of the drawing are those of the image: y grows downward.
    assert axes.get_ylim() == (4, 0)


def test_the_plane_holds_the_projections_of_its_pixels() -> None:
    figure = Figure()
    axes = space(figure, (1, 1, 1))
    draw_image_plane(axes, CAMERA, 0.5)
    figure.canvas.draw()
    (faces,) = (each for each in axes.collections if isinstance(each, Poly3DCollection))
    corners = torch.from_numpy(np.stack(faces._faces)).float()
    assert corners.shape == (20, 4, 3)
    pixels, depth = CAMERA.project(torch.zeros(20, 4, dtype=torch.long), corners)
    torch.testing.assert_close(depth, torch.full((20, 4), 0.5), atol=1e-4, rtol=0)
    # Faces go down the columns of pixels; the first corner is the upper left.
    torch.testing.assert_close(pixels[5, 0], torch.tensor([1.0, 1.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(pixels[5].mean(0), torch.tensor([1.5, 1.5]), atol=1e-3, rtol=0)


def test_boxes_have_twelve_edges_and_rays_their_samples() -> None:
    axes = space(Figure(), (1, 1, 1))
    sides = torch.tensor([1.0, 2.0, 3.0])
    draw_box(axes, torch.zeros(3), sides, name="box")
    lines = [np.stack(line.get_data_3d(), axis=1) for line in axes.lines]
    lengths = sorted(float(np.linalg.norm(line[1] - line[0])) for line in lines)
    np.testing.assert_allclose(lengths, [1.0] * 4 + [2.0] * 4 + [3.0] * 4)
    rays = CAMERA.rays(torch.zeros(2, dtype=torch.long), torch.tensor([[0.5, 0.5], [4.5, 3.5]]))
    edges = torch.tensor([[1.0, 2.0], [1.0, 3.0]])
    samples = rays.origins[:, None] + 1.5 * rays.directions[:, None]
    draw_rays(axes, rays, torch.eye(3)[:2], edges, samples)
    assert len(axes.lines) == 14
    ends = np.stack([np.stack(line.get_data_3d(), axis=1) for line in axes.lines[12:]])
    np.testing.assert_allclose(
        np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1), [2, 3], atol=1e-5
    )
