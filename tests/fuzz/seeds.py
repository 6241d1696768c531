"""Small valid inputs of every format, which the mutations damage.

Written by hand where a format is simple, and else by the library itself: images of 8×8 pixels,
three or four views, shapes of a few faces.
"""

import base64
import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

SIDE = 8
Files = dict[str, bytes]


def pixels(seed: int, channels: int = 3, side: int = SIDE) -> np.ndarray[Any, np.dtype[Any]]:
    generator = np.random.default_rng(seed)
    found = generator.integers(0, 256, (side, side, channels), np.uint8)
    if channels == 4:
        found[..., 3] = 255
        found[:2, :, 3] = 0
    return found


def encoded(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(stream, kind, **options)
    return stream.getvalue()


def poses(count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """world_from_camera in OpenGL axes, 4×4, around the origin."""
    found = np.zeros((count, 4, 4))
    for k in range(count):
        angle = 2 * np.pi * k / count + 0.1
        eye = 4 * np.array([np.cos(angle), np.sin(angle), 0.5 + 0.1 * k])
        back = eye / np.linalg.norm(eye)
        right = np.cross([0, 0, 1], back)
        right /= np.linalg.norm(right)
        found[k, :3] = np.stack([right, np.cross(back, right), back, eye], axis=1)
        found[k, 3, 3] = 1
    return found


OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


def frames(names: list[str]) -> list[dict[str, Any]]:
    return [
        {"file_path": name, "transform_matrix": np.round(pose, 6).tolist()}
        for name, pose in zip(names, poses(len(names)), strict=True)
    ]


def blender() -> Files:
    found: Files = {}
    for split, count in (("train", 3), ("test", 1)):
        names = [f"./{split}/r_{k}" for k in range(count)]
        rows = frames(names)
        for row in rows if split == "test" else ():
            row["transform_matrix"][0][3] += 0.25
        text = json.dumps({"camera_angle_x": 0.7, "frames": rows})
        found[f"transforms_{split}.json"] = text.encode()
        for k in range(count):
            found[f"{split}/r_{k}.png"] = encoded(pixels(k, 4))
    return found


def nerfstudio() -> Files:
    names = [f"images/{k}.jpg" for k in range(3)]
    shared = {
        "camera_model": "OPENCV", "fl_x": 9.0, "fl_y": 9.0, "cx": 4.0, "cy": 4.0,
        "w": 8, "h": 8, "k1": 0.01, "k2": 0.0, "p1": 0.0, "p2": 0.001,
    }  # fmt: skip
    text = json.dumps({**shared, "frames": frames(names)})
    found = {name: encoded(pixels(k), "JPEG") for k, name in enumerate(names)}
    return {"transforms.json": text.encode(), **found}


def lenses() -> Files:
    """Frames that each have a lens of their own, and a panorama."""
    names = [f"images/{k}.png" for k in range(4)]
    own: list[dict[str, Any]] = [
        {"camera_model": "OPENCV_FISHEYE", "k1": 0.05, "k2": -0.01, "k3": 0.0, "k4": 0.0},
        {"camera_model": "FULL_OPENCV", "k1": 0.1, "k4": 0.1, "k5": 0.0, "k6": 0.0},
        {"is_fisheye": True, "distortion_params": [0.05, 0, 0, 0, 0, 0], "fl_x": 7.0},
        {"camera_model": "EQUIRECTANGULAR", "w": 16, "h": 8},
    ]
    rows = [row | lens for row, lens in zip(frames(names), own, strict=True)]
    shared = {"camera_angle_x": 0.8, "camera_angle_y": 0.8, "w": 8, "h": 8, "cx": 4.0}
    text = json.dumps({**shared, "rolling_shutter": [0, 0], "frames": rows})
    found = {name: encoded(pixels(k)) for k, name in enumerate(names)}
    wide = np.concatenate([pixels(3), pixels(2)], axis=1)
    return {"transforms.json": text.encode(), **found, names[3]: encoded(wide)}


def multiscale() -> Files:
    found: Files = {}
    content: dict[str, Any] = {}
    for split, count in (("train", 3), ("test", 1)):
        keys = ("file_path", "cam2world", "width", "height", "focal")
        lists: dict[str, list[Any]] = {key: [] for key in keys}
        for k, pose in enumerate(poses(5)[:count] if split == "train" else poses(5)[4:]):
            for side in (8, 4):
                name = f"{split}/{k}_{side}.png"
                found[name] = encoded(pixels(k, 4, side))
                row = (name, np.round(pose, 5).tolist(), side, side, 9.0 * side / 8)
                for key, value in zip(keys, row, strict=True):
                    lists[key].append(value)
        content[split] = lists
    return {"metadata.json": json.dumps(content).encode(), **found}


def camera_from_world(count: int) -> list[tuple[list[float], list[float]]]:
    """Quaternions (w, x, y, z) and translations, as COLMAP has them."""
    found: list[tuple[list[float], list[float]]] = []
    for pose in poses(count) @ OPENCV:
        inverse = np.linalg.inv(pose)
        r = inverse[:3, :3]
        w = np.sqrt(max(1e-9, 1 + np.trace(r))) / 2
        q = [
            w,
            *(np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]) / (4 * w)),
        ]
        q = np.array(q) / np.linalg.norm(q)
        found.append((q.tolist(), inverse[:3, 3].tolist()))
    return found


