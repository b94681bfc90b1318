"""The one source of an assignment: a notebook in nbgrader's source format, read into tasks.

A code cell marked as a solution is an answer; the test cells ``test_NAME`` and ``test_NAME_...``
judge the answer ``NAME`` and carry its points. A text cell marked as a solution is a question,
marked by hand. Every other code cell is given: student and judge both run it. Introduced in the
chapter *For instructors*.
"""

from __future__ import annotations

import ast
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[2] / "book" / "assignments"
HIDDEN_TESTS = re.compile(r"[ \t]*### BEGIN HIDDEN TESTS\n(.*?)[ \t]*### END HIDDEN TESTS\n?", re.S)
TEST_PREFIX = "test_"

# CPython 3.11 counts the depth of a tree for all threads together (its issue 106905).
_ONE_TREE_AT_A_TIME = threading.Lock()

Notebook = dict[str, Any]
Cell = dict[str, Any]


class AssignmentError(ValueError):
    """A notebook that is no assignment. Introduced in the chapter *For instructors*."""


@dataclass(frozen=True)
class Test:
    """A test cell. Introduced in the chapter *For instructors*."""

    name: str  # its nbgrader id
    points: float  # all of them, or none
    code: str  # assertions, whose messages are the hints


@dataclass(frozen=True)
class Task:
    """An answer to write and what judges it. Introduced in the chapter *For instructors*."""

    name: str  # nbgrader id of the answer
    answer: str  # what stands in its cell: solution, stub, or a student's code
    tests: tuple[Test, ...]

    @property
    def points(self) -> float:
        """The most that the task can give."""
        return sum(test.points for test in self.tests)


@dataclass(frozen=True)
class Question:
    """A question marked by hand. Introduced in the chapter *For instructors*."""

    name: str  # its nbgrader id
    points: float
    text: str  # in a source: the rubric; in a submission: the answer


@dataclass(frozen=True)
class Assignment:
    """What a notebook asks. Introduced in the chapter *For instructors*."""

    name: str  # the file's name without ending
    title: str  # its first heading
    given: tuple[str, ...]  # code that comes with it, in order
    tasks: tuple[Task, ...]
    questions: tuple[Question, ...]

    @property
    def points(self) -> float:
        """The most that it can give, questions included."""
        return sum(t.points for t in self.tasks) + sum(q.points for q in self.questions)

    def functions(self) -> frozenset[str]:
        """Names of the functions given and asked for."""
        code = [*self.given, *(task.answer for task in self.tasks)]
        nodes = [node for cell in code for node in parse(cell).body]
        return frozenset(n.name for n in nodes if isinstance(n, ast.FunctionDef))


def assignment_names() -> list[str]:
    """The book's assignments, by file name. Introduced in the chapter *For instructors*."""
    return sorted(file.stem for file in SOURCES.glob("*.ipynb"))


def find_source(name: str) -> Path:
    """The source of the assignment ``name``. Introduced in the chapter *For instructors*.

    Raises:
        AssignmentError: no such assignment; the message names those there are.
    """
    if name not in assignment_names():
        known = ", ".join(assignment_names()) or "none"
        raise AssignmentError(f"no assignment {name!r} in {SOURCES} (there: {known})")
    return SOURCES / f"{name}.ipynb"


