"""The container of glTF 2.0: JSON, binary parts, buffer views and accessors.

Sparse accessors and buffers in data URIs or in files beside are read; compressed data (draco,
meshopt) are refused by name.

Khronos Group, "glTF 2.0 Specification".
"""

import base64
import binascii
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError
from unrender.files import MAX_BYTES, Json, json_object, read_bytes, shown
from unrender.notes import note
from unrender.shapes.files.contents import sibling_file

Array = np.ndarray[Any, np.dtype[Any]]
COMPONENT_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
NUM_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
READ_EXTENSIONS = (
    "KHR_materials_",
    "KHR_texture_",
    "KHR_lights_punctual",
    "KHR_mesh_quantization",
    "KHR_xmp",
    "KHR_animation_pointer",
    "EXT_texture_",
    "EXT_lights_",
    "EXT_mesh_gpu_instancing",
    "MSFT_texture_",
    "ADOBE_materials_",
)
"""Beginnings of the extensions that a file may require: read, or without effect on geometry."""
REMEDIES = {
    "KHR_draco_mesh_compression": "run `gltf-transform copy IN OUT`, or export it from "
    "Blender without compression",
    "EXT_meshopt_compression": "run `gltf-transform copy IN OUT`, or `gltfpack` without -c",
    "KHR_meshopt_compression": "run `gltf-transform copy IN OUT`, or `gltfpack` without -c",
}
"""How to do without an extension."""


@dataclass
class GltfFile:
    """The parsed JSON of a glTF file, with its binary data."""

    path: Path
    content: Json
    binary: bytes | None
    colored: bool
    buffers: dict[int, bytes] = field(default_factory=dict[int, bytes])

    def error(self, why: str) -> InputError:
        """An error that names the file."""
        return InputError(f"{self.path}: {why}")

    def compressed(self, extension: str) -> InputError:
        """An error about an extension that is not read, with its remedy."""
        remedy = REMEDIES.get(extension, "export it without that extension")
        return self.error(f"needs {extension[:60]}, which is not read: {remedy}")

    def item(self, kind: str, index: Any) -> Json:
        """An entry of one of the file's lists; negative indices are rejected."""
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise self.error(f"names entry {str(index)[:20]!r} of `{kind}`: correct it")
        entry = self.content[kind][index]
        if not isinstance(entry, dict):
            raise self.error(f"entry {index} of `{kind}` is not an object: correct it")
        return cast(Json, entry)

    def rows(self, value: Any) -> list[int]:
        """A list of row numbers, such as a node's children."""
        if not isinstance(value, list) or any(type(row) is not int for row in value):
            raise self.error(f"has {shown(value)} instead of a list of row numbers: correct it")
        return value

    def bytes_at(self, uri: str) -> bytes:
        """The bytes of a data URI or of a file beside this one."""
        if uri.startswith("data:"):
            head, _, data = uri.partition(",")
            if not head.endswith(";base64"):
                return unquote_to_bytes(data)
            try:
                return base64.b64decode(unquote(data), validate=True)
            except binascii.Error as error:
                raise self.error("has a data URI that is damaged: copy it again") from error
        try:
            found = sibling_file(self.path, unquote(uri))
        except InputError:
            # The name on disk may be encoded itself.
            if "%" not in uri:
                raise
            found = sibling_file(self.path, uri)
        return read_bytes(found)

    def view(self, index: Any) -> tuple[bytes, Any]:
        """The bytes of a buffer view, and its stride in bytes; 0 if it has none."""
        view = self.item("bufferViews", index)
        for name in view.get("extensions", {}):
            if name in REMEDIES:
                raise self.compressed(name)
        number = view["buffer"]
        if number not in self.buffers:
            uri = self.item("buffers", number).get("uri")
            held = self.binary if uri is None else self.bytes_at(uri)
            if held is None:
                raise self.error("has no binary part: copy it again")
            self.buffers[number] = held
        start, size = view.get("byteOffset", 0), view["byteLength"]
        if not 0 <= start <= start + size <= len(self.buffers[number]):
            raise self.error(
                f"buffer {number} has {len(self.buffers[number])} bytes, fewer than a view "
                "needs: the file is truncated: copy it again"
            )
        return self.buffers[number][start : start + size], view.get("byteStride", 0)

    def numbers(self, index: Any, *widths: int) -> Float[Tensor, "rows columns"]:
        """An accessor's values; its number of columns must be one of `widths`."""
        accessor = self.item("accessors", index)
        kind = np.dtype(COMPONENT_TYPES[accessor["componentType"]])
        width, count = NUM_COMPONENTS[accessor["type"]], accessor["count"]
        if width not in widths:
            raise self.error(f"accessor {index} has {width} columns: export it again")
        if "bufferView" in accessor:
            rows = self._rows(index, accessor, accessor["bufferView"], kind, (count, width))
        elif "sparse" in accessor:
            if not isinstance(count, int) or not 0 <= count * width * 8 <= MAX_BYTES:
                raise self.error(
                    f"accessor {index} has {str(count)[:20]} rows: export it again"
                )
            rows = np.zeros((count, width), kind)
        else:
            raise self.error(f"accessor {index} has no data: export it without compression")
        # numpy warns of signaling NaNs; NaNs are rejected later, where they matter.
        with np.errstate(invalid="ignore"):
            numbers = rows.astype(np.float64)
        if "sparse" in accessor:
            self._replace(index, accessor["sparse"], kind, numbers)
        found = torch.from_numpy(numbers)
        if kind.kind != "f" and accessor.get("normalized", False):
            return (found / float(np.iinfo(kind).max)).clamp_min(-1)
        return found

    def _rows(
        self, index: Any, place: Json, view: Any, kind: np.dtype[Any], shape: tuple[Any, int]
    ) -> Array:
        """Rows of a buffer view, from the offset that `place` names."""
        count, width = shape
        content, stride = self.view(view)
        stride, start = stride or kind.itemsize * width, place.get("byteOffset", 0)
        held = len(content) - start - kind.itemsize * width
        if count < 0 or start < 0 or stride < kind.itemsize * width:
            raise self.error(f"accessor {index} has an invalid layout: export it again")
        if count and (count - 1) * stride > held:
            raise self.error(
                f"accessor {index} needs more bytes than its buffer has: copy it again"
            )
        return np.ndarray((count, width), kind, content, start, (stride, kind.itemsize))

    def _replace(self, index: Any, sparse: Json, kind: np.dtype[Any], numbers: Array) -> None:
        """Put the values of a sparse accessor over its base."""
        count, places, values = sparse["count"], sparse["indices"], sparse["values"]
        integers = np.dtype(COMPONENT_TYPES[places["componentType"]])
        rows = self._rows(index, places, places["bufferView"], integers, (count, 1))[:, 0]
        if integers.kind == "f" or (count and not 0 <= int(rows.max()) < len(numbers)):
            raise self.error(f"accessor {index} replaces rows that it lacks: export it again")
        shape = count, numbers.shape[1]
        with np.errstate(invalid="ignore"):
            numbers[rows] = self._rows(index, values, values["bufferView"], kind, shape)


