"""The method that `auto` stands for: chosen by what the data are."""

import dataclasses
from typing import Any

from unrender.data.capture import capture_of
from unrender.data.dataset import Dataset
from unrender.data.load import LoadOptions
from unrender.data.views import Views
from unrender.methods.presets.automatic import Choice, choose_preset
from unrender.training.data_kinds.posed_images import POSED_IMAGES


def choice_for(data: Dataset | Views) -> Choice:
    """The preset for these posed images, and why. InputError where none can be fitted."""
    return choose_preset(capture_of(data.train if isinstance(data, Dataset) else data))


def read_and_choose(data: object, options: dict[str, Any]) -> tuple[Dataset, Choice]:
    """Posed images, read with those of the options that are for reading, and the choice.

    InputError for data that are not posed images, or that no method can be fitted to.
    """
    names = [field.name for field in dataclasses.fields(LoadOptions)]
    reading = LoadOptions(**{name: options[name] for name in names if name in options})
    dataset = POSED_IMAGES.read(data, reading)
    return dataset, choice_for(dataset)


def reason_of(choice: Choice) -> str:
    """The choice as config.json and the command line state it."""
    return f"chosen automatically because {choice.reason}"
