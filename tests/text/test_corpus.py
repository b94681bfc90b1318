"""One form of every data set, and a fingerprint that sees every change."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.corpus import Corpus, Split, from_json, to_json


def corpus(**changes: object) -> Corpus:
    fields: dict = {
        "name": "c",
        "splits": {"train": Split(("a", "b"), (0, 1)), "test": Split(("c",), (1,))},
        "label_names": ("no", "yes"),
        "licence": "CC0",
        "citation": "nobody",
        "provenance": "made up",
    }
    return Corpus(**{**fields, **changes})


def test_length_of_a_split() -> None:
    assert len(Split(("a", "b"))) == 2


@pytest.mark.parametrize("column", ["labels", "texts_b"])
def test_columns_of_different_length(column: str) -> None:
    with pytest.raises(ValueError, match=f"{column} has 1 rows but texts has 2"):
        Split(("a", "b"), **{column: (0,)})


@pytest.mark.parametrize(
    "splits",
    [
        {"train": Split(("a", "b"), (0, 1)), "test": Split(("c",), (0,))},
        {"train": Split(("a", "B"), (0, 1)), "test": Split(("c",), (1,))},
        {"train": Split(("a", "b"), (0, 1)), "valid": Split(("c",), (1,))},
        {"train": Split(("a", "b"), None), "test": Split(("c",), (1,))},
        {"train": Split(("a", "b"), (0, 1), ("", "")), "test": Split(("c",), (1,))},
        {"train": Split(("ab", ""), (0, 1)), "test": Split(("c",), (1,))},
    ],
)
def test_every_change_of_the_content_changes_the_fingerprint(splits: dict[str, Split]) -> None:
    assert corpus(splits=splits).fingerprint != corpus().fingerprint


def test_the_fingerprint_is_of_the_content_only() -> None:
    same = corpus(name="d", provenance="elsewhere")
    assert same.fingerprint == corpus().fingerprint
    reordered = dict(reversed(corpus().splits.items()))
    assert corpus(splits=reordered).fingerprint == corpus().fingerprint
    assert corpus(label_names=("yes", "no")).fingerprint != corpus().fingerprint


TEXTS = st.lists(st.text(st.characters()), max_size=4)


@given(TEXTS, st.booleans())
def test_json_keeps_everything(texts: list[str], paired: bool) -> None:
    split = Split(
        tuple(texts), tuple(i / 2 for i in range(len(texts))), tuple(texts) if paired else None
    )
    unlabelled = Split(tuple(texts))
    made = corpus(splits={"train": split, "unsup": unlabelled}, label_names=())
    read = from_json(to_json(made))
    assert read == made
    assert dataclasses.asdict(read) == dataclasses.asdict(made)
