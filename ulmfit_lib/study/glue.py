"""Numbers for the prose: computed in a cell, quoted in the text around it."""

from __future__ import annotations

from typing import Any


def glue(name: str, value: Any, display: bool = False) -> None:
    """Give ``value`` a name under which the chapter's text can quote it.

    The text then shows the number with the role ``glue:text``. Where
    myst-nb is not installed, as on Colab, name and value are printed instead,
    so that a reader still sees what the text speaks of. Introduced in the
    chapter *Text and language models*.

    Args:
        name: unique in the whole book, such as ``"fitlam-error-50-labels"``.
        value: anything with a text form: a number, a string, a figure.
        display: whether to show the value under the cell as well.

    Example:
        >>> glue("valid-perplexity", 61.3)
    """
    try:
        from myst_nb import glue as keep
    except ImportError:
        print(f"{name}: {value}")
    else:
        keep(name, value, display=display)
