"""One way to every data set of the book: ``load(name)``.

The folder ``ULMFIT_LIB_DATA`` comes first, then the Hugging Face hub; what is
in neither is an error that says what to do, never something else in its place.
Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ulmfit_lib.text import pydocs
from ulmfit_lib.text.catalogue import DataSet, Hub, find
from ulmfit_lib.text.corpus import Corpus, Split
from ulmfit_lib.text.local_corpora import is_described_copy, read_folder

__all__ = [
    "Corpus",
    "MissingCorpusError",
    "Split",
    "load",
    "load_split",
    "with_validation",
    "without_class",
]

DATA_VARIABLE = "ULMFIT_LIB_DATA"
EMBEDDED = {"pydocs": pydocs.load, "pydocs-roles": pydocs.roles}

_COPY = f"copy its folder into a data folder and set {DATA_VARIABLE} to that"


class MissingCorpusError(LookupError):
    """A data set is neither in the data folder nor to be had from the hub."""


def load(name: str, data_dir: str | Path | None = None) -> Corpus:
    """The data set called ``name``, in one form whatever its source.

    Introduced in the chapter *Text and language models*.

    Args:
        name: as in :data:`ulmfit_lib.text.catalogue.CATALOGUE`.
        data_dir: folder of data sets; ``ULMFIT_LIB_DATA`` where it is None.

    Raises:
        ValueError: no such name; or a file, row or column is wrong.
        FileNotFoundError: the data folder or the file of a split is missing.
        MissingCorpusError: the data set is in neither place.
    """
    data_set = find(name)
    if name in EMBEDDED:
        return EMBEDDED[name]()
    folder = _data_folder(data_dir)
    if folder and (folder / (data_set.folder.name or name)).is_dir():
        return _from_folder(data_set, folder)
    if data_set.hub is None:
        raise MissingCorpusError(f"{_not_there(data_set, folder)}, and is not on the hub: {_COPY}")
    return _from_hub(data_set, data_set.hub, folder)


def load_split(name: str, split: str, data_dir: str | Path | None = None) -> Split:
    """One split of a data set, without reading the files of the others where it is in a folder.

    Introduced in the chapter *RecAdam*.

    Args:
        name: as in :data:`ulmfit_lib.text.catalogue.CATALOGUE`.
        split: one of its splits, such as "valid".
        data_dir: folder of data sets; ``ULMFIT_LIB_DATA`` where it is None.

    Raises:
        ValueError: no such name or split; or a file, row or column is wrong.
        FileNotFoundError: the data folder or the file of the split is missing.
        MissingCorpusError: the data set is in neither place.
    """
    data_set, folder = find(name), _data_folder(data_dir)
    if folder and (folder / (data_set.folder.name or name)).is_dir():
        files = {key: file for key, file in data_set.folder.files.items() if key == split}
        only = replace(data_set, folder=replace(data_set.folder, files=files))
        splits: Mapping[str, Split] = read_folder(only, folder)
    else:
        splits = load(name, data_dir).splits
    if split not in splits:
        raise ValueError(f"split={split!r}: {name} has none of that name")
    return splits[split]


def with_validation(corpus: Corpus, fraction: float, seed: int) -> Corpus:
    """``corpus`` with a validation split taken from its training split.

    Whole texts are drawn, so equal texts stay on one side. Introduced in the
    chapter *Text and language models*.

    Args:
        corpus: has a split ``train`` and none called ``valid``.
        fraction: of the training rows, in (0, 1).
        seed: of the draw.

    Raises:
        ValueError: ``fraction`` is out of range, or there is a validation
            split already or no training split.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction={fraction} must be between 0 and 1")
    if "valid" in corpus.splits or "train" not in corpus.splits:
        raise ValueError(
            f"corpus {corpus.name!r} has the splits {sorted(corpus.splits)}: with_validation "
            "needs 'train' and no 'valid'"
        )
    train = corpus.splits["train"]
    drawn = _draw_texts(train.texts, fraction * len(train), seed)
    held = [i for i, text in enumerate(train.texts) if text in drawn]
    kept = [i for i, text in enumerate(train.texts) if text not in drawn]
    splits = {**corpus.splits, "train": train.take(kept), "valid": train.take(held)}
    note = f"valid is {len(held):,} rows of train drawn with seed {seed}"
    return replace(corpus, splits=splits, provenance=f"{corpus.provenance}; {note}")


