"""Know when executed notebooks are out of date.

The execution cache is keyed on a notebook's own code, so on its own it would go on serving the
outputs of an older library. A stamp file therefore lists, with a hash each, everything else that
decides what a cell prints: the library and its weights, the records and claims that cells read,
the installed packages (``pydocs`` is made from them), the pins, and the scale. When any of it
changes, the executions are dropped.

Safe to interrupt: the old stamp goes first and the new one comes last, so that a stamp on disk
always belongs to the executions beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from book_build.layout import Layout

WATCHED = (
    "ulmfit_lib/**/*",
    "book/runs/**/*",
    "book/claims.yml",
    "book/_assets/explorable*",
    "requirements.txt",
    "pyproject.toml",
)
SETTINGS = {"ULMFIT_SCALE": "laptop", "ULMFIT_LIB_DATA": ""}


def current_stamp(root: Path) -> dict[str, str]:
    """What the next execution would run against: a name and a hash or a version for each part."""
    stamp = {f"file {path.relative_to(root).as_posix()}": _hash(path) for path in _watched(root)}
    stamp |= {f"package {name}": version for name, version in sorted(_packages().items())}
    stamp |= {f"setting {name}": os.environ.get(name, value) for name, value in SETTINGS.items()}
    stamp["setting data"] = _listing(os.environ.get("ULMFIT_LIB_DATA", ""))
    stamp["python"] = platform.python_version()
    return stamp


def changes(layout: Layout) -> list[str] | None:
    """What differs from the stamp on disk; ``None`` when there is no (readable) stamp."""
    try:
        old = json.loads(layout.stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    new = current_stamp(layout.root)
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def refresh(layout: Layout) -> list[str] | None:
    """Drop executions that are out of date and write the new stamp.

    Returns:
        What changed, ``[]`` when the executions on disk are still good, ``None`` when there was
        no stamp to compare with.
    """
    changed = changes(layout)
    if changed != []:
        drop_executions(layout)
        _write(layout.stamp, current_stamp(layout.root))
    return changed


def drop_executions(layout: Layout) -> None:
    """Forget every executed notebook and every page read from one."""
    layout.stamp.unlink(missing_ok=True)
    shutil.rmtree(layout.execution_cache, ignore_errors=True)
    shutil.rmtree(layout.doctrees, ignore_errors=True)
    if layout.execution_cache.exists():
        raise OSError(
            f"could not remove {layout.execution_cache}: delete it by hand, then build again"
        )


def _watched(root: Path) -> Iterator[Path]:
    for pattern in WATCHED:
        for path in sorted(root.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _packages() -> dict[str, str]:
    found = ((dist.metadata["Name"], dist.version) for dist in metadata.distributions())
    return {name: version for name, version in found if name}


def _listing(folder: str) -> str:
    """A hash of the names, sizes and times of the files in a data folder ('' for no folder)."""
    if not folder or not Path(folder).is_dir():
        return ""
    entries = []
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            stat = path.stat()
            entries.append(f"{path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(entries).encode()).hexdigest()


def _write(path: Path, stamp: dict[str, str]) -> None:
    """Write the stamp in one step: it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(stamp, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(temporary, path)
