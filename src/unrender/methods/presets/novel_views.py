"""Presets of novel views from one or a few photographs."""

from collections.abc import Iterator

from unrender.methods.presets.preset import FAST, Preset


def novel_views() -> Iterator[Preset]:
    view = "novel view"
    yield Preset(
        "view-regression", "view-regression", view,
        f"the mean of what the inputs leave open, {FAST}", 100,
    )  # fmt: skip
    yield Preset(
        "view-flow", "view-flow", view, f"samples of what the inputs leave open, {FAST}", 100
    )
    yield Preset("distilled", "distilled", view, "a scene from one or a few photographs", 1)