def without_class(corpus: Corpus, name: str) -> Corpus:
    """``corpus`` without the rows of one class, and without the class.

    Introduced in the chapter *Selective masking*.

    Args:
        corpus: a classification task.
        name: of the class, such as "conflict" of SemEval-2014.

    Raises:
        ValueError: no class has that name.
    """
    if name not in corpus.label_names:
        raise ValueError(f"name={name!r} is no class of {corpus.name}: {corpus.label_names}")
    gone = corpus.label_names.index(name)
    names = tuple(label for label in corpus.label_names if label != name)
    splits = {key: _without_label(split, gone) for key, split in corpus.splits.items()}
    note = f"without the class {name!r}"
    return replace(
        corpus, splits=splits, label_names=names, provenance=f"{corpus.provenance}; {note}"
    )


def _without_label(split: Split, gone: int) -> Split:
    if split.labels is None:
        return split
    kept = split.take([i for i, label in enumerate(split.labels) if label != gone])
    return replace(kept, labels=tuple(y - (y > gone) for y in kept.labels or ()))


def _data_folder(data_dir: str | Path | None) -> Path | None:
    stated = data_dir or os.environ.get(DATA_VARIABLE)
    if not stated:
        return None
    if not Path(stated).is_dir():
        source = "data_dir" if data_dir else DATA_VARIABLE
        raise FileNotFoundError(f"{source}={str(stated)!r} is no folder: correct or unset it")
    return Path(stated)


def _from_folder(data_set: DataSet, folder: Path) -> Corpus:
    splits = read_folder(data_set, folder)
    provenance = f"{data_set.folder.name or data_set.name}/ of the data folder"
    if data_set.folder.note and is_described_copy(data_set, splits):
        provenance += f": {data_set.folder.note}"
    return _corpus(data_set, splits, provenance)


def _from_hub(data_set: DataSet, hub: Hub, folder: Path | None) -> Corpus:
    from ulmfit_lib.text import hub_corpora  # imports `datasets`, which takes seconds

    try:
        found = hub_corpora.fetch(hub)
    except (OSError, RuntimeError, ValueError) as error:
        raise MissingCorpusError(
            f"{_not_there(data_set, folder)}, and could not be fetched from the hub "
            f"({hub.repository}: {error}): {_COPY}, or go online once (the download stays in "
            "HF_HOME)"
        ) from error
    config = f", configuration {hub.config}" if hub.config else ""
    splits = hub_corpora.convert(data_set, hub, found)
    return _corpus(data_set, splits, f"the Hugging Face hub, {hub.repository}{config}")


def _not_there(data_set: DataSet, folder: Path | None) -> str:
    place = f"not in {folder}" if folder else f"not here ({DATA_VARIABLE} is not set)"
    return f"the data set {data_set.name!r} is {place}"


def _corpus(data_set: DataSet, splits: dict[str, Split], provenance: str) -> Corpus:
    return Corpus(
        name=data_set.name,
        splits=splits,
        label_names=data_set.label_names,
        licence=data_set.licence,
        citation=data_set.citation,
        provenance=provenance,
    )


def _draw_texts(texts: Sequence[str], rows: float, seed: int) -> set[str]:
    """Distinct texts in a seeded order, until they stand for ``rows`` rows."""

    def order(text: str) -> bytes:
        """The text's place in the seeded order."""
        return hashlib.sha256(f"{seed} {text}".encode("utf-8", "surrogatepass")).digest()

    drawn: set[str] = set()
    count = 0
    for text, repeats in sorted(Counter(texts).items(), key=lambda item: order(item[0])):
        if count >= rows:
            break
        drawn.add(text)
        count += repeats
    return drawn
