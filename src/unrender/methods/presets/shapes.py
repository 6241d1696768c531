"""Presets of shapes and images as fields, and of shapes from a single image."""

from collections.abc import Iterator

from unrender.methods.presets.preset import FAST, Preset


def shapes() -> Iterator[Preset]:
    shape = "shape"
    yield Preset("sdf", "sdf", shape, "a signed distance field; by default a hash grid", 1)
    yield Preset("occupancy", "occupancy", shape, "an occupancy field", 1)
    yield Preset("fit-mesh", "fit-mesh", shape, "a sphere of triangles that deforms", 1)
    yield Preset("fit-points", "fit-points", shape, "a point cloud, by chamfer distance", 1)
    yield Preset("fit-voxels", "fit-voxels", shape, "an occupancy grid of 64³ cells", 1)

    yield Preset(
        "image-field", "image-field", "image", "SIREN, encoded MLP, grid or hash grid", 1
    )

    for kind in ("mesh", "points", "voxels", "occupancy"):
        name = f"image-to-{kind}"
        yield Preset(
            name, name, "single image", f"{kind} from one image; the paper's width", None
        )
        yield Preset(
            f"{name}-fast", name, "single image", f"{kind} from one image; {FAST}", 15,
            {"encoder_width": 32},
        )  # fmt: skip
