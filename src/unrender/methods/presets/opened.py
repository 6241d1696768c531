"""A run folder's newest checkpoint as a model."""

from pathlib import Path
from typing import Any

from unrender.errors import InputError
from unrender.files import system_errors_told
from unrender.methods.presets.described import from_description
from unrender.training.fit import Device, pick_device, restored
from unrender.training.method import Fitted
from unrender.training.run_folder import RunFolder


@system_errors_told()
def open_folder(path: Path, device: Device) -> tuple[RunFolder, Fitted[Any]]:
    """The folder and its method with the model on a device.

    Raises InputError if the folder is not a run, or if its files are damaged or do not fit
    together.
    """
    record = RunFolder.open(path)
    source = f"{path}/config.json"
    method = from_description(record.config.get("method"), source)
    if "views" not in record.config:
        raise InputError(f"{source}: does not describe the views it was fitted to: fit again")
    model = restored(method, record.load(), record)
    return record, Fitted(method, model.to(pick_device(device)))
