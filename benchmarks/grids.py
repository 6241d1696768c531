"""Tables of figures in words: rows, columns, and the keys of their cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from record import Figures

MISSING = "–"


@dataclass(frozen=True)
class Grid:
    """A table; a cell is the figure whose key combines the row's and the column's part."""

    title: str
    """Bold line above the table; none if it is empty."""
    corner: str
    """Title of the first column."""
    rows: Mapping[str, str]
    """Label of each row, and its key, with {} in place of the column's part."""
    columns: Mapping[str, str]
    """Title of each column with its unit, and its part of the key."""

    def cell_keys(self) -> list[str]:
        """Keys of all cells, whether measured or not."""
        return [
            key.format(part) for key in self.rows.values() for part in self.columns.values()
        ]

    def lines(self, figures: Figures) -> list[str]:
        """The table in Markdown; rows and columns without a value are left out."""
        cells = {
            label: [figures.get(key.format(part)) for part in self.columns.values()]
            for label, key in self.rows.items()
        }
        cells = {label: row for label, row in cells.items() if any(map(_measured, row))}
        used = [k for k in range(len(self.columns)) if any(map(_measured, _column(cells, k)))]
        if not used:
            return []
        heads = [self.corner, *(list(self.columns)[k] for k in used)]
        lines = [f"**{self.title}**", ""] if self.title else []
        lines += [_row(heads), "|---" + "|---:" * len(used) + "|"]
        return lines + [
            _row([label, *(shown(row[k]) for k in used)]) for label, row in cells.items()
        ]


def _column(cells: Mapping[str, Sequence[object]], k: int) -> list[object]:
    return [row[k] for row in cells.values()]


def _measured(figure: object) -> bool:
    return isinstance(figure, Mapping) and figure.get("value") is not None


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def shown(figure: Mapping[str, object] | None) -> str:
    """A value with four digits, and from 1,000 on as a whole number."""
    value = None if figure is None else figure["value"]
    if not isinstance(value, int | float):
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
