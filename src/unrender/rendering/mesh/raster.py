"""Meshes as cameras see them: which face each pixel meets, and where, differentiably.

A kernel (kernels/rasterize) finds the faces; it has no gradient. Where a pixel's ray meets its
face is then computed again from the face's corners, so that depth and whatever is interpolated
over the face have gradients by the vertices, the poses and the intrinsics. All of that is done
for hits alone, the pairs of pixel and face that meet, which are rows of packed arrays.

Depths here are along the optical axis, as z-buffers hold them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.kernels.rasterize import rasterize
from unrender.kernels.rasterize.screen import image_of_face, outlines
from unrender.kernels.runtime.backend import Backend
from unrender.shapes.mesh import Mesh, Meshes

NEAR = 1e-3
"""What is nearer than this, along the optical axis and in scene units, is not seen."""


@dataclass(frozen=True)
class Seen:
    """A mesh in the frame of each camera that sees it: rows of all images, one by one."""

    vertices: Float[Tensor, "vertices 3"]
    """x right, y down, z forward."""
    faces: Int[Tensor, "faces 3"]
    first_vertex: Int[Tensor, "offsets"]
    """Image k has the vertices [first_vertex[k], first_vertex[k + 1])."""
    first_face: Int[Tensor, "offsets"]
    shared: bool
    """Whether each image sees the same mesh, or each its own of a batch."""
    near: float
    cameras: Cameras

    def every(
        self, vertices: Int[Tensor, "rows corners"]
    ) -> tuple[Int[Tensor, "all_rows corners"], Int[Tensor, "all_rows"]]:
        """Rows of the mesh's vertices as rows of those here, in every image that sees them;
        and which image that is.
        """
        if not self.shared:
            first = vertices[:, 0].contiguous()
            return vertices, torch.bucketize(first, self.first_vertex[1:], right=True)
        images = torch.arange(len(self.cameras), device=vertices.device)
        packed = (vertices + self.first_vertex[:-1, None, None]).flatten(0, 1)
        return packed, images.repeat_interleave(len(vertices))


@dataclass(frozen=True)
class Fragments:
    """The faces that pixels meet, the nearest first, and where they do."""

    face: Int[Tensor, "images height width layers"]
    """Row of the mesh's faces; −1 where there is none."""
    front: Float[Tensor, "images height width"]
    """Depth of the nearest face, +inf where there is none; without gradients."""
    place: Int[Tensor, "hits"]
    """Of each hit in the flattened `face`, in order."""
    barycentrics: Float[Tensor, "hits 3"]
    """Of the point of the face, in space: they interpolate with the right perspective."""
    depth: Float[Tensor, "hits"]
    inside: Float[Tensor, "hits"] | None
    """If blurred: squared distance in pixels of the pixel's centre from the face's outline,
    negative outside."""
    seen: Seen

    @property
    def hit_face(self) -> Int[Tensor, "hits"]:
        """Row of the mesh's faces."""
        return self.face.flatten()[self.place].long()

    @property
    def pixel(self) -> Int[Tensor, "hits"]:
        """Of each hit, in the flattened images."""
        return self.place // self.face.shape[3]

    @property
    def image(self) -> Int[Tensor, "hits"]:
        _, height, width, layers = self.face.shape
        return self.place // (height * width * layers)

    def interpolate(
        self, values: Float[Tensor, "vertices channels"], faces: Int[Tensor, "faces 3"]
    ) -> Float[Tensor, "hits channels"]:
        """Numbers of the mesh's vertices at the hits, linear on each face."""
        corners = values.index_select(0, faces[self.hit_face].flatten())
        return (corners.view(-1, 3, values.shape[1]) * self.barycentrics[..., None]).sum(1)

    def spread(
        self, values: Float[Tensor, "hits channels"], empty: float = 0.0
    ) -> Float[Tensor, "images height width layers channels"]:
        """The hits' numbers where they belong in the images, `empty` elsewhere."""
        out = values.new_full((self.face.numel(), values.shape[1]), empty)
        return out.index_copy(0, self.place, values).view(*self.face.shape, values.shape[1])


def rasterize_mesh(
    mesh: Mesh | Meshes,
    cameras: Cameras,
    layers: int = 1,
    near: float = NEAR,
    blur: float = 0.0,
    cull: bool = False,
    backend: Backend = "auto",
) -> Fragments:
    """The `layers` nearest faces of each pixel: one mesh seen by all cameras, or each of a
    batch by its own.

    Differentiable in vertices, poses and intrinsics, but not in which face is seen. `cull`
    leaves out faces seen from behind; `blur`, in pixels, also counts faces that near to a
    pixel's centre, at their outline's nearest point. Faces with corners that are not finite are
    not seen. InputError if a number is out of range, or the cameras are not as many as meshes.
    """
    for name, value, least in (("layers", layers, 1), ("near", near, 1e-12), ("blur", blur, 0)):
        if not value >= least:
            raise InputError(f"{name} {value:g}: give at least {least:g}")
    seen = _seen(mesh, cameras, near)
    with torch.no_grad():
        visible = rasterize(
            # Visibility has no use for more digits, and double precision no fast backend.
            seen.vertices[seen.faces].float(), seen.first_face, cameras.intrinsics,
            cameras.width, cameras.height, layers, near, blur, cull, backend,
        )  # fmt: skip
        place = (visible.face.flatten() >= 0).nonzero()[:, 0]
        packed = visible.face.flatten()[place].long()
    corners = seen.vertices.index_select(0, seen.faces[packed].flatten()).view(-1, 3, 3)
    face = visible.face
    if seen.shared and len(cameras) > 1:
        face = torch.where(face >= 0, face % max(len(mesh.faces), 1), -1)
    pixel, inside = _centers(place, face, corners), None
    image = place // face[0].numel()
    if blur:
        # Once for each face, which has many hits.
        k = cameras.intrinsics.index_select(0, image_of_face(seen.first_face))
        sides = outlines(seen.vertices[seen.faces], k, near).to(corners.dtype)
        rays = _rays(pixel, image, cameras.intrinsics)
        sides = sides.flatten(1).index_select(0, packed).view(-1, 3, 4)
        pixel, inside = _onto_outline(pixel, rays.detach(), corners, sides, near)
    barycentrics = _barycentrics(_rays(pixel, image, cameras.intrinsics), corners)
    if blur:
        # A point of the outline lies in the face but for rounding.
        barycentrics = barycentrics.clamp_min(0)
        barycentrics = barycentrics / barycentrics.sum(1, keepdim=True)
    depth = (barycentrics * corners[..., 2]).sum(1)
    front = visible.depth[..., 0].to(depth.dtype)
    return Fragments(face, front, place, barycentrics, depth, inside, seen)


