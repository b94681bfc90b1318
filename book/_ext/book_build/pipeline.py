"""One build, from the stamp to the scan, with a summary a person can read."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from book_build import stamp
from book_build.execution import (
    JOBS,
    Failure,
    Measurement,
    execute_all,
    kernel_environment,
    waiting,
)
from book_build.layout import PROJECT_ROOT, Layout, notebooks, read_config
from book_build.scan import scan
from book_build.wording import duration, size


def main(arguments: list[str] | None = None) -> int:
    """Build the site; 0 only if all cells ran, Sphinx did not warn and the scan found nothing."""
    options = _options(arguments)
    layout = Layout(options.root.resolve())
    if options.scan_only:
        return _report_scan(layout)
    try:
        return _build(layout, options)
    except KeyboardInterrupt:
        print("\nStopped. What has been executed is kept; the next build goes on from there.")
        return 130


def _build(layout: Layout, options: argparse.Namespace) -> int:
    began = time.perf_counter()
    if options.fresh:
        stamp.drop_executions(layout)
    executed = _execute(layout, options.jobs)
    if executed is None or _render(layout) or _report_scan(layout):
        return 1
    _print_summary(layout, executed, time.perf_counter() - began)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the book's site into _build/html.")
    parser.add_argument("--root", type=Path, default=PROJECT_ROOT, help="the project's folder")
    parser.add_argument("--jobs", type=int, default=JOBS, help="notebooks executed at a time")
    parser.add_argument("--fresh", action="store_true", help="execute every notebook again")
    parser.add_argument("--scan-only", action="store_true", help="only scan the built site")
    return parser.parse_args(arguments)


def _execute(layout: Layout, jobs: int) -> int | None:
    """Fill the execution cache; the number of notebooks executed, ``None`` if one failed."""
    _announce(stamp.refresh(layout))
    config = read_config(layout.root)
    todo = waiting(layout, notebooks(layout.root))
    if todo:
        print(f"Executing {len(todo)} notebook(s), {min(jobs, len(todo))} at a time:", flush=True)
    failures = []
    for path, outcome in execute_all(layout, todo, jobs, config["execute"]["timeout"]):
        print(_outcome(path.relative_to(layout.root), outcome), flush=True)
        failures += [outcome] if isinstance(outcome, Failure) else []
    return None if failures else len(todo)


def _announce(changed: list[str] | None) -> None:
    """Say why notebooks run again, if they do."""
    if changed is None:
        print("No executed notebooks yet.", flush=True)
    elif changed:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if changed[3:] else "")
        print(f"Changed since the notebooks last ran: {shown}. They run again.", flush=True)


def _outcome(name: Path, outcome: Measurement | Failure) -> str:
    if isinstance(outcome, Failure):
        return str(outcome)
    return f"  {name}: {duration(outcome.seconds)}, {size(outcome.peak_bytes)} of memory at most"


def _render(layout: Layout) -> int:
    """Run Sphinx, strictly and from clean: a page kept from before would hide its warnings."""
    for folder in (layout.html, layout.doctrees):
        shutil.rmtree(folder, ignore_errors=True)
    print("Writing the pages ...", flush=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    strict = ["-W", "-n", "--keep-going", "-q", str(layout.root)]
    code = subprocess.run(
        [*command, *strict],
        env=kernel_environment(layout.root),
        cwd=layout.root,
        stdout=subprocess.DEVNULL,  # its warnings come on stderr
    ).returncode
    if code:
        print("FAILED: Sphinx had warnings or errors (above).", flush=True)
    return code


def _report_scan(layout: Layout) -> int:
    problems = scan(layout.html)
    for problem in problems:
        print(f"  {problem}")
    if problems:
        print(f"FAILED: {len(problems)} problem(s) in the built site.", flush=True)
    return 1 if problems else 0


def _print_summary(layout: Layout, executed: int, seconds: float) -> None:
    total = len(notebooks(layout.root))
    written = len(list(layout.html.glob("book/**/*.html")))
    print(
        f"\nThe book is built: {written} pages; {total} notebooks "
        f"({executed} executed, {total - executed} from the cache); {duration(seconds)}.\n"
        f"Open {layout.html / 'index.html'}"
    )
