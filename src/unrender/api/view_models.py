"""View models: what makes novel views of a scene that it was not fitted to."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

from unrender.api.opening import open_folder
from unrender.api.run import Run
from unrender.errors import InputError
from unrender.flows.zero123.load import load_zero123
from unrender.methods.zero123 import Zero123Views
from unrender.training.fit import Device, pick_device
from unrender.training.method import Fitted

Kind = Literal["regression", "flow"]
"""The expected view, which is blurred where it is not known, or samples of what it may be."""


def shipped(kind: Kind) -> Fitted[Any]:
    """The view model whose weights are in the package, on the CPU. InputError."""
    raise InputError(
        f"--model {kind}: its weights are not in this version of the package: name a run of "
        f"view-{kind} with --run"
    )


def view_model(
    source: "Run | Fitted[Any] | str | Path | None" = None,
    kind: Kind = "regression",
    device: Device = "auto",
) -> Fitted[Any]:
    """A view model: a run, the folder of one, or by default that of the package.

    A file (.ckpt, .safetensors) is a published checkpoint of zero123 or ZeroNVS, which is read
    in half precision for a GPU. InputError for runs that make no views of other scenes.
    """
    if source is None:
        fitted = shipped(kind)
        return Fitted(fitted.method, fitted.model.to(pick_device(device)))
    if isinstance(source, str | Path) and Path(source).is_file():
        there = pick_device(device)
        networks = load_zero123(Path(source), half=there.type == "cuda")
        return Fitted(Zero123Views(), networks.to(there))
    if isinstance(source, str | Path):
        fitted = open_folder(Path(source), device)[1]
    else:
        fitted = source.fitted if isinstance(source, Run) else source
    if not fitted.method.generates_views:
        label = source.label if isinstance(source, Run) else "the run"
        label = str(source) if isinstance(source, str | Path) else label
        raise InputError(
            f"{label}: makes no views of scenes that it was not fitted to: name a run of "
            "view-regression or view-flow"
        )
    return fitted


def with_sampling(
    fitted: Fitted[Any], guidance: float | None = None, steps: int | None = None
) -> Fitted[Any]:
    """The view model with other options of its sampling. InputError if it has none."""
    given = {"guidance": guidance, "steps": steps}
    changed = {name: value for name, value in given.items() if value is not None}
    method = fitted.method
    assert dataclasses.is_dataclass(method)
    known = {field.name for field in dataclasses.fields(method)}
    for name in changed:
        if name not in known:
            raise InputError(
                f"--{name}: is an option of flows, and the view model is none: leave it out, "
                "or give --model flow"
            )
    return Fitted(dataclasses.replace(method, **changed), fitted.model)
