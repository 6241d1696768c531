"""View models: what makes novel views of a scene that it was not fitted to."""

import dataclasses
from pathlib import Path
from typing import Any

from unrender.api.run import Run
from unrender.errors import InputError
from unrender.methods.presets.view_models import Kind, checked_view_model, open_view_model
from unrender.training.fit import Device
from unrender.training.method import Fitted


def view_model(
    source: "Run | Fitted[Any] | str | Path | None" = None,
    kind: Kind = "regression",
    device: Device = "auto",
) -> Fitted[Any]:
    """A view model: a run, the folder of one, or by default that of the package.

    A file (.ckpt, .safetensors) is a published checkpoint of zero123 or ZeroNVS, which is read
    in half precision for a GPU. InputError for runs that make no views of other scenes.
    """
    if source is None or isinstance(source, str | Path):
        return open_view_model(source, kind, device)
    label = source.label if isinstance(source, Run) else "the run"
    return checked_view_model(source.fitted if isinstance(source, Run) else source, label)


def with_sampling(
    fitted: Fitted[Any], guidance: float | None = None, steps: int | None = None
) -> Fitted[Any]:
    """The view model with other options of its sampling. InputError if it has none."""
    given = {"guidance": guidance, "image_steps": steps}
    changed = {name: value for name, value in given.items() if value is not None}
    method = fitted.method
    assert dataclasses.is_dataclass(method)
    known = {field.name for field in dataclasses.fields(method)}
    for name in changed:
        if name not in known:
            raise InputError(
                f"--{name.removeprefix('image_')}: is an option of flows, and the view model "
                "is none: leave it out, or give --model flow"
            )
    return Fitted(dataclasses.replace(method, **changed), fitted.model)
