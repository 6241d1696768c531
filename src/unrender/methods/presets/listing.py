"""The list of all presets, as text and as HTML: `unrender.methods`."""

from collections.abc import Iterator, Mapping
from html import escape

from unrender.methods.presets import PRESETS, TASKS, Preset, current_name, find_preset


class Presets(Mapping[str, Preset]):
    """Every preset by name: `unrender.methods`.

    >>> import unrender as ur
    >>> ur.methods["nerf-fast"].paper
    'Mildenhall et al., ECCV 2020'
    """

    def __getitem__(self, name: str) -> Preset:
        return find_preset(name)

    def __contains__(self, name: object) -> bool:
        return current_name(str(name)) in PRESETS

    def __iter__(self) -> Iterator[str]:
        return iter(PRESETS)

    def __len__(self) -> int:
        return len(PRESETS)

    def __repr__(self) -> str:
        return "\n\n".join(
            f"{title}\n" + "\n".join(f"  {each.name:26} {each.summary}" for each in presets)
            for title, presets in self.by_task()
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """Tables of all presets, for a notebook."""
        columns = ("preset", "paper", "use it for", "size", "minutes")
        head = f"<tr>{''.join(f'<th>{each}</th>' for each in columns)}</tr>"
        return "".join(
            f"<h4>{escape(title)}</h4><table>{head}"
            + "".join(
                f"<tr><td><code>{each.name}</code></td><td>{escape(each.paper)}</td>"
                f"<td>{escape(each.purpose)}</td><td>{each.size}</td>"
                f"<td>{'' if each.minutes is None else f'{each.minutes:g}'}</td></tr>"
                for each in presets
            )
            + "</table>"
            for title, presets in self.by_task()
        )

    def by_task(self) -> list[tuple[str, list[Preset]]]:
        """Presets under the title of what they are for."""
        return [
            (title, [preset for preset in PRESETS.values() if preset.task == task])
            for task, title in TASKS.items()
        ]
