"""A labelled text among fillers: once, anywhere, with fillers of its own split."""

from collections import Counter

import pytest

from ulmfit_lib.text.corpus import Corpus, Split
from ulmfit_lib.text.long_documents import (
    LongDocumentConfig,
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


def test_chosen_classes_are_hidden_among_texts_of_the_others_in_their_own_split():
    splits = {
        name: Split(tuple(f"{name} {i}" for i in range(40)), (0, 1, 2, 3) * 10)
        for name in ("train", "valid", "test")
    }
    splits["unsup"] = Split(("c",))
    task = Corpus("toy", splits, ("w", "x", "y", "z"), "none", "none", "made here")
    long = long_task(task, ("y", "w"), LongDocumentConfig(2))
    assert long.name == "toy-long" and set(long.splits) == {"train", "valid", "test"}
    assert long.label_names == ("y", "w") and long.provenance.startswith("made here")
    for name, split in long.splits.items():
        assert split.labels == (1, 0) * 10  # in the order of the texts: w, y, w, ...
        for text, label in zip(split.texts, split.labels, strict=True):
            numbers = [int(part.removeprefix(f"{name} ")) % 4 for part in text.split("\n")]
            assert len(numbers) == 3
            assert [n for n in numbers if n in (0, 2)] == [{0: 2, 1: 0}[label]]


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="fillers=0"):
        LongDocumentConfig(0)
    with pytest.raises(ValueError, match="2 fillers, but each document takes 3"):
        long_documents(TEXTS, FILLERS[:2])
    task = Corpus("toy", {"train": Split(("a",), (0,))}, ("w",), "none", "none", "made here")
    with pytest.raises(ValueError, match=r"no classes \['v'\] in 'toy'"):
        long_task(task, ("v", "w"))
