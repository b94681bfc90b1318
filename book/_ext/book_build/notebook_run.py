"""Execute one notebook in a process of its own, and say what it took.

``python -m book_build.notebook_run NOTEBOOK RESULT --timeout SECONDS`` runs every cell of
``NOTEBOOK`` and writes ``RESULT``: a JSON file with the executed notebook and the measurements,
or with the cell that failed. One process per notebook, because the peak memory of "the children
of this process" is then that of this notebook's kernel.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")


def run(notebook: Path, timeout: int) -> dict[str, Any]:
    """Execute ``notebook`` in its own folder.

    Args:
        notebook: path of an ``.ipynb`` file, which is left as it is.
        timeout: longest time for one cell, in seconds.

    Returns:
        ``{"notebook", "measured"}`` after a complete run, ``{"failure"}`` otherwise.
    """
    content = nbformat.read(notebook, as_version=4)
    begun: list[int] = []
    client = NotebookClient(
        content,
        timeout=timeout,
        resources={"metadata": {"path": str(notebook.parent)}},
        store_widget_state=False,
        record_timing=False,  # it would be written into the cells, whose hash is the cache's key
        on_cell_start=lambda cell, cell_index: begun.append(cell_index),
    )
    began = time.perf_counter()
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return {"failure": describe_failure(content, begun[-1] if begun else None, error)}
    seconds = time.perf_counter() - began
    return {"notebook": nbformat.writes(content), "measured": _measurements(seconds)}


def describe_failure(
    content: nbformat.NotebookNode, index: int | None, error: Exception
) -> dict[str, Any]:
    """The cell at which an execution stopped, its code, and the traceback as plain text."""
    traceback = getattr(error, "traceback", "") or f"{type(error).__name__}: {error}"
    return {
        "cell": None if index is None else index + 1,
        "source": "" if index is None else content.cells[index].source,
        "traceback": _COLOUR_CODES.sub("", traceback),
    }


def _measurements(seconds: float) -> dict[str, Any]:
    """Run time, peak memory of the kernel and the circumstances, as the cache stores them."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "execution_seconds": round(seconds, 2),
        "peak_bytes": peak if sys.platform == "darwin" else peak * 1024,
        "executed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "scale": os.environ.get("ULMFIT_SCALE", "laptop"),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
    }


def main() -> int:
    """Read the command line, run, write the result; 1 when a cell failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--timeout", type=int, default=600)
    arguments = parser.parse_args()
    result = run(arguments.notebook, arguments.timeout)
    arguments.result.write_text(json.dumps(result), encoding="utf-8")
    return 1 if "failure" in result else 0


if __name__ == "__main__":
    sys.exit(main())