def colmap_binary(model: int = 1, parameters: tuple[float, ...] = (9, 9, 4, 4)) -> Files:
    names = [f"{k}.png" for k in range(3)]
    cameras = struct.pack("<QiiQQ", 1, 1, model, 8, 8) + struct.pack(
        f"<{len(parameters)}d", *parameters
    )
    images = struct.pack("<Q", len(names))
    for k, (name, (q, t)) in enumerate(zip(names, camera_from_world(3), strict=True)):
        images += struct.pack("<i7di", k + 1, *q, *t, 1) + name.encode() + b"\0"
        images += struct.pack("<QddQ", 1, 2.0, 3.0, 1)
    points = struct.pack("<Q", 2)
    for k in range(2):
        points += struct.pack("<Q3d3Bd", k + 1, 0.1 * k, 0, 0.2, 9, 99, 200, 0.5)
        points += struct.pack("<Qii", 1, 1, 0)
    found = {f"images/{name}": encoded(pixels(k)) for k, name in enumerate(names)}
    model_files = {"cameras": cameras, "images": images, "points3D": points}
    return {**{f"sparse/0/{n}.bin": data for n, data in model_files.items()}, **found}


def colmap_text() -> Files:
    names = [f"{k}.png" for k in range(3)]
    cameras = "# cameras\n1 SIMPLE_RADIAL 8 8 9.0 4.0 4.0 0.01\n"
    images = "# images\n"
    for k, (name, (q, t)) in enumerate(zip(names, camera_from_world(3), strict=True)):
        numbers = " ".join(f"{x:.6g}" for x in (*q, *t))
        images += f"{k + 1} {numbers} 1 {name}\n2.0 3.0 1\n"
    points = "# points\n1 0.1 0 0.2 9 99 200 0.5 1 0\n2 0.2 0 0.2 9 99 200 0.5 1 0\n"
    found = {f"images/{name}": encoded(pixels(k)) for k, name in enumerate(names)}
    model = {"cameras": cameras, "images": images, "points3D": points}
    return {**{f"sparse/0/{n}.txt": text.encode() for n, text in model.items()}, **found}


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array))
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{name: np.asarray(values) for name, values in arrays.items()})
    return stream.getvalue()


def llff() -> Files:
    rows = np.zeros((3, 17))
    for k, pose in enumerate(poses(3)):
        right, up, back, eye = pose[:3].T
        size = np.array([8.0, 8.0, 9.0])
        rows[k, :15] = np.stack([-up, right, back, eye, size], axis=1).ravel()
        rows[k, 15:] = 1, 9
    found = {f"images/{k}.png": encoded(pixels(k)) for k in range(3)}
    return {"poses_bounds.npy": npy(rows), **found}


