"""Differentiable mesh rasterization: which face covers each pixel, and where.

A kernel (kernels/rasterize) finds the visible faces; it has no gradient. The intersection of a
pixel's ray with its face is then recomputed from the face's vertices, so that depth and
interpolated attributes have gradients with respect to vertices, poses and intrinsics. This is
done for hits only, pairs of a pixel and a face that covers it, which are rows of packed arrays.

Depths here are along the optical axis, as in a z-buffer.
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
"""Depth of the near plane in scene units; nothing in front of it is visible."""


@dataclass(frozen=True)
class CameraSpaceMesh:
    """A mesh transformed into the frame of each camera, the images' copies packed in order."""

    vertices: Float[Tensor, "vertices 3"]
    """x right, y down, z forward."""
    faces: Int[Tensor, "faces 3"]
    """Those of the mesh, which all images share, or of the batch, packed."""
    first_vertex: Int[Tensor, "offsets"]
    """Image k has the vertices [first_vertex[k], first_vertex[k + 1])."""
    first_face: Int[Tensor, "offsets"]
    """The same for the faces of all images."""
    shared: bool
    """Whether all images show the same mesh, rather than each its own mesh of a batch."""
    near: float
    """Depth of the near plane."""
    cameras: Cameras

    def in_every_image(
        self, vertices: Int[Tensor, "rows corners"]
    ) -> tuple[Int[Tensor, "all_rows corners"], Int[Tensor, "all_rows"]]:
        """Map vertex indices of the mesh to rows of `vertices` here, once for each image that
        shows them. Also returns the index of that image.
        """
        if not self.shared:
            first = vertices[:, 0].contiguous()
            return vertices, torch.bucketize(first, self.first_vertex[1:], right=True)
        images = torch.arange(len(self.cameras), device=vertices.device)
        packed = (vertices + self.first_vertex[:-1, None, None]).flatten(0, 1)
        return packed, images.repeat_interleave(len(vertices))

    def corners(self) -> Float[Tensor, "all_faces 3 3"]:
        """Corners of the faces of all images."""
        if not self.shared:
            return self.vertices[self.faces]
        count = len(self.cameras)
        by_image = self.vertices.view(count, -1 if count else 0, 3)
        return by_image[:, self.faces].flatten(0, 1)

    def corner_rows(
        self, face: Int[Tensor, "hits"], image: Int[Tensor, "hits"]
    ) -> Int[Tensor, "hits 3"]:
        """Rows of `vertices` for faces of `faces` in images."""
        rows = self.faces[face]
        return rows + self.first_vertex[image][:, None] if self.shared else rows


@dataclass(frozen=True)
class Fragments:
    """The faces that cover each pixel, nearest first, and where its ray hits them.

    Names follow PyTorch3D's `Fragments`, with these differences: `bary`, `depth` and
    `signed_dist_sq` have one row for each hit (a pair of a pixel and a face) instead of padding
    to [images, height, width, layers], see `hit` and `spread`; `zbuf` is of the nearest layer;
    `signed_dist_sq` is in squared pixels instead of NDC, and positive inside; and with one mesh
    and several cameras `pix_to_face` indexes that mesh's faces in every image.
    """

    pix_to_face: Int[Tensor, "images height width layers"]
    """Index into the mesh's faces (packed, for a batch of meshes); −1 where there is none."""
    zbuf: Float[Tensor, "images height width"]
    """Depth of the nearest face, +inf where there is none; without gradients."""
    hit: Int[Tensor, "hits"]
    """Index of each hit into the flattened `pix_to_face`, ascending."""
    bary: Float[Tensor, "hits 3"]
    """Barycentric coordinates of the hit on its face, in space: interpolation with them is
    perspective-correct."""
    depth: Float[Tensor, "hits"]
    """Depth of the hit along the optical axis, with gradients."""
    signed_dist_sq: Float[Tensor, "hits"] | None
    """Squared distance in pixels from the pixel's center to the face's outline, negative
    outside; None without blur."""
    camera_mesh: CameraSpaceMesh

    @property
    def hit_face(self) -> Int[Tensor, "hits"]:
        """Index of the face that is hit."""
        return self.pix_to_face.flatten()[self.hit].long()

    @property
    def pixel(self) -> Int[Tensor, "hits"]:
        """Index of the hit's pixel in the flattened images."""
        return self.hit // self.pix_to_face.shape[3]

    @property
    def image(self) -> Int[Tensor, "hits"]:
        """Index of the hit's image."""
        _, height, width, layers = self.pix_to_face.shape
        return self.hit // (height * width * layers)

    def interpolate(
        self,
        values: Float[Tensor, "vertices channels"],
        faces: Int[Tensor, "faces 3"] | None = None,
    ) -> Float[Tensor, "hits channels"]:
        """Vertex attributes interpolated at the hits, linearly on each face.

        They are those of the mesh with these faces, or, without, of `camera_mesh.vertices`.
        """
        if faces is None:
            rows = self.camera_mesh.corner_rows(self.hit_face, self.image)
        else:
            rows = faces[self.hit_face]
        corners = values.index_select(0, rows.flatten())
        return (corners.view(-1, 3, values.shape[1]) * self.bary[..., None]).sum(1)

    def spread(
        self, values: Float[Tensor, "hits channels"], empty: float = 0.0
    ) -> Float[Tensor, "images height width layers channels"]:
        """Scatter values of the hits into images, with `empty` elsewhere."""
        out = values.new_full((self.pix_to_face.numel(), values.shape[1]), empty)
        return out.index_copy(0, self.hit, values).view(
            *self.pix_to_face.shape, values.shape[1]
        )


