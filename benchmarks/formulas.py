"""Formulas of the papers in plain NumPy and double precision, as they are printed.

What the library computes in single precision, by kernels and in stable forms, is compared with
these: by `fidelity.py`, and by the tests. They are slow, and written from the papers alone.
Arrays are float64; `Array` is any NumPy array.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# --- volume rendering ----------------------------------------------------------------------


def weights(density: Array, lengths: Array) -> Array:
    """NeRF, eq. 3: T_i (1 − exp(−σ_i δ_i)) with T_i = exp(−Σ_{j<i} σ_j δ_j), for each ray."""
    out = np.zeros(density.shape)
    for ray in range(len(density)):
        in_front = 0.0
        for i, depth in enumerate(density[ray] * lengths[ray]):
            out[ray, i] = math.exp(-in_front) * -math.expm1(-depth)
            in_front += depth
    return out


def distortion(edges: Array, w: Array) -> Array:
    """Mip-NeRF 360, eq. 15: Σ_ij w_i w_j |m_i − m_j| + ⅓ Σ_i w_i² (s_{i+1} − s_i)."""
    middles, lengths = (edges[:, 1:] + edges[:, :-1]) / 2, np.diff(edges)
    apart = np.abs(middles[:, :, None] - middles[:, None, :])
    pairs = np.einsum("ri,rij,rj->r", w, apart, w)
    return pairs + (w**2 * lengths).sum(1) / 3


def inverse_cdf(edges: Array, w: Array, u: Array) -> Array:
    """NeRF, sec. 5.2: inverse transform sampling of a piecewise constant PDF."""
    out = np.zeros(u.shape)
    for ray in range(len(edges)):
        cdf = np.concatenate([[0], np.cumsum(w[ray])]) / w[ray].sum()
        for k, quantile in enumerate(u[ray]):
            i = int(np.searchsorted(cdf[1:-1], quantile, side="right"))
            share = (quantile - cdf[i]) / (cdf[i + 1] - cdf[i])
            out[ray, k] = edges[ray, i] + share * (edges[ray, i + 1] - edges[ray, i])
    return out


def outer_bound(edges: Array, w: Array, intervals: Array) -> Array:
    """Mip-NeRF 360, eq. 12: the sum of all weights whose bins overlap an interval."""
    out = np.zeros((len(edges), intervals.shape[1] - 1))
    for ray, i, j in np.ndindex(len(edges), out.shape[1], w.shape[1]):
        overlaps = (
            edges[ray, j] < intervals[ray, i + 1] and edges[ray, j + 1] > intervals[ray, i]
        )
        out[ray, i] += w[ray, j] if overlaps else 0
    return out


def proposal_loss(edges: Array, w: Array, proposal_edges: Array, proposal_w: Array) -> float:
    """Mip-NeRF 360, eq. 13: Σ_i max(0, w_i − bound)² / w_i, on average over rays."""
    bound = outer_bound(proposal_edges, proposal_w, edges)
    return float((np.maximum(0, w - bound) ** 2 / w).sum(1).mean())


def blur_pool(w: Array) -> Array:
    """mip-NeRF, sec. 3.2: ½ (max(w_{k−1}, w_k) + max(w_k, w_{k+1})), without its constant."""
    padded = np.concatenate([w[:, :1], w, w[:, -1:]], axis=1)
    left = np.maximum(padded[:, :-2], padded[:, 1:-1])
    return (left + np.maximum(padded[:, 1:-1], padded[:, 2:])) / 2


def disparity_distance(near: Array, far: Array, s: Array) -> Array:
    """Mip-NeRF 360, eq. 11 with g(x) = 1/x: t = 1 / (s / far + (1 − s) / near)."""
    return 1 / (s / far[:, None] + (1 - s) / near[:, None])


def neus_alpha(first: Array, last: Array, sharpness: float) -> Array:
    """NeuS, eq. 13: max((Φ_s(f_i) − Φ_s(f_{i+1})) / Φ_s(f_i), 0)."""
    front, back = (1 / (1 + np.exp(-sharpness * f)) for f in (first, last))
    return np.maximum((front - back) / front, 0)


def volsdf_density(distance: Array, beta: float) -> Array:
    """VolSDF, eq. 2 and 3, with α = 1 / β, for a distance that is negative inside."""
    s = -distance
    cdf = np.where(s <= 0, 0.5 * np.exp(s / beta), 1 - 0.5 * np.exp(-s / beta))
    return cdf / beta


# --- encodings -----------------------------------------------------------------------------


def contraction(x: Array) -> Array:
    """Mip-NeRF 360, eq. 10: x inside the unit ball, (2 − 1/‖x‖) x/‖x‖ outside."""
    r = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.where(r <= 1, x, (2 - 1 / r) * (x / r))


def contracted_covariance(x: Array, covariance: Array) -> Array:
    """Mip-NeRF 360, eq. 9: J Σ Jᵀ with the Jacobian J of the contraction at x."""
    out = np.zeros(covariance.shape)
    for k, point in enumerate(x):
        r = np.linalg.norm(point)
        jacobian = np.eye(3)
        if r > 1:
            jacobian = (2 * r - 1) / r**2 * np.eye(3)
            jacobian += (2 - 2 * r) / r**4 * np.outer(point, point)
        out[k] = jacobian @ covariance[k] @ jacobian.T
    return out


def positional_encoding(x: Array, octaves: int) -> Array:
    """NeRF, eq. 4, without its factor π: all sines, then all cosines."""
    angles = np.concatenate([2.0**level * x for level in range(octaves)], axis=1)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def integrated_encoding(mean: Array, variance: Array, octaves: int) -> Array:
    """mip-NeRF, eq. 13 and 14: the expectation of the encoding under a Gaussian."""
    angles = np.concatenate([2.0**level * mean for level in range(octaves)], axis=1)
    spread = np.concatenate([4.0**level * variance for level in range(octaves)], axis=1)
    fade = np.exp(-spread / 2)
    return np.concatenate([np.sin(angles) * fade, np.cos(angles) * fade], axis=1)


def frustum_moments(t0: Array, t1: Array, radius: Array) -> tuple[Array, Array, Array]:
    """mip-NeRF, appendix A: mean and variance along a cone's axis, and variance across it."""
    cubes = t1**3 - t0**3
    mean = 3 * (t1**4 - t0**4) / (4 * cubes)
    along = 3 * (t1**5 - t0**5) / (5 * cubes) - mean**2
    return mean, along, radius**2 * 3 * (t1**5 - t0**5) / (20 * cubes)