def idr() -> Files:
    matrices: dict[str, Any] = {}
    lens = np.array([[9.0, 0, 4], [0, 9, 4], [0, 0, 1]])
    for k, pose in enumerate(poses(3) @ OPENCV):
        world = np.eye(4)
        world[:3] = lens @ np.linalg.inv(pose)[:3]
        matrices |= {f"world_mat_{k}": world, f"scale_mat_{k}": np.diag([1.5, 1.5, 1.5, 1.0])}
    found = {f"image/{k}.png": encoded(pixels(k)) for k in range(3)}
    found |= {f"mask/{k}.png": encoded(pixels(k)[..., :1].repeat(3, 2)) for k in range(3)}
    return {"cameras_sphere.npz": npz(**matrices), **found}


def co3d() -> Files:
    found: Files = {}
    for k, pose in enumerate(poses(3) @ OPENCV):
        inverse = np.linalg.inv(pose)
        flip = np.diag([-1.0, -1.0, 1.0])
        rotation = (flip @ inverse[:3, :3]).T
        row = [*rotation.ravel(), *(flip @ inverse[:3, 3]), 2.2, 2.2, 0, 0]
        found[f"poses/f{k}.npy"] = npy(np.array(row, np.float32))
        found[f"imgs/f{k}.jpg"] = encoded(pixels(k), "JPEG")
    points = np.random.default_rng(0).random((5, 6)).astype(np.float32)
    return {"points/p.npy": npy(points), **found}


def co3d_annotated() -> Files:
    """A category of one sequence as CO3D is published, without compression of its list."""
    frames: list[dict[str, Any]] = []
    found: Files = {}
    flip = np.diag([-1.0, -1.0, 1.0])
    for k, pose in enumerate(poses(3) @ OPENCV):
        inverse = np.linalg.inv(pose)
        name = f"frame{k + 1:06d}"
        viewpoint = {
            "R": (flip @ inverse[:3, :3]).T.tolist(), "T": (flip @ inverse[:3, 3]).tolist(),
            "focal_length": [2.2, 2.2], "principal_point": [0.0, 0.1],
            "intrinsics_format": "ndc_isotropic" if k else "ndc_norm_image_bounds",
        }  # fmt: skip
        frames.append({
            "sequence_name": "s", "frame_number": k, "viewpoint": viewpoint,
            "image": {"path": f"toy/s/images/{name}.jpg", "size": [SIDE, SIDE]},
            "mask": {"path": f"toy/s/masks/{name}.png", "mass": 30.0},
        })  # fmt: skip
        found[f"toy/s/images/{name}.jpg"] = encoded(pixels(k), "JPEG")
        found[f"toy/s/masks/{name}.png"] = encoded(pixels(k, 4)[..., 3])
    listed = gzip.compress(json.dumps(frames).encode(), 0, mtime=0)
    return {"toy/frame_annotations.jgz": listed, **found}


def realestate10k() -> Files:
    lines = ["https://example.org/video"]
    for k, pose in enumerate(poses(4) @ OPENCV):
        matrix = " ".join(f"{x:.6f}" for x in np.linalg.inv(pose)[:3].ravel())
        lines.append(f"{1000 * k} 0.5 0.9 0.5 0.5 0 0 {matrix}")
    return {"list.txt": "\n".join(lines).encode() + b"\n"}


def sequences() -> Files:
    """A sequence of RealEstate10K with its frames, and one of CO3D."""
    found = {"train/a.txt": realestate10k()["list.txt"]}
    for k in range(4):
        found[f"train/a/{1000 * k}.png"] = encoded(pixels(k))
    return found | {f"co3d/1/{name}": content for name, content in co3d().items()}


def npz_views() -> Files:
    images = np.stack([pixels(k, 4) for k in range(3)])
    lens = np.broadcast_to(np.array([[9.0, 0, 4], [0, 8, 3], [0, 0, 1]], np.float32), (3, 3, 3))
    poses_ = poses(3).astype(np.float32)
    return {"views.npz": npz(images=images, poses=poses_, focal=np.float32(9), intrinsics=lens)}


