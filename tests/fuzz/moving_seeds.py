"""Small valid data sets of moving scenes, which the mutations damage."""

import json
from typing import Any

import numpy as np
from fuzz.seeds import (
    OPENCV,
    Files,
    blender,
    colmap_text,
    encoded,
    npy,
    npz,
    pixels,
    poses,
)


def dnerf() -> Files:
    """Blender's layout with times, and ids in the training split."""
    found = blender()
    for split, start in (("train", 0.0), ("test", 0.25)):
        content = json.loads(found[f"transforms_{split}.json"])
        for k, frame in enumerate(content["frames"]):
            frame["time"] = start + 0.5 * k
            if split == "train":
                frame |= {"appearance_id": 0, "warp_id": k, "camera_id": 0}
        found[f"transforms_{split}.json"] = json.dumps(content).encode()
    return found


def nerfies(images: bool = True, exact: bool = True) -> Files:
    """Two training images and a validation image, with lenses and static points."""
    names = ["0_0", "0_1", "1_0"]
    found: Files = {}
    metadata: dict[str, Any] = {}
    for k, (name, pose) in enumerate(zip(names, poses(3) @ OPENCV, strict=True)):
        camera = {
            "orientation": np.round(pose[:3, :3].T, 6).tolist(),
            "position": np.round(pose[:3, 3], 6).tolist(),
            "focal_length": 18.0,
            "principal_point": [8.0, 8.5],
            "skew": 0.0,
            "pixel_aspect_ratio": 1.01,
            "radial_distortion": [0.01, 0.0, 0.0],
            "tangential": [0.0, 0.001],
            "image_size": [16, 16],
        }
        found[f"camera/{name}.json"] = json.dumps(camera).encode()
        entry = {"appearance_id": k, "warp_id": k % 2, "camera_id": k // 2}
        metadata[name] = entry | ({"time": 0.5 * k} if exact else {"time_id": k})
        if images:
            found[f"rgb/2x/{name}.png"] = encoded(pixels(k))
    scene = {"center": [0.0, 0.1, 0.0], "scale": 0.4, "near": 0.2, "far": 3.0}
    listing = {"count": 3, "ids": names, "train_ids": names[:2], "val_ids": names[2:]}
    contents = {"dataset": listing, "metadata": metadata, "scene": scene}
    found |= {f"{key}.json": json.dumps(value).encode() for key, value in contents.items()}
    return {**found, "points.npy": npy(np.random.default_rng(0).random((4, 3)))}


def nonrigid_nerf() -> Files:
    found = {f"images/{k}.png": encoded(pixels(k)) for k in range(3)}
    columns = np.array([[8.0], [8.0], [9.0]])
    rows = [np.hstack([pose[:3], columns]).round(6).tolist() for pose in poses(3)]
    return {"precomputed.json": json.dumps({"poses": rows}).encode(), **found}


def colmap_film() -> Files:
    """What `unrender process` makes of a video."""
    times = {f"{k}.png": 0.1 * k for k in range(4)}
    return {**colmap_text(), "times.json": json.dumps(times).encode()}


def npz_film() -> Files:
    images = np.stack([pixels(k, 4) for k in range(3)])
    ids = np.array([[0, 0, 0], [1, 1, 0], [2, 1, 1]])
    arrays = {"poses": poses(3), "focal": np.full(3, 9.0), "times": np.array([0.0, 0.5, 2.0])}
    return {"views.npz": npz(images=images, **arrays, ids=ids)}
