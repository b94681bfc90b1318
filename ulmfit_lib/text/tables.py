"""A reader's own tables, CSV or JSON lines: read whole, or refused with the place and the remedy.

Nothing is guessed in silence: another encoding, an open quote or a row of
another length stops the reading. Introduced in the chapter *ULMFiT*.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import gzip
import io
import json
import lzma
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]

CSV_SUFFIXES = (".csv", ".tsv")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_OPENERS = {".gz": gzip.decompress, ".xz": lzma.decompress}
_DELIMITERS = (",", ";", "\t", "|")
_BOMS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_ENCODINGS = ("cp1252", "gb18030", "shift_jis", "cp1251")  # shown where UTF-8 fails
_LARGEST_FIELD = 2**31 - 1  # characters; csv's own limit of 131,072 is below a long document


class TableError(ValueError):
    """A table that cannot be used as it is; the message says where, and what to do.

    Introduced in the chapter *ULMFiT*.
    """


@dataclass(frozen=True)
class Table:
    """Rows of a file, as they stand there. Introduced in the chapter *ULMFiT*."""

    name: str  # of the file
    columns: tuple[str, ...]  # in the order of the header, or of first sight in JSON
    rows: tuple[Row, ...]  # column to value; in JSON a column may be missing
    lines: tuple[int, ...]  # line on which each row ends (of a JSON list: its number), from 1


def read_table(path: str | Path, encoding: str | None = None) -> Table:
    """Rows of a CSV, TSV, JSON-lines or JSON file, plain or packed (``.gz``, ``.xz``).

    CSV has a header; its separator is the one of ``, ; | tab`` that cuts the
    header into most columns. JSON is one object a line, or one list of
    objects. A byte-order mark decides the encoding, else it is UTF-8.
    Introduced in the chapter *ULMFiT*.

    Args:
        path: the file.
        encoding: as Python names it, where it is neither UTF-8 nor marked.

    Raises:
        FileNotFoundError: no file at ``path``.
        TableError: another kind of file, another encoding, broken quotes or
            JSON, rows of different lengths, or no row at all.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no file at {file}: pass a CSV or JSON-lines file")
    kind = _suffixes(file)[0]
    if kind not in CSV_SUFFIXES + JSON_SUFFIXES:
        raise TableError(
            f"{file.name} ends in none of {', '.join(CSV_SUFFIXES + JSON_SUFFIXES)}: rename it, or "
            "save the table as CSV in UTF-8 (spreadsheets offer that under 'save as')"
        )
    text = _decode(_content(file), file.name, encoding)
    table = (_read_csv if kind in CSV_SUFFIXES else _read_json)(file.name, text)
    if not table.rows:
        raise TableError(f"{file.name} has no rows: at least one is needed")
    return table


def column(table: Table, name: str) -> list[str | None]:
    """Values of the column ``name`` as texts, None where there is nothing but white space.

    Numbers and true/false become texts, white space around a value goes, and
    half a surrogate pair (a cut-off emoji) becomes U+FFFD. Introduced in the
    chapter *ULMFiT*.

    Args:
        table: of :func:`read_table`.
        name: as the header or the keys spell it.

    Raises:
        TableError: no such column, or two of them; the message names those
            there are. Or a value is a list or an object.
    """
    if table.columns.count(name) != 1:
        raise TableError(_no_such_column(table, name))
    rows = zip(table.rows, table.lines, strict=True)
    return [_as_text(row.get(name), f"{table.name}, line {line}, {name!r}") for row, line in rows]


def read_texts(path: str | Path, text: str | None = None, encoding: str | None = None) -> list[str]:
    """One text per row, in the order of the rows; a missing one is empty.

    A ``.txt`` file holds one text a line. Introduced in the chapter *ULMFiT*.

    Args:
        path: a table as :func:`read_table` takes it, or a ``.txt`` file.
        text: the column; may be left out where there is only one.
        encoding: as for :func:`read_table`.

    Raises:
        FileNotFoundError: no file at ``path``.
        TableError: as :func:`read_table` and :func:`column`.
    """
    file = Path(path)
    if file.is_file() and _suffixes(file)[0] == ".txt":
        lines = io.StringIO(_decode(_content(file), file.name, encoding), newline=None)
        return [line.rstrip("\n") for line in lines]
    table = read_table(file, encoding)
    if text is None and len(table.columns) != 1:
        raise TableError(
            f"{table.name} has the columns {_named(table.columns)}: say which one is the text"
        )
    return [value or "" for value in column(table, text or table.columns[0])]


