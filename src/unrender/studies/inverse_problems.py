"""Four inverse problems by differentiable rendering, each judged by what it was not given.

A pose from a silhouette, a light from shading, a texture from photographs, and a shape from
normals. Each begins with images that another renderer made (many rays a pixel, no antialiased
edges), so that none is solved by its own mistakes.
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
from unrender.rendering.mesh.shading import (
    AmbientLight,
    DirectionalLight,
    Light,
    Material,
    MeshRenderOptions,
    mesh_renderer,
)
from unrender.rendering.renderer import Rendering, pixel_grid, supersampled
from unrender.shapes.mesh import Mesh
from unrender.shapes.primitives import icosphere, parametric_surface
from unrender.shapes.sampling import sample_surface
from unrender.shapes.textures import UVTexture
from unrender.studies.findings import Findings, Part, Record, Strip, Table
from unrender.studies.study import Experiment

WHITE = torch.ones(3)
MATTE = Material(specular=0.0)
RAYS = 4
"""A side of each pixel of the images that are given."""


@dataclass(frozen=True)
class Solved:
    """One problem: its figures, and what the page says of it."""

    records: list[Record]
    parts: list[Part]


@dataclass(frozen=True)
class InverseProblems(Experiment):
    """A pose from a silhouette, a light from shading, a texture from photographs, a shape from
    normals.
    """

    side: int = 64
    """Pixels a side of the images."""
    poses: int = 3
    """Silhouettes whose poses are recovered."""
    views: int = 12
    """Photographs that the texture is found from, and as many images of normals."""
    steps: int = 150
    """Of the descents to a texture and to a mesh."""

    def run(self, seed: int, say: Callable[[str], None]) -> Findings:
        if self.side < 16 or min(self.poses, self.views, self.steps) < 1:
            raise InputError(
                f"inverse-problems: {self.side} pixels, {self.poses} poses, {self.views} views "
                f"and {self.steps} steps: it takes 16 pixels, and one of each other"
            )
        solved: list[Solved] = []
        problems = {
            "a pose from a silhouette": pose_problem,
            "a light from shading": light_problem,
            "a texture from photographs": texture_problem,
            "a shape from normals": shape_problem,
        }
        for name, problem in problems.items():
            say(f"Recovering {name}")
            solved.append(problem(self, torch.Generator().manual_seed(seed)))
        records = [record for each in solved for record in each.records]
        return Findings(
            "Inverse problems",
            [
                "What made an image, from the image. The images that are given have "
                f"{RAYS * RAYS} rays a pixel, without antialiased edges; figures are against "
                "the truth, and of views that were held out.",
                *(part for each in solved for part in each.parts),
            ],
            records,
            {"seed": seed, "pixels a side": self.side, "steps": self.steps},
        )


def pose_problem(options: InverseProblems, generator: torch.Generator) -> Solved:
    """A chair's pose, from its silhouette alone."""
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
        assert found.misfit is not None, "poses from silhouettes tell their misfit"
        best = found.cameras.select(slice(0, 1))
        turn = so3_distance(best.rotations, camera.rotations)
        away = (best.centers - camera.centers).norm()
        case = f"silhouette {k}"
        records += [
            _figure("pose", case, "rotation error", math.degrees(float(turn)), "degrees"),
            _figure("pose", case, "camera's distance", float(away), "scene units"),
            _figure("pose", case, "misfit", float(found.misfit[0])),
            _figure("pose", case, "misfit of the next pose", float(found.misfit[1])),
        ]
        with torch.no_grad():
            drawn = silhouette_renderer(mesh)(found.cameras.select(slice(0, 2))).opacity
        shown.append(torch.stack([mask, *drawn, 0.5 + (drawn[0] - mask) / 2]))
    strip = Strip(
        "pose",
        [(f"silhouette {k}", rows[..., None].expand(-1, -1, -1, 3).clamp(0, 1))
         for k, rows in enumerate(shown)],
        "The silhouette, the mesh at the best pose and at the next, and how the best differs: "
        "grey where it does not.",
        ["silhouette", "best pose", "next pose", "difference"],
    )  # fmt: skip
    text = (
        "## A pose from a silhouette\n\nThe mesh and the lens are known, the pose is not: 720 "
        "poses are tried, 16 descend on small images and 4 on the mask. The misfit of the "
        "next best pose tells whether the silhouette could have been another one. Lengths "
        "are in scene units; the chair's longest side is 1."
    )
    return Solved(records, [text, Table(_cases(records)), strip])


