"""A class of thirty, graded end to end: seconds by the clock and of the processor.

    python benchmarks/grading.py
    python benchmarks/grading.py --assignment ulmfit --students 100 --workers 4

The submissions are those of the proof (tests/assignments), over and over, and one with an endless
loop, which costs its whole limit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.assignments.proof import cases
from ulmfit_lib.assignments.gradebook import GRADEBOOK, grade
from ulmfit_lib.assignments.source import Notebook, find_source, grade_id, read_assignment


def with_endless_loop(notebook: Notebook, task: str) -> Notebook:
    """``notebook`` with an answer to ``task`` that never comes."""
    code = f"def {task}(*arguments, **keywords):\n    while True:\n        pass\n"
    cells = [c | {"source": code} if grade_id(c) == task else c for c in notebook["cells"]]
    return notebook | {"cells": cells}


def hand_in(name: str, students: int, folder: Path) -> None:
    """Write the class' submissions."""
    known = cases(name)
    first = read_assignment(find_source(name)).tasks[0].name
    notebooks = [with_endless_loop(known[0].notebook, first)]
    notebooks += itertools.islice(itertools.cycle(c.notebook for c in known), students - 1)
    for number, notebook in enumerate(notebooks, start=1):
        file = folder / f"student{number:03}" / f"{name}.ipynb"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(notebook), encoding="utf-8")


def main() -> None:
    """Print what grading took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--assignment", default="fitlam")
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        submitted, out = Path(folder, "submitted"), Path(folder, "graded")
        hand_in(given.assignment, given.students, submitted)
        start, load = time.perf_counter(), os.getloadavg()[0]
        reports = grade(given.assignment, submitted, out, given.workers, lambda said: None)
        seconds = time.perf_counter() - start
        lines = len((out / GRADEBOOK).read_text(encoding="utf-8").splitlines())
        pages = len(list((out / "feedback").glob("*.html")))
    points = [report.points for report in reports]
    print(f"{given.assignment}: {given.students} students, {given.workers} at a time")
    print(f"{seconds:.0f} s by the clock, {seconds / given.students:.1f} s a student")
    print(f"load of the machine at the start: {load:.1f} on {os.cpu_count()} processors")
    print(f"{lines - 1} rows in the gradebook, {pages} feedback pages")
    print(f"points from tests: {min(points):g} to {max(points):g}")


if __name__ == "__main__":
    main()
