"""The shapes that a fitted model becomes: the methods of `Run` for meshes and their like."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from unrender.api.extract import mesh_of, splats_of
from unrender.api.mesh_options import Box, MeshOptions
from unrender.api.moving_mesh import sequence_of
from unrender.api.run_state import RunState
from unrender.shapes.mesh import Mesh
from unrender.shapes.mesh_sequence import MeshSequence
from unrender.shapes.points import PointCloud
from unrender.shapes.shape import Shape
from unrender.shapes.splats import Splats
from unrender.shapes.textures import VertexColors


@dataclass(frozen=True, repr=False)
class RunShapes(RunState):
    """What a run is as a shape."""

    def mesh(
        self,
        *,
        faces: int | None = None,
        crop: Box | None = None,
        all_parts: bool = False,
        texture: int | None = None,
        upright: bool = True,
        voxels: int | None = None,
        half_width: float | None = None,
        time: float | None = None,
        progress: bool = True,
    ) -> Mesh:
        """The surface as a mesh with vertex colors, or with a texture.

        A model that is a mesh or voxels gives its own surface. From a radiance field, depths
        rendered from the training cameras are fused in a grid (Curless and Levoy, 1996). Of a
        scene that moves it is the canonical scene, or the scene at a `time`.

        Args:
            faces: Faces at most; by default 100,000, or 20,000 with a texture.
            crop: A box that holds the mesh: x, y, z of its lower and of its upper corner, in
                scene units in the mesh's frame; by default what the cameras look at.
            all_parts: Keep all connected parts, not the largest alone.
            texture: Pixels of a texture's longer side; needs the extra `texture` (xatlas).
            upright: Turn the cameras' up direction to z, as turntables do; without, the mesh
                is in the frame of the run's cameras.
            voxels: Voxels along the surface's longest side, 16 to 512; by default as fine as
                the rendered pixels.
            half_width: Instead of `crop`, half the side of a cube about what the cameras see.
            time: When to take a scene that moves, in the unit of the training views' times.
            progress: Whether to show progress bars.

        InputError for models without a surface, such as pose flows.

        >>> import unrender as ur
        >>> run = ur.fit_shape(ur.Mesh.torus(), steps=5, level=2, progress=False)
        >>> run.mesh()
        Mesh(162 vertices, 320 faces, watertight)
        """
        options = MeshOptions(
            faces, crop, all_parts, texture, upright, voxels, half_width, time
        )
        return mesh_of(self, options, progress)

    def mesh_sequence(
        self,
        times: int | Sequence[float] | Float[Tensor, "frames"] = 24,
        *,
        progress: bool = True,
        **options: Any,
    ) -> MeshSequence:
        """A moving scene as one mesh that moves: its canonical scene, at these times.

        Args:
            times: In the unit of the training views' times; or a number of them, evenly spaced
                from the first to the last of the film.
            progress: Whether to show progress bars.
            **options: As for `mesh`, but `time`; at most 20,000 faces by default.

        Each vertex is moved by the inverse of the deformation. Where this has none, it moves as
        the nearest vertex that has, with a note. InputError for scenes that do not move.

        >>> import unrender as ur
        >>> data = ur.load("bricks", downscale=8)
        >>> ur.fit("box", data, steps=5, progress=False).mesh_sequence(3)
        Traceback (most recent call last):
        unrender.errors.InputError: box: does not move: use its mesh
        """
        return sequence_of(self, times, MeshOptions(**options), progress)

    def points(self, **options: Any) -> PointCloud:
        """The surface as a point cloud; options as for `mesh`. InputError.

        >>> import unrender as ur
        >>> run = ur.fit_shape(ur.Mesh.torus(), "points", steps=5, progress=False)
        >>> len(run.points())
        20000
        """
        if self.method.has_shape:
            shape = self.shape()
            if isinstance(shape, PointCloud):
                return shape
        mesh = self.mesh(**options)
        colors = mesh.texture.colors if isinstance(mesh.texture, VertexColors) else None
        return PointCloud(mesh.vertices, colors)

    def splats(self) -> Splats:
        """The Gaussians of gaussian-splatting, which save as .ply. InputError for others.

        >>> import unrender as ur
        >>> data = ur.load("bricks", downscale=8)
        >>> options = {"initial_gaussians": 100, "max_gaussians": 200}
        >>> run = ur.fit("gaussian-splatting-fast", data, steps=5, progress=False, **options)
        >>> run.splats().save("bricks.ply")
        """
        return splats_of(self)

    def shape(self) -> Shape:
        """The mesh, points or voxels that a shape was fitted as. InputError for others.

        >>> import unrender as ur
        >>> ur.fit_shape(ur.Mesh.torus(), "points", steps=5, progress=False).shape()
        PointCloud(20000 points)
        """
        return self.fitted.shape()
