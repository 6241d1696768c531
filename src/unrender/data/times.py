"""Checks of the times of training and held-out views, which all loaders share."""

from unrender.data.dataset import Dataset
from unrender.errors import InputError
from unrender.notes import note


def check_times(source: str, data: Dataset) -> None:
    """InputError if only some views have times; say so where times look wrong.

    A note is given if all training views of several have one time, and if held-out views are
    at times outside those of training. The order of times does not matter.
    """
    train, test = data.train.cameras, data.test.cameras
    if len(train) and len(test) and (train.times is None) != (test.times is None):
        with_, without = ("training", "held-out")[:: 1 if test.times is None else -1]
        raise InputError(
            f"{source}: the {with_} views have times and the {without} views have none: add "
            "them, or remove all"
        )
    if train.times is None or not len(train):
        return
    first, last = train.times.aminmax()
    if len(train) > 1 and bool(first == last):
        note(
            f"{source}: all {len(train)} training views have one time, {float(first):g}: "
            "nothing can be learned of a motion"
        )
    elif test.times is not None:
        outside = int(((test.times < first) | (test.times > last)).sum())
        if outside:
            note(
                f"{source}: {outside} of {len(test)} held-out views are at times outside those "
                f"of training, {float(first):g} to {float(last):g}"
            )