def npz_views_rgb() -> Files:
    images = np.stack([pixels(k) for k in range(3)]).astype(np.float32) / 255
    arrays = {"images": images, "poses": poses(3)[:, :3], "focal": np.full(3, 9.0)}
    return {"views.npz": npz(**arrays, background=np.ones(3))}


def rgbd() -> Files:
    found: Files = {}
    lines: list[str] = []
    for k, pose in enumerate(poses(3) @ OPENCV):
        found[f"color/{k}.png"] = encoded(pixels(k))
        depth = np.random.default_rng(k).integers(0, 5000, (8, 8)).astype(np.uint16)
        found[f"depth/{k}.png"] = encoded(Image.fromarray(depth))
        lines += [f"{k} {k} {k + 1}", *(" ".join(f"{x:.6f}" for x in row) for row in pose)]
    camera = {"width": 8, "height": 8, "intrinsic_matrix": [9, 0, 0, 0, 9, 0, 4, 4, 1]}
    return {
        "camera.json": json.dumps(camera).encode(),
        "trajectory.log": "\n".join(lines).encode(),
        **found,
    }


def shapenet() -> Files:
    found: Files = {}
    for model in ("m1", "m2"):
        for k in range(2):
            found[f"{model}/rendering/{k:02d}.png"] = encoded(pixels(k, 4))
        text = "30 25 0 0.8 25\n200.5 30 0 0.7 25\n"
        found[f"{model}/rendering/rendering_metadata.txt"] = text.encode()
        rows = np.random.default_rng(3).normal(size=(20, 6))
        found[f"{model}/model_normal.xyz"] = "\n".join(
            " ".join(f"{x:.4f}" for x in row) for row in rows
        ).encode()
    found["m2/model.obj"] = CUBE_OBJ
    return found


def shapes_npz() -> Files:
    poses_ = np.repeat(poses(2)[None, :, :3], 2, 0).reshape(4, 3, 4).astype(np.float32)
    lens = np.array([[9.0, 0, 4], [0, 9, 4], [0, 0, 1]], np.float32)
    points = np.random.default_rng(0).random((2, 6, 3)).astype(np.float16)
    arrays = {
        "images": np.stack([pixels(k, 4) for k in range(4)]),
        "poses": poses_,
        "intrinsics": np.broadcast_to(lens, (4, 3, 3)),
        "shape_index": np.array([0, 0, 1, 1], np.int32),
        "points": points,
        "normals": np.full((2, 6, 3), 60, np.int8),
        "held_out": np.array([0, 1], np.uint8),
        "names": np.frombuffer(b"a\nb", np.uint8),
        "voxels": np.zeros((2, 8), np.uint8),
        "queries": points[:, :1].repeat(8, 1),
        "occupied": np.zeros((2, 1), np.uint8),
    }
    return {"shapes.npz": npz(**arrays)}


# Shapes

CUBE_OBJ = b"""# a pyramid
mtllib m.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0.5 0.5 1
vt 0 0
vt 1 0
vt 1 1
vn 0 0 1
vn 0 1 0
usemtl red
f 1/1/1 2/2/1 3/3/1 4/1/1
f 3//1 4//1 5//1
f 4 1 5
usemtl picture
f 1/1/2 2/2/2 5/3/2
f -4/2 -3/3 -1/1
"""
MTL = b"newmtl red\nKd 1 0.1 0\nd 1\n\nnewmtl picture\nmap_Kd t.png\nKd 1 1 1\n"


def obj() -> Files:
    return {"s.obj": CUBE_OBJ, "m.mtl": MTL, "t.png": encoded(pixels(1))}


VERTICES = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 0.5, 1)]
FACES = [(0, 2, 1), (0, 3, 2), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)]


def ply_text() -> Files:
    head = "ply\nformat ascii 1.0\ncomment x\nelement vertex 5\n"
    head += "".join(f"property float {c}\n" for c in "xyz")
    head += "".join(f"property uchar {c}\n" for c in ("red", "green", "blue"))
    head += "element face 6\nproperty list uchar int vertex_indices\nend_header\n"
    rows = [" ".join(map(str, (*v, 9, 99, 200))) for v in VERTICES]
    rows += [" ".join(map(str, (3, *f))) for f in FACES]
    return {"s.ply": (head + "\n".join(rows) + "\n").encode()}


