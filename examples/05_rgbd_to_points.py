"""Images with depth, unprojected and merged: a point cloud of the room that they show.

    python examples/05_rgbd_to_points.py [FOLDER]

FOLDER has color/, depth/, trajectory.log and the camera's .json, as Open3D's examples; by
default it is five frames of the Redwood data if these are in ../shared, and else a small sample
of the tests. Writes rgbd_to_points.png.
"""

import sys
from pathlib import Path

import torch

import unrender as ur
from unrender.data.formats import rgbd
from unrender.shapes import points

HERE = Path(__file__).resolve().parent
CANDIDATES = (
    HERE.parents[1] / "shared/data/rgbd/open3d_redwood",
    HERE.parent / "tests/samples/rgbd",
)
default = next(path for path in CANDIDATES if path.exists())
scan = rgbd.load_scan(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
clouds: list[ur.PointCloud] = []
for frame in scan:
    assert frame.depths is not None
    colors = frame.images[..., :3]
    clouds.append(points.unproject_depth(frame.cameras, frame.depths, "ray", colors))
cloud = points.voxel_downsample(points.concatenate(clouds), 0.01)
normals = points.estimate_normals(cloud.points, scan.cameras.centers[0])
print(f"{len(scan)} frames, {sum(map(len, clouds))} points, {len(cloud)} cells of 1 cm")

# From the first frame's camera, and from one step to the side.
first = scan[0].resized(320, 240)
aside = first.cameras.world_from_camera.clone()
aside[0, :, 3] += 0.5 * aside[0, :, 0] - 0.4 * aside[0, :, 2]
beside = first.cameras.with_poses(aside)
colored, shaded = (
    ur.PointCloud(cloud.points, cloud.colors),
    ur.PointCloud(cloud.points, None, normals),
)
panels: dict[str, torch.Tensor] = {
    "photograph": first.over("white")[0],
    "points, same camera": ur.render(colored, first.cameras).over("white")[0],
    "points, from the side": ur.render(colored, beside).over("white")[0],
    "shaded by estimated normals": ur.render(shaded, beside).over("white")[0],
}
ur.save_panels("rgbd_to_points.png", panels)
