"""Execute the notebooks, two at a time, into the cache that myst-nb reads.

Sphinx would execute them one after the other. Here each runs in its own process
(:mod:`book_build.notebook_run`); what comes out goes into the cache together with its run time
and peak memory, which the chapters' cards and the status page print.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract

from book_build import stamp
from book_build.layout import Layout

JOBS = 2  # notebooks at a time; each gets its share of the cores


@dataclass(frozen=True)
class Measurement:
    """What one execution of a notebook took."""

    seconds: float  # wall time of all cells
    peak_bytes: int | None  # largest resident memory of the kernel; None if not measured
    executed_at: str | None  # ISO 8601, UTC
    scale: str | None  # ULMFIT_SCALE
    cores: int | None  # of the machine


@dataclass(frozen=True)
class Failure:
    """Where and why a notebook stopped."""

    notebook: Path
    cell: int | None  # counted from 1, Markdown cells included
    source: str  # the cell's code
    traceback: str

    def __str__(self) -> str:
        """Notebook, cell, code and traceback, for the terminal."""
        place = f"{self.notebook}, cell {self.cell}" if self.cell else f"{self.notebook}"
        code = "\n".join(f"    {line}" for line in self.source.splitlines())
        return f"FAILED: {place}\n{code}\n\n{self.traceback}"


def measurement(layout: Layout, notebook: Path) -> Measurement | None:
    """What the cached execution of ``notebook`` took; ``None`` if there is none."""
    if not layout.execution_cache.is_dir():
        return None
    data = _cached_data(get_cache(layout.execution_cache), notebook)
    if data is None:
        return None
    return Measurement(
        seconds=data.get("execution_seconds", 0.0),
        peak_bytes=data.get("peak_bytes"),
        executed_at=data.get("executed_at"),
        scale=data.get("scale"),
        cores=data.get("cores"),
    )


def execute_all(layout: Layout, notebooks: Sequence[Path], jobs: int, timeout: int) -> Iterator:
    """Execute the notebooks that are not in the cache yet.

    Args:
        layout: the checkout.
        notebooks: what to execute.
        jobs: how many at a time.
        timeout: longest time for one cell, in seconds.

    Yields:
        As each one ends: ``(notebook, Measurement)`` or ``(notebook, Failure)``.
    """
    cache = get_cache(layout.execution_cache)
    started: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(max_workers=jobs) as pool, tempfile.TemporaryDirectory() as folder:
        runs = {
            pool.submit(_run_process, path, Path(folder) / path.stem, jobs, timeout, started): path
            for path in notebooks
        }
        try:
            for done in as_completed(runs):
                notebook = runs[done]
                yield notebook, _keep(layout, cache, notebook, done.result())
        finally:  # a build that is stopped leaves nothing running
            pool.shutdown(wait=False, cancel_futures=True)
            for process in started:
                process.terminate()


def waiting(layout: Layout, notebooks: Sequence[Path]) -> list[Path]:
    """The notebooks of which the cache has no whole execution."""
    cache = get_cache(layout.execution_cache)
    return [path for path in notebooks if _cached_data(cache, path) is None]


def kernel_environment(root: Path, jobs: int = JOBS) -> dict[str, str]:
    """The environment of the kernels: the library importable, the cores shared fairly."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    here = str(Path(__file__).parents[1])
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), here]),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one of the user's
        "TQDM_DISABLE": "1",  # a progress bar says nothing on a page
    }


def _cached_data(cache: JupyterCacheAbstract, notebook: Path) -> Mapping[str, Any] | None:
    """The data stored with a cached execution; a half-written entry is removed first."""
    content = nbformat.read(notebook, as_version=4)
    try:
        record = cache.match_cache_notebook(content)
    except KeyError:
        return None
    try:
        cache.get_cache_bundle(record.pk)
    except (KeyError, ValueError, OSError):
        _forget(cache, record)
        return None
    return record.data or {}


def _forget(cache: JupyterCacheAbstract, record: Any) -> None:
    """Remove an entry whose notebook was not written in full."""
    from jupyter_cache.cache.db import NbCacheRecord

    NbCacheRecord.remove_records([record.pk], cache.db)


def _run_process(
    notebook: Path, result: Path, jobs: int, timeout: int, started: list[subprocess.Popen[str]]
) -> dict[str, Any]:
    """Run one notebook in its own process and read back what it wrote."""
    command = [sys.executable, "-m", "book_build.notebook_run", str(notebook), str(result)]
    process = subprocess.Popen(
        [*command, "--timeout", str(timeout)],
        env=kernel_environment(_root_of(notebook), jobs),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    started.append(process)
    said, _ = process.communicate()
    if result.is_file():
        return json.loads(result.read_text(encoding="utf-8"))
    return {"failure": {"cell": None, "source": "", "traceback": said}}


def _root_of(notebook: Path) -> Path:
    """The project root: the nearest folder above with a ``_toc.yml``."""
    return next(folder for folder in notebook.parents if (folder / "_toc.yml").is_file())


def _keep(
    layout: Layout, cache: JupyterCacheAbstract, notebook: Path, result: dict[str, Any]
) -> Measurement | Failure:
    """Put a finished execution into the cache, unless what it ran against has changed meanwhile."""
    if "failure" in result:
        return Failure(notebook, **result["failure"])
    changed = stamp.changes(layout)
    if changed != []:
        what = ", ".join((changed or ["the stamp"])[:3])
        return Failure(notebook, None, "", f"{what} changed while it ran: build again.")
    content = nbformat.reads(result["notebook"], as_version=4)
    bundle = CacheBundleIn(content, str(notebook), data=result["measured"])
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    found = measurement(layout, notebook)
    assert found is not None, "an execution that was just stored must be found"
    return found
