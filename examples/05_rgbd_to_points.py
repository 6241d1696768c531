"""Images with depth, unprojected and joined: a cloud of points of the room they were taken in.

    python examples/05_rgbd_to_points.py [FOLDER]

FOLDER has color/, depth/, trajectory.log and the camera's .json, as Open3D's examples; by
default it is five frames of the Redwood data, if they are in ../shared/data, and otherwise four
of a built-in scene from the tests' samples. Writes rgbd_to_points.png.
"""

import sys
from pathlib import Path

import torch

from unrender.data.formats.rgbd import load_scan
from unrender.imaging.files import write_image
from unrender.rendering.shapes import cloud_renderer
from unrender.shapes.points import (
    PointCloud,
    concatenate,
    estimate_normals,
    unproject_depth,
    voxel_downsample,
)

ROOT = Path(__file__).resolve().parents[1]
path = ROOT.parent / "shared/data/rgbd/open3d_redwood"
if not path.exists():
    path = ROOT / "tests/samples/rgbd/open3d"
if len(sys.argv) > 1:
    path = Path(sys.argv[1])

scan = load_scan(path)
assert scan.depths is not None
clouds: list[PointCloud] = []
for k in range(len(scan)):
    frame = scan.select(torch.tensor([k]))
    assert frame.depths is not None
    clouds.append(unproject_depth(frame.cameras, frame.depths, "ray", frame.images[..., :3]))
cloud = voxel_downsample(concatenate(clouds), 0.01)
normals = estimate_normals(cloud.points, scan.cameras.centers[0])
print(f"{len(scan)} frames, {sum(map(len, clouds))} points, {len(cloud)} cells of 1 cm")

# From where the first frame was taken, and from a step to the side.
first = scan.cameras.select(slice(0, 1)).resized(320, 240)
aside = first.world_from_camera.clone()
aside[0, :, 3] += 0.5 * aside[0, :, 0] - 0.4 * aside[0, :, 2]
white = torch.ones(3)
photograph = scan.select(torch.tensor([0])).resized(320, 240).over(white)[0]
colored = cloud_renderer(PointCloud(cloud.points, cloud.colors))
shaded = cloud_renderer(PointCloud(cloud.points, None, normals))
pictures = [photograph]
beside = first.with_poses(aside)
for renderer, camera in ((colored, first), (colored, beside), (shaded, beside)):
    pictures.append(renderer(camera).over(white)[0])
write_image(Path("rgbd_to_points.png"), torch.cat(pictures, dim=1).clamp(0, 1))
print("rgbd_to_points.png: photograph; points from there; from the side; their normals")
