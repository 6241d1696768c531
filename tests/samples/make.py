"""Make the sample files anew: `python tests/samples/make.py`. README.md says what each one is.

All of them show the library's built-in scenes and shapes. Formats that the library only reads
are written here by hand.
"""

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from unrender.data.builtin import render_scene
from unrender.data.builtin.families import make_shape
from unrender.data.builtin.families.rays import render_shape
from unrender.data.formats.blender import write_blender
from unrender.data.views import Views
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.poses import look_at
from unrender.imaging.color import unpremultiply
from unrender.imaging.files import write_image
from unrender.shapes.files.meshes import write_mesh
from unrender.shapes.files.points import write_points
from unrender.shapes.files.splats import write_splats
from unrender.shapes.files.voxels import write_voxels
from unrender.shapes.mesh import Mesh
from unrender.shapes.points import PointCloud
from unrender.shapes.primitives import cube, icosphere, torus, uv_sphere
from unrender.shapes.sampling import sample_surface
from unrender.shapes.splats import Splats
from unrender.shapes.textures import UVTexture
from unrender.shapes.voxels import VoxelGrid

HERE = Path(__file__).parent
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""From OpenGL's axes of a camera to OpenCV's, and back."""
WHITE, BLACK = torch.ones(3), torch.zeros(3)


def main() -> None:
    for folder in filter(Path.is_dir, HERE.iterdir()):
        shutil.rmtree(folder)
    make_blender()
    make_multiscale()
    make_colmap()
    make_llff()
    make_idr()
    make_co3d()
    make_realestate10k()
    make_rgbd()
    make_r2n2()
    make_meshes()
    size = sum(file.stat().st_size for file in HERE.rglob("*") if file.is_file())
    print(f"{size / 1000:.0f} kB")  # noqa: T201


def shell(count: int, seed: int, width: int, height: int, focal: float) -> Cameras:
    """Cameras around a built-in scene."""
    generator = torch.Generator().manual_seed(seed)
    poses = spherical_shell(count, (3.9, 4.1), generator, (0.1, 1.2))
    return Cameras.from_focal(poses, focal, width, height)


def matrices(cameras: Cameras) -> np.ndarray:
    """world_from_camera, 4 × 4."""
    bottom = np.broadcast_to([[[0.0, 0.0, 0.0, 1.0]]], (len(cameras), 1, 4))
    return np.concatenate([cameras.world_from_camera.double().numpy(), bottom], axis=1)


def write_rgb(path: Path, image: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (255 * image.clamp(0, 1)).round().byte().numpy()
    Image.fromarray(pixels).save(path, quality=92)


def make_blender() -> None:
    """The bricks, with alpha; test views in a file of their own."""
    folder, spare = HERE / "blender", HERE / "spare"
    write_blender(folder, render_scene("bricks", shell(14, 0, 40, 40, 56.0)))
    write_blender(spare, render_scene("bricks", shell(4, 1, 40, 40, 56.0)))
    shutil.move(spare / "train", folder / "test")
    text = (spare / "transforms_train.json").read_text().replace("./train/", "./test/")
    (folder / "transforms_test.json").write_text(text)
    shutil.rmtree(spare)


def make_multiscale() -> None:
    """The chair at four sizes; averages of the largest."""
    folder, content = HERE / "multiscale", {}
    for split, count, seed in (("train", 4, 2), ("test", 2, 3)):
        views = render_scene("chair", shell(count, seed, 32, 32, 45.0))
        lists: dict[str, list[object]] = {
            key: [] for key in ("file_path", "cam2world", "width", "height", "focal")
        }
        (folder / split).mkdir(parents=True)
        for k, pose in enumerate(matrices(views.cameras) @ OPENGL):
            image = views.images[k].permute(2, 0, 1)[None]
            for level in range(4):
                size, name = 32 >> level, f"{split}/r_{k}_d{level}.png"
                small = interpolate(image, (size, size), mode="area")[0].permute(1, 2, 0)
                write_image(folder / name, unpremultiply(small))
                row = (name, pose.tolist(), size, size, 45.0 / (1 << level))
                for key, value in zip(lists, row, strict=True):
                    lists[key].append(value)
        content[split] = lists
    (folder / "metadata.json").write_text(json.dumps(content))


def visible_points(views: Views, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points on the surface that the views show, and their colours."""
    assert views.depths is not None
    solid = (views.depths > 0) & (views.images[..., 3] == 1)
    camera, row, column = solid.nonzero(as_tuple=True)
    generator = torch.Generator().manual_seed(seed)
    some = torch.randperm(len(camera), generator=generator)[:count]
    camera, row, column = camera[some], row[some], column[some]
    rays = views.cameras.rays(camera, torch.stack([column, row], dim=1) + 0.5)
    points = rays.origins + views.depths[camera, row, column, None] * rays.directions
    return points, views.images[camera, row, column, :3]