def _seen(mesh: Mesh | Meshes, cameras: Cameras, near: float) -> Seen:
    number = len(cameras)
    axes, centers = cameras.rotations, cameras.centers[:, None]
    if isinstance(mesh, Mesh):
        vertices = ((mesh.vertices - centers) @ axes).flatten(0, 1)
        start = torch.arange(number + 1, device=vertices.device)
        first_vertex, first_face = len(mesh.vertices) * start, len(mesh.faces) * start
        faces = (mesh.faces + first_vertex[:-1, None, None]).flatten(0, 1)
        return Seen(vertices, faces, first_vertex, first_face, True, near, cameras)
    if len(mesh) != number:
        raise InputError(f"{number} cameras for {len(mesh)} meshes: give one for each")
    parts = mesh.vertices.split(mesh.first_vertex.diff().tolist())
    vertices = torch.cat([(p - c) @ a for p, c, a in zip(parts, centers, axes, strict=True)])
    return Seen(vertices, mesh.faces, mesh.first_vertex, mesh.first_face, False, near, cameras)


def _centers(
    place: Int[Tensor, "hits"],
    face: Int[Tensor, "images height width layers"],
    like: Float[Tensor, "hits 3 3"],
) -> Float[Tensor, "hits 2"]:
    """(x, y) of the hits' pixels."""
    _, height, width, layers = face.shape
    pixel = place // layers
    return torch.stack([pixel % width, pixel // width % height], dim=1).to(like.dtype) + 0.5


def _rays(
    pixel: Float[Tensor, "hits 2"],
    image: Int[Tensor, "hits"],
    intrinsics: Float[Tensor, "images 3 3"],
) -> Float[Tensor, "hits 2"]:
    """x and y of K⁻¹ (x, y, 1), whose z is 1."""
    fx, s, cx = intrinsics[:, 0].unbind(1)
    fy, cy = intrinsics[:, 1, 1], intrinsics[:, 1, 2]
    numbers = torch.stack([cx, cy, 1 / fx, 1 / fy, s / fx], dim=1).index_select(0, image)
    y = (pixel[:, 1] - numbers[:, 1]) * numbers[:, 3]
    x = (pixel[:, 0] - numbers[:, 0]) * numbers[:, 2] - numbers[:, 4] * y
    return torch.stack([x, y], dim=1)


def _barycentrics(
    rays: Float[Tensor, "hits 2"], corners: Float[Tensor, "hits 3 3"]
) -> Float[Tensor, "hits 3"]:
    """Where rays meet the planes of faces.

    Shifted along the ray to z = 0, corners have edge functions of two numbers alone: p × q is
    d·(b × c). And these numbers are small, which keeps their digits (Woop, Benthin and Wald,
    "Watertight Ray/Triangle Intersection", 2013).
    """
    x, y = (corners[..., :2] - rays[:, None] * corners[..., 2:]).unbind(2)
    edges = x[:, [1, 2, 0]] * y[:, [2, 0, 1]] - y[:, [1, 2, 0]] * x[:, [2, 0, 1]]
    return edges / edges.sum(1, keepdim=True)


def _onto_outline(
    pixel: Float[Tensor, "hits 2"],
    rays: Float[Tensor, "hits 2"],
    corners: Float[Tensor, "hits 3 3"],
    sides: Float[Tensor, "hits 3 4"],
    near: float,
) -> tuple[Float[Tensor, "hits 2"], Float[Tensor, "hits"]]:
    """Pixels, but outside of faces the nearest point of the outline; and `Fragments.inside`."""
    hidden = sides.isnan().any(2)
    start, end = torch.where(hidden[..., None], 0.0, sides).split(2, dim=2)
    side = end - start
    square = side.square().sum(2)
    along = ((pixel[:, None] - start) * side).sum(2) / torch.where(square > 0, square, 1.0)
    point = start + along.clamp(0, 1)[..., None] * side
    distance = (pixel[:, None] - point).square().sum(2)
    index = torch.where(hidden, torch.inf, distance.detach()).argmin(1, keepdim=True)
    distance = distance.gather(1, index)[:, 0]
    point = point.gather(1, index[..., None].expand(-1, 1, 2))[:, 0]
    with torch.no_grad():
        met = _barycentrics(rays, corners)
        covered = (met >= 0).all(1) & ((met * corners[..., 2]).sum(1) > near)
    met_at = torch.where(covered[:, None], pixel, point)
    return met_at, torch.where(covered, distance, -distance)
