"""Checks that are made late and kept find what beartype finds."""

from typing import Any

import pytest
import type_checks
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError, jaxtyped
from torch import Tensor, ones
from type_checks import checked


def doubled(hint: Any) -> Any:
    """A nested function, which is a new one with each call."""

    @jaxtyped(typechecker=checked)
    def inner(x: hint) -> Float[Tensor, "n n"]:  # pyright: ignore[reportInvalidTypeForm, reportUnknownParameterType]
        return x

    return inner


def test_every_copy_of_a_nested_function_is_checked() -> None:
    for _ in range(2):
        inner = doubled(Float[Tensor, "n k"])
        assert inner(ones(2, 2)).shape == (2, 2)
        with pytest.raises(TypeCheckError, match="parameters"):
            inner(ones(2))
        with pytest.raises(TypeCheckError, match="return value"):
            inner(ones(2, 3))
    # The same code with another signature.
    with pytest.raises(TypeCheckError, match="parameters"):
        doubled(int)(ones(2, 2))


def test_a_check_is_made_at_the_first_call_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def counted(stub: Any) -> Any:
        made.append(stub)
        return whole(stub)

    whole = type_checks.beartype
    monkeypatch.setattr(type_checks, "beartype", counted)
    monkeypatch.setattr(type_checks, "_made", {})
    inner = doubled(Float[Tensor, "n m"])
    assert not made
    for _ in range(3):
        inner(ones(2, 2))
        inner = doubled(Float[Tensor, "n m"])
    # One for the arguments, and one with what is returned.
    assert len(made) == 2


def test_defaults_are_those_of_each_copy() -> None:
    def stub(x: int = 1) -> None:
        pass

    assert checked(stub)() is None
    stub.__defaults__ = ("no number",)
    with pytest.raises(BeartypeCallHintViolation):
        checked(stub)(x="none either")
