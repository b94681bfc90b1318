"""Data sets from a folder: every file whole, every row checked.

The format: ``<folder>/<split>.jsonl`` or ``.jsonl.xz``, one JSON object per
line with ``text``, ``label`` and, for pairs, ``text_b``; running text as
``.txt`` or ``.txt.xz``. Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ulmfit_lib.text.catalogue import CLASSIFICATION, LINES, RUNNING_TEXT, SCORES, DataSet
from ulmfit_lib.text.checksums import check_file
from ulmfit_lib.text.corpus import Split
from ulmfit_lib.text.running_text import DamagedFileError, read_documents, read_lines

Row = dict[str, Any]


def read_folder(data_set: DataSet, data_dir: Path) -> dict[str, Split]:
    """The splits of ``data_set`` from its folder in ``data_dir``.

    Introduced in the chapter *Text and language models*.

    Raises:
        FileNotFoundError: a split's file is missing.
        DamagedFileError: a file is truncated, empty, in another encoding or
            with another checksum, or a row of it is wrong; the message says
            where, and what to do.
    """
    folder = data_dir / (data_set.folder.name or data_set.name)
    splits = {}
    for split, stem in data_set.folder.files.items():
        files = _files_of(folder, stem, _suffix(data_set))
        for file in files:
            check_file(file, data_dir)
        splits[split] = _read_split(data_set, split, files)
        _check_rows(data_set, split, len(splits[split]), files[0])
    return splits


def is_described_copy(data_set: DataSet, splits: Mapping[str, Split]) -> bool:
    """Whether the folder holds the very copy that the catalogue's note is about.

    Args:
        data_set: the catalogue's entry.
        splits: what was read from the folder.
    """
    rows = data_set.folder.rows or (data_set.hub.rows if data_set.hub else {})
    return all(rows.get(name, len(split)) == len(split) for name, split in splits.items())


def _files_of(folder: Path, stem: str, suffix: str) -> list[Path]:
    found = sorted(folder.glob(stem + suffix)) or sorted(folder.glob(stem + suffix + ".xz"))
    if not found:
        raise FileNotFoundError(
            f"{folder} has no {stem}{suffix} or {stem}{suffix}.xz: the split is missing; copy "
            "the whole folder again"
        )
    return found


def _suffix(data_set: DataSet) -> str:
    return ".txt" if data_set.task in (RUNNING_TEXT, LINES) else ".jsonl"


def _read_split(data_set: DataSet, split: str, files: list[Path]) -> Split:
    if data_set.task == RUNNING_TEXT:
        return Split(tuple(text for file in files for text in read_documents(file)))
    if data_set.task == LINES:
        return Split(tuple(line.strip() for file in files for line in read_lines(file)))
    labelled = data_set.task in (CLASSIFICATION, SCORES) and split != "unsup"
    rows = [(row, place) for file in files for row, place in _read_rows(file)]
    labels = tuple(_label(row, place, data_set) for row, place in rows) if labelled else None
    return Split(
        texts=tuple(_text(row, "text", place) for row, place in rows),
        labels=labels,
        texts_b=tuple(_text(r, "text_b", p) for r, p in rows) if data_set.paired else None,
    )


def _read_rows(file: Path) -> Iterator[tuple[Row, str]]:
    """(row, "file, line n") of each line of a file of JSON objects."""
    for number, line in enumerate(read_lines(file), start=1):
        place = f"{file}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DamagedFileError(
                f"{place}: not a JSON object ({error.msg}): {line[:40]!r}; the file is damaged "
                "or of another kind, copy it again"
            ) from error
        if not isinstance(row, dict):
            raise DamagedFileError(f"{place}: expected a JSON object, found {line[:40]!r}")
        yield row, place


def _text(row: Row, key: str, place: str) -> str:
    if key not in row:
        raise DamagedFileError(f"{place}: the key {key!r} is missing; there are {sorted(row)}")
    if not isinstance(row[key], str):
        raise DamagedFileError(f"{place}: {key}={row[key]!r} must be a string")
    text: str = row[key]
    if not _is_unicode(text):
        raise DamagedFileError(
            f"{place}: {key} holds a lone surrogate, which is no character: write the file again "
            "from properly decoded text"
        )
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _label(row: Row, place: str, data_set: DataSet) -> int | float:
    if data_set.task == SCORES:
        return _score(row, place)
    name = _text(row, "label", place)
    names = data_set.folder.label_names or data_set.label_names
    if name not in names:
        raise DamagedFileError(f"{place}: label={name!r} must be one of {list(names)}")
    return names.index(name)


def _score(row: Row, place: str) -> float:
    score = row.get("label")
    if isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score):
        return float(score)
    raise DamagedFileError(f"{place}: label={score!r} must be a finite number")


def _check_rows(data_set: DataSet, split: str, found: int, file: Path) -> None:
    """Refuse a split that is neither the described copy's nor the published one's size."""
    published = data_set.hub.rows if data_set.hub else {}
    known = [rows[split] for rows in (data_set.folder.rows, published) if split in rows]
    if known and found not in known:
        sizes = " or ".join(f"{size:,}" for size in dict.fromkeys(known))
        raise DamagedFileError(
            f"{file} has {found:,} rows, but {split} of {data_set.name!r} has {sizes}: it is not "
            "whole or not this data set; copy it again"
        )
