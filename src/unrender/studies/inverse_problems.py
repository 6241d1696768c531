"""Four inverse problems solved by differentiable rendering, evaluated against the ground truth.

Pose from a silhouette, light from shading, texture from images, and shape from normals. The
input images come from a different renderer (many rays per pixel, no antialiased edges), so that
no solver can exploit the errors of its own renderer.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from skimage import data as photographs
from torch import Tensor
from torch.nn.functional import normalize

from unrender.data.builtin.families import make_shape
from unrender.errors import InputError
from unrender.evaluation.images import psnr
from unrender.evaluation.shapes import score_shape
from unrender.geometry.cameras import Cameras
from unrender.geometry.paths import spherical_shell
from unrender.geometry.pixels import pixel_grid
from unrender.geometry.poses import so3_distance
from unrender.imaging.resize import area_average
from unrender.inverse.light_from_shading import (
    environment_from_shading,
    environment_light,
    light_from_shading,
)
from unrender.inverse.mesh_from_normals import mesh_showing_normals
from unrender.inverse.pose_from_silhouette import pose_from_silhouette, silhouette_renderer
from unrender.inverse.shape_from_normals import depth_from_normals, mesh_from_depth
from unrender.inverse.texture_from_photographs import texture_from_photographs
from unrender.rendering.light.lights import AmbientLight, DirectionalLight, PhongLight
from unrender.rendering.mesh.shading import Material, MeshRenderOptions, mesh_renderer
from unrender.rendering.renderer import Rendering, supersampled
from unrender.report.findings import Findings, Part, Record, Strip, Table
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere, parametric_surface
from unrender.shapes.sampling import sample_surface
from unrender.shapes.textures import UVTexture
from unrender.studies.study import Experiment

WHITE = torch.ones(3)
MATTE = Material(specular=0.0)
RAYS = 4
"""Square root of the rays per pixel of the input images."""


@dataclass(frozen=True)
class Solved:
    """One solved problem: its measurements, and its part of the page."""

    records: list[Record]
    parts: list[Part]


@dataclass(frozen=True)
class InverseProblems(Experiment):
    """Pose from a silhouette, light from shading, texture from images, shape from normals."""

    side: int = 64
    """Side of the images, in pixels."""
    poses: int = 3
    """Number of silhouettes whose poses are estimated."""
    views: int = 12
    """Number of images for the texture, and of normal maps for the shape."""
    steps: int = 150
    """Steps of gradient descent for the texture and for the mesh."""

    def run(self, seed: int, say: Callable[[str], None]) -> Findings:
        if self.side < 16 or min(self.poses, self.views, self.steps) < 1:
            raise InputError(
                f"inverse-problems: {self.side} pixels, {self.poses} poses, {self.views} views "
                f"and {self.steps} steps: give at least 16 pixels, and at least 1 of the others"
            )
        solved: list[Solved] = []
        problems = {
            "a pose from a silhouette": pose_problem,
            "a light from shading": light_problem,
            "a texture from images": texture_problem,
            "a shape from normals": shape_problem,
        }
        for name, problem in problems.items():
            say(f"Recovering {name}")
            solved.append(problem(self, torch.Generator().manual_seed(seed)))
        records = [record for each in solved for record in each.records]
        return Findings(
            "Inverse problems",
            [
                "Four scene parameters, estimated from images by differentiable rendering. The "
                f"input images have {RAYS * RAYS} rays per pixel and no antialiased edges. "
                "Errors are against the ground truth, and PSNR is on held-out views.",
                *(part for each in solved for part in each.parts),
            ],
            records,
            {"seed": seed, "image side, pixels": self.side, "steps": self.steps},
        )


def pose_problem(options: InverseProblems, generator: torch.Generator) -> Solved:
    """Estimate a chair's pose from its silhouette alone."""
    mesh = make_shape("chair", 3).mesh()
    poses = spherical_shell(options.poses, (2.3, 3.0), generator, roll=1.0)
    cameras = Cameras.from_focal(poses, 1.6 * options.side, options.side, options.side)
    masks = supersampled(mesh_renderer(mesh, MeshRenderOptions(antialias=False)), RAYS)(
        cameras
    ).opacity
    records: list[Record] = []
    shown: list[Tensor] = []
    for k, mask in enumerate(masks):
        camera = cameras.select(slice(k, k + 1))
        found = pose_from_silhouette(mesh, mask, camera)
        assert found.misfit is not None, "poses from silhouettes have a misfit"
        best = found.cameras.select(slice(0, 1))
        turn = so3_distance(best.rotations, camera.rotations)
        away = (best.centers - camera.centers).norm()
        case = f"silhouette {k}"
        records += [
            _figure("pose", case, "rotation error", math.degrees(float(turn)), "degrees"),
            _figure("pose", case, "camera position error", float(away), "scene units"),
            _figure("pose", case, "misfit", float(found.misfit[0])),
            _figure("pose", case, "misfit of the second-best pose", float(found.misfit[1])),
        ]
        with torch.no_grad():
            drawn = silhouette_renderer(mesh)(found.cameras.select(slice(0, 2))).opacity
        shown.append(torch.stack([mask, *drawn, 0.5 + (drawn[0] - mask) / 2]))
    strip = Strip(
        "pose",
        [(f"chair {k + 1}", rows[..., None].expand(-1, -1, -1, 3).clamp(0, 1))
         for k, rows in enumerate(shown)],
        "The silhouette, the mesh at the best and at the second-best pose, and the difference "
        "of the best (gray: none).",
        ["silhouette", "best pose", "second best", "difference"],
    )  # fmt: skip
    text = (
        "## Pose from a silhouette\n\nThe mesh and the intrinsics are known, the pose is not. "
        "720 candidate poses are scored, 16 of them are optimized on small images and 4 on the "
        "full mask. A silhouette is ambiguous if the second-best pose has a misfit close to "
        "the best one's. Lengths are in scene units; the chair's longest side is 1."
    )
    return Solved(records, [text, Table(_cases(records)), strip])


