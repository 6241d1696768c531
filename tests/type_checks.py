"""The checks of arguments that `--jaxtyping-packages` puts into the library while tests run."""

from collections.abc import Callable
from typing import Any

from beartype import beartype

Check = Callable[..., Any]

_made: dict[object, Check] = {}


def checked(stub: Check) -> Check:
    """As `beartype`, which takes milliseconds, but at the first call and once per signature.

    jaxtyping hands in a function that has a signature and no content. Most of the library's
    are not called in one process, and a nested one comes again with each call around it.
    """
    check: Check | None = None

    def at_first_call(*arguments: Any, **named: Any) -> Any:
        nonlocal check
        if check is None:
            check = _check_of(stub)
        return check(*arguments, **named)

    return at_first_call


def _check_of(stub: Check) -> Check:
    if stub.__defaults__ or stub.__kwdefaults__:
        return beartype(stub)
    # Hints of jaxtyping are new classes each time, which are equal in writing alone.
    key = stub.__module__, stub.__qualname__, stub.__code__, repr(stub.__annotations__)
    return _made.get(key) or _made.setdefault(key, beartype(stub))