def spherical_harmonics(directions: Array, degree: int) -> Array:
    """Green, "Spherical Harmonic Lighting" (2003): real harmonics by their recursion."""
    columns: list[Array] = []
    x, y, z = directions.T
    azimuth, sine = np.arctan2(y, x), np.hypot(x, y)

    def legendre(ell: int, m: int) -> Array:
        if ell == m:
            odd = math.prod(range(1, 2 * m, 2))
            return (-1) ** m * odd * sine**m
        if ell == m + 1:
            return z * (2 * m + 1) * legendre(m, m)
        ahead = z * (2 * ell - 1) * legendre(ell - 1, m)
        return (ahead - (ell + m - 1) * legendre(ell - 2, m)) / (ell - m)

    for ell, m in itertools.product(range(degree + 1), range(-degree, degree + 1)):
        order = abs(m)
        if order > ell:
            continue
        ratio = math.factorial(ell - order) / math.factorial(ell + order)
        scale = math.sqrt((2 * ell + 1) / (4 * math.pi) * ratio) * (math.sqrt(2) if m else 1)
        wave = np.cos(m * azimuth) if m >= 0 else np.sin(order * azimuth)
        columns.append(scale * wave * legendre(ell, order))
    return np.stack(columns, axis=1)


def multilinear(values: Callable[[tuple[int, ...]], Array], point: Array, sizes: Any) -> Array:
    """Interpolation between the corners of the cell that a point in [0, 1]ᵈ lies in."""
    scaled = point * (np.asarray(sizes) - 1)
    cell = np.minimum(np.floor(scaled), np.asarray(sizes) - 2).astype(int)
    total: Any = 0.0
    for corner in itertools.product((0, 1), repeat=len(point)):
        share = np.prod(np.where(corner, scaled - cell, 1 - (scaled - cell)))
        total = total + share * values(tuple(int(i) for i in cell + corner))
    return total


