"""A run folder's newest checkpoint as a model."""

from pathlib import Path
from typing import Any

from unrender.errors import InputError
from unrender.methods import from_description
from unrender.training.fit import Device, pick_device
from unrender.training.method import Fitted
from unrender.training.run_folder import RunFolder


def open_folder(path: Path, device: Device) -> tuple[RunFolder, Fitted[Any]]:
    """The folder and its method with the model on a device.

    Raises InputError if the folder is not a run, or if its files are damaged or do not fit
    together.
    """
    record = RunFolder.open(path)
    source = f"{path}/config.json"
    config = record.config
    method = from_description(config.get("method"), source)
    _check_views(config.get("views"), source)
    checkpoint = record.load()
    file = f"{record.checkpoints()[-1]}/model.safetensors"
    for name, tensor in checkpoint.model.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(
                f"{file}: {name} contains NaN or Inf: fit again with a lower learning rate"
            )
    try:
        model = method.restore(checkpoint.model)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    except (RuntimeError, KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"{file}: does not hold a model of method {config['method']['name']!r} with "
            "these options: fit again"
        ) from error
    return record, Fitted(method, model.to(pick_device(device)))


def _check_views(views: object, source: str) -> None:
    wanted = {"width": int, "height": int, "intrinsics": list, "radius": list}
    if not isinstance(views, dict) or any(
        not isinstance(views.get(key), kind) for key, kind in wanted.items()
    ):
        raise InputError(f"{source}: does not describe the views it was fitted to: fit again")