def light_problem(options: InverseProblems, generator: torch.Generator) -> Solved:
    """One light by its direction, and an environment, from one image of a blob."""
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
            _figure("light", name, "colour error", 100 * float(off), "%"),
            _figure("light", name, "ambient error", 100 * float(even_off), "%"),
        ]
    # Many lights at once are an environment, judged by another view of the same surface.
    many: tuple[Light, ...] = (
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
        "A surface under six lights, and under the environment of nine numbers a colour that "
        "was found in that image.",
        ["given", "found"],
    )
    text = (
        "## A light from shading\n\nNormals and albedo are known. One directional light with "
        "an even one is found in closed form, and so is an environment in nine harmonics, "
        "which stands for as many lights as there are. One image shows half of all normals: "
        "for the others, of another view, nothing is known, and little is right."
    )
    return Solved(records, [text, Table(_cases(records)), strip])


def texture_problem(options: InverseProblems, generator: torch.Generator) -> Solved:
    """A photograph laid on a ring, found again from images of the ring."""
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
    error = (found.texture.image - truth)[found.seen].square().mean()
    seen = 0.85 * found.seen[..., None].float().expand(-1, -1, 3)
    case, seen_share = f"{options.views} photographs", 100 * float(found.seen.float().mean())
    held_out, grey = (
        float(psnr(each.color, expected.color).mean()) for each in (again, before)
    )
    records = [
        _figure("texture", case, "texels seen", seen_share, "%"),
        _figure("texture", case, "PSNR of seen texels", -10 * float(error.log10()), "dB"),
        _figure("texture", case, "PSNR of held-out views", held_out, "dB"),
        _figure("texture", case, "PSNR of a grey texture", grey, "dB"),
    ]
    strips = [
        Strip(
            "texture",
            [("texture", torch.stack([truth, found.texture.image, seen]))],
            "The picture laid on the ring, what was found of it, and where it was seen.",
            ["true", "found", "seen"],
        ),
        Strip(
            "texture-views",
            [("held out", expected.over(WHITE)), ("from what\nwas found", again.over(WHITE))],
            "Views that were held out, under the same light.",
        ),
    ]  # fmt: skip
    text = (
        "## An albedo texture from photographs\n\nMesh, cameras and lights are known; the "
        "texture has 64×64 texels. Only pixels that no edge crosses count."
    )
    return Solved(records, [text, Table(_cases(records)), *strips])


def shape_problem(options: InverseProblems, generator: torch.Generator) -> Solved:
    """A blob's depth from one image of its normals, and the blob from many."""
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
        "An image of normals; from a view that was held out the true shape, the sphere at the "
        "start and what became of it; and from there the depth of the first image.",
        ["normals", "true", "start", "found", "one depth"],
    )
    text = (
        "## A shape from normals\n\nOne image of normals is integrated to depth, up to a "
        "factor; with several, a sphere's vertices move until it shows them all."
    )
    return Solved(records, [text, Table(_cases(records)), strip])


def supersampled_normals(
    mesh: Mesh, cameras: Cameras
) -> tuple[Float[Tensor, "views height width 3"], Float[Tensor, "views height width"]]:
    """Mean normals of the pixels' rays, and the share that meets the mesh."""

    def draw(cameras: Cameras) -> Rendering:
        seen = mesh_renderer(mesh, MeshRenderOptions(antialias=False))(cameras)
        assert seen.normals is not None, "renderers of meshes give normals"
        return Rendering(seen.normals * seen.opacity[..., None], seen.opacity, seen.depth)

    mean = supersampled(draw, RAYS)(cameras)
    return normalize(mean.color, dim=3), mean.opacity


def _blob() -> Mesh:
    """A sphere with waves on it."""
    ball = icosphere(4)
    x, y, z = ball.vertices.unbind(1)
    radius = 0.85 + 0.12 * (3 * x + 1).sin() + 0.1 * (4 * y).sin() * (3 * z).cos()
    return Mesh(ball.vertices * radius[:, None], ball.faces)


def _ring(image: Float[Tensor, "height width 3"]) -> Mesh:
    """A torus with an image once around it both ways."""

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
    """Colours, normals and the albedo of pixels that show the grey surface."""
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