def grid_interpolation(grid: Array, points: Array) -> Array:
    """Trilinear interpolation in a grid [channels, x, y, z] at points in [0, 1]³."""
    sizes = grid.shape[1:]
    return np.stack([multilinear(lambda i: grid[:, *i], p, sizes) for p in points])


def hash_encoding(
    points: Array, table: Array, levels: int, size: int, coarsest: int, finest: int
) -> Array:
    """Instant NGP, eq. 2 to 4: (⊕ x_i π_i) mod T where a level's corners exceed T entries."""
    growth = math.exp((math.log(finest) - math.log(coarsest)) / (levels - 1))
    primes, first, columns = (1, 2654435761, 805459861), 0, []
    for level in range(levels):
        cells = math.floor(coarsest * growth**level + 1e-6)
        dense = (cells + 1) ** 3 <= size

        def entry(corner: tuple[int, ...], cells=cells, dense=dense, first=first) -> Array:
            if dense:
                return table[first + sum(c * (cells + 1) ** k for k, c in enumerate(corner))]
            mixed = 0
            for coordinate, prime in zip(corner, primes, strict=True):
                mixed ^= coordinate * prime
            return table[first + mixed % size]

        columns.append(np.stack([multilinear(entry, p, (cells + 1,) * 3) for p in points]))
        first += (cells + 1) ** 3 if dense else size
    return np.concatenate(columns, axis=1)


# --- Gaussians -----------------------------------------------------------------------------


