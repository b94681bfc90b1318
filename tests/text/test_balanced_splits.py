"""Splits by file: balanced, disjoint, and the same whatever the order of reading."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.balanced_splits import (
    SHARES,
    Caps,
    Passage,
    as_split,
    assign_files,
    balanced_splits,
    first_of_each_file,
    without_near_copies,
)

CAPS = Caps(per_class={"train": 20, "test": 6}, per_file=3, library_share=0.5)


def some_passages() -> list[Passage]:
    """Two classes, three libraries, forty files of four texts."""
    return [
        Passage(f"word{i} text{j} label{label}", label, f"library{i % 3}", f"file{i}")
        for i in range(40)
        for j in range(4)
        for label in (0, 1)
    ]


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 40), max_size=30))
def test_shares_of_the_files(sizes: dict[str, int]) -> None:
    splits = assign_files(sizes)
    assert set(splits) == set(sizes)
    total, largest = sum(sizes.values()), max(sizes.values(), default=0)
    amount = Counter({"train": 0})
    for name, split in splits.items():
        amount[split] += sizes[name]
    assert amount["test"] <= SHARES["test"] * total + largest
    assert amount["valid"] <= 0.1 * total + largest
    assert assign_files(dict(reversed(sizes.items()))) == splits


def test_the_same_splits_in_any_order() -> None:
    passages = some_passages()
    split_of = {
        (p.library, p.file): s for p, s in zip(passages, ["train", "test"] * 160, strict=True)
    }
    kept = without_near_copies(passages, 0.9, 3)
    random.Random(0).shuffle(passages)
    again = without_near_copies(passages, 0.9, 3)
    assert kept == again
    assert balanced_splits(kept, split_of, CAPS) == balanced_splits(again, split_of, CAPS)


def test_splits_are_balanced_and_capped() -> None:
    passages = some_passages()
    split_of = {
        (p.library, p.file): "test" if p.file.endswith(("1", "2")) else "train" for p in passages
    }
    splits = balanced_splits(first_of_each_file(passages, 9), split_of, CAPS)
    for name, chosen in splits.items():
        per_class = Counter(p.label for p in chosen)
        assert set(per_class.values()) == {CAPS.per_class[name]}
        assert all(split_of[p.library, p.file] == name for p in chosen)
        assert max(Counter((p.label, p.file) for p in chosen).values()) <= CAPS.per_file
        share = max(Counter((p.label, p.library) for p in chosen).values())
        assert share <= CAPS.library_share * CAPS.per_class[name]


def test_the_smallest_class_sets_the_size() -> None:
    passages = [Passage(f"a{i}", 0, "x", f"f{i}") for i in range(9)] + [Passage("b", 1, "x", "f0")]
    caps = Caps(per_class={"train": 5}, per_file=5)
    splits = balanced_splits(passages, {("x", f"f{i}"): "train" for i in range(9)}, caps)
    assert Counter(p.label for p in splits["train"]) == {0: 1, 1: 1}


def test_copies_of_one_class_leave_one_and_of_two_classes_none() -> None:
    same = "the same words in the same order in both"
    passages = [
        Passage(same, 0, "x", "one"),
        Passage(same + " files", 0, "x", "two"),
        Passage("copied text that stands in two libraries", 0, "x", "one"),
        Passage("Copied text that stands in two libraries!", 1, "y", "one"),
        Passage("something of its own is said here", 1, "y", "one"),
    ]
    kept = without_near_copies(passages, 0.5, 3)
    assert sorted(p.label for p in kept) == [0, 1]
    assert not any("opied" in p.text for p in kept)


def test_first_of_each_file() -> None:
    kept = first_of_each_file(some_passages() * 2, 2)
    counts = Counter((p.label, p.library, p.file) for p in kept)
    assert set(counts.values()) == {2}
    assert len(set(kept)) == len(kept)


def test_as_split() -> None:
    passages = [Passage("a", 1, "x", "f"), Passage("b", 0, "x", "f")]
    assert as_split(passages).labels == (1, 0)
    assert as_split(passages, labelled=False).labels is None
    with pytest.raises(AttributeError):
        as_split(passages).texts = ()  # type: ignore[misc]
