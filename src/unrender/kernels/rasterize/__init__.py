"""Rasterization: which faces each pixel sees, the nearest first.

In homogeneous coordinates (Olano and Greer, "Triangle Scan Conversion Using 2D Homogeneous
Coordinates", 1997), so that no triangle is ever clipped: with a face's corners a, b, c in the
camera's frame and the ray d = K⁻¹ (x, y, 1) of a pixel's centre, the edge functions

    e₀ = d·(b × c),  e₁ = d·(c × a),  e₂ = d·(a × b)

are linear in (x, y). The ray's line meets the face iff none of them has the sign opposite to
that of det = a·(b × c); it does so at z = det / (e₀ + e₁ + e₂) along the optical axis, at the
barycentric coordinates eᵢ / (e₀ + e₁ + e₂).

Edge functions are in double precision and rounded as they are written, so that the two faces
of an edge have the same one with opposite signs. A pixel exactly on the edge is that face's
whose function grows to the right, or downwards if the edge is level: no cracks, and no pixel
twice. All backends find the same faces. Nothing here is differentiable: visibility has no
gradient.
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation

ON_EDGE = -1e-300
"""What an edge function has to exceed where pixels exactly on the edge count; else 0."""


@dataclass(frozen=True)
class Visible:
    """The nearest faces of each pixel, sorted by depth and, where equal, by row."""

    face: Int[Tensor, "images height width layers"]
    """Row of the packed triangles, −1 where there is none; 32 bits."""
    depth: Float[Tensor, "images height width layers"]
    """Along the optical axis; +inf where there is none."""


def rasterize(
    triangles: Float[Tensor, "faces 3 3"],
    first_face: Int[Tensor, "offsets"],
    intrinsics: Float[Tensor, "images 3 3"],
    width: int,
    height: int,
    layers: int = 1,
    near: float = 1e-3,
    blur: float = 0.0,
    cull: bool = False,
    backend: Backend = "auto",
) -> Visible:
    """The `layers` nearest faces beyond `near` at each pixel's centre.

    Triangles are corners in the frame of the camera that sees them (x right, y down, z
    forward); image k has the rows [first_face[k], first_face[k + 1]). `cull` leaves out faces
    that are seen clockwise, from behind. Faces with no area, or with corners that are not
    finite, cover nothing.

    With `blur`, in pixels, a face also counts at pixels that near to its outline, there with
    the depth of the outline's nearest point. Of a face that crosses the near plane, the outline
    is what of its three sides lies beyond.
    """
    assert min(layers, near) > 0 <= blur, (layers, near, blur)
    assert len(first_face) == len(intrinsics) + 1, "an offset for each image, and the end"
    kernel = implementation(__name__, backend, triangles)
    face, depth = kernel.rasterize(
        triangles.detach(), first_face, intrinsics.detach(), width, height,
        layers, near, blur, cull,
    )  # fmt: skip
    return Visible(face, depth)
