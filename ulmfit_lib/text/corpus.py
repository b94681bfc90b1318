"""The one form of a data set: splits of texts and labels, and where they are from.

Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Labels = tuple[int, ...] | tuple[float, ...]


@dataclass(frozen=True)
class Split:
    """Some rows of a data set, column by column.

    Introduced in the chapter *Text and language models*.

    Raises:
        ValueError: the columns differ in length.
    """

    texts: tuple[str, ...]  # one per row
    labels: Labels | None = None  # class indices, scores, or None: unlabelled
    texts_b: tuple[str, ...] | None = None  # second segment of each row of a pair task

    def __post_init__(self) -> None:
        for name, column in (("labels", self.labels), ("texts_b", self.texts_b)):
            if column is not None and len(column) != len(self.texts):
                raise ValueError(
                    f"{name} has {len(column)} rows but texts has {len(self.texts)}: give one "
                    f"per text, or {name}=None"
                )

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, chosen: Sequence[int]) -> Split:
        """The rows with these indices."""
        labels, texts_b = self.labels, self.texts_b
        return Split(
            texts=tuple(self.texts[i] for i in chosen),
            labels=None if labels is None else tuple(labels[i] for i in chosen),
            texts_b=None if texts_b is None else tuple(texts_b[i] for i in chosen),
        )


@dataclass(frozen=True)
class Corpus:
    """A data set: its splits, the names of its labels, and what to cite.

    Introduced in the chapter *Text and language models*.
    """

    name: str  # as in corpora.load
    splits: Mapping[str, Split]  # "train", "valid", "test", "unsup": those that exist
    label_names: tuple[str, ...]  # names of the class indices; empty for scores and no labels
    licence: str  # what the source states
    citation: str  # whom to cite, short
    provenance: str  # where this copy was read from, and what it lacks
    fingerprint: str = field(init=False)  # SHA-256 (hex) of texts, labels and label names

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", fingerprint(self.splits, self.label_names))


def fingerprint(splits: Mapping[str, Split], label_names: Sequence[str] = ()) -> str:
    """SHA-256 (hex) of texts, labels and label names.

    Introduced in the chapter *Text and language models*.

    Args:
        splits: rows by name of the split.
        label_names: names of the classes.
    """
    digest = hashlib.sha256()
    for part in _content(splits, label_names):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _content(splits: Mapping[str, Split], label_names: Sequence[str]) -> Iterator[bytes]:
    yield json.dumps(label_names).encode()
    for name, split in sorted(splits.items()):
        yield name.encode()
        yield json.dumps(split.labels).encode()
        for column in (split.texts, split.texts_b or ()):
            yield str(len(column)).encode()
            yield from (text.encode("utf-8", "surrogatepass") for text in column)


def to_json(corpus: Corpus) -> bytes:
    """``corpus`` as JSON text in UTF-8; the inverse of :func:`from_json`."""
    fields = {
        "name": corpus.name,
        "label_names": corpus.label_names,
        "licence": corpus.licence,
        "citation": corpus.citation,
        "provenance": corpus.provenance,
        "splits": {
            name: {"texts": split.texts, "labels": split.labels, "texts_b": split.texts_b}
            for name, split in corpus.splits.items()
        },
    }
    return json.dumps(fields).encode()


def from_json(content: bytes) -> Corpus:
    """The corpus that :func:`to_json` wrote."""
    fields = json.loads(content)
    splits = {name: _split_from(columns) for name, columns in fields.pop("splits").items()}
    return Corpus(splits=splits, label_names=tuple(fields.pop("label_names")), **fields)


def _split_from(columns: Mapping[str, list[Any] | None]) -> Split:
    texts, labels, texts_b = (columns[name] for name in ("texts", "labels", "texts_b"))
    return Split(
        texts=tuple(texts or ()),
        labels=None if labels is None else tuple(labels),
        texts_b=None if texts_b is None else tuple(texts_b),
    )
