"""Presets of novel views from one or a few photographs."""

from collections.abc import Iterator

from unrender.methods.presets.preset import Preset


def novel_views() -> Iterator[Preset]:
    view = "novel view"
    yield Preset("distilled", "distilled", view, "a scene from one or a few photographs", 1)
