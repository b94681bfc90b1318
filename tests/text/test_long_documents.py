"""A labelled text among fillers: once, anywhere, with fillers of its own split."""

from collections import Counter

import pytest

from ulmfit_lib.text.corpus import Corpus, Split
from ulmfit_lib.text.long_documents import (
    LongDocumentConfig,
    fillers_of_splits,
    long_documents,
    long_task,
)

FILLERS = [f"filler {i}" for i in range(30)]
TEXTS = [f"text {i}" for i in range(400)]


def test_each_text_stands_once_at_its_place_among_different_fillers():
    for text, document in zip(TEXTS, long_documents(TEXTS, FILLERS), strict=True):
        assert document.parts[document.place] == text
        assert len(set(document.parts)) == 4
        assert document.text.split("\n")[document.place] == text


def test_all_places_are_equally_likely():
    places = Counter(document.place for document in long_documents(TEXTS, FILLERS))
    assert set(places) == {0, 1, 2, 3} and min(places.values()) > 70


def test_a_seed_makes_one_set_of_documents():
    first, again, other = (
        long_documents(TEXTS, FILLERS, LongDocumentConfig(seed=s)) for s in (1, 1, 2)
    )
    assert first == again != other


def test_splits_share_no_filler_and_keep_their_labels():
    splits = {name: Split(("a", "b"), (0, 1)) for name in ("train", "valid", "test")}
    splits["unsup"] = Split(("c",))
    task = Corpus("toy", splits, ("x", "y"), "none", "none", "made here")
    long = long_task(task, FILLERS)
    assert long.name == "toy-long" and set(long.splits) == {"train", "valid", "test"}
    used = {
        name: {p for text in split.texts for p in text.split("\n") if "filler" in p}
        for name, split in long.splits.items()
    }
    assert not used["train"] & used["test"] and not used["train"] & used["valid"]
    own = fillers_of_splits(task, FILLERS)
    assert sorted(f for of_split in own.values() for f in of_split) == sorted(FILLERS)
    assert all(used[name] <= set(own[name]) for name in used)
    assert all(split.labels == (0, 1) for split in long.splits.values())


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="fillers=0"):
        LongDocumentConfig(0)
    with pytest.raises(ValueError, match="2 fillers, but each document takes 3"):
        long_documents(TEXTS, FILLERS[:2])