def rasterize_mesh(
    mesh: Mesh | Meshes,
    cameras: Cameras,
    layers: int = 1,
    near: float = NEAR,
    blur: float = 0.0,
    cull: bool = False,
    backend: Backend = "auto",
) -> Fragments:
    """Rasterize one mesh for all cameras, or a batch of meshes with one camera each.

    Keeps the `layers` nearest faces of each pixel. Differentiable in vertices, poses and
    intrinsics, but not in which face is visible. `cull` drops back faces. With `blur`, faces
    within that many pixels of a pixel's center count as well, at the nearest point of their
    outline. Faces with vertices that are NaN or Inf are skipped. Raises InputError if a number
    is out of range, or the numbers of cameras and meshes of a batch differ.
    """
    for name, value, least in (("layers", layers, 1), ("near", near, 1e-12), ("blur", blur, 0)):
        if not value >= least:
            raise InputError(f"{name} {value:g}: give at least {least:g}")
    camera_mesh = _to_camera_space(mesh, cameras, near)
    packed_faces, pix_to_face, zbuf = _visible(camera_mesh, layers, blur, cull, backend)
    hit = (pix_to_face.flatten() >= 0).nonzero()[:, 0]
    image = hit // pix_to_face[0].numel()
    rows = camera_mesh.corner_rows(pix_to_face.flatten()[hit].long(), image)
    corners = camera_mesh.vertices.index_select(0, rows.flatten()).view(-1, 3, 3)
    pixel, signed_dist_sq = _centers(hit, pix_to_face, corners), None
    if blur:
        # Outlines are computed once for each face, which has many hits.
        k = cameras.intrinsics.index_select(0, image_of_face(camera_mesh.first_face))
        edges = outlines(camera_mesh.corners(), k, near).to(corners.dtype)
        packed = packed_faces.flatten()[hit].long()
        rays = _rays(pixel, image, cameras.intrinsics)
        edges = edges.flatten(1).index_select(0, packed).view(-1, 3, 4)
        pixel, signed_dist_sq = _onto_outline(pixel, rays.detach(), corners, edges, near)
    bary = _barycentrics(_rays(pixel, image, cameras.intrinsics), corners)
    if blur:
        # Points of the outline are on the face up to rounding.
        bary = bary.clamp_min(0)
        bary = bary / bary.sum(1, keepdim=True)
    depth = (bary * corners[..., 2]).sum(1)
    zbuf = zbuf[..., 0].to(depth.dtype)
    return Fragments(pix_to_face, zbuf, hit, bary, depth, signed_dist_sq, camera_mesh)


def visible_faces(
    mesh: Mesh | Meshes, cameras: Cameras, cull: bool = False, backend: Backend = "auto"
) -> Int[Tensor, "images height width"]:
    """The nearest face in each pixel, as `Fragments.pix_to_face`: all that flat colors need."""
    return _visible(_to_camera_space(mesh, cameras, NEAR), 1, 0.0, cull, backend)[1][..., 0]


