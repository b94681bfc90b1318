"""Running text from files: packed or plain, whole or refused.

The format: UTF-8, one paragraph per line, a blank line after each document,
plain (``.txt``) or packed with xz (``.txt.xz``). Nothing is repaired or
skipped in silence: a truncated file, another encoding or binary data stops
the reading with the file, the line and the remedy. Introduced in the chapter
*Text and language models*.
"""

from __future__ import annotations

import io
import itertools
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

XZ_MAGIC = b"\xfd7zXZ\x00"
XZ_FOOTER_SIZE = 12
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class DamagedFileError(ValueError):
    """A file is not the whole, clean text that its name promises."""


def read_lines(path: str | Path) -> Iterator[str]:
    """The lines of a ``.xz`` or plain text file, without their line ends.

    Only ``\\n`` and ``\\r\\n`` end a line. Introduced in the chapter *Text and
    language models*.

    Raises:
        FileNotFoundError: no file at ``path``.
        DamagedFileError: the file is truncated, empty, not UTF-8, or holds
            control characters other than the tab.
    """
    file = Path(path)
    stream = _open_bytes(file)
    return _checked_lines(stream, file)


def read_documents(path: str | Path) -> Iterator[str]:
    """The documents of a running-text file, each its paragraphs joined by ``\\n``.

    One line is one paragraph; one or more blank lines end a document.
    Introduced in the chapter *Text and language models*.

    Raises:
        FileNotFoundError: no file at ``path``.
        DamagedFileError: as :func:`read_lines`, and where the file holds
            nothing but blanks.
    """
    lines = read_lines(path)
    return _documents(lines, Path(path))


def _documents(lines: Iterator[str], path: Path) -> Iterator[str]:
    empty = True
    for is_blank, group in itertools.groupby(lines, key=lambda line: not line.strip()):
        if not is_blank:
            empty = False
            yield "\n".join(line.strip() for line in group)
    if empty:
        raise DamagedFileError(f"{path} holds blank lines only: expected one paragraph per line")


def _checked_lines(stream: BinaryIO, path: Path) -> Iterator[str]:
    number = 0
    with stream:
        for number, raw in enumerate(stream, start=1):
            yield _decode(raw, path, number)
    if number == 0:
        raise DamagedFileError(f"{path} is empty: expected UTF-8 text; copy or download it again")


def _decode(raw: bytes, path: Path, number: int) -> str:
    try:
        line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFileError(
            f"{path}, line {number}: byte {error.start} is not UTF-8; convert the file "
            "first, e.g. iconv -f LATIN1 -t UTF-8"
        ) from error
    line = line.removesuffix("\n").removesuffix("\r")
    if found := _CONTROL.search(line):
        raise DamagedFileError(
            f"{path}, line {number}: control character {found.group()!r} at {found.start()}; "
            "this is not plain text: remove such characters or choose another file"
        )
    return line


def _open_bytes(path: Path) -> BinaryIO:
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}: check the path, or download the file again")
    if path.suffix != ".xz":
        return path.open("rb")
    _check_xz_ends(path)
    return cast(BinaryIO, io.BufferedReader(_Unpacking(path)))


def _check_xz_ends(path: Path) -> None:
    """Refuse a file without the header and footer of an xz stream.

    The footer (xz file format 1.2.1, section 2.1.2): CRC32 of the next six
    bytes, index size, flags, the letters ``YZ``.
    """
    with path.open("rb") as file:
        header = file.read(len(XZ_MAGIC))
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - XZ_FOOTER_SIZE))
        footer = file.read()
    if header != XZ_MAGIC:
        raise DamagedFileError(f"{path} is not an xz file: download it again, or drop '.xz'")
    crc = int.from_bytes(footer[:4], "little")
    if footer[-2:] != b"YZ" or zlib.crc32(footer[4:10]) != crc:
        raise DamagedFileError(
            f"{path} is truncated: its {size} bytes lack the xz end marker; download it again"
        )


class _Unpacking(io.RawIOBase):
    """The bytes inside an xz file; damage is told with the file's name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = lzma.open(path)

    def readable(self) -> bool:
        """As ``io.RawIOBase`` asks: yes."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` from the file; the number of bytes, 0 at the end."""
        try:
            content = self._file.read(len(buffer))
        except (EOFError, lzma.LZMAError) as error:
            raise DamagedFileError(
                f"{self._path} is damaged ({error}); download it again"
            ) from error
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
