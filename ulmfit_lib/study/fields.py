"""Typed values out of JSON and YAML, with messages that name the field.

Every reader takes ``where``, the path of the value in its file, and says it
when the value is wrong. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, TypeVar

_Value = TypeVar("_Value")


class FieldError(ValueError):
    """A value of the wrong kind, or a field missing or unknown.

    Introduced in the chapter *FitLaM*.
    """


def as_object(
    where: str, value: Any, required: Collection[str] = (), optional: Collection[str] = ()
) -> dict[str, Any]:
    """An object; with ``required`` or ``optional``, one that has these fields and no other.

    Introduced in the chapter *FitLaM*.

    Args:
        where: path of the value in its file.
        value: what was found there.
        required: fields that must be there.
        optional: fields that may be there.

    Raises:
        FieldError: no object, a field missing, or one that is not known.
    """
    if not isinstance(value, dict):
        raise FieldError(f"{where}: expected named fields, got {_short(value)}")
    missing = [name for name in required if name not in value]
    if missing:
        raise FieldError(f"{where}: missing {missing}")
    known = {*required, *optional}
    unknown = [name for name in value if name not in known]
    if known and unknown:
        raise FieldError(f"{where}: unknown {unknown}; known are {sorted(known)}")
    return value


def as_table(where: str, value: Any, read: Callable[[str, Any], _Value]) -> dict[str, _Value]:
    """An object whose values all pass ``read``. Introduced in the chapter *FitLaM*.

    Args:
        where: path of the value in its file.
        value: what was found there.
        read: reader of one value, called with its own path.

    Raises:
        FieldError: no object, or a wrong value.
    """
    entries = as_object(where, value).items()
    return {str(key): read(f"{where}[{key!r}]", item) for key, item in entries}


def as_list(where: str, value: Any, read: Callable[[str, Any], _Value]) -> tuple[_Value, ...]:
    """A list whose items all pass ``read``. Introduced in the chapter *FitLaM*.

    Args:
        where: path of the value in its file.
        value: what was found there.
        read: reader of one item, called with its own path.

    Raises:
        FieldError: no list, or a wrong item.
    """
    if not isinstance(value, list):
        raise FieldError(f"{where}: expected a list, got {_short(value)}")
    return tuple(read(f"{where}[{i}]", item) for i, item in enumerate(value))


def as_text(where: str, value: Any) -> str:
    """A text that is not empty. Introduced in the chapter *FitLaM*.

    Args:
        where: path of the value in its file.
        value: what was found there.

    Raises:
        FieldError: anything else.
    """
    if not isinstance(value, str) or not value.strip():
        raise FieldError(f"{where}: expected a text, got {_short(value)}")
    return value


def as_choice(where: str, value: Any, choices: Collection[str]) -> str:
    """One of ``choices``. Introduced in the chapter *FitLaM*.

    Args:
        where: path of the value in its file.
        value: what was found there.
        choices: what is allowed.

    Raises:
        FieldError: anything else.
    """
    if not isinstance(value, str) or value not in choices:
        raise FieldError(f"{where}: expected one of {sorted(choices)}, got {_short(value)}")
    return value


def as_flag(where: str, value: Any) -> bool:
    """True or false. Introduced in the chapter *FitLaM*.

    Args:
        where: path of the value in its file.
        value: what was found there.

    Raises:
        FieldError: anything else.
    """
    if not isinstance(value, bool):
        raise FieldError(f"{where}: expected true or false, got {_short(value)}")
    return value


def as_whole(where: str, value: Any) -> int:
    """A whole number. Introduced in the chapter *FitLaM*.

    Args:
        where: path of the value in its file.
        value: what was found there.

    Raises:
        FieldError: anything else.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise FieldError(f"{where}: expected a whole number, got {_short(value)}")
    return value


def as_number(where: str, value: Any) -> float:
    """A number; null, which is how a file says "not finite", becomes nan.

    Introduced in the chapter *FitLaM*.

    Args:
        where: path of the value in its file.
        value: what was found there.

    Raises:
        FieldError: anything else.
    """
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise FieldError(f"{where}: expected a number, got {_short(value)}")
    return float(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
