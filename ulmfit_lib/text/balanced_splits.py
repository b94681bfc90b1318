"""From passages of many files to a balanced task that does not leak.

A file goes to one split with all that it holds; copies and near copies are
dropped before; every class gets the same number of passages. Nothing is drawn
at random: the order is that of the texts' hashes, the same on every machine.
Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ulmfit_lib.text.corpus import Split
from ulmfit_lib.text.near_copies import near_copy_groups

# Of each library's text; the rest is for training. Few labels are enough to train on, and a large
# test split is what tells two models apart.
SHARES = {"test": 0.4, "valid": 0.1}


@dataclass(frozen=True)
class Passage:
    """A labelled text and the file that it comes from.

    Introduced in the chapter *Text and language models*.
    """

    text: str
    label: int  # class index
    library: str  # label of the library
    file: str  # path of the file below the library's folder


@dataclass(frozen=True)
class Caps:
    """How many passages one class of a split may hold.

    Introduced in the chapter *Text and language models*.
    """

    per_class: Mapping[str, int]  # split -> passages per class
    per_file: int  # passages of one class from one file
    library_share: float = 1.0  # largest part of a class from one library


def assign_files(sizes: Mapping[str, int]) -> dict[str, str]:
    """The split of each file: in the order of the names' hashes, first test, then valid.

    Introduced in the chapter *Text and language models*.

    Args:
        sizes: amount of text in each file, by its name.
    """
    total = sum(sizes.values())
    splits: dict[str, str] = {}
    used: Counter[str] = Counter()
    for name in sorted(sizes, key=text_hash):
        wanting = (split for split, share in SHARES.items() if used[split] < share * total)
        splits[name] = next(wanting, "train")
        used[splits[name]] += sizes[name]
    return splits


def first_of_each_file(passages: Sequence[Passage], per_file: int) -> list[Passage]:
    """At most ``per_file`` passages of each class and file, the first by their hashes.

    Introduced in the chapter *Text and language models*.
    """
    seen: Counter[tuple[int, str, str]] = Counter()
    kept = []
    for passage in sorted(dict.fromkeys(passages), key=lambda p: text_hash(p.text)):
        place = (passage.label, passage.library, passage.file)
        seen[place] += 1
        if seen[place] <= per_file:
            kept.append(passage)
    return kept


def without_near_copies(passages: Sequence[Passage], threshold: float, n: int) -> list[Passage]:
    """One passage of each group of near copies; none of a group with several labels.

    Introduced in the chapter *Text and language models*.

    Args:
        passages: any number of them.
        threshold: Jaccard similarity from which on two texts are near copies.
        n: words per shingle (:func:`ulmfit_lib.text.near_copies.shingles`).

    Returns:
        The passages kept, in the order of their texts' hashes.
    """
    ordered = sorted(passages, key=lambda p: (text_hash(p.text), p.label, p.library, p.file))
    groups = near_copy_groups([p.text for p in ordered], threshold, n)
    labels: dict[int, set[int]] = defaultdict(set)
    for passage, group in zip(ordered, groups, strict=True):
        labels[group].add(passage.label)
    return [p for i, p in enumerate(ordered) if groups[i] == i and len(labels[i]) == 1]


def balanced_splits(
    passages: Sequence[Passage], split_of: Mapping[tuple[str, str], str], caps: Caps
) -> dict[str, list[Passage]]:
    """The passages of each split, equally many of every class.

    Introduced in the chapter *Text and language models*.

    Args:
        passages: without near copies, in the order in which to draw.
        split_of: the split of each (library, file).
        caps: at most how many; fewer where the smallest class has fewer.
    """
    labels = sorted({passage.label for passage in passages})
    splits: dict[str, list[Passage]] = {}
    for split, quota in caps.per_class.items():
        here = [p for p in passages if split_of[p.library, p.file] == split]
        drawn = [_draw([p for p in here if p.label == i], quota, caps) for i in labels]
        smallest = min(map(len, drawn), default=0)
        chosen = [passage for of_class in drawn for passage in of_class[:smallest]]
        splits[split] = sorted(chosen, key=lambda p: text_hash(p.text))
    return splits


def as_split(passages: Sequence[Passage], labelled: bool = True) -> Split:
    """The texts of ``passages`` as a split, with their labels or without.

    Args:
        passages: the rows, in order.
        labelled: keep the labels.
    """
    labels = tuple(p.label for p in passages) if labelled else None
    return Split(texts=tuple(p.text for p in passages), labels=labels)


def text_hash(text: str) -> str:
    """SHA-256 (hex) of ``text``: a fixed order without meaning."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _draw(passages: Sequence[Passage], quota: int, caps: Caps) -> list[Passage]:
    drawn: list[Passage] = []
    of_file: Counter[tuple[str, str]] = Counter()
    of_library: Counter[str] = Counter()
    for passage in passages:
        place = (passage.library, passage.file)
        full = of_library[passage.library] >= caps.library_share * quota
        if len(drawn) < quota and of_file[place] < caps.per_file and not full:
            drawn.append(passage)
            of_file[place] += 1
            of_library[passage.library] += 1
    return drawn
