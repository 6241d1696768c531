"""Every preset: a method with the options that its name stands for.

`NAME` has the settings of the paper, unless `docs/methods.md` lists it as ours; `NAME-fast` is
for minutes on two CPU cores. Nothing here imports torch: the module of a method is imported by
`Preset.method`, so that help texts and lists come at once.
"""

from unrender.errors import InputError
from unrender.methods.presets.moving_scenes import moving_scenes
from unrender.methods.presets.novel_views import novel_views
from unrender.methods.presets.pose_flows import pose_flows
from unrender.methods.presets.preset import BASES as BASES
from unrender.methods.presets.preset import TASKS as TASKS
from unrender.methods.presets.preset import Preset as Preset
from unrender.methods.presets.preset import check_options as check_options
from unrender.methods.presets.preset import method_class as method_class
from unrender.methods.presets.preset import nearest as nearest
from unrender.methods.presets.radiance_fields import radiance_fields
from unrender.methods.presets.renamed import RENAMED
from unrender.methods.presets.shapes import shapes
from unrender.methods.presets.surfaces import surfaces

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for presets in (radiance_fields, moving_scenes, surfaces, pose_flows, novel_views, shapes)
    for preset in presets()
}


def find_preset(name: str) -> Preset:
    """The preset of that name; underscores and older names are accepted.

    Raises InputError with the nearest names if there is none.
    """
    wanted = current_name(name)
    if wanted not in PRESETS:
        raise InputError(
            f"{name!r}: is not a method{nearest(wanted, PRESETS)} `unrender fit --help` lists "
            "all, and so does `unrender.methods` in Python"
        )
    return PRESETS[wanted]


def current_name(name: str) -> str:
    """A preset's name with hyphens, and the new one of an older name."""
    plain = name.replace("_", "-").lower()
    return RENAMED.get(plain, plain)
