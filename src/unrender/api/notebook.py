"""What a notebook shows of a dataset."""

from base64 import b64encode
from html import escape

from unrender.data.dataset import Dataset
from unrender.geometry.paths import evenly
from unrender.imaging.files import png_bytes
from unrender.imaging.save import SHEET_IMAGES, contact_sheet
from unrender.report.cameras3d import CameraSet, camera_picture

STYLE = (
    ".unrender-dataset{display:flex;gap:1em;align-items:center;flex-wrap:wrap}"
    ".unrender-dataset img{max-width:min(100%,40em)}"
    ".unrender-dataset svg{width:22em;max-width:100%}"
    ".unrender-dataset path{fill:none;stroke-width:1}.unrender-dataset .ground{stroke:#ccc}"
    ".unrender-dataset .set0{stroke:#0072b2}.unrender-dataset .set1{stroke:#d55e00}"
)
"""Training cameras are blue, held-out ones orange."""


def dataset_html(data: Dataset) -> str:
    """Some of the training views, and all cameras in space."""
    shown = [data.train[k].over("white")[0] for k in evenly(SHEET_IMAGES, len(data.train))]
    sheet = png_bytes(contact_sheet([image.clamp(0, 1) for image in shown], columns=6))
    source = f"data:image/png;base64,{b64encode(sheet).decode()}"
    sets = [CameraSet("training", data.train.cameras)]
    if len(data.test):
        sets.append(CameraSet("held out", data.test.cameras))
    return (
        f"<style>{STYLE}</style><b>{escape(repr(data))}</b>"
        f'<div class="unrender-dataset"><img src="{source}" alt="training views">'
        f"{camera_picture(sets, paired=False).markup}</div>"
    )