def rotation(quaternion: Array) -> Array:
    """The rotation v ↦ q v q* of a quaternion (w, x, y, z) of any length."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * across + 2 * across @ across


def projected_gaussian(
    mean: Array, scales: Array, quaternion: Array, pose: Array, matrix: Array, size: Array
) -> tuple[Array, Array, float]:
    """EWA splatting as in Kerbl et al. (2023), eq. 5 and 6: mean and covariance in pixels.

    Σ' = J W Σ Wᵀ Jᵀ, with 0.3 added to its diagonal; the third number is √(|Σ'| / |Σ' + 0.3 I|)
    (Mip-Splatting, eq. 8). J is evaluated at most 15% of the image outside of it.
    """
    camera_from_world = pose[:, :3].T
    x, y, z = camera_from_world @ (mean - pose[:, 3])
    (fx, _, cx), (_, fy, cy), _ = matrix
    pixel = np.array([fx * x / z + cx, fy * y / z + cy])
    u, v = np.clip(pixel, -0.15 * size, 1.15 * size)
    jacobian = np.array([[fx / z, 0, -(u - cx) / z], [0, fy / z, -(v - cy) / z]])
    axes = rotation(quaternion) * scales
    sharp = jacobian @ camera_from_world @ (axes @ axes.T) @ camera_from_world.T @ jacobian.T
    blurred = sharp + 0.3 * np.eye(2)
    return pixel, blurred, math.sqrt(np.linalg.det(sharp) / np.linalg.det(blurred))


def blended(
    means: Array, conics: Array, colors: Array, opacities: Array, depths: Array, size: Any
) -> tuple[Array, Array]:
    """Kerbl et al. (2023), eq. 2 and 3: Σ c_i α_i Π_{j<i} (1 − α_j); also the opacity.

    α below 1/255 counts as 0 and is at most 0.999; a pixel is finished at a transmittance
    below 1e-4.
    """
    width, height = size
    image, light = np.zeros((height, width, 3)), np.ones((height, width))
    opacity = np.zeros((height, width))
    for i in np.argsort(depths, kind="stable"):
        a, b, c = conics[i]
        dx = np.arange(width)[None] + 0.5 - means[i, 0]
        dy = np.arange(height)[:, None] + 0.5 - means[i, 1]
        alpha = opacities[i] * np.exp(-(a * dx**2 + 2 * b * dx * dy + c * dy**2) / 2)
        alpha = np.where(alpha < 1 / 255, 0, np.minimum(alpha, 0.999))
        share = np.where(light < 1e-4, 0, alpha * light)
        image, opacity = image + share[..., None] * colors[i], opacity + share
        light = light * (1 - alpha)
    return image, opacity


def relocated(opacity: float, parts: int) -> tuple[float, float]:
    """Kheradmand et al. (2024), eq. 9: opacity and factor of the scales of N equal parts."""
    new = 1 - (1 - opacity) ** (1 / parts)
    total = sum(
        math.comb(i - 1, k) * (-1) ** k * new ** (k + 1) / math.sqrt(k + 1)
        for i in range(1, parts + 1)
        for k in range(i)
    )
    return new, opacity / total


# --- images --------------------------------------------------------------------------------


def psnr(image: Array, truth: Array) -> float:
    """10 log₁₀(1 / MSE), for values in [0, 1]."""
    return -10 * math.log10(((image - truth) ** 2).mean())


def ssim(image: Array, truth: Array) -> float:
    """Wang et al. (2004), eq. 13 and 14: windows of 11×11 pixels, σ = 1.5, inside the image."""
    at = np.arange(-5, 6)
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2, values = 0.01**2, 0.03**2, []
    for row, column in np.ndindex(image.shape[0] - 10, image.shape[1] - 10):
        for channel in range(image.shape[2]):
            x, y = (a[row : row + 11, column : column + 11, channel] for a in (image, truth))
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            covariance = (window * (x - mx) * (y - my)).sum()
            top = (2 * mx * my + c1) * (2 * covariance + c2)
            values.append(top / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(values))


def linear_from_srgb(value: Array) -> Array:
    """IEC 61966-2-1: the inverse of sRGB's transfer function."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def total_variation(grid: Array) -> float:
    """Sum over the axes of the mean squared difference of neighbors (as in TensoRF, eq. 20)."""
    return float(sum((np.diff(grid, axis=k) ** 2).mean() for k in range(1, grid.ndim)))


# --- shapes --------------------------------------------------------------------------------


def edges_and_faces(faces: Array) -> dict[tuple[int, int], list[int]]:
    """The faces at each edge."""
    found: dict[tuple[int, int], list[int]] = {}
    for number, face in enumerate(faces):
        for a, b in ((0, 1), (1, 2), (2, 0)):
            key = min(face[a], face[b]), max(face[a], face[b])
            found.setdefault((int(key[0]), int(key[1])), []).append(number)
    return found


def mesh_losses(vertices: Array, faces: Array) -> dict[str, float]:
    """Regularizers of a mesh: means over vertices, or over edges with two faces.

    "uniform": distance to the mean of the neighbors; "cotangent": the same with weights
    (cot α + cot β) / 2 (Desbrun et al., 1999, eq. 10); "normals": 1 − cos between faces;
    "edges": squared lengths.
    """
    edges = edges_and_faces(faces)
    total, cot_total = np.zeros((2, *vertices.shape))
    degree, size = np.zeros((2, len(vertices)))
    crossed = np.cross(*(vertices[faces[:, k]] - vertices[faces[:, 0]] for k in (1, 2)))
    unit = crossed / np.linalg.norm(crossed, axis=1, keepdims=True)
    turns, lengths = [], []
    for (a, b), beside in edges.items():
        across, weight = vertices[b] - vertices[a], 0.0
        for face in beside:
            (third,) = set(faces[face].tolist()) - {a, b}
            u, v = vertices[a] - vertices[third], vertices[b] - vertices[third]
            weight += (u @ v) / np.linalg.norm(np.cross(u, v)) / 2
        for k, sign in ((a, 1), (b, -1)):
            total[k] += sign * across
            cot_total[k] += sign * weight * across
            degree[k] += 1
            size[k] += abs(weight)
        lengths.append((across**2).sum())
        if len(beside) == 2:
            turns.append(1 - unit[beside[0]] @ unit[beside[1]])
    return {
        "uniform": float(np.linalg.norm(total / degree[:, None], axis=1).mean()),
        "cotangent": float(np.linalg.norm(cot_total / size[:, None], axis=1).mean()),
        "normals": float(np.mean(turns)),
        "edges": float(np.mean(lengths)),
    }


