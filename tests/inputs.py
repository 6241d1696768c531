"""Where tests find files: real data beside the checkout, or else the samples in its stead.

The real data sets are in `../shared/data`, if they are anywhere: their licences do not allow a
copy in this repository. The samples are small, made of the library's own scenes
(samples/README.md), and in every clone: no test is left out for want of data.
"""

from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared/data"
SAMPLES = ROOT / "tests/samples"

STAND_INS = {
    "co3d/toytruck_160x90": "co3d",
    "dtu/scan65_400x300": "idr",
    "meshes/BoxTextured.glb": "meshes/box.glb",
    "meshes/Duck.glb": "meshes/ring.glb",
    "meshes/bathtub_0154.ply": "meshes/bowl.ply",
    "meshes/bunny_pointcloud.npz": "meshes/points.npz",
    "meshes/chair_model/chair_model.binvox": "meshes/leaning_chair.binvox",
    "meshes/chair_model/chair_model.obj": "meshes/leaning_chair.obj",
    "meshes/crate_textured": "meshes",
    "meshes/modelnet_chairs/chair_0890.off": "meshes/table.off",
    "meshes/spot.obj": "meshes/egg.obj",
    "meshes/spot_textured/cow.obj": "meshes/ring.obj",
    "meshes/spot_textured/cow_texture.png": "meshes/ring.png",
    "meshes/stanford-bunny.obj": "meshes/open_ball.obj",
    "meshes/suzanne.obj": "meshes/balls.obj",
    "nerf_synthetic/lego_200": "blender",
    "nerf_synthetic/lego_multiscale_sample": "multiscale",
    "real_scenes/fern_llff": "llff",
    "real_scenes/mouse_colmap": "colmap",
    "realestate10k/0f47577ab3441480.txt": "realestate10k/walk.txt",
    "rgbd/open3d_redwood": "rgbd/open3d",
    "rgbd/tum_pair": "rgbd/tum",
    "single_image_3d/r2n2_car_02958343_1a0bc9ab": "r2n2_car",
}
"""For each file or folder in SHARED that tests read, the one in SAMPLES of the same format."""

Value = TypeVar("Value")


def is_real(name: str) -> bool:
    """Whether `sample(name)` is the real file or folder."""
    return (SHARED / name).exists()


def sample(name: str) -> Path:
    """A file or folder of SHARED or, if it is not there, what stands in for it."""
    if is_real(name):
        return SHARED / name
    for key in (name, *map(str, Path(name).parents)):
        if key in STAND_INS:
            return SAMPLES / STAND_INS[key] / Path(name).relative_to(key)
    raise KeyError(f"{name}: nothing stands in for it")


def either(name: str, real: Value, made: Value) -> Value:
    """What holds of the real file or folder, or of what stands in for it."""
    return real if is_real(name) else made
