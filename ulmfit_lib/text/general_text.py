"""A little general text, written for this book: neither of a task nor of any model's pre-training.

Two parts that share nothing. ``measure`` says how much of general language a model still knows;
``recall`` is there to be trained on, or to take a Fisher information from, so that what is measured
on has never been seen. Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ulmfit_lib.text.corpora import MissingCorpusError, load_split
from ulmfit_lib.text.running_text import read_documents

PARTS = ("measure", "recall")
ENCYCLOPAEDIA = "wikipedia-2015"  # what the shipped encoders have read is its training split
_FOLDER = Path(__file__).with_name("general")


def general_documents(part: str = "measure") -> list[str]:
    """Short texts in the manner of an encyclopaedia, about things that do not exist.

    Introduced in the chapter *RecAdam*.

    Args:
        part: "measure" or "recall".

    Raises:
        ValueError: no such part.
    """
    if part not in PARTS:
        raise ValueError(f"part={part!r}: choose one of {', '.join(PARTS)}")
    return list(read_documents(_FOLDER / f"{part}.txt"))


@dataclass(frozen=True)
class RecallText:
    """Text like that of pre-training, and where it is from. Introduced in the chapter *RecAdam*."""

    source: str  # in words, for a record
    documents: tuple[str, ...]


def recall_text() -> RecallText:
    """Held-out articles of Wikipedia where the data folder has them, else this book's own part.

    Neither was read in pre-training. Introduced in the chapter *RecAdam*.
    """
    try:
        articles = load_split(ENCYCLOPAEDIA, "valid").texts
    except MissingCorpusError:
        return RecallText(
            "the book's general text, part recall", tuple(general_documents("recall"))
        )
    return RecallText(f"{ENCYCLOPAEDIA}, valid", articles)
