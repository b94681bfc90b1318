"""The proof of the judge: for every assignment, submissions whose points are known beforehand.

    python -m tests.assignments.proof

writes the table that the instructor's guide shows. A submission is a small patch of the source's
solution: a file in ``submissions/NAME`` whose sections ``# %% TASK`` take the place of that task's
answer (``# %%`` alone is a cell of the student's own), and whose ``LOSES`` says which tests it
fails and what their hints say.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ulmfit_lib.assignments.judge import Report, judge_all
from ulmfit_lib.assignments.release import release, solution, stubs
from ulmfit_lib.assignments.source import (
    SOURCES,
    Notebook,
    assignment_names,
    find_source,
    grade_id,
    read_assignment,
    read_notebook,
)

SUBMISSIONS = Path(__file__).parent / "submissions"
TABLE = SOURCES / "proof.csv"
HEAD = ("assignment", "submission", "what it does", "expected", "given")


@dataclass(frozen=True)
class Case:
    """A submission and what it must get."""

    name: str
    what: str
    notebook: Notebook
    loses: dict[str, str] = field(default_factory=dict)  # test to a part of its hint


def cases(name: str) -> list[Case]:
    """The solution, the untouched hand-out, and every patch of assignment ``name``."""
    source = read_notebook(find_source(name))
    tests = [test.name for task in read_assignment(find_source(name)).tasks for test in task.tests]
    untouched = dict.fromkeys(tests, "not written yet")
    return [
        Case("solution", "The solution.", solution(source)),
        Case("untouched", "The hand-out as it is.", release(source), untouched),
        *(_patched(file, solution(source)) for file in sorted((SUBMISSIONS / name).glob("*.py"))),
    ]


def _patched(file: Path, notebook: Notebook) -> Case:
    head, *sections = re.split(r"^# %%", file.read_text(encoding="utf-8"), flags=re.M)
    tree = ast.parse(head)
    what = (ast.get_docstring(tree) or "").partition("\n")[0]
    stated = next(n for n in tree.body if isinstance(n, ast.Assign | ast.AnnAssign))
    loses = ast.literal_eval(stated.value) if stated.value else {}
    cells = list(notebook["cells"])
    for section in sections:
        task, _, code = section.partition("\n")
        cells = _replaced(cells, task.strip(), code)
    return Case(file.stem, what, notebook | {"cells": cells}, loses)


def _replaced(cells: list, task: str, code: str) -> list:
    if not task:
        own = {"cell_type": "code", "id": "own", "metadata": {}, "source": code}
        return [cells[0], own | {"execution_count": None, "outputs": []}, *cells[1:]]
    assert task in map(grade_id, cells), f"no task {task}"
    return [cell | {"source": code} if grade_id(cell) == task else cell for cell in cells]


def judged(name: str, workers: int = 2) -> list[tuple[Case, Report]]:
    """Every case of assignment ``name`` with its report."""
    all_cases = cases(name)
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for case in all_cases:
            files[case.name] = Path(folder) / f"{case.name}.ipynb"
            files[case.name].write_text(json.dumps(case.notebook), encoding="utf-8")
        assignment = read_assignment(find_source(name))
        reports = judge_all(assignment, files, stubs(name), workers)
    return list(zip(all_cases, reports, strict=True))


def expected_points(case: Case, report: Report) -> float:
    """What the tests that ``case`` does not name give together."""
    return sum(r.possible for r in report.results if r.test not in case.loses)


def row(name: str, case: Case, report: Report) -> tuple[str, ...]:
    """One line of the table."""
    of = sum(result.possible for result in report.results)
    expected = expected_points(case, report)
    said = (f"{expected:g} of {of:g}", f"{report.points:g} of {of:g}")
    return (name, case.name.replace("_", " "), case.what, *said)


def table(rows: list[tuple[str, ...]]) -> str:
    """The rows as CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([HEAD, *rows])
    return out.getvalue()


def main() -> None:
    """Judge every case and write the table."""
    rows: list[tuple[str, ...]] = []
    for name in assignment_names():
        for case, report in judged(name):
            rows.append(row(name, case, report))
            hints = {r.test: r.hint for r in report.results if r.hint}
            ok = set(hints) == set(case.loses) and all(
                part in hints[test] for test, part in case.loses.items()
            )
            print("ok   " if ok else "WRONG", *rows[-1], sep=" | ")
            if not ok:
                print("     ", hints)
    TABLE.write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
