"""Which views are for training, and which are held out for testing."""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unrender.data.dataset import Dataset
from unrender.data.options import HOLD_OUT_EVERY, LoadOptions, Split
from unrender.data.validate import Background
from unrender.data.views import Views
from unrender.errors import InputError
from unrender.geometry.cameras import Cameras
from unrender.notes import note


def hold_out(name: str, views: Views, every: int = HOLD_OUT_EVERY) -> Dataset:
    """Hold out every N-th view for testing, N = `every`; 0 holds out none. InputError.

    These are the views 0, N, 2 N, …. Of views with times they are those N/2, 3 N/2, … in the
    order of time, so that the times of training reach from the first to the last.
    """
    if every == 0:
        return Dataset.of_views(views, name)
    if every < 2:
        raise InputError(
            f"--hold-out {every}: give 2 or more, for every N-th view, or 0 to hold out none"
        )
    if len(views) < 2:
        raise InputError(
            f"{name}: has only one view; give at least two, for training and testing"
        )
    times = views.cameras.times
    if times is None:
        test = torch.arange(len(views)) % every == 0
    else:
        first = min(every // 2, (len(views) - 1) // 2)
        test = torch.zeros(len(views), dtype=torch.bool)
        test[times.argsort(stable=True)[first:-1:every]] = True
    return Dataset(name, views.select(~test), views.select(test))


def held_out_splits(options: LoadOptions) -> tuple[Split, ...]:
    """The splits that may be held out, in the order in which they are looked for."""
    return ("test", "val") if options.split == "test" else ("val",)


def check_split(source: str, options: LoadOptions) -> None:
    """InputError if another split than test was asked for, of data that do not have it."""
    if options.split != "test":
        raise InputError(
            f"--split {options.split}: {source} has no views of this split: leave out --split"
        )


def without_copies(source: str, data: Dataset, every: int = HOLD_OUT_EVERY) -> Dataset:
    """The dataset without training views among the test views: same pose, camera and image.

    Where up to half of the training views are test views too, they are not trained on. Else
    those test views are left out, and if none is left, every N-th training view is held out, N
    = `every`. Says which of the three.
    """
    trained, tested = _copies(data)
    count, tests = int(tested.sum()), len(data.test)
    if not count:
        return data
    which = f"{source}: {count} of {tests} test views are training views too"
    if 2 * int(trained.sum()) <= len(data.train):
        note(f"{which}: they are held out, and not trained on")
        return dataclasses.replace(data, train=data.train.select(~trained))
    if count < tests:
        note(f"{which}: they are left out of the test")
        return dataclasses.replace(data, test=data.test.select(~tested))
    told_apart = "none is held out" if every == 0 else f"every {every}th is held out instead"
    note(f"{which}: they are read as the training views alone, of which {told_apart}")
    held = hold_out(data.name, data.train, every)
    return dataclasses.replace(data, train=held.train, test=held.test)


def _copies(data: Dataset) -> tuple[Bool[Tensor, "train"], Bool[Tensor, "test"]]:
    """Training views that are test views too, and test views that are training views too."""
    train, test = data.train, data.test
    trained, tested = (torch.zeros(len(v), dtype=torch.bool) for v in (train, test))
    group = _groups((train, test))
    members: dict[int, list[int]] = {}
    for i, key in enumerate(group[: len(train)].tolist()):
        members.setdefault(key, []).append(i)
    for j, key in enumerate(group[len(train) :].tolist()):
        for i in members.get(key, ()):
            if _same_file(train, i, test, j) or torch.equal(train.store[i], test.store[j]):
                trained[i], tested[j] = True, True
    return trained, tested


def _same_file(train: Views, i: int, test: Views, j: int) -> bool:
    return bool(train.names and test.names) and train.names[i] == test.names[j]


def _groups(parts: Sequence[Views]) -> Int[Tensor, "views"]:
    """A number for each pose, camera, image size and time; views that share it are alike."""
    rows = [_pose_camera_and_time(views.cameras) for views in parts]
    _, group = torch.unique(torch.cat(rows), dim=0, return_inverse=True)
    return group


def _pose_camera_and_time(cameras: Cameras) -> Float[Tensor, "cameras numbers"]:
    numbers = cameras.intrinsics.flatten(1)
    sizes = cameras.sizes.each(len(cameras)).to(numbers)
    times = numbers.new_zeros(len(cameras)) if cameras.times is None else cameras.times
    poses = cameras.world_from_camera.flatten(1)
    return torch.cat([poses, numbers, sizes, times.to(numbers)[:, None]], dim=1)


def tell_repeated(source: str, data: Dataset) -> None:
    """Say so if views have the same pose, size and time: bracketed exposures, or copies."""
    both = (data.train, data.test)
    group = _groups(both)
    count = torch.bincount(group, minlength=1)
    for k in (count[group] > 1).nonzero()[:1, 0].tolist():
        names = [
            views.names[j] if views.names else f"{kind} view {j}"
            for kind, views in zip(("training", "test"), both, strict=True)
            for j in range(len(views))
        ]
        other = int((group == group[k]).nonzero()[1, 0])
        repeated = int((count[group] > 1).sum())
        note(
            f"{source}: {repeated} views have exactly the pose of another, such as {names[k]} "
            f"and {names[other]}: right for bracketed exposures, else one may be a copy"
        )


def background_of(train: Views) -> Background:
    """What is behind test images without alpha: the same as behind the training images."""
    if train.background is not None:
        return "white" if train.background[0] > 0.5 else "black"
    return "opaque" if train.store.opaque else "auto"


def alike(source: str, train: Views, test: Views) -> Views:
    """The test views like the training views: on their background, where these have no alpha.

    Test views without alpha, of training views with it, stay on their own background.
    """
    if train.has_alpha or not test.has_alpha:
        return test
    color = train.background
    assert color is not None, "RGB views have a background"
    name = background_of(train)
    note(f"{source}: the images have alpha and those for training do not: shown on {name}")
    store = test.store.mapped(
        lambda _, image: image[..., :3] + (1 - image[..., 3:]) * color, channels=3
    )
    return dataclasses.replace(test, store=store, background=color)
