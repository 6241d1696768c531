"""The public names of unrender, for type checkers and editors; `__init__.py` imports lazily."""

from unrender.api.cameras import CameraPath as CameraPath
from unrender.api.cameras import interpolate as interpolate
from unrender.api.cameras import spiral as spiral
from unrender.api.cameras import turntable as turntable
from unrender.api.compare import Comparison as Comparison
from unrender.api.compare import compare as compare
from unrender.api.data import degrade as degrade
from unrender.api.data import load as load
from unrender.api.data import process as process
from unrender.api.fit import fit as fit
from unrender.api.fit import fit_shape as fit_shape
from unrender.api.light_fields import refocus as refocus
from unrender.api.novel_views import NovelViews as NovelViews
from unrender.api.novel_views import novel_views as novel_views
from unrender.api.pose import read_images as read_images
from unrender.api.run import Run as Run
from unrender.api.run import open_run
from unrender.api.shapes import load_shape as load_shape
from unrender.api.shapes import predict as predict
from unrender.api.shapes import render as render
from unrender.data.dataset import Dataset as Dataset
from unrender.data.views import Views as Views
from unrender.errors import InputError as InputError
from unrender.evaluation.scores import Scores as Scores
from unrender.geometry.cameras import Cameras as Cameras
from unrender.imaging.panels import save_panels as save_panels
from unrender.methods.presets.listing import Presets
from unrender.rendering.renderer import PoseEstimate as PoseEstimate
from unrender.rendering.renderer import Rendering as Rendering
from unrender.shapes.mesh import Mesh as Mesh
from unrender.shapes.mesh_sequence import MeshSequence as MeshSequence
from unrender.shapes.points import PointCloud as PointCloud
from unrender.shapes.voxels import VoxelGrid as VoxelGrid

__version__: str
methods: Presets
open = open_run
