"""Positional encodings, which let networks learn fine detail, and integrated ones."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from unrender.geometry.frustums import Gaussians
from unrender.kernels.encoding import encode


def positional_encoding(
    x: Float[Tensor, "*batch channels"], frequencies: int
) -> Float[Tensor, "*batch encoded"]:
    """sin(2^l x) and cos(2^l x) for l < frequencies: 2 × frequencies × channels numbers.

    NeRF, eq. 4, without its factor π, as in the authors' experiments, so that scenes a few
    units wide do not repeat.
    """
    return encode(x.reshape(-1, x.shape[-1]), None, frequencies).unflatten(0, x.shape[:-1])


def with_identity(
    x: Float[Tensor, "*batch channels"], frequencies: int
) -> Float[Tensor, "*batch encoded"]:
    """x itself, then its positional encoding: channels × (2 × frequencies + 1) numbers."""
    return torch.cat([x, positional_encoding(x, frequencies)], dim=-1)


def integrated_encoding(
    mean: Float[Tensor, "*batch channels"],
    variance: Float[Tensor, "*batch channels"],
    frequencies: int,
) -> Float[Tensor, "*batch encoded"]:
    """The expected positional encoding of normally distributed x (mip-NeRF, eq. 14).

    E[sin(s x)] = sin(s μ) exp(−½ s² σ²): frequencies with wavelengths below σ fade out.
    """
    means, variances = (part.reshape(-1, part.shape[-1]) for part in (mean, variance))
    return encode(means, variances, frequencies).unflatten(0, mean.shape[:-1])


def along_axes(gaussians: Gaussians) -> tuple[Tensor, Tensor]:
    """Mean and variance along the three axes, which is all that mip-NeRF encodes."""
    return gaussians.mean, gaussians.covariance.diagonal(dim1=-2, dim2=-1)


def along_directions(
    gaussians: Gaussians, directions: Float[Tensor, "directions 3"]
) -> tuple[Float[Tensor, "*batch directions"], Float[Tensor, "*batch directions"]]:
    """Mean and variance along unit vectors (Mip-NeRF 360, sec. C of the supplement)."""
    squares = (directions[:, :, None] * directions[:, None]).flatten(1)
    variance = gaussians.covariance.flatten(-2) @ squares.T
    return gaussians.mean @ directions.T, variance.clamp_min(0)


def geodesic_directions(subdivisions: int = 2) -> Float[Tensor, "directions 3"]:
    """The vertices of a subdivided icosahedron, one of each antipodal pair.

    Each edge is split into `subdivisions` parts; 2 gives the 21 directions of Mip-NeRF 360.
    """
    golden = (1 + math.sqrt(5)) / 2
    corners = [
        vector
        for a in (-1.0, 1.0)
        for b in (-golden, golden)
        for vector in ((0.0, a, b), (a, b, 0.0), (b, 0.0, a))
    ]
    vertices = torch.tensor(corners, dtype=torch.float64)
    distance = (vertices[:, None] - vertices).norm(dim=2)
    near = (distance > 0) & (distance < 2.1)  # The icosahedron's edges have length 2.
    faces = [
        (i, j, k)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]
    found: list[Tensor] = []
    for face in faces:
        a, b, c = vertices[list(face)]
        for i in range(subdivisions + 1):
            for j in range(subdivisions + 1 - i):
                k = subdivisions - i - j
                point = torch.nn.functional.normalize(i * a + j * b + k * c, dim=0)
                # One of each antipodal pair, and no duplicates from adjacent faces.
                if all((point - other).norm() > 1e-6 for other in found) and all(
                    (point + other).norm() > 1e-6 for other in found
                ):
                    found.append(point)
    return torch.stack(found).float()
