"""View models: what makes novel views of a scene that it was not fitted to."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from unrender.errors import InputError
from unrender.files import write_atomically
from unrender.files.arrays import read_tensors
from unrender.flows.zero123.load import load_zero123
from unrender.methods.presets.described import from_description
from unrender.methods.presets.opened import open_folder
from unrender.training.fit import Device, pick_device
from unrender.training.method import Fitted

Kind = Literal["regression", "flow"]
"""The expected view, which is blurred where it is not known, or samples of what it may be."""
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def shipped(kind: Kind) -> Fitted[Any]:
    """The view model whose weights are in the package, on the CPU. InputError."""
    path = WEIGHTS / f"view-{kind}.safetensors"
    if not path.is_file():
        raise InputError(
            f"the weights of view-{kind} are not in this version of the package: name a run of "
            f"view-{kind}"
        )
    return read_weights(path)


def read_weights(path: Path) -> Fitted[Any]:
    """The view model in a file of `write_weights`, on the CPU. InputError."""
    if not has_weights(path):
        raise InputError(f"{path}: is damaged, or has no weights: install the package again")
    with safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["method"])
    method = from_description(described, str(path))
    # Only the averaged weights are kept, in half precision.
    tensors = read_tensors(path, "install the package again")
    size = tensors.pop("image_size")
    whole = {
        f"{copy}.{name}": tensor.float()
        for name, tensor in tensors.items()
        for copy in ("network", "average")
    }
    return Fitted(method, method.restore({**whole, "image_size": size}))


def write_weights(folder: Path, out: Path) -> None:
    """The averaged weights of a run, in half precision, as `shipped` reads them. InputError."""
    run, fitted = open_folder(folder, "cpu")
    checked_view_model(fitted, str(folder))
    start = "average."
    tensors = {
        name.removeprefix(start): tensor.half().contiguous()
        for name, tensor in fitted.model.state_dict().items()
        if name.startswith(start)
    }
    tensors["image_size"] = fitted.model.state_dict()["image_size"]
    kept = {name: run.config.get(name) for name in ("data", "fit", "commit", "versions")}
    trained = {"steps": run.state["step"], "seconds": run.state["seconds"]}
    described = run.config["method"]
    # The run that the weights began with is a folder of this machine.
    options = {k: "" if k == "weights" else v for k, v in described["options"].items()}
    metadata = {
        "method": json.dumps({**described, "options": options}),
        "run": json.dumps({**kept, **trained}),
    }
    write_atomically(out, save(tensors, metadata))


def open_view_model(path: str | Path | None, kind: Kind, device: Device) -> Fitted[Any]:
    """The view model in a run folder, or by default that of the package.

    A file (.ckpt, .safetensors) is a published checkpoint of zero123 or ZeroNVS, which is read
    in half precision for a GPU, or one of `write_weights`. InputError for runs that make no
    views of other scenes.
    """
    there = pick_device(device)
    if path is None or has_weights(Path(path)):
        fitted = shipped(kind) if path is None else read_weights(Path(path))
        return Fitted(fitted.method, fitted.model.to(there))
    if Path(path).is_file():
        networks = load_zero123(Path(path), half=there.type == "cuda")
        # As the modules of all methods, it is imported once it is used.
        method = import_module("unrender.methods.zero123").Zero123Views()
        return Fitted(method, networks.to(there))
    return checked_view_model(open_folder(Path(path), device)[1], str(path))


def has_weights(path: Path) -> bool:
    """Whether this is a file of `write_weights`, which says what method it is of."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return "method" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False  # Whoever reads it says what is wrong.


def checked_view_model(fitted: Fitted[Any], label: str) -> Fitted[Any]:
    """The same. InputError, which begins with `label`, if it makes no views of other scenes."""
    if not fitted.method.generates_views:
        raise InputError(
            f"{label}: makes no views of scenes that it was not fitted to: name a run of "
            "view-regression or view-flow"
        )
    return fitted
