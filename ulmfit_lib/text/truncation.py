"""Long texts made short: which tokens of a document an encoder gets to see.

Lengths here are those of the *text*; ``[CLS]`` and ``[SEP]`` are added
afterwards (:func:`ulmfit_lib.text.framing.frame`), so none of them is ever cut
off. Source: Sun et al. 2019, section 5.3.1. Introduced in the chapter *How to
fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Sequence

TRUNCATIONS = ("head", "tail", "head+tail")
PAPER_HEAD, PAPER_TEXT = 128, 510  # tokens of the head, and of the text, of 512 with the frame
FRAME = 2  # tokens around a text: [CLS] and [SEP]


def head(ids: Sequence[int], n: int) -> list[int]:
    """The first ``n`` tokens of ``ids``. Introduced in the chapter *How to fine-tune BERT*.

    Raises:
        ValueError: ``n`` is below 1.
    """
    return list(ids[: _checked(n)])


def tail(ids: Sequence[int], n: int) -> list[int]:
    """The last ``n`` tokens of ``ids``. Introduced in the chapter *How to fine-tune BERT*.

    Raises:
        ValueError: ``n`` is below 1.
    """
    return list(ids[-_checked(n) :])


def head_tail(ids: Sequence[int], n_head: int, n_tail: int) -> list[int]:
    """The first ``n_head`` and the last ``n_tail`` tokens of a text that is longer than both.

    A text that fits stays whole: no token is taken twice. The released code
    fails where ``n_head`` is 510 or more, for its second slice then is the
    whole text. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        ids: token ids of a text.
        n_head: tokens to keep of its beginning.
        n_tail: tokens to keep of its end.

    Raises:
        ValueError: a number is negative, or both are 0.
    """
    if min(n_head, n_tail) < 0 or n_head + n_tail < 1:
        raise ValueError(f"n_head={n_head}, n_tail={n_tail}: keep at least 1 token")
    if len(ids) <= n_head + n_tail:
        return list(ids)
    return [*ids[:n_head], *ids[len(ids) - n_tail :]]


def head_share(n: int) -> int:
    """How many of ``n`` tokens are the head: 128 of 510, and the same proportion elsewhere.

    Introduced in the chapter *How to fine-tune BERT*.
    """
    return round(_checked(n) * PAPER_HEAD / PAPER_TEXT)


def truncate(ids: Sequence[int], n: int, truncation: str = "head") -> list[int]:
    """At most ``n`` tokens of a text, in their order.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        ids: token ids of a text, without special tokens.
        n: tokens to keep, at most.
        truncation: one of :data:`TRUNCATIONS`.

    Raises:
        ValueError: ``n`` is below 1, or there is no such way.
    """
    check_truncation(truncation)
    if truncation == "head":
        return head(ids, n)
    if truncation == "tail":
        return tail(ids, n)
    first = head_share(n)
    return head_tail(ids, first, n - first)


def check_truncation(truncation: str) -> None:
    """Make sure that ``truncation`` is one of :data:`TRUNCATIONS`.

    Introduced in the chapter *How to fine-tune BERT*.

    Raises:
        ValueError: it is not.
    """
    if truncation not in TRUNCATIONS:
        raise ValueError(f"truncation={truncation!r} must be one of {TRUNCATIONS}")


def _checked(n: int) -> int:
    if n < 1:
        raise ValueError(f"n={n} leaves no token: keep at least 1")
    return n
