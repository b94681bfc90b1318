"""Near copies: texts that share most of their runs of words.

Two texts are near copies when the Jaccard similarity of their *shingles* (the
sets of ``n`` words in a row) reaches a threshold. All such pairs are found
exactly, without comparing everything with everything: by the prefix filter of
Chaudhuri et al. 2006, two sets that overlap enough must share one of their
rarest members. Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

_WORD = re.compile(r"\w+")
_MADE_UP = re.compile(r"\w*(?:[a-z][A-Z]|_|\d)\w*")


def near_copy_groups(texts: Sequence[str], threshold: float, n: int = 3) -> list[int]:
    """A group number for each text: near copies, and copies of copies, share one.

    Introduced in the chapter *Text and language models*.

    Args:
        texts: any number of texts.
        threshold: Jaccard similarity in (0, 1] from which on two texts are
            near copies.
        n: words per shingle.

    Returns:
        For each text, the index of the first text of its group.

    Raises:
        ValueError: ``threshold`` is not in (0, 1].
    """
    group = list(range(len(texts)))
    for left, right in near_copy_pairs([shingles(text, n) for text in texts], threshold):
        first, second = sorted((_root(group, left), _root(group, right)))
        group[second] = first
    return [_root(group, index) for index in range(len(texts))]


def unlike(
    texts: Sequence[str],
    forbidden: Sequence[str],
    threshold: float = 0.5,
    distinct: bool = False,
) -> list[int]:
    """Which ``texts`` are no near copies of ``forbidden`` ones.

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        texts: to choose from.
        forbidden: texts that must not be trained on, such as a test set's.
        threshold: as :func:`near_copy_groups` takes it.
        distinct: nor of an earlier one of ``texts``.

    Returns:
        Their indices, rising.

    Raises:
        ValueError: ``threshold`` is not in (0, 1].
    """
    if not (forbidden or distinct):
        return list(range(len(texts)))
    first = len(forbidden)
    groups = near_copy_groups([*forbidden, *texts], threshold)[first:]
    return [
        i
        for i, group in enumerate(groups)
        if group >= first and (group == first + i or not distinct)
    ]


def shingles(text: str, n: int = 3) -> frozenset[str]:
    """The runs of ``n`` words in ``text``, without case, numbers and punctuation.

    Made-up words (``BertModel``, ``x_1``, ``3``) all count as the same word, so
    that a text copied for another class is still seen as a copy. A text shorter
    than ``n`` words is one shingle.
    """
    found = ["#" if _MADE_UP.fullmatch(w) else w.lower() for w in _WORD.findall(text)]
    return frozenset(" ".join(found[i : i + n]) for i in range(max(1, len(found) - n + 1)))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Size of the intersection over size of the union.

    Args:
        left: a set of word runs.
        right: the set to compare it with.

    Returns:
        A share in [0, 1]; 0 for two empty sets.
    """
    shared = len(left & right)
    return shared / max(1, len(left) + len(right) - shared)


def near_copy_pairs(sets: Sequence[frozenset[str]], threshold: float) -> Iterator[tuple[int, int]]:
    """All pairs of indices of ``sets`` whose similarity reaches ``threshold``.

    Raises:
        ValueError: ``threshold`` is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold} must be above 0 and at most 1")
    frequency = Counter(member for members in sets for member in members)
    holders: dict[str, list[int]] = defaultdict(list)
    for right, members in enumerate(sets):
        by_rarity = sorted(members, key=lambda member: (frequency[member], member))
        prefix = by_rarity[: len(members) - math.ceil(threshold * len(members)) + 1]
        candidates = {left for member in prefix for left in holders[member]}
        for left in sorted(candidates):
            if jaccard(sets[left], members) >= threshold:
                yield left, right
        for member in prefix:
            holders[member].append(right)


def _root(group: list[int], index: int) -> int:
    while group[index] != index:
        group[index] = group[group[index]]
        index = group[index]
    return index
