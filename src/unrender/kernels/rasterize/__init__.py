"""Rasterization: the faces that are visible at each pixel, the nearest first.

It uses homogeneous coordinates (Olano and Greer, "Triangle Scan Conversion Using 2D Homogeneous
Coordinates", 1997), so that triangles need not be clipped. With a face's corners a, b, c in the
camera frame and the ray d = K⁻¹ (x, y, 1) through a pixel's center, the edge functions

    e₀ = d·(b × c),  e₁ = d·(c × a),  e₂ = d·(a × b)

are linear in (x, y). The ray's line intersects the face iff none of them has the sign opposite
to that of det = a·(b × c). The intersection is at depth z = det / (e₀ + e₁ + e₂) along the
optical axis, and has the barycentric coordinates eᵢ / (e₀ + e₁ + e₂).

Edge functions are computed in double precision without fused operations, so that the two faces
of an edge get the same function with opposite signs. The fill rule assigns a pixel exactly on
an edge to the face whose function increases to the right, or downwards if the edge is
horizontal, so that there are neither cracks nor pixels covered twice. All backends return the
same faces. Nothing here is differentiable, because visibility has no gradient.

Names follow PyTorch3D's `rasterize_meshes`: `pix_to_face`, `zbuf`, `faces_per_pixel`,
`blur_radius` (here in pixels) and `cull_backfaces`.
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from unrender.kernels.runtime.backend import Backend, implementation

ON_EDGE = -1e-300
"""Lower bound of an edge function if pixels exactly on the edge belong to the face; else 0."""


@dataclass(frozen=True)
class RasterizedFaces:
    """The nearest faces at each pixel, sorted by depth; ties are sorted by row."""

    pix_to_face: Int[Tensor, "images height width faces_per_pixel"]
    """Row of the packed triangles, as int32; −1 where there is none."""
    zbuf: Float[Tensor, "images height width faces_per_pixel"]
    """Depth along the optical axis; +inf where there is no face."""


def rasterize(
    triangles: Float[Tensor, "faces 3 3"],
    first_face: Int[Tensor, "offsets"],
    intrinsics: Float[Tensor, "images 3 3"],
    width: int,
    height: int,
    faces_per_pixel: int = 1,
    near: float = 1e-3,
    blur_radius: float = 0.0,
    cull_backfaces: bool = False,
    backend: Backend = "auto",
) -> RasterizedFaces:
    """The `faces_per_pixel` nearest faces beyond depth `near` at each pixel's center.

    Triangles are given by their corners in the frame of the camera that renders them (x right,
    y down, z forward); image k has the rows [first_face[k], first_face[k + 1]).
    `cull_backfaces` omits faces whose corners appear in clockwise order, which are seen from
    behind. Faces with zero area or non-finite corners cover no pixels.

    With a `blur_radius`, in pixels, a face also covers pixels whose center is within this
    distance of its outline, with the depth of the nearest point of the outline. The outline of
    a face that crosses the near plane is the part of its sides beyond that plane.
    """
    assert min(faces_per_pixel, near) > 0 <= blur_radius, (faces_per_pixel, near, blur_radius)
    assert len(first_face) == len(intrinsics) + 1, (
        "first_face needs one offset per image, and the end"
    )
    kernel = implementation(__name__, backend, triangles)
    pix_to_face, zbuf = kernel.rasterize(
        triangles.detach(), first_face, intrinsics.detach(), width, height,
        faces_per_pixel, near, blur_radius, cull_backfaces,
    )  # fmt: skip
    return RasterizedFaces(pix_to_face, zbuf)
