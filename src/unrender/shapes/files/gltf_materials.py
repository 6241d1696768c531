"""Materials of glTF: base colors and their images.

Metallic-roughness and specular-glossiness (KHR_materials_pbrSpecularGlossiness) are read, with
KHR_texture_transform, EXT_texture_webp and the samplers' ways to go on beyond an image. What
cannot be read is noted, and the material has no color.
"""

import io
import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.errors import InputError, one_line
from unrender.files import Json
from unrender.imaging.color import display_from_linear, linear_from_display
from unrender.imaging.files import decode_image
from unrender.notes import note
from unrender.shapes.files.contents import (
    PARSE_ERRORS,
    UNLIT,
    Material,
    Wrap,
    unit_colors,
)
from unrender.shapes.files.gltf_file import GltfFile

GLOSSY = "KHR_materials_pbrSpecularGlossiness"
TRANSFORM = "KHR_texture_transform"
WRAPS: dict[int, Wrap] = {10497: "repeat", 33071: "clamp", 33648: "mirror"}


def read_material(file: GltfFile, index: Any) -> Material | None:
    """A material's base color and image; None, with a note, if they cannot be read."""
    described = file.item("materials", index)
    try:
        unlit = UNLIT in described.get("extensions", {})
        factor = _factor(file, described, index)
        if factor is None:
            return None
        color = display_from_linear(factor).float()
        named = base_texture(described)
        if not named:
            return Material(color, unlit=unlit)
        return _with_image(file, named, factor, color, unlit)
    except (InputError, *PARSE_ERRORS) as error:
        why = str(error) if isinstance(error, InputError) else f"{file.path}: {one_line(error)}"
        note(f"{why[:200]}; material {index} is read without color")
        return None


def base_texture(described: Json) -> Json:
    """What a material says of its base color's image; empty if it has none."""
    glossy = described.get("extensions", {}).get(GLOSSY)
    if glossy is not None:
        return glossy.get("diffuseTexture", {})
    return described.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})


def coordinate_set(described: Json) -> int:
    """Which of a mesh's sets of texture coordinates its base color uses."""
    named = base_texture(described)
    changed = named.get("extensions", {}).get(TRANSFORM, {})
    return int(changed.get("texCoord", named.get("texCoord", 0)))


def _factor(file: GltfFile, described: Json, index: Any) -> Float[Tensor, "3"] | None:
    """The linear factor of the base color."""
    glossy = described.get("extensions", {}).get(GLOSSY)
    surface = described.get("pbrMetallicRoughness", {}) if glossy is None else glossy
    name = "baseColorFactor" if glossy is None else "diffuseFactor"
    factor = torch.tensor(surface.get(name, [1, 1, 1, 1]), dtype=torch.float64)[:3]
    if factor.shape != (3,):
        raise file.error(f"material {index} has a base color of {len(factor)} numbers")
    found = unit_colors(file.path, f"a base color (material {index})", factor[None])
    return None if found is None else found[0]


def _with_image(
    file: GltfFile,
    named: Json,
    factor: Float[Tensor, "3"],
    color: Float[Tensor, "3"],
    unlit: bool,
) -> Material:
    texture = file.item("textures", named["index"])
    webp = texture.get("extensions", {}).get("EXT_texture_webp", {})
    source = texture.get("source", webp.get("source"))
    if source is None:
        names = ", ".join(texture.get("extensions", {})) or "no image"
        raise file.error(f"texture {named['index']} has {names[:60]}: export it as PNG or JPEG")
    sampler = file.item("samplers", texture["sampler"]) if "sampler" in texture else {}
    across = WRAPS.get(sampler.get("wrapS", 10497), "repeat")
    up = WRAPS.get(sampler.get("wrapT", 10497), "repeat")
    entry = file.item("images", source)
    if "bufferView" in entry:
        content, _ = file.view(entry["bufferView"])
    else:
        content = file.bytes_at(entry["uri"])
    image = decode_image(io.BytesIO(content), f"{file.path}: image {source}")[..., :3]
    if bool((factor < 1).any()):
        image = display_from_linear(linear_from_display(image) * factor.float())
    changed = named.get("extensions", {}).get(TRANSFORM)
    transform = None if changed is None else _transform(changed)
    return Material(color, image, (across, up), unlit, transform)


def _transform(changed: Json) -> Float[Tensor, "2 3"] | None:
    """KHR_texture_transform for coordinates with v up; None if it changes nothing.

    In the file v is down, and the angle is counterclockwise on the image, as the extension's
    text says and the Khronos sample viewer does.
    """
    x, y = (float(n) for n in changed.get("offset", [0, 0]))
    a, b = (float(n) for n in changed.get("scale", [1, 1]))
    angle = float(changed.get("rotation", 0))
    cos, sin = math.cos(angle), math.sin(angle)
    # u' = a cos u + b sin v + x, v' = −a sin u + b cos v + y; then both v become 1 − v.
    rows = [[a * cos, -b * sin, b * sin + x], [a * sin, b * cos, 1 - b * cos - y]]
    transform = torch.tensor(rows, dtype=torch.float64)
    return None if torch.equal(transform, torch.eye(2, 3).double()) else transform