def parse_gltf(path: Path, content: bytes, colored: bool) -> GltfFile:
    """The file's JSON and binary part. Raises InputError, also for unknown extensions."""
    binary = None
    if content[:4] == b"glTF":
        _, version, length = struct.unpack_from("<4sII", content)
        if version != 2:
            raise InputError(f"{path}: is glTF {version}: export it as glTF 2.0")
        if length > len(content):
            raise InputError(f"{path}: has {len(content)} of {length} bytes: copy it again")
        if length < len(content):
            note(f"{path}: has {len(content) - length} bytes behind its end: left out")
        chunks: dict[int, bytes] = {}
        offset = 12
        while offset + 8 <= length:
            size, kind = struct.unpack_from("<II", content, offset)
            chunks.setdefault(kind, content[offset + 8 : offset + 8 + size])
            offset += 8 + size
        content, binary = chunks[0x4E4F534A], chunks.get(0x004E4942)
    tree = json_object(str(path), content, "it may be damaged: make or copy it again")
    if "asset" not in tree:
        raise InputError(f"{path}: is not a glTF file: it has no `asset`")
    version = str(cast(Json, tree["asset"]).get("version", "2.0")) if tree["asset"] else "2.0"
    if version.startswith(("0", "1")):
        raise InputError(f"{path}: is glTF {version[:10]}: export it as glTF 2.0")
    file = GltfFile(path, tree, binary, colored)
    for name in tree.get("extensionsRequired", []):
        if not name.startswith(READ_EXTENSIONS):
            raise file.compressed(name)
    return file
