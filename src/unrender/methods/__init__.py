"""Every method, one file for each paper; `presets` lists them by name."""

import sys
from collections.abc import Iterator
from types import ModuleType

from unrender.methods.presets import Preset
from unrender.methods.presets import method_class as method_class
from unrender.methods.presets.described import describe as describe
from unrender.methods.presets.described import from_description as from_description
from unrender.methods.presets.listing import Presets


class _Listing(ModuleType):
    """The package as the list of its presets: `unrender.methods["nerf-fast"]`."""

    def __getitem__(self, name: str) -> Preset:
        return Presets()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(Presets())

    def __len__(self) -> int:
        return len(Presets())

    def __contains__(self, name: object) -> bool:
        return name in Presets()

    def __repr__(self) -> str:
        return repr(Presets())

    def _repr_html_(self) -> str:
        return Presets().to_html()

    def by_task(self) -> list[tuple[str, list[Preset]]]:
        """Presets under the title of what they are for."""
        return Presets().by_task()

    def values(self) -> list[Preset]:
        return list(Presets().values())

    def items(self) -> list[tuple[str, Preset]]:
        return list(Presets().items())

    def keys(self) -> list[str]:
        return list(Presets())


sys.modules[__name__].__class__ = _Listing
