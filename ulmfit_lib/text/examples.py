"""Labelled examples out of a table: each text once, no contradictions, every class large enough.

What is left out is counted, and what is odd is said: imbalance, other scripts
than the Latin one, very long documents. Introduced in the chapter *ULMFiT*.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ulmfit_lib.text.tables import TableError, column, read_table

MIN_ROWS = 4  # of a class: one to three to train on, one to validate with
_NAMED_AT_MOST = 8  # classes that a message lists
_IMBALANCE = 4.0  # largest class over smallest one, from which on accuracy alone misleads
_LETTERS_LOOKED_AT = 20_000
_FOREIGN_SHARE = 0.2  # of the letters
_LONG_TEXT = 50_000  # characters

LabelledText = tuple[str, str | None]


@dataclass(frozen=True)
class Cleaning:
    """What became of the rows of a table. Introduced in the chapter *ULMFiT*."""

    rows: int  # rows read
    empty: int  # left out: no text, or nothing but white space
    repeated: int  # left out: the text stands there already, with the same label
    contradicting: int  # left out: the text occurs with different labels
    unlabelled: int  # without a label: for the language model alone
    rare: int  # left out on request: of classes with too few rows

    @property
    def kept(self) -> int:
        """Rows that became examples."""
        left_out = (self.empty, self.repeated, self.contradicting, self.unlabelled, self.rare)
        return self.rows - sum(left_out)

    def text(self) -> str:
        """One line: what was kept and what was not."""
        left_out = {
            "empty": self.empty,
            "repeated": self.repeated,
            "with contradicting labels": self.contradicting,
            "without a label": self.unlabelled,
            "of rare classes": self.rare,
        }
        parts = ", ".join(f"{n:,} {why}" for why, n in left_out.items() if n)
        return f"{self.kept:,} of {self.rows:,} rows are examples" + (
            f" ({parts})" if parts else ""
        )


@dataclass(frozen=True)
class Examples:
    """Labelled texts, and texts without a label. Introduced in the chapter *ULMFiT*."""

    texts: tuple[str, ...]  # no two equal up to case and white space
    labels: tuple[int, ...]  # index into label_names, one per text
    label_names: tuple[str, ...]  # sorted; numbers by their value
    unlabelled: tuple[str, ...]  # without a label, or with contradicting ones; each once
    cleaning: Cleaning  # what became of the rows

    @property
    def counts(self) -> dict[str, int]:
        """Examples of each class."""
        found = Counter(self.labels)
        return {name: found[i] for i, name in enumerate(self.label_names)}


def read_examples(
    path: str | Path,
    text: str,
    label: str,
    encoding: str | None = None,
    min_rows: int = MIN_ROWS,
    drop_rare: bool = False,
) -> Examples:
    """The examples of a CSV or JSON-lines file (:func:`clean_examples`).

    Introduced in the chapter *ULMFiT*.

    Args:
        path: as :func:`ulmfit_lib.text.tables.read_table` takes it.
        text: column of the texts.
        label: column of the classes.
        encoding: as for :func:`ulmfit_lib.text.tables.read_table`.
        min_rows: fewest examples of a class.
        drop_rare: leave smaller classes out, instead of refusing the file.

    Raises:
        FileNotFoundError: no file at ``path``.
        TableError: the file, a column or a class is not usable; the message
            says which, and what to do.
    """
    table = read_table(path, encoding)
    texts, labels = column(table, text), column(table, label)
    try:
        return clean_examples(texts, labels, min_rows, drop_rare)
    except TableError as error:
        raise TableError(f"{table.name}, column {label!r}: {error}") from error


def clean_examples(
    texts: Sequence[str | None],
    labels: Sequence[str | None],
    min_rows: int = MIN_ROWS,
    drop_rare: bool = False,
) -> Examples:
    """Each text once, with its label.

    Texts that are equal up to case and white space count as one; where they
    carry different labels none of them is an example, and the text joins the
    unlabelled ones. Introduced in the chapter *ULMFiT*.

    Args:
        texts: one per row; None or blank where there is none.
        labels: class of each, None where there is none.
        min_rows: fewest examples of a class.
        drop_rare: leave smaller classes out, instead of refusing.

    Raises:
        TableError: fewer than two classes, or one with fewer than
            ``min_rows`` examples.
        ValueError: texts and labels of different numbers.
    """
    if len(texts) != len(labels):
        raise ValueError(f"{len(texts)} texts and {len(labels)} labels: give one label per text")
    rows = [(t, y) for t, y in zip(texts, labels, strict=True) if t and t.strip()]
    distinct, contradicting = _distinct(rows)
    labelled = [(t, y) for t, y in distinct if y is not None]
    kept = _of_large_classes(labelled, min_rows, drop_rare)
    names = _sorted({y for _, y in kept})
    n_unlabelled = sum(y is None for _, y in rows)
    return Examples(
        texts=tuple(t for t, _ in kept),
        labels=tuple(names.index(y) for _, y in kept),
        label_names=names,
        unlabelled=tuple(t for t, y in distinct if y is None),
        cleaning=Cleaning(
            rows=len(texts),
            empty=len(texts) - len(rows),
            repeated=len(rows) - n_unlabelled - contradicting - len(labelled),
            contradicting=contradicting,
            unlabelled=n_unlabelled,
            rare=len(labelled) - len(kept),
        ),
    )


def cautions(examples: Examples) -> list[str]:
    """What a user should know before trusting a number about these examples.

    Introduced in the chapter *ULMFiT*.
    """
    found = []
    counts = examples.counts
    large, small = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[large] >= _IMBALANCE * counts[small]:
        found.append(
            f"the classes are uneven ({large!r} {counts[large]:,}, {small!r} {counts[small]:,}): "
            "read balanced accuracy and macro-F1, not accuracy alone"
        )
    if examples.cleaning.contradicting:
        found.append(
            f"{examples.cleaning.contradicting:,} rows carry a text that also has another label: "
            "left out, they show how far the labels can be trusted"
        )
    share = foreign_share(examples.texts)
    if share > _FOREIGN_SHARE:
        found.append(
            f"{100 * share:.0f} % of the letters are not Latin: every character can be read, but "
            "the language model that comes with the book was pre-trained on English"
        )
    n_long = sum(len(t) > _LONG_TEXT for t in examples.texts)
    if n_long:
        found.append(f"{n_long:,} texts are longer than {_LONG_TEXT:,} characters")
    return found


def foreign_share(texts: Sequence[str]) -> float:
    """Share of the letters that are of another script than the Latin one; 0 without letters.

    Looks at the beginning of each text. Introduced in the chapter *ULMFiT*.
    """
    per_text = max(20, _LETTERS_LOOKED_AT // max(1, len(texts)))
    letters = [c for t in texts for c in t[:per_text] if c.isalpha()]
    foreign = sum(not unicodedata.name(c, "LATIN").startswith("LATIN") for c in letters)
    return foreign / len(letters) if letters else 0.0


def _distinct(rows: Sequence[tuple[str, str | None]]) -> tuple[list[LabelledText], int]:
    """Each text once in order of first sight, and the number of rows that contradict each other."""
    first: dict[str, str] = {}
    labels: dict[str, Counter[str]] = {}
    for text, label in rows:
        key = " ".join(text.casefold().split())
        first.setdefault(key, text)
        labels.setdefault(key, Counter()).update([label] if label is not None else [])
    distinct = [
        (text, next(iter(labels[key])) if len(labels[key]) == 1 else None)
        for key, text in first.items()
    ]
    return distinct, sum(found.total() for found in labels.values() if len(found) > 1)


def _of_large_classes(
    labelled: Sequence[tuple[str, str]], min_rows: int, drop_rare: bool
) -> list[tuple[str, str]]:
    counts = Counter(label for _, label in labelled)
    rare = {label: n for label, n in counts.items() if n < min_rows}
    if rare and not drop_rare:
        raise TableError(
            f"{len(rare)} of {len(counts)} classes have fewer than {min_rows} different texts "
            f"({_listed(rare)}): collect more, give them to another class, or leave them out "
            "(drop_rare=True, on the command line --drop-rare)"
        )
    if len(counts) - len(rare) < 2:
        left = {label: n for label, n in counts.items() if label not in rare}
        raise TableError(
            f"a classifier needs two classes, and there "
            f"{'is one' if left else 'is none'} with {min_rows} texts or more "
            f"({_listed(left or counts) or 'no row has text and label'}): is this the right column?"
        )
    return [(text, label) for text, label in labelled if label not in rare]


def _listed(counts: dict[str, int]) -> str:
    shown = [f"{label!r} {n:,}" for label, n in list(counts.items())[:_NAMED_AT_MOST]]
    return ", ".join(shown) + (", ..." if len(counts) > len(shown) else "")


def _sorted(labels: set[str]) -> tuple[str, ...]:
    """In alphabetical order; numbers by their value."""
    try:
        return tuple(sorted(sorted(labels), key=float))
    except ValueError:
        return tuple(sorted(labels))
