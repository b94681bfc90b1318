"""The dial ``ULMFIT_SCALE``: one code path, three sizes.

``smoke`` proves in seconds that the code runs, ``laptop`` is what the site
shows, ``paper`` takes the sizes of the papers. Introduced in the chapter
*Text and language models*.
"""

from __future__ import annotations

import os
from dataclasses import is_dataclass
from enum import StrEnum
from typing import TypeVar

SCALE_VARIABLE = "ULMFIT_SCALE"
Size = TypeVar("Size")


class Scale(StrEnum):
    """How large an experiment is. Introduced in the chapter *Text and language models*."""

    SMOKE = "smoke"
    LAPTOP = "laptop"
    PAPER = "paper"


def current_scale() -> Scale:
    """The scale that ``ULMFIT_SCALE`` asks for; ``laptop`` where it is not set.

    Introduced in the chapter *Text and language models*.

    Raises:
        ValueError: the variable holds anything but the three names.
    """
    stated = os.environ.get(SCALE_VARIABLE, "").strip().lower()
    if not stated:
        return Scale.LAPTOP
    try:
        return Scale(stated)
    except ValueError:
        names = ", ".join(Scale)
        raise ValueError(
            f"{SCALE_VARIABLE}={stated!r} is no scale: set it to one of {names}, or unset it"
        ) from None


def pick(*, smoke: Size, laptop: Size, paper: Size, scale: Scale | None = None) -> Size:
    """The size for the scale in force: ``seeds = pick(smoke=1, laptop=3, paper=5)``.

    The dial changes sizes, never the code path, so only numbers, names (of a
    corpus, of weights), tuples of those and configurations may be picked.
    Introduced in the chapter *Text and language models*.

    Args:
        smoke, laptop, paper: the value at each scale, all of one type.
        scale: use this scale; by default :func:`current_scale`.

    Raises:
        TypeError: the values are of different types, or could switch the code
            path (a bool, None, a function).
        ValueError: ``ULMFIT_SCALE`` holds no scale.
    """
    choices = {Scale.SMOKE: smoke, Scale.LAPTOP: laptop, Scale.PAPER: paper}
    for name, value in choices.items():
        _check_size(name, value)
    kinds = {_kind(value) for value in choices.values()}
    if len(kinds) > 1:
        stated = ", ".join(f"{name}={value!r}" for name, value in choices.items())
        raise TypeError(f"{stated} are not of one type: give the same type at every scale")
    return choices[scale or current_scale()]


def _kind(value: object) -> type:
    return float if isinstance(value, int) else type(value)


def _check_size(name: str, value: object) -> None:
    parts = value if isinstance(value, tuple) else (value,)
    for part in parts:
        sized = isinstance(part, int | float | str) and not isinstance(part, bool)
        if not sized and (isinstance(part, type) or not is_dataclass(part)):
            raise TypeError(
                f"{name}={value!r} is no size: the scale may change numbers, names and "
                "configurations (dataclasses), not what the code does"
            )