def write_points3d(path: Path, points: Tensor, colors: Tensor, tracks: list[list[int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = struct.pack("<Q", len(points))
    for k, (point, color) in enumerate(zip(points, colors, strict=True)):
        rgb = (255 * color).round().byte().tolist()
        track = [number for image in tracks[k] for number in (image, 0)]
        data += struct.pack("<Q3d3BdQ", k + 1, *point.tolist(), *rgb, 0.5, len(tracks[k]))
        data += struct.pack(f"<{len(track)}i", *track)
    path.write_bytes(data)


def make_colmap() -> None:
    """Images of the hotdog, six across and two upright, and a model for twice their size."""
    folder = HERE / "colmap"
    across = shell(6, 4, 40, 30, 40.0)
    upright = shell(2, 5, 30, 40, 40.0)
    shown = [render_scene("hotdog", cameras) for cameras in (across, upright)]
    points, colors = visible_points(shown[0], 80, 0)
    tracks: list[list[int]] = [[] for _ in points]
    lenses = struct.pack("<Q", 8)
    images = struct.pack("<Q", 8)
    generator = torch.Generator().manual_seed(6)
    number = 0
    for views in shown:
        assert views.depths is not None
        for k in range(len(views)):
            number += 1
            name, camera = f"{number:03d}.jpg", views.cameras.select(slice(k, k + 1))
            write_rgb(folder / "images_half" / name, views.over(WHITE)[k])
            width, height = 2 * camera.width, 2 * camera.height
            lenses += struct.pack("<iiQQ", number, 1, width, height)
            lenses += struct.pack("<4d", 80.0, 80.0, width / 2, height / 2)
            pixel, _ = camera.project(torch.zeros(len(points), dtype=torch.long), points)
            x, y = pixel.floor().long().unbind(1)
            there = (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
            depth = views.depths[k, y.clamp(0, camera.height - 1), x.clamp(0, camera.width - 1)]
            away = (points - camera.centers).norm(dim=1)
            rows = (there & ((depth - away).abs() < 0.02 * away)).nonzero()[:, 0].tolist()
            noise = 0.5 * torch.randn(len(points), 2, generator=generator)
            world = matrices(camera)[0]
            x, y, z, w = Rotation.from_matrix(world[:3, :3].T).as_quat()
            shift = -world[:3, :3].T @ world[:3, 3]
            images += struct.pack("<i7di", number, w, x, y, z, *shift, number)
            images += name.encode() + b"\0" + struct.pack("<Q", len(rows) + 1)
            # A keypoint of no point is in every model.
            images += struct.pack("<2dq", 1.0, 1.0, -1)
            for row in rows:
                at = 2 * pixel[row] + noise[row]
                images += struct.pack("<2dq", *at.tolist(), row + 1)
                tracks[row].append(number)
    write_points3d(folder / "sparse/0/points3D.bin", points, colors, tracks)
    (folder / "sparse/0/cameras.bin").write_bytes(lenses)
    (folder / "sparse/0/images.bin").write_bytes(images)


def make_llff() -> None:
    """Forward-facing images of the bricks, an eighth of the size that the file tells."""
    folder = HERE / "llff"
    side = torch.linspace(-0.5, 0.5, 3)
    eyes = torch.cartesian_prod(side, side[:2])
    eyes = torch.stack([eyes[:, 0], torch.full((6,), -4.0), 1.5 + eyes[:, 1]], dim=1)
    poses = look_at(eyes, torch.zeros(6, 3), torch.tensor([0.0, 0.0, 1.0]))
    cameras = Cameras.from_focal(poses, 50.0, 40, 30)
    views = render_scene("bricks", cameras)
    points, colors = visible_points(views, 100, 1)
    rows: list[np.ndarray] = []
    for k in range(len(views)):
        write_rgb(folder / "images_8" / f"image{k:03d}.png", views.over(WHITE)[k])
        axes, center = poses[k, :, :3], poses[k, :, 3:]
        right, down, ahead = axes.split(1, dim=1)
        size = torch.tensor([[240.0], [320.0], [400.0]])
        depth = (points - center[:, 0]) @ ahead[:, 0]
        matrix = torch.cat([down, right, -ahead, center, size], dim=1)
        rows.append(np.append(matrix.double().numpy(), [depth.min(), depth.max()]))
    np.save(folder / "poses_bounds.npy", np.stack(rows))
    write_points3d(folder / "sparse/0/points3D.bin", points, colors, [[] for _ in points])


def make_idr() -> None:
    """The chair in a world twice as large and moved; cameras of images four times as large."""
    folder = HERE / "idr"
    views = render_scene("chair", shell(10, 7, 32, 24, 26.0))
    scale = np.diag([2.8, 2.8, 2.8, 1.0])
    scale[:3, 3] = 1.0, -2.0, 0.5
    arrays: dict[str, np.ndarray] = {}
    for k, pose in enumerate(matrices(views.cameras)):
        write_rgb(folder / "image" / f"{k:06d}.png", views.over(BLACK)[k])
        mask = views.images[k, ..., 3:].expand(-1, -1, 3)
        write_rgb(folder / "mask" / f"{k:03d}.png", (mask > 0.5).float())
        lens = np.eye(4)
        lens[:2, :3] = 4 * views.cameras.intrinsics[k, :2].double().numpy()
        # From the chair's unit, in which it fills a ball of radius 1.4, to the unit sphere.
        unit = np.diag([1.4, 1.4, 1.4, 1.0])
        projection = lens @ np.linalg.inv(pose) @ unit
        arrays[f"world_mat_{k}"] = projection @ np.linalg.inv(scale)
        arrays[f"scale_mat_{k}"] = scale
    np.savez(folder / "cameras_sphere.npz", **arrays)


def make_co3d() -> None:
    """The hotdog before black, with cameras as PyTorch3D has them."""
    folder = HERE / "co3d"
    views = render_scene("hotdog", shell(9, 8, 32, 18, 24.0))
    for name in ("poses", "points"):
        (folder / name).mkdir(parents=True)
    for k, pose in enumerate(matrices(views.cameras)):
        write_rgb(folder / "imgs" / f"frame{k + 1:06d}.jpg", views.over(BLACK)[k])
        # x = X @ R + T, with x to the left and y up, and the shorter side from −1 to 1.
        rotation = pose[:3, :3] @ np.diag([-1.0, -1.0, 1.0])
        shift = -pose[:3, 3] @ rotation
        vector = np.concatenate([rotation.ravel(), shift, [24 / 9, 24 / 9, 0.0, 0.0]])
        np.save(folder / "poses" / f"frame{k + 1:06d}.npy", vector)
    points, _ = visible_points(views, 300, 2)
    np.save(folder / "points" / "points.npy", points.numpy())


def make_realestate10k() -> None:
    """Sixteen frames of a camera that walks and turns."""
    lines = ["https://example.org/made/for/tests"]
    for k in range(16):
        turn = Rotation.from_euler("y", 2.0 * k, degrees=True).as_matrix()
        shift = -turn @ np.array([0.05 * k, 0.0, 0.1 * k])
        pose = np.concatenate([turn, shift[:, None]], axis=1).ravel()
        fields = [f"{value:.9f}" for value in (0.55, 0.977777778, 0.5, 0.5, 0.0, 0.0, *pose)]
        lines.append(" ".join([str(1_000_000 + 33_367 * k), *fields]))
    (HERE / "realestate10k").mkdir()
    (HERE / "realestate10k/walk.txt").write_text("\n".join(lines) + "\n")


def make_rgbd() -> None:
    """Five frames of the hotdog, depths in millimetres; one of them as TUM has it."""
    angles = 0.12 * torch.arange(5)
    eyes = 2.2 * torch.stack([angles.sin(), -angles.cos(), 0.9 + 0.1 * angles], dim=1)
    poses = look_at(eyes, torch.zeros(5, 3), torch.tensor([0.0, 0.0, 1.0]))
    views = render_scene("hotdog", Cameras.from_focal(poses, 56.0, 56, 42))
    assert views.depths is not None
    column, row = torch.meshgrid(torch.arange(56), torch.arange(42), indexing="xy")
    # How much longer the ray is than its share along the axis.
    longer = (((column - 27.5) / 56) ** 2 + ((row - 20.5) / 56) ** 2 + 1).sqrt()
    lines: list[str] = []
    for folder, numbers, scale in (("open3d", range(5), 1000), ("tum", range(1), 5000)):
        for k in numbers:
            color = HERE / "rgbd" / folder / "color" / f"{k:05d}.png"
            depth = HERE / "rgbd" / folder / "depth" / f"{k:05d}.png"
            if folder == "tum":
                color = HERE / "rgbd" / folder / "TUM_color.png"
                depth = HERE / "rgbd" / folder / "TUM_depth.png"
            write_rgb(color, views.over(WHITE)[k])
            depth.parent.mkdir(parents=True, exist_ok=True)
            measured = (scale * views.depths[k] / longer).round().numpy().astype(np.uint16)
            Image.fromarray(measured).save(depth)
    for k, pose in enumerate(matrices(views.cameras)):
        lines += [f"{k} {k} {k + 1}", *(" ".join(f"{v:.9f}" for v in row) for row in pose)]
    (HERE / "rgbd/open3d/trajectory.log").write_text("\n".join(lines) + "\n")
    lens = [56.0, 0, 0, 0, 56.0, 0, 27.5, 20.5, 1]
    content = {"width": 56, "height": 42, "intrinsic_matrix": lens}
    (HERE / "rgbd/open3d/camera.json").write_text(json.dumps(content))


def make_r2n2() -> None:
    """A built-in car in ShapeNet's axes, y up and the front at −z, as 3D-R2N2 rendered them."""
    folder, shape = HERE / "r2n2_car", make_shape("car", 3)
    (folder / "rendering").mkdir(parents=True)
    size, lines = 0.6, []
    eyes: list[tuple[float, float, float]] = []
    for k in range(8):
        azimuth, elevation, share = 45.0 * k + 10, 25.0 + (k % 3), 0.75 + 0.02 * (k % 4)
        lines.append(f"{azimuth} {elevation} 0 {share} 25")
        a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
        at = (np.cos(e) * np.cos(a), -np.cos(e) * np.sin(a), np.sin(e))
        x, y, z = (1.75 * share / size * value for value in at)
        eyes.append((x, y, z))
    (folder / "rendering/rendering_metadata.txt").write_text("\n".join(lines) + "\n")
    eye = torch.tensor(eyes, dtype=torch.float32)
    poses = look_at(eye, torch.zeros_like(eye), torch.tensor([0.0, 0.0, 1.0]))
    cameras = Cameras.from_focal(poses, 35, 32, 32)
    light = normalize(eye + torch.tensor([0.0, 0.0, 2.0]), dim=1)
    images = render_shape(shape, cameras, light, 3).clamp(0, 1)
    for k, image in enumerate(images):
        write_image(folder / "rendering" / f"{k:02d}.png", unpremultiply(image))
    points, normals = shape.surface(400, np.random.default_rng(0))
    for name, table in (
        ("model.xyz", size * points[:150, [0, 2, 1]] * [1, 1, -1]),
        (
            "model_normal.xyz",
            np.hstack([size * points[:, [0, 2, 1]], normals[:, [0, 2, 1]]])
            * [1, 1, -1, 1, 1, -1],
        ),
    ):
        np.savetxt(folder / name, table, fmt="%.3f")


def stripes() -> Tensor:
    """A texture on which the four corners and both directions are told apart."""
    y, x = torch.meshgrid(torch.arange(48) / 48, torch.arange(96) / 96, indexing="ij")
    wave = ((12 * torch.pi * x).sin() * (6 * torch.pi * y).sin() > 0).float()
    return torch.stack([0.2 + 0.7 * x, 0.25 + 0.6 * wave, 0.9 - 0.7 * y], dim=2)


def with_stripes(mesh: Mesh, rows: int, columns: int) -> Mesh:
    """The texture around a ring of `rows` × `columns` quads, cut open where it begins."""
    u, v = torch.meshgrid(
        torch.arange(columns + 1) / columns, torch.arange(rows + 1) / rows, indexing="xy"
    )
    uv = torch.stack([u, v], dim=2).view(-1, 2)
    row, column = mesh.faces // columns, mesh.faces % columns
    # A corner at 0 belongs to the end, if its face is the last one around.
    row = torch.where((row == 0) & (row.amax(1, True) == rows - 1) & (rows > 2), rows, row)
    last = column.amax(1, True) == columns - 1
    column = torch.where((column == 0) & last, columns, column)
    return Mesh(
        mesh.vertices, mesh.faces, UVTexture(stripes(), uv, row * (columns + 1) + column)
    )


def make_meshes() -> None:
    """One of each format, from the library's primitives and families."""
    folder = HERE / "meshes"
    folder.mkdir()
    ring = with_stripes(torus(0.8, 0.35, 10, 20), 10, 20)
    write_mesh(folder / "ring.obj", ring)
    sphere = icosphere(2)
    egg = sphere.vertices * torch.tensor([0.5, 0.6, 0.9])
    write_mesh(folder / "egg.obj", Mesh(egg, sphere.faces))
    high = sphere.vertices[sphere.faces].mean(1)[:, 2]
    # Holes in the sole, beside which it stands.
    write_mesh(folder / "open_ball.obj", Mesh(sphere.vertices, sphere.faces[high > -0.9]))
    write_mesh(folder / "balls.obj", apart(uv_sphere(5, 8), 3))
    box = cube()
    corners = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    quads = torch.tensor([[0, 1, 2], [0, 2, 3]]).repeat(6, 1)
    textured = UVTexture(stripes(), corners, quads)
    write_mesh(folder / "box.glb", Mesh(box.vertices, box.faces, textured))
    write_mesh(folder / "ring.glb", ring)
    write_mesh(folder / "crate.obj", Mesh(box.vertices, box.faces, textured))
    as_jpeg(folder)
    write_mesh(folder / "bowl.ply", Mesh(sphere.vertices, sphere.faces[high < 0.3]))
    table = make_shape("table", 7).mesh()
    write_mesh(folder / "table.off", Mesh(table.vertices, table.faces))
    write_mesh(folder / "cube.stl", box)
    make_voxels(folder)
    drawn = sample_surface(ring, 500, torch.Generator().manual_seed(0))
    write_points(folder / "points.npz", PointCloud(drawn.points))
    generator = torch.Generator().manual_seed(1)
    count = 40
    splats = Splats(
        drawn.points[:count],
        torch.full((count, 3), -2.5),
        normalize(torch.randn(count, 4, generator=generator), dim=1),
        torch.full((count,), 2.0),
        torch.rand(count, 3, generator=generator) - 0.5,
        torch.zeros(count, 0, 3),
    )
    write_splats(folder / "splats.ply", splats)


def apart(mesh: Mesh, count: int) -> Mesh:
    """Copies in a row, which do not touch."""
    steps = 2.5 * torch.arange(count)[:, None, None] * torch.tensor([1.0, 0.2, 0.0])
    faces = mesh.faces + len(mesh.vertices) * torch.arange(count)[:, None, None]
    return Mesh((mesh.vertices + steps).flatten(0, 1), faces.flatten(0, 1))


def as_jpeg(folder: Path) -> None:
    """The crate's texture as a JPEG, of which its .mtl knows."""
    material = folder / "crate.mtl"
    (name,) = (
        line.split()[1]
        for line in material.read_text().splitlines()
        if line.startswith("map_Kd")
    )
    with Image.open(folder / name) as image:
        image.convert("RGB").save(folder / "crate.jpg", quality=90)
    (folder / name).unlink()
    material.write_text(material.read_text().replace(name, "crate.jpg"))


def make_voxels(folder: Path) -> None:
    """A chair without any symmetry: its mesh, and the cells that it fills."""
    shape = make_shape("chair", 8)
    mesh = shape.mesh()
    away = mesh.vertices[:, :1].clamp_min(0)
    mesh = Mesh(mesh.vertices + torch.cat([0 * away, away, 0.5 * away], dim=1), mesh.faces)
    write_mesh(folder / "leaning_chair.obj", mesh, "z")
    grid = VoxelGrid.around(mesh.vertices, 32)
    cells = max(grid.values.shape)
    low = torch.tensor(grid.low) + 0.137 * grid.cell
    cubic = VoxelGrid(torch.zeros(cells, cells, cells), tuple(low.tolist()), grid.cell)
    drawn = sample_surface(mesh, 200_000, torch.Generator().manual_seed(0)).points
    index = ((drawn - low) / grid.cell).floor().long()
    index = index[((index >= 0) & (index < cells)).all(1)]
    cubic.values[index[:, 0], index[:, 1], index[:, 2]] = 1
    write_voxels(folder / "leaning_chair.binvox", cubic)


if __name__ == "__main__":
    main()
