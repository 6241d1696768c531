"""Views of the built-in scenes: rays through all pixels, shaded directly or by light paths."""

import math
from typing import no_type_check

from unrender.data.builtin.path_light import MASK, hash_of, trace_path
from unrender.data.builtin.source import Function, part, version
from unrender.data.builtin.tracer import display, normal, shade, trace
from unrender.kernels.runtime.jit import jit


@part
@no_type_check
def direction(pose, intrinsics, px, py):
    """Unit direction of the ray through a pixel position, in the world frame."""
    y = (py - intrinsics[1, 2]) / intrinsics[1, 1]
    x = (px - intrinsics[0, 2] - intrinsics[0, 1] * y) / intrinsics[0, 0]
    length = math.sqrt(x * x + y * y + 1)
    return (
        (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2]) / length,
        (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2]) / length,
        (pose[2, 0] * x + pose[2, 1] * y + pose[2, 2]) / length,
    )


def _outermost(by_paths: bool, version: str) -> Function:
    """`render_view` for one kind of light; naming `version` makes it part of its cache key."""

    @jit
    @no_type_check
    def render_view(scene, grid, pose, intrinsics, supersample, paths, rgba, depth, normals):
        """Fill one view's arrays: RGBA averaged over each pixel, the others at its center.

        Each of `supersample`² rays per pixel has `paths` light paths, if shaded by paths.
        """
        assert version
        height, width = depth.shape
        ox, oy, oz = pose[0, 3], pose[1, 3], pose[2, 3]
        eye = math.floor(1e4 * (ox + 31 * oy + 977 * oz)) & MASK
        share = 1 / (supersample * supersample)
        for row in range(height):
            for column in range(width):
                dx, dy, dz = direction(pose, intrinsics, column + 0.5, row + 0.5)
                t = trace(scene, grid, ox, oy, oz, dx, dy, dz)
                if t > 0:
                    depth[row, column] = t
                    nx, ny, nz = normal(scene, ox + t * dx, oy + t * dy, oz + t * dz)
                    normals[row, column, 0] = nx
                    normals[row, column, 1] = ny
                    normals[row, column, 2] = nz
                seed = hash_of((eye + row * 0x9E3779B1 + column * 0x85EBCA6B) & MASK)
                red, green, blue, hits = 0.0, 0.0, 0.0, 0
                for sample in range(supersample * supersample):
                    px = column + (sample % supersample + 0.5) / supersample
                    py = row + (sample // supersample + 0.5) / supersample
                    dx, dy, dz = direction(pose, intrinsics, px, py)
                    t = trace(scene, grid, ox, oy, oz, dx, dy, dz)
                    if t == 0:
                        continue
                    hits += 1
                    x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
                    nx, ny, nz = normal(scene, x, y, z)
                    if by_paths:
                        for k in range(paths):
                            r, g, b = trace_path(
                                scene, grid, x, y, z, nx, ny, nz, dx, dy, dz,
                                seed, sample * paths + k,
                            )  # fmt: skip
                            red, green, blue = red + r, green + g, blue + b
                    else:
                        r, g, b = shade(scene, grid, x, y, z, nx, ny, nz, dx, dy, dz)
                        red, green, blue = red + r, green + g, blue + b
                if by_paths and hits > 0:
                    # Average light before the tone curve, not the display values of paths.
                    red = hits * display(red / (hits * paths))
                    green = hits * display(green / (hits * paths))
                    blue = hits * display(blue / (hits * paths))
                rgba[row, column, 0] = red * share
                rgba[row, column, 1] = green * share
                rgba[row, column, 2] = blue * share
                rgba[row, column, 3] = hits * share

    return render_view


render_view = _outermost(False, version())
render_view_by_paths = _outermost(True, version())