def light_problem(options: InverseProblems, generator: torch.Generator) -> Solved:
    """Estimate a directional light and an environment from one image of a blob."""
    blob, camera = _blob(), _about(1, options.side, generator)
    direction = normalize(torch.tensor([0.7, -0.3, -0.6]), dim=0)
    color, ambient = torch.tensor([0.7, 0.6, 0.5]), torch.tensor([0.1, 0.15, 0.2])
    lights = (AmbientLight(ambient), DirectionalLight(direction, color))
    render_options = MeshRenderOptions(lights=lights, material=MATTE, antialias=False)
    image = mesh_renderer(blob, render_options)(camera)
    colors, normals, albedo = _pixels(image)
    noisy = colors + 0.02 * torch.randn(colors.shape, generator=generator)
    records: list[Record] = []
    for name, given in (("clean", colors), ("with noise of 0.02", noisy)):
        even, found = light_from_shading(given, normals, albedo)
        cosine = normalize(found.direction, dim=0) @ direction
        turn = math.degrees(math.acos(min(1.0, float(cosine))))
        off = (found.color - color).norm() / color.norm()
        even_off = (even.color - ambient).norm() / ambient.norm()
        records += [
            _figure("light", name, "direction error", turn, "degrees"),
            _figure("light", name, "color error", 100 * float(off), "%"),
            _figure("light", name, "ambient error", 100 * float(even_off), "%"),
        ]
    # Many lights form an environment, which is evaluated on another view of the same surface.
    many: tuple[PhongLight, ...] = (
        AmbientLight(ambient),
        *(DirectionalLight(row, 0.35 * torch.rand(3, generator=generator))
          for row in torch.randn(6, 3, generator=generator)),
    )  # fmt: skip
    draw = mesh_renderer(blob, MeshRenderOptions(lights=many, material=MATTE, antialias=False))
    environment = environment_from_shading(*_pixels(draw(camera)))
    for name, view in (
        ("same view", camera),
        ("another view", _about(1, options.side, generator)),
    ):
        there, own, albedo = _pixels(draw(view))
        error = (albedo * environment_light(environment, own) - there).square().mean()
        case = f"six lights, {name}"
        records.append(_figure("light", case, "PSNR", -10 * float(error.log10()), "dB"))
    relit = _relit(draw(camera), environment)
    strip = Strip(
        "light",
        [("under six\nlights", torch.stack([draw(camera).color[0], relit]))],
        "A surface under six lights, and under the environment (nine spherical harmonics per "
        "color channel) estimated from that image.",
        ["input", "estimate"],
    )
    text = (
        "## Light from shading\n\nNormals and albedo are known. A directional light with "
        "ambient light is estimated in closed form, and so is an environment of nine spherical "
        "harmonics, which represents any number of lights. One image shows only half of all "
        "normals, so the environment generalizes poorly to another view."
    )
    return Solved(records, [text, Table(_cases(records)), strip])


