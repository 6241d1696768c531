"""Help texts: boxes of options, and text wrapped to the terminal's width."""

import os
import re
import shutil
import sys
import textwrap
import typing
from collections.abc import Sequence
from typing import Literal

from unrender.app.options import REQUIRED, Description, Option
from unrender.ranges import FLOAT, WHOLE

MAX_WIDTH = 120
MIN_WIDTH = 40
LEFT = 0.36
"""Share of the width that the names of options take, at most."""
LONG_CHOICES = 20
"""Letters of the choices beside an option; longer ones are moved to its text."""

Row = tuple[str, str]
"""What is on the left of a box, and its text."""


def width() -> int:
    """Columns of the terminal, within reason."""
    return min(max(shutil.get_terminal_size((88, 24)).columns, MIN_WIDTH), MAX_WIDTH)


def colored() -> bool:
    """Whether the terminal shows colors, and the user wants them (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def reflow(text: str, columns: int, indent: str = "") -> str:
    """Paragraphs wrapped to the width; lines that begin with spaces stay as they are."""
    paragraphs = re.split(r"\n\s*\n", text.strip("\n"))
    wrapped: list[str] = []
    for paragraph in paragraphs:
        if paragraph.startswith(" "):
            wrapped.append(textwrap.indent(textwrap.dedent(paragraph), indent + "  "))
        else:
            wrapped.append(_fill(" ".join(paragraph.split()), columns, indent))
    return "\n\n".join(wrapped)


def box(title: str, rows: Sequence[Row], columns: int, least: int = 0) -> str:
    """A frame around rows of names and texts; `least` letters are kept for the names."""
    dim, bold, off = ("\033[2m", "\033[1m", "\033[0m") if colored() else ("", "", "")
    inner = columns - 4
    longest = max((len(left) for left, _ in rows), default=0)
    left_width = min(max(longest, least), int(LEFT * inner))
    lines: list[str] = []
    for left, text in rows:
        room = inner - left_width - 2
        texts = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
        if len(left) > left_width:
            for part in textwrap.wrap(left, inner, subsequent_indent="    "):
                lines.append(f"{bold}{part}{off}{' ' * (inner - len(part))}")
            if texts == [""]:
                continue
        else:
            gap = " " * (left_width - len(left) + 2)
            lines.append(f"{bold}{left}{off}{gap}{texts.pop(0):{room}}")
        lines += [f"{'':{left_width + 2}}{part:{room}}" for part in texts]
    title = textwrap.shorten(title, inner, placeholder=" …")
    top = f"{dim}╭─ {off}{title}{dim} {'─' * max(columns - len(title) - 5, 0)}╮{off}"
    middle = [f"{dim}│{off} {line} {dim}│{off}" for line in lines]
    return "\n".join([top, *middle, f"{dim}╰{'─' * (columns - 2)}╯{off}"])


def usage(program: str, options: Sequence[Option]) -> str:
    """The command with what it needs: "unrender render RUN --out FILE [options]"."""
    parts = [program]
    for option in (each for each in options if each.positional):
        shown = f"{option.flag} ..." if option.many else option.flag
        parts.append(shown if option.required else f"[{shown}]")
    needed = (each for each in options if each.required and not each.positional)
    parts += [f"{each.flag} {each.metavar}" for each in needed]
    if any(not (each.required or each.positional) for each in options):
        parts.append("[options]")
    return " ".join(parts)


def help_text(
    program: str, description: Description, options: Sequence[Option], note: str = ""
) -> str:
    """The whole help of a command."""
    columns = width()
    head = _fill(f"usage: {usage(program, options)}", columns, "", " " * 7)
    parts = [head, reflow(description.summary, columns)]
    if description.text:
        parts.append(reflow(description.text, columns))
    if note:
        parts.append(note)
    titles = list(dict.fromkeys(option.box for option in options))
    for title in titles:
        rows = [option_row(option) for option in options if option.box == title]
        if (title == titles[-1] and "options" not in titles) or title == "options":
            rows.append(("-h, --help", "Show this help."))
        parts.append(box(title, rows, columns))
    if description.examples:
        shown = "\n".join(f"  {line}" for line in description.examples)
        parts.append(f"Examples:\n{shown}")
    return "\n\n".join(parts)


def option_row(option: Option) -> Row:
    """Names and value of an option, and its text with the default in words."""
    value, text = option.metavar, option.text
    choices = typing.get_origin(option.kind) is Literal and option.words.metavar is None
    if choices and len(value) > LONG_CHOICES:
        text = f"{text} One of {', '.join(typing.get_args(option.kind))}."
        value = option.flag[2:].upper()
    if option.positional:
        return f"{option.flag} ..." if option.many else option.flag, text
    names = ", ".join(option.flags)
    if option.kind is bool and option.default is True:
        names += f", --no-{option.flag[2:]}"
    if option.words.bare is not REQUIRED:
        value = f"[{value}]"
    left = f"{names} {value}".strip()
    hints = [range_in_words(option), default_in_words(option)]
    hint = "; ".join(each for each in hints if each)
    return left, f"{text} ({hint})".strip() if hint else text


def default_in_words(option: Option) -> str:
    """Such as "default: 5"; nothing where the option is off unless it is given."""
    default = option.default
    if option.required:
        return "required"
    if default is None or default is False or default == "":
        return ""
    if default is True:
        return "default: on"
    if isinstance(default, tuple):
        return f"default: {' '.join(map(_number, default))}" if default else ""
    return f"default: {_number(default)}"


def range_in_words(option: Option) -> str:
    """Such as "1 to 64"; nothing for what is no number, or may be nearly any."""
    limits = option.limits
    return "" if limits is None or limits in (WHOLE, FLOAT) else str(limits)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _fill(text: str, columns: int, indent: str = "", later: str | None = None) -> str:
    return textwrap.fill(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=indent if later is None else later,
        break_on_hyphens=False,
        break_long_words=False,
    )