def _suffixes(file: Path) -> tuple[str, str]:
    """What the file holds, and how it is packed (or nothing)."""
    *before, last = ["", *(suffix.lower() for suffix in file.suffixes)]
    return (before[-1], last) if last in _OPENERS and before else (last, "")


def _content(file: Path) -> bytes:
    packed = file.read_bytes()
    try:
        return _OPENERS.get(_suffixes(file)[1], bytes)(packed)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise TableError(f"{file.name} is damaged or not packed that way: {error}") from error


def _decode(content: bytes, name: str, encoding: str | None) -> str:
    marked = next((found for mark, found in _BOMS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding or marked)
    except LookupError:
        raise TableError(
            f"encoding={encoding!r} is unknown: say utf-8, cp1252, gb18030 or the like"
        ) from None
    except UnicodeDecodeError as error:
        raise TableError(_wrong_encoding(content, name, error)) from error
    if "\0" in text[:4]:
        raise TableError(f"{name} looks like UTF-16 without a mark: say encoding='utf-16-le'")
    return text.removeprefix("\ufeff")


def _wrong_encoding(content: bytes, name: str, error: UnicodeDecodeError) -> str:
    """Where the decoding failed, and how the line reads in other encodings."""
    start = content.rfind(b"\n", 0, error.start) + 1
    line = content[start : error.end + 40].splitlines()[0]
    readings = [f"{other} {line.decode(other, 'replace')[:60]!r}" for other in _OTHER_ENCODINGS]
    number = content.count(b"\n", 0, start) + 1
    return (
        f"{name}, line {number}: this is not {error.encoding}. Save the file as UTF-8, or say its "
        f"encoding. That line reads, as {', as '.join(readings)}"
    )


def _read_csv(name: str, text: str) -> Table:
    with _long_fields():
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
        records = list(_records(name, reader))
    if not records:
        return Table(name, (), (), ())
    header = tuple(cell.strip() for cell in records[0][1])
    for line, cells in records:
        if len(cells) != len(header):
            raise TableError(
                f"{name}, line {line}: {len(cells)} values for the {len(header)} columns "
                f"{_named(header)}: put quotes around texts that hold separators or line breaks"
            )
    rows = tuple(dict(zip(header, cells, strict=True)) for _, cells in records[1:])
    return Table(name, header, rows, tuple(line for line, _ in records[1:]))


def _records(name: str, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """(line of its end, values) of each record; blank lines are none."""
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise TableError(
            f"{name}, line {reader.line_num}: {error}. A quote inside a quoted text is written "
            'twice (""), and each opened one is closed'
        ) from error


def _delimiter(text: str) -> str:
    """What cuts the header into most columns; the comma where nothing does."""

    def columns(delimiter: str) -> int:
        """Columns of the first row that has any."""
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return len(next((cells for cells in reader if cells), []))

    return max(_DELIMITERS, key=columns)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let csv read long documents; its limit is global, so it is put back."""
    before = csv.field_size_limit(_LARGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_json(name: str, text: str) -> Table:
    if text.lstrip().startswith("["):
        objects = list(enumerate(_parsed(text, name), start=1))
    else:
        lines = enumerate(text.split("\n"), start=1)
        objects = [(n, _parsed(line, f"{name}, line {n}")) for n, line in lines if line.strip()]
    for n, found in objects:
        if not isinstance(found, dict):
            raise TableError(
                f'{name}, line {n}: expected an object like {{"text": ..., "label": ...}}, '
                f"found {str(found)[:40]!r}"
            )
    columns = dict.fromkeys(key for _, row in objects for key in row)
    rows, lines_of_rows = tuple(row for _, row in objects), tuple(n for n, _ in objects)
    return Table(name, tuple(columns), rows, lines_of_rows)


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TableError(f"{place}: no whole JSON ({error}): {text.strip()[:40]!r}") from error


def _as_text(value: Any, place: str) -> str | None:
    if isinstance(value, dict | list):
        raise TableError(f"{place}: {str(value)[:40]!r} is no text")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip() or None


def _no_such_column(table: Table, name: str) -> str:
    if name in table.columns:
        return f"{table.name} has {table.columns.count(name)} columns {name!r}: rename one"
    close = difflib.get_close_matches(name.lower(), [c.lower() for c in table.columns], n=1)
    meant = [c for c in table.columns if close and c.lower() == close[0]]
    hint = f"; did you mean {meant[0]!r}?" if meant else ""
    return f"{table.name} has no column {name!r}, only {_named(table.columns)}{hint}"


def _named(columns: Sequence[str]) -> str:
    return ", ".join(repr(c) for c in columns) or "none"