def ply_binary(order: str = "little") -> Files:
    head = f"ply\nformat binary_{order}_endian 1.0\nelement vertex 5\n"
    head += "".join(f"property float {c}\n" for c in ("x", "y", "z", "nx", "ny", "nz"))
    head += "element face 6\nproperty list uchar uint vertex_indices\nend_header\n"
    mark = "<" if order == "little" else ">"
    data = b"".join(struct.pack(mark + "6f", *v, 0, 0, 1) for v in VERTICES)
    data += b"".join(struct.pack(mark + "B3I", 3, *f) for f in FACES)
    return {"s.ply": head.encode() + data}


def ply_points(binary: bool = True) -> Files:
    form = "binary_little_endian" if binary else "ascii"
    head = f"ply\nformat {form} 1.0\nelement vertex 5\n"
    head += "".join(f"property float {c}\n" for c in ("x", "y", "z"))
    head += "".join(f"property uchar {c}\n" for c in ("red", "green", "blue")) + "end_header\n"
    if binary:
        data = b"".join(struct.pack("<3f3B", *v, 1, 2, 255) for v in VERTICES)
    else:
        data = "".join(" ".join(map(str, (*v, 1, 2, 255))) + "\n" for v in VERTICES).encode()
    return {"p.ply": head.encode() + data}


def splats() -> Files:
    names = [
        "x",
        "y",
        "z",
        *(f"f_dc_{k}" for k in range(3)),
        *(f"f_rest_{k}" for k in range(9)),
    ]
    names += ["opacity", *(f"scale_{k}" for k in range(3)), *(f"rot_{k}" for k in range(4))]
    head = "ply\nformat binary_little_endian 1.0\nelement vertex 3\n"
    head += "".join(f"property float {name}\n" for name in names) + "end_header\n"
    rows = np.random.default_rng(0).normal(size=(3, len(names))).astype("<f4")
    return {"s.ply": head.encode() + rows.tobytes()}


def npz_points() -> Files:
    generator = np.random.default_rng(0)
    arrays = {
        name: generator.random((5, 3)).astype(np.float32) for name in ("points", "colors")
    }
    return {"p.npz": npz(**arrays, normals=generator.random((5, 3)))}


def xyz() -> Files:
    return {"p.xyz": b"0 0 0 0 0 1\n1 0.5 0 0 1 0\n0.25 1e-3 2 1 0 0\n"}


def off() -> Files:
    rows = [f"{x} {y} {z}" for x, y, z in VERTICES] + [f"3 {a} {b} {c}" for a, b, c in FACES]
    return {"s.off": ("OFF\n5 6 0\n" + "\n".join(rows) + "\n").encode()}


def stl_text() -> Files:
    lines = ["solid s"]
    for face in FACES:
        lines += ["facet normal 0 0 1", "outer loop"]
        lines += ["vertex {} {} {}".format(*VERTICES[k]) for k in face]
        lines += ["endloop", "endfacet"]
    return {"s.stl": ("\n".join([*lines, "endsolid s"]) + "\n").encode()}


def stl_binary() -> Files:
    data = bytes(80) + struct.pack("<I", len(FACES))
    for face in FACES:
        corners = [x for k in face for x in VERTICES[k]]
        data += struct.pack("<12fH", 0, 0, 1, *corners, 0)
    return {"s.stl": data}


