"""A course of two one-line tasks, and notebooks that students might hand in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ulmfit_lib.assignments.fence import Limits
from ulmfit_lib.assignments.judge import Report, judge_file
from ulmfit_lib.assignments.release import release
from ulmfit_lib.assignments.source import Cell, Notebook, cell_text, grade_id, read_assignment

BROKEN = "this is no notebook"
QUICK = Limits(seconds=1, wall_seconds=120, mebibytes=512, answer_mebibytes=1)

TWICE = "def twice(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
TEST_TWICE = (
    "assert twice(2) == 4, 'two times two is four'\n"
    "### BEGIN HIDDEN TESTS\nassert twice(-3) == -6, 'the sign is lost'\n### END HIDDEN TESTS"
)
APPLY = (
    "def apply(f, x):\n    ### BEGIN SOLUTION\n    return [f(v) for v in x]\n    ### END SOLUTION"
)
TEST_APPLY = "assert apply(lambda v: v + 1, [1, 2]) == [2, 3]"


def cell(kind: str, name: str, source: str, points: float = 0) -> Cell:
    """A cell: given, answer, test or question."""
    marks = {
        "given": {"grade": False, "locked": True, "solution": False},
        "answer": {"grade": False, "locked": False, "solution": True},
        "test": {"grade": True, "locked": True, "solution": False, "points": points},
        "question": {"grade": True, "locked": False, "solution": True, "points": points},
    }[kind]
    nbgrader = marks | {"grade_id": name, "schema_version": 3, "task": False}
    made: Cell = {"id": name, "metadata": {"nbgrader": nbgrader}, "source": source}
    if kind == "question":
        return made | {"cell_type": "markdown"}
    return made | {"cell_type": "code", "outputs": [], "execution_count": None}


def own_cell(source: str) -> Cell:
    """A code cell that a student added."""
    made: Cell = {"id": f"own{abs(hash(source))}", "metadata": {}, "source": source}
    return made | {"cell_type": "code", "outputs": [], "execution_count": None}


def source() -> Notebook:
    """The source of the course's assignment."""
    cells = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# Two lines"},
        cell("given", "setup", "import math\n\n\ndef half(x):\n    return x / 2"),
        cell("answer", "twice", TWICE),
        cell("test", "test_twice", TEST_TWICE, 3),
        cell("answer", "apply", APPLY),
        cell("test", "test_apply", TEST_APPLY, 2),
        cell("question", "question_why", "Because.\n\n**Rubric.** 1 point.", 1),
    ]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def write(notebook: Any, path: Path) -> Path:
    """``notebook`` at ``path``, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook if isinstance(notebook, str) else json.dumps(notebook), "utf-8")
    return path


def solved(**answers: str) -> Notebook:
    """A right submission in which the named answers are replaced."""
    notebook = source()
    for row in notebook["cells"]:
        row["source"] = answers.get(grade_id(row), cell_text(row))
    return notebook


def judged(notebook: Any, folder: Path, limits: Limits = QUICK) -> Report:
    """The report of ``notebook`` as a submission to the course."""
    assignment = read_assignment(write(source(), folder / "course" / "small.ipynb"))
    handed_out = {grade_id(c): cell_text(c) for c in release(source())["cells"]}
    file = write(notebook, folder / "in" / "ann" / "small.ipynb")
    return judge_file(assignment, file, "ann", handed_out, limits)