@torch.no_grad()
def _visible(
    camera_mesh: CameraSpaceMesh, layers: int, blur: float, cull: bool, backend: Backend
) -> tuple[Tensor, Tensor, Tensor]:
    """The faces in each pixel, packed and as `Fragments.pix_to_face`, and their depths."""
    cameras = camera_mesh.cameras
    found = rasterize(
        # Single precision is enough for visibility, and the fast backends have no other.
        camera_mesh.corners().float(), camera_mesh.first_face, cameras.intrinsics,
        cameras.width, cameras.height, layers, camera_mesh.near, blur, cull, backend,
    )  # fmt: skip
    face = found.pix_to_face
    if camera_mesh.shared and len(cameras) > 1:
        face = torch.where(face >= 0, face % max(len(camera_mesh.faces), 1), -1)
    return found.pix_to_face, face, found.zbuf


def _to_camera_space(mesh: Mesh | Meshes, cameras: Cameras, near: float) -> CameraSpaceMesh:
    number = len(cameras)
    axes, centers = cameras.rotations, cameras.centers[:, None]
    if isinstance(mesh, Mesh):
        vertices = ((mesh.vertices - centers) @ axes).flatten(0, 1)
        start = torch.arange(number + 1, device=vertices.device)
        first_vertex, first_face = len(mesh.vertices) * start, len(mesh.faces) * start
        return CameraSpaceMesh(
            vertices, mesh.faces, first_vertex, first_face, True, near, cameras
        )
    if len(mesh) != number:
        raise InputError(f"{number} cameras for {len(mesh)} meshes: give one for each")
    parts = mesh.vertices.split(mesh.first_vertex.diff().tolist())
    vertices = torch.cat([(p - c) @ a for p, c, a in zip(parts, centers, axes, strict=True)])
    return CameraSpaceMesh(
        vertices, mesh.faces, mesh.first_vertex, mesh.first_face, False, near, cameras
    )


def _centers(
    hit: Int[Tensor, "hits"],
    pix_to_face: Int[Tensor, "images height width layers"],
    like: Float[Tensor, "hits 3 3"],
) -> Float[Tensor, "hits 2"]:
    """Pixel centers (x, y) of the hits."""
    _, height, width, layers = pix_to_face.shape
    pixel = hit // layers
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
    """Barycentric coordinates of the intersections of rays with the planes of faces.

    With the corners sheared along the ray to z = 0, the edge function d·(b × c) is the 2D cross
    product p × q. Its operands are small, which avoids cancellation (Woop, Benthin and Wald,
    "Watertight Ray/Triangle Intersection", 2013).
    """
    x, y = (corners[..., :2] - rays[:, None] * corners[..., 2:]).unbind(2)
    edges = x[:, [1, 2, 0]] * y[:, [2, 0, 1]] - y[:, [1, 2, 0]] * x[:, [2, 0, 1]]
    return edges / edges.sum(1, keepdim=True)


def _onto_outline(
    pixel: Float[Tensor, "hits 2"],
    rays: Float[Tensor, "hits 2"],
    corners: Float[Tensor, "hits 3 3"],
    edges: Float[Tensor, "hits 3 4"],
    near: float,
) -> tuple[Float[Tensor, "hits 2"], Float[Tensor, "hits"]]:
    """Move pixel centers outside of their face to the nearest point of its outline.

    Returns the points and `Fragments.signed_dist_sq`.
    """
    clipped = edges.isnan().any(2)
    start, end = torch.where(clipped[..., None], 0.0, edges).split(2, dim=2)
    edge = end - start
    square = edge.square().sum(2)
    along = ((pixel[:, None] - start) * edge).sum(2) / torch.where(square > 0, square, 1.0)
    point = start + along.clamp(0, 1)[..., None] * edge
    distance = (pixel[:, None] - point).square().sum(2)
    index = torch.where(clipped, torch.inf, distance.detach()).argmin(1, keepdim=True)
    distance = distance.gather(1, index)[:, 0]
    point = point.gather(1, index[..., None].expand(-1, 1, 2))[:, 0]
    with torch.no_grad():
        bary = _barycentrics(rays, corners)
        inside = (bary >= 0).all(1) & ((bary * corners[..., 2]).sum(1) > near)
    nearest = torch.where(inside[:, None], pixel, point)
    return nearest, torch.where(inside, distance, -distance)
