"""Is this file the one that its folder's table of checksums describes?

A data folder may hold a ``README.md`` with rows ``| `file` | bytes | `sha256`
|``. Where it does, a file that differs from its row is refused. Introduced in
the chapter *Text and language models*.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ulmfit_lib.text.cache import cached
from ulmfit_lib.text.running_text import DamagedFileError

TABLE = "README.md"
_ROW = re.compile(r"^\| *`([^`]+)` *\| *([\d,]+) *\| *`([0-9a-f]{64})` *\|", re.MULTILINE)


def check_file(path: Path, data_dir: Path) -> None:
    """Compare ``path`` with its row in the table of ``data_dir``, where there is one.

    A verified file is read again only when its size or time of change differs.
    Introduced in the chapter *Text and language models*.

    Raises:
        DamagedFileError: the size or the SHA-256 differs from the table's.
    """
    name = path.relative_to(data_dir).as_posix()
    expected = read_table(data_dir / TABLE).get(name)
    if expected is None:
        return
    size, digest = expected
    status = path.stat()
    if status.st_size != size:
        raise DamagedFileError(
            f"{path} has {status.st_size:,} bytes, but {data_dir / TABLE} says {size:,}: it is "
            "truncated or changed; copy it again"
        )
    key = {"file": str(path.resolve()), "size": str(size), "time": str(status.st_mtime_ns)}
    cached("checksum", {**key, "sha256": digest}, lambda: _verify(path, digest))


def read_table(path: Path) -> dict[str, tuple[int, str]]:
    """(bytes, sha256) by file name from the table at ``path``; empty without a table."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {name: (int(size.replace(",", "")), sha) for name, size, sha in _ROW.findall(text)}


def _verify(path: Path, expected: str) -> bytes:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise DamagedFileError(
            f"{path} has the SHA-256 {found[:12]}..., but its table says {expected[:12]}...: "
            "it is damaged or changed; copy it again"
        )
    return b"verified"