def texture_problem(options: InverseProblems, generator: torch.Generator) -> Solved:
    """Estimate the texture of a ring, a photograph, from images of the ring."""
    picture = torch.from_numpy(photographs.astronaut().copy()).float() / 255
    truth = 0.02 + 0.96 * area_average(picture[None], 64, 64)[0]
    ring = _ring(truth)
    lights = (
        AmbientLight(0.4 * torch.ones(3)),
        DirectionalLight(torch.tensor([0.4, 0.6, -0.7]), 0.6 * torch.ones(3)),
    )
    render_options = MeshRenderOptions(lights=lights, material=MATTE, antialias=False)
    given = _about(options.views, 2 * options.side, generator)
    held = _about(4, 2 * options.side, generator)
    renderer = supersampled(mesh_renderer(ring, render_options), 3)
    images = renderer(given).color
    blank = _ring(torch.full_like(truth, 0.5))
    found = texture_from_photographs(blank, given, images, lights, MATTE, options.steps)
    again = supersampled(mesh_renderer(_ring(found.texture.image), render_options), 3)(held)
    before = supersampled(mesh_renderer(blank, render_options), 3)(held)
    expected = renderer(held)
    error = (found.texture.image - truth)[found.visible].square().mean()
    seen = 0.85 * found.visible[..., None].float().expand(-1, -1, 3)
    case, seen_share = f"{options.views} images", 100 * float(found.visible.float().mean())
    held_out, grey = (
        float(psnr(each.color, expected.color).mean()) for each in (again, before)
    )
    records = [
        _figure("texture", case, "visible texels", seen_share, "%"),
        _figure("texture", case, "PSNR of visible texels", -10 * float(error.log10()), "dB"),
        _figure("texture", case, "PSNR of held-out views", held_out, "dB"),
        _figure("texture", case, "PSNR of a gray texture", grey, "dB"),
    ]
    strips = [
        Strip(
            "texture",
            [("texture", torch.stack([truth, found.texture.image, seen]))],
            "The true texture, the estimate, and the texels that are visible in some image.",
            ["ground truth", "estimate", "visible"],
        ),
        Strip(
            "texture-views",
            [
                ("ground truth", expected.over(WHITE)),
                ("estimated\ntexture", again.over(WHITE)),
            ],
            "Held-out views under the same light.",
        ),
    ]  # fmt: skip
    text = (
        "## Albedo texture from images\n\nMesh, cameras and lights are known; the texture has "
        "64×64 texels. Pixels crossed by an edge are excluded."
    )
    return Solved(records, [text, Table(_cases(records)), *strips])


def shape_problem(options: InverseProblems, generator: torch.Generator) -> Solved:
    """Estimate a blob's depth from one normal map, and its mesh from several."""
    blob = _blob()
    draw = mesh_renderer(blob, MeshRenderOptions(antialias=False))
    camera = _about(1, options.side, generator)
    seen = draw(camera)
    assert seen.normals is not None, "renderers of meshes give normals"
    rays = _directions(camera)
    mask = (seen.opacity[0] == 1) & ((seen.normals[0] * rays).sum(2) < -0.1)
    found = depth_from_normals(seen.normals[0], mask, camera)
    along = seen.depth[0] * (rays @ camera.rotations[0][:, 2])
    scale = (along[mask].log() - found[mask].log()).mean().exp()
    error = (scale * found - along)[mask].square().mean().sqrt()
    start = icosphere(3)
    cameras = _about(options.views, options.side, generator)
    given = supersampled_normals(blob, cameras)
    refined = mesh_showing_normals(start, cameras, *given, steps=options.steps)
    size = float((blob.vertices.amax(0) - blob.vertices.amin(0)).max())
    off = 100 * float(error) / size
    records = [_figure("shape", "depth, one view", "RMS error", off, "% of the size")]
    truth = sample_surface(blob, 5000, torch.Generator().manual_seed(1))
    for name, mesh in (("start: a sphere", start), (f"{options.views} views", refined)):
        points = sample_surface(mesh, 5000, torch.Generator().manual_seed(2))
        score = score_shape(points.points, truth.points, points.normals, truth.normals)
        assert score.normal_consistency is not None, "both have normals"
        chamfer = 100 * score.chamfer_l1 / score.size
        records += [
            _figure("shape", name, "chamfer", chamfer, "% of the size"),
            _figure("shape", name, "normal consistency", score.normal_consistency),
        ]
    side = mesh_renderer(mesh_from_depth(scale * found, mask, camera))
    held = _about(1, options.side, generator)
    pictures = [
        seen.normals[0] / 2 + 0.5,
        *(mesh_renderer(mesh)(held).over(WHITE)[0] for mesh in (blob, start, refined)),
        side(held).over(WHITE)[0],
    ]
    strip = Strip(
        "shape",
        [("a blob", torch.stack(pictures))],
        "One of the normal maps; from a held-out view the true shape, the initial sphere and "
        "the estimated mesh; and the mesh of the depth integrated from the first normal map.",
        ["normal map", "ground truth", "start", "estimate", "depth, 1 view"],
    )
    text = (
        "## Shape from normals\n\nOne normal map is integrated to depth, up to a scale factor. "
        "With several, the vertices of a sphere are optimized to reproduce all of them."
    )
    return Solved(records, [text, Table(_cases(records)), strip])


