"""What a command adds to its options once it is known what was typed."""

from dataclasses import dataclass, field

from unrender.app.options import Description, Option


@dataclass(frozen=True)
class Extension:
    """Further options, such as those of the method that `unrender fit METHOD` names."""

    options: list[Option] = field(default_factory=list[Option])
    """They reach the command's function as further keyword arguments, or replace its options of
    the same name."""
    description: Description | None = None
    """Replaces the description of the command in the help."""
    program: str | None = None
    """What the help names in place of the command and its first argument."""
    note: str = ""
    """Shown in the help above the options."""
    answer: str | None = None
    """Printed in place of running the command."""
