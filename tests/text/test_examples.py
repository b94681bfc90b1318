"""Examples are distinct, consistent and numerous enough; what is left out is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.examples import (
    Examples,
    cautions,
    clean_examples,
    foreign_share,
    read_examples,
)
from ulmfit_lib.text.tables import TableError


def cleaned(rows: list[tuple[str | None, str | None]], min_rows: int = 1) -> Examples:
    return clean_examples([t for t, _ in rows], [y for _, y in rows], min_rows)


ROWS: list[tuple[str | None, str | None]] = [
    ("good", "pos"),
    ("Good ", "pos"),  # a copy
    ("bad", "neg"),
    ("odd", "pos"),
    ("odd", "neg"),  # a contradiction
    ("no label", None),
    ("bad", None),  # the same text without a label adds nothing
    (" ", "pos"),
    (None, "neg"),
]


def test_each_row_is_accounted_for() -> None:
    found = cleaned(ROWS)
    assert found.texts == ("good", "bad") and found.labels == (1, 0)
    assert found.label_names == ("neg", "pos") and found.counts == {"neg": 1, "pos": 1}
    assert found.unlabelled == ("odd", "no label")
    counts = vars(found.cleaning)
    assert counts == {
        "rows": 9,
        "empty": 2,
        "repeated": 1,
        "contradicting": 2,
        "unlabelled": 2,
        "rare": 0,
    }
    assert found.cleaning.kept == 2
    assert found.cleaning.text().startswith("2 of 9 rows are examples (2 empty, 1 repeated, 2 with")


rows = st.lists(
    st.tuples(st.none() | st.text(max_size=3), st.none() | st.sampled_from(["a", "b"])), max_size=40
)


@given(rows)
def test_nothing_is_lost_and_no_text_stands_twice(
    rows: list[tuple[str | None, str | None]],
) -> None:
    try:
        found = cleaned(rows)
    except TableError:
        return
    keys = [" ".join(t.casefold().split()) for t in found.texts + found.unlabelled]
    assert len(keys) == len(set(keys))
    assert found.cleaning.kept == len(found.texts) == len(found.labels)
    assert min(vars(found.cleaning).values()) >= 0
    for text, label in zip(found.texts, found.labels, strict=True):
        assert (text, found.label_names[label]) in rows


def test_labels_that_are_numbers_are_sorted_by_value() -> None:
    found = cleaned([(f"text {n}", str(n)) for n in (10, 9, -1)])
    assert found.label_names == ("-1", "9", "10")


def test_one_class_is_refused() -> None:
    with pytest.raises(TableError, match="needs two classes, and there is one .*'a' 5"):
        clean_examples([str(i) for i in range(5)], ["a"] * 5)
    with pytest.raises(TableError, match="there is none .*no row has text and label"):
        clean_examples(["a"], [None])


def test_rare_classes_are_refused_or_left_out() -> None:
    texts, labels = [str(i) for i in range(11)], ["a"] * 5 + ["b"] * 5 + ["c"]
    with pytest.raises(TableError, match="1 of 3 classes have fewer than 4 .*'c' 1.*--drop-rare"):
        clean_examples(texts, labels)
    found = clean_examples(texts, labels, drop_rare=True)
    assert found.label_names == ("a", "b") and found.cleaning.rare == 1


def test_a_column_of_identifiers_is_refused_in_a_short_message() -> None:
    with pytest.raises(TableError, match=r"500 of 500 classes.*, \.\.\.\)") as error:
        clean_examples([f"t{i}" for i in range(500)], [f"id{i}" for i in range(500)])
    assert len(str(error.value)) < 400


def test_the_message_names_file_and_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\na,x\nb,x\nc,x\nd,x\n")
    with pytest.raises(TableError, match=r"t\.csv, column 'label': a classifier needs two"):
        read_examples(tmp_path / "t.csv", "text", "label")


def test_texts_and_labels_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 texts and 1 labels"):
        clean_examples(["a", "b"], ["x"])


def test_an_even_english_table_needs_no_warning() -> None:
    assert cautions(cleaned([("naïve", "a"), ("fine", "b")])) == []


def test_imbalance_contradictions_scripts_and_length_are_said() -> None:
    uneven = cleaned([(f"text {i}", "a" if i else "b") for i in range(5)])
    assert "'a' 4, 'b' 1" in cautions(uneven)[0] and "macro-F1" in cautions(uneven)[0]
    contradicting = cleaned([*ROWS])
    assert "2 rows carry a text that also has another label" in cautions(contradicting)[0]
    chinese = cleaned([("这部电影很好", "a"), ("这部电影很差", "b")])
    assert "100 % of the letters are not Latin" in cautions(chinese)[0]
    long = cleaned([("word " * 20_000, "a"), ("short", "b")])
    assert "1 texts are longer" in cautions(long)[0]


def test_the_share_of_other_scripts() -> None:
    assert foreign_share(["abc", "привет"]) == pytest.approx(6 / 9)
    assert foreign_share(["123 🙂", ""]) == 0.0
    assert foreign_share([]) == 0.0