def read_notebook(path: str | Path) -> Notebook:
    """The notebook at ``path``. Introduced in the chapter *For instructors*.

    Raises:
        AssignmentError: no such file, or it is no notebook; the message says why.
    """
    try:
        notebook = json.loads(Path(path).read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AssignmentError(f"{Path(path).name} is no notebook: {error}") from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise AssignmentError(f"{Path(path).name} is no notebook: it has no list of cells")
    return notebook


def read_assignment(path: str | Path) -> Assignment:
    """The assignment in the notebook at ``path``: a source, a release, or a student's copy.

    Introduced in the chapter *For instructors*.

    Raises:
        AssignmentError: it is no notebook, has no tasks, an answer without a test or the
            other way round, or an id twice.
    """
    notebook = read_notebook(path)
    cells = notebook["cells"]
    answers = [cell for cell in cells if is_answer(cell)]
    found = [Test(grade_id(c), _points(c), cell_text(c)) for c in cells if is_test(c)]
    tasks = tuple(_task(grade_id(cell), cell_text(cell), found) for cell in answers)
    _check(Path(path).name, tasks, found)
    given = tuple(cell_text(c) for c in cells if is_given(c))
    asked = [c for c in cells if is_question(c)]
    questions = tuple(Question(grade_id(c), _points(c), cell_text(c)) for c in asked)
    return Assignment(Path(path).stem, _title(cells), given, tasks, questions)


def is_answer(cell: Cell) -> bool:
    """Whether a student writes code into ``cell``."""
    return cell["cell_type"] == "code" and bool(marks(cell).get("solution"))


def is_test(cell: Cell) -> bool:
    """Whether ``cell`` holds assertions that give points."""
    graded = bool(marks(cell).get("grade")) and not marks(cell).get("solution")
    return cell["cell_type"] == "code" and graded


def is_question(cell: Cell) -> bool:
    """Whether a student writes text into ``cell``."""
    return cell["cell_type"] == "markdown" and bool(marks(cell).get("solution"))


def is_given(cell: Cell) -> bool:
    """Whether ``cell`` is code that comes with the assignment, marked as read-only."""
    plain = not (is_answer(cell) or is_test(cell))
    return cell["cell_type"] == "code" and plain and bool(marks(cell).get("locked"))


def marks(cell: Cell) -> dict[str, Any]:
    """The nbgrader metadata of ``cell``; empty where it has none."""
    metadata = cell.get("metadata")
    found = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def grade_id(cell: Cell) -> str:
    """The nbgrader id of ``cell``."""
    return str(marks(cell).get("grade_id", ""))


def cell_text(cell: Cell) -> str:
    """What stands in ``cell``, as one text."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(map(str, source))


def parse(code: str) -> ast.Module:
    """``code`` of a cell as a tree; lines of IPython's own (``%``, ``!``) are left out.

    Raises:
        SyntaxError: it is no Python.
    """
    with _ONE_TREE_AT_A_TIME:
        try:
            return ast.parse(code)  # as it stands: a line of Python may begin with % or !=
        except SyntaxError:
            lines = [re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in code.split("\n")]
            return ast.parse("\n".join(lines))


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("source"), str | list):
        return False
    return cell.get("cell_type") in ("code", "markdown", "raw")


def _points(cell: Cell) -> float:
    points = marks(cell).get("points", 0)
    return float(points) if isinstance(points, int | float) else 0.0


def _task(name: str, answer: str, tests: list[Test]) -> Task:
    start = f"{TEST_PREFIX}{name}"
    return Task(name, answer, tuple(t for t in tests if t.name == start or _follows(t.name, start)))


def _follows(test: str, start: str) -> bool:
    """Whether ``test`` is ``start`` and a number, as in ``test_rates_2``."""
    return re.fullmatch(re.escape(start) + r"_\d+", test) is not None


def _check(file: str, tasks: tuple[Task, ...], tests: list[Test]) -> None:
    if not tasks:
        raise AssignmentError(f"{file} is no assignment: no cell in it is marked as an answer")
    judged = [test.name for task in tasks for test in task.tests]
    names = [*(task.name for task in tasks), *(test.name for test in tests)]
    if lone := sorted({t.name for t in tests} - set(judged)):
        raise AssignmentError(
            f"{file}: {', '.join(lone)} judges no answer; is its cell gone? Take it from the "
            "hand-out again (in a source: call the test of ANSWER test_ANSWER)"
        )
    if bare := [task.name for task in tasks if not task.tests]:
        raise AssignmentError(
            f"{file}: the tests of {', '.join(bare)} are missing; take the notebook from the "
            "hand-out again and copy your answers into it"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AssignmentError(f"{file} has {', '.join(twice)} twice: keep one cell of each")


def _title(cells: list[Cell]) -> str:
    text = next((cell_text(c) for c in cells if c["cell_type"] == "markdown"), "")
    return text.lstrip("# ").partition("\n")[0].strip()
