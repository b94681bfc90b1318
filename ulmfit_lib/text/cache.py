"""Files that can be made again: where they live, and how they stay whole.

Whatever the library builds once and keeps (the embedded corpus, checksums
already verified) is a *cache entry*: one file that starts with the SHA-256 of
its content. A half-written or altered entry is noticed when it is read, and
built again. Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "ULMFIT_LIB_CACHE"

_log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """The folder of the cache entries, created where it is missing.

    ``ULMFIT_LIB_CACHE`` where it is set, else the platform's cache folder
    (``~/.cache/ulmfit_lib`` on Linux). Introduced in the chapter *Text and
    language models*.

    Raises:
        OSError: the folder cannot be created or written to.
    """
    stated = os.environ.get(CACHE_VARIABLE)
    folder = Path(stated) if stated else platformdirs.user_cache_path("ulmfit_lib", False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"cannot create the cache folder {folder}: set {CACHE_VARIABLE} to a folder "
            "that can be written to"
        ) from error
    return folder


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that no reader ever sees a part of it.

    The bytes go to a temporary file beside ``path``, reach the disk, and then
    take its name in one step; a process killed at any moment leaves the old
    file or the new one. Introduced in the chapter *Text and language models*.

    Raises:
        OSError: the folder of ``path`` cannot be created or written to.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def cached(name: str, key: Mapping[str, str], build: Callable[[], bytes]) -> bytes:
    """The bytes that ``build`` makes, from the cache where they are there and whole.

    Introduced in the chapter *Text and language models*.

    Args:
        name: what the entry is, a part of its file name (``"pydocs"``).
        key: everything that the content depends on (versions, settings); a
            different key is a different entry.
        build: called without arguments when there is no whole entry.

    Raises:
        OSError: the cache folder cannot be written to.
    """
    path = entry_path(name, key)
    content = _read_entry(path)
    if content is None:
        content = build()
        write_atomically(path, _digest(content) + b"\n" + content)
    return content


def entry_path(name: str, key: Mapping[str, str]) -> Path:
    """The file that :func:`cached` uses for ``name`` and ``key``.

    Introduced in the chapter *Text and language models*.
    """
    digest = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()
    return cache_dir() / f"{name}-{digest[:16]}.entry"


def _read_entry(path: Path) -> bytes | None:
    """The content of a whole entry; None where it is missing or damaged."""
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if digest == _digest(content):
        return content
    _log.warning("cache entry %s is damaged: building it again", path)
    return None


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