def chamfer(a: Array, b: Array) -> float:
    """Fan et al. (2017), eq. 1, with means in place of sums."""
    square = ((a[:, None] - b[None]) ** 2).sum(2)
    return float(square.min(1).mean() + square.min(0).mean())


# --- light ---------------------------------------------------------------------------------


def ggx_reflection(color: Array, alpha: float, outgoing: Array, incoming: Array) -> Array:
    """Walter et al. (2007), eq. 20, 33 and 34, times the cosine; F by Schlick (1994)."""
    half = (outgoing + incoming) / np.linalg.norm(outgoing + incoming)
    tangent2 = 1 / half[2] ** 2 - 1
    spread = alpha**2 / (math.pi * half[2] ** 4 * (alpha**2 + tangent2) ** 2)
    shadow = 1.0
    for direction in (outgoing, incoming):
        slope = alpha**2 * (1 / direction[2] ** 2 - 1)
        shadow *= 2 / (1 + math.sqrt(1 + slope))
    fresnel = color + (1 - color) * (1 - outgoing @ half) ** 5
    return fresnel * spread * shadow / (4 * outgoing[2])


def fresnel_reflectance(cosine: float, ratio: float) -> float:
    """Born and Wolf, sec. 1.5: the mean of sin²(i − t) / sin²(i + t) and of tan² likewise."""
    i = math.acos(cosine)
    if math.sin(i) >= ratio:
        return 1.0
    t = math.asin(math.sin(i) / ratio)
    across = math.sin(i - t) / math.sin(i + t)
    along = math.tan(i - t) / math.tan(i + t)
    return (across**2 + along**2) / 2


# --- poses, flows and steps ----------------------------------------------------------------


def se3_exponential(twist: Array) -> Array:
    """The first rows of Σ_k Aᵏ / k! for A = [ω× ρ; 0 0] (Solà et al., 2018, sec. II-D)."""
    x, y, z = twist[:3]
    matrix = np.zeros((4, 4))
    matrix[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    matrix[:3, 3] = twist[3:]
    total, term = np.eye(4), np.eye(4)
    for k in range(1, 60):
        term = term @ matrix / k
        total = total + term
    return total[:3]


def lens_distortion(xy: Array, k1: float, k2: float, p1: float, p2: float, k3: float) -> Array:
    """Brown's model of radial and tangential distortion, as OpenCV documents it."""
    x, y = xy.T
    r = np.hypot(x, y)
    radial = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6
    return np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
            y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
        ],
        axis=1,
    )


def straight_path(x0: Array, x1: Array, t: Array) -> tuple[Array, Array]:
    """Liu et al. (2023), eq. 1: x_t = t x₁ + (1 − t) x₀ and its velocity."""
    return t[:, None] * x1 + (1 - t[:, None]) * x0, x1 - x0


def adam(
    start: Array, gradients: Array, rate: float, betas: tuple[float, float], uniform: bool
) -> Array:
    """Kingma and Ba (2015), algorithm 1; "uniform": Nicolet et al. (2021), sec. 3.3."""
    x, m, v = start.copy(), np.zeros(start.shape), np.zeros(start.shape)
    for t, g in enumerate(gradients, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * (np.max(g**2) if uniform else g**2)
        corrected = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        x = x - rate * corrected[0] / (np.sqrt(corrected[1]) + 1e-12)
    return x


def cosine_schedule(fraction: float, last: float) -> float:
    """Loshchilov and Hutter (2017), eq. 5: from 1 to `last` along half a cosine."""
    return last + (1 - last) / 2 * (1 + math.cos(math.pi * fraction))