def _gltf() -> tuple[dict[str, Any], bytes]:
    image = encoded(pixels(5))
    positions = np.array(VERTICES, "<f4").tobytes()
    uv = np.random.default_rng(0).random((5, 2)).astype("<f4").tobytes()
    faces = np.array(FACES, "<u2").tobytes()
    parts = [positions, uv, faces, image]
    views: list[dict[str, int]] = []
    data = b""
    for part in parts:
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": len(part)})
        data += part + bytes(-len(part) % 4)
    kinds = [(5126, 5, "VEC3"), (5126, 5, "VEC2"), (5123, 18, "SCALAR")]
    accessors: list[dict[str, Any]] = [
        {"bufferView": k, "componentType": kind, "count": count, "type": name}
        for k, (kind, count, name) in enumerate(kinds)
    ]
    accessors[0] |= {"min": [0, 0, 0], "max": [1, 1, 1]}
    material = {
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0},
            "baseColorFactor": [1, 0.5, 1, 1],
        }
    }
    primitive = {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [
            {"children": [1], "translation": [1, 0, 0]},
            {"mesh": 0, "rotation": [0, 0, 0.7071068, 0.7071068], "scale": [1, 2, 1]},
        ],
        "meshes": [{"primitives": [primitive]}],
        "materials": [material],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"wrapS": 10497}],
        "images": [{"bufferView": 3, "mimeType": "image/png"}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(data)}],
    }
    return tree, data


def glb() -> Files:
    tree, data = _gltf()
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(data))
    head += struct.pack("<I4s", len(text), b"JSON") + text
    return {"s.glb": head + struct.pack("<I4s", len(data), b"BIN\0") + data}


def gltf() -> Files:
    tree, data = _gltf()
    tree["buffers"][0]["uri"] = "b.bin"
    return {"s.gltf": json.dumps(tree).encode(), "b.bin": data}