def supersampled_normals(
    mesh: Mesh, cameras: Cameras
) -> tuple[Float[Tensor, "views height width 3"], Float[Tensor, "views height width"]]:
    """Mean normals over each pixel's rays, and the share of rays that hit the mesh."""

    def draw(cameras: Cameras) -> Rendering:
        seen = mesh_renderer(mesh, MeshRenderOptions(antialias=False))(cameras)
        assert seen.normals is not None, "renderers of meshes give normals"
        return Rendering(seen.normals * seen.opacity[..., None], seen.opacity, seen.depth)

    mean = supersampled(draw, RAYS)(cameras)
    return normalize(mean.color, dim=3), mean.opacity


def _blob() -> Mesh:
    """A sphere whose radius is modulated by waves."""
    ball = icosphere(4)
    x, y, z = ball.vertices.unbind(1)
    radius = 0.85 + 0.12 * (3 * x + 1).sin() + 0.1 * (4 * y).sin() * (3 * z).cos()
    return Mesh(ball.vertices * radius[:, None], ball.faces)


def _ring(image: Float[Tensor, "height width 3"]) -> Mesh:
    """A torus textured with an image that wraps once in each direction."""

    def surface(u: Tensor, v: Tensor) -> Tensor:
        around, tube = 2 * math.pi * u, 2 * math.pi * v
        out = 0.75 + 0.4 * tube.cos()
        return torch.stack([out * around.cos(), out * around.sin(), 0.4 * tube.sin()], dim=-1)

    rows, columns = 32, 64
    mesh = parametric_surface(surface, rows, columns)
    v, u = torch.meshgrid(
        torch.arange(rows + 1) / rows, torch.arange(columns + 1) / columns, indexing="ij"
    )
    uv = torch.stack([u, v], dim=-1).flatten(0, 1)
    return Mesh(mesh.vertices, mesh.faces, UVTexture(image, uv, mesh.faces))


def _about(count: int, side: int, generator: torch.Generator) -> Cameras:
    poses = spherical_shell(count, (4.0, 4.0), generator)
    return Cameras.from_focal(poses, 1.6 * side, side, side)


def _pixels(
    seen: Rendering,
) -> tuple[Float[Tensor, "pixels 3"], Float[Tensor, "pixels 3"], Float[Tensor, "pixels 3"]]:
    """Colors, normals and albedo of the pixels that show the gray surface."""
    assert seen.normals is not None, "renderers of meshes give normals"
    there = seen.opacity > 0.5
    colors = seen.color[there]
    return colors, seen.normals[there], torch.full_like(colors, 0.7)


def _relit(
    seen: Rendering, environment: Float[Tensor, "9 3"]
) -> Float[Tensor, "height width 3"]:
    assert seen.normals is not None, "renderers of meshes give normals"
    color = torch.zeros_like(seen.color[0])
    there = seen.opacity[0] > 0.5
    color[there] = 0.7 * environment_light(environment, seen.normals[0][there])
    return color.clamp(0, 1)


def _directions(camera: Cameras) -> Float[Tensor, "height width 3"]:
    pixel = pixel_grid(camera.width, camera.height)
    return camera.rays(torch.zeros(pixel.shape[:2], dtype=torch.long), pixel).directions


def _figure(problem: str, case: str, figure: str, value: float, unit: str = "") -> Record:
    return {"problem": problem, "case": case, "figure": figure, "value": value, "unit": unit}


def _cases(records: list[Record]) -> list[Record]:
    """A row for each case, a column for each figure."""

    def head(record: Record) -> str:
        return (
            f"{record['figure']}, {record['unit']}" if record["unit"] else str(record["figure"])
        )

    heads = list(dict.fromkeys(head(record) for record in records))
    rows: dict[str, dict[str, str | float | int | None]] = {}
    for record in records:
        case = str(record["case"])
        row = rows.setdefault(case, {"case": case, **dict.fromkeys(heads)})
        row[head(record)] = record["value"]
    return list(rows.values())