def gltf_data() -> Files:
    tree, data = _gltf()
    tree["buffers"][0]["uri"] = (
        "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    )
    return {"s.gltf": json.dumps(tree).encode()}


def binvox() -> Files:
    head = b"#binvox 1\ndim 4 4 4\ntranslate -0.5 -0.5 -0.5\nscale 1.0\ndata\n"
    return {"v.binvox": head + bytes((0, 20, 1, 24, 0, 20))}


def npz_voxels() -> Files:
    values = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    return {"v.npz": npz(values=values, low=np.array([-1.0, 0, 0]), cell=np.float64(0.25))}


def cameras() -> Files:
    rows = frames([f"{k}.png" for k in range(3)])
    lens = {"fl_x": 9.0, "fl_y": 9.0, "cx": 4.0, "cy": 4.0, "w": 8, "h": 8}
    return {"cameras.json": json.dumps({"frames": [row | lens for row in rows]}).encode()}


# Images


def images() -> list[Files]:
    """One image of each kind, all called image.* with their ending."""
    rgb, rgba = Image.fromarray(pixels(0)), Image.fromarray(pixels(1, 4))
    deep = Image.fromarray((np.arange(64).reshape(8, 8) * 1000).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    found: Files = {
        "rgb.png": encoded(rgb),
        "rgba.png": encoded(rgba),
        "palette.png": encoded(rgb.quantize(7), transparency=2),
        "gray.png": encoded(rgb.convert("L"), transparency=9),
        "bits.png": encoded(rgb.convert("1")),
        "deep.png": encoded(deep),
        "animated.png": encoded(rgba, save_all=True, append_images=[rgb.convert("RGBA")]),
        "turned.jpg": encoded(rgb, "JPEG", exif=exif),
        "gray.jpg": encoded(rgb.convert("L"), "JPEG"),
        "cmyk.jpg": encoded(rgb.convert("CMYK"), "JPEG"),
        "rgb.tiff": encoded(rgb, "TIFF"),
        "jpeg.tiff": encoded(rgb, "TIFF", compression="jpeg"),
        "zip.tiff": encoded(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "lzw.tiff": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "deep.tiff": encoded(deep, "TIFF"),
        "rgb.bmp": encoded(rgb, "BMP"),
        "rgb.gif": encoded(rgb.quantize(5), "GIF"),
        "rgb.ppm": encoded(rgb, "PPM"),
        "lossy.webp": encoded(rgb, "WEBP"),
        "lossless.webp": encoded(rgba, "WEBP", lossless=True),
    }
    return [{name: content} for name, content in found.items()]


def masks() -> Files:
    found = {f"masks/{k}.png": encoded(pixels(k)[..., 0]) for k in range(3)}
    return {**nerfstudio(), **found}


# Command lines


def command_lines() -> list[Files]:
    """Words of commands, one a line."""
    lines = (
        "fit nerf-fast --data bricks --rays 64 --learning-rate 1e-3 --steps 5 --seed 1 -q",
        "fit instant-ngp-fast -d x --levels 4 --log2-table-size 12 --downscale 2 -m 0.5",
        "fit box --data=x --out=runs/a --bins=8 --density 2.5 --ball 0 0 0 1 --hold-out 8",
        "fit gaussian-splatting-fast -d x --max-gaussians 100 --background white",
        "fit sit -d x --patch 4 --heads 2 --width 32 --log-every 5 --checkpoint-every 7",
        "fit sdf --data s.obj --cells 64 --near 0.02 --minutes 1",
        "fit-shape s.ply --steps 10 --seed 3",
        "render runs/a --cameras turntable --frames 12 --fps 24 --size 64 --out a.mp4",
        "render s.obj --elevation 20 --radius 3.5 --supersample 2 --out a.png",
        "pose runs/a a.png b.png --pixels 16 --rate 0.02 --coarse-steps 5 --seed 0",
        "make-views runs/a --count 8 --size 16 --radius 2 3 --roll 0.1 --out v.npz",
        "make-shapes --count 2 --views 3 --size 32 --out s.npz",
        "export runs/a a.glb --faces 1000 --texture 256 --voxels 64 --crop 0 0 0 1 1 1",
        "process photos --out scene --frames 20 --size 800",
        "evaluate runs/a --data x",
        "inspect x --out y",
        "demo --minutes 0.5 --views 40 --seed 0",
        "compare-fields a.png --pixels 64 --steps 5",
        "spectrum --size 32 --samples 4",
    )
    return [{"words.txt": line.replace(" ", "\n").encode()} for line in lines]


# Runs and films, by the library itself


def run(method: str, options: dict[str, Any], data: Files, folder: Path) -> Files:
    """The data and the run folder of a fit of a few steps, with paths relative to `folder`."""
    import unrender as ur  # noqa: PLC0415 - imports torch

    write(folder / "data", data)
    out = folder / "run"
    ur.fit(
        method, folder / "data", out=out, steps=4, log_every=1, checkpoint_every=2,
        device="cpu", progress=False, **options,
    )  # fmt: skip
    config = out / "config.json"
    config.write_text(config.read_text().replace(str(folder), "."))
    return read(folder)


def box_run(folder: Path) -> Files:
    return run("box", {"bins": 4, "rays": 4}, blender(), folder)


def ngp_run(folder: Path) -> Files:
    options = {
        "log2_table_size": 6, "finest": 16, "levels": 2, "width": 16, "color_layers": 1,
        "occupancy_cells": 8, "step_size": 0.2, "samples": 64,
    }  # fmt: skip
    return run("instant-ngp-tiny", options, blender(), folder)


def film(folder: Path) -> Files:
    """Six frames of 16×16 pixels, as .mp4."""
    import torch  # noqa: PLC0415

    from unrender.imaging.video import write_video  # noqa: PLC0415

    frames_ = torch.stack([torch.from_numpy(pixels(k, 3, 16)) for k in range(6)])
    folder.mkdir(parents=True, exist_ok=True)
    write_video(folder / "film.mp4", frames_, 6)
    return {"film.mp4": (folder / "film.mp4").read_bytes()}


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(folder: Path) -> Files:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


PLAIN: dict[str, Callable[[], Files]] = {
    "blender": blender, "nerfstudio": nerfstudio, "multiscale": multiscale,
    "colmap_text": colmap_text, "llff": llff, "idr": idr, "co3d": co3d,
    "realestate10k": realestate10k, "rgbd": rgbd, "shapenet": shapenet,
    "shapes_npz": shapes_npz, "obj": obj, "splats": splats, "npz_points": npz_points,
    "xyz": xyz, "off": off, "glb": glb, "binvox": binvox, "npz_voxels": npz_voxels,
    "cameras": cameras, "masks": masks, "sequences": sequences,
    "co3d_annotated": co3d_annotated,
}  # fmt: skip
"""Formats of one seed; see `targets` for those of several."""


def some(random: Random, of: list[Files]) -> Files:
    return of[random.randrange(len(of))]
