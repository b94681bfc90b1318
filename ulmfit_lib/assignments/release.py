"""What is made from a source: the hand-out without answers, the solution, the packed hand-in.

Introduced in the chapter *For instructors*.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from ulmfit_lib.assignments.source import (
    HIDDEN_TESTS,
    AssignmentError,
    Cell,
    Notebook,
    assignment_names,
    cell_text,
    find_source,
    grade_id,
    is_answer,
    is_question,
    is_test,
    parse,
    read_assignment,
    read_notebook,
)
from ulmfit_lib.text.cache import write_atomically

SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION\n?", re.S | re.M)
MARKER = re.compile(r"^[ \t]*### (?:BEGIN|END) (?:SOLUTION|HIDDEN TESTS)\n?", re.M)
STUB = "{indent}# YOUR CODE HERE\n{indent}raise NotImplementedError()\n"
ANSWER_HERE = "YOUR ANSWER HERE"  # as nbgrader has it
STUDENT = re.compile(r"[\w][\w.@-]*")


def release(notebook: Notebook) -> Notebook:
    """The hand-out: stubs for solutions, visible tests alone, no rubric.

    Introduced in the chapter *For instructors*.

    Args:
        notebook: a source.

    Raises:
        AssignmentError: an answer has no part marked as the solution, so it would be given away.
    """
    return _with_cells(notebook, _released)


def solution(notebook: Notebook) -> Notebook:
    """The source as a reader of answers wants it: everything there, without the markers.

    Introduced in the chapter *For instructors*.
    """
    return _with_cells(notebook, lambda cell: _with_text(cell, MARKER.sub("", cell_text(cell))))


def stubs(name: str) -> dict[str, str]:
    """What the hand-out of assignment ``name`` has in each answer's cell.

    Introduced in the chapter *For instructors*.
    """
    handed_out = release(read_notebook(find_source(name)))
    return {grade_id(c): cell_text(c) for c in handed_out["cells"] if is_answer(c)}


def build(out: str | Path, make: Callable[[Notebook], Notebook] = release) -> list[Path]:
    """Write every assignment to ``out/NAME/NAME.ipynb``, as nbgrader lays it out.

    Introduced in the chapter *For instructors*.

    Args:
        out: folder of the hand-outs.
        make: :func:`release`, or :func:`solution` for the instructor's own folder.

    Returns:
        The files written.
    """
    written = []
    for name in assignment_names():
        read_assignment(find_source(name))
        file = Path(out) / name / f"{name}.ipynb"
        write_notebook(make(read_notebook(find_source(name))), file)
        written.append(file)
    return written


def pack(path: str | Path, student: str, out: str | Path) -> Path:
    """The notebook at ``path`` without outputs, as ``out/STUDENT/NAME.ipynb``.

    Introduced in the chapter *For instructors*.

    Args:
        path: of the student's copy; its name is the assignment's.
        student: name or number, as the course knows it.
        out: folder to write to.

    Raises:
        AssignmentError: it is no notebook of this assignment, a cell of it is no Python, or the
            name could not be the name of a folder.
    """
    if not STUDENT.fullmatch(student):
        raise AssignmentError(f"student={student!r}: use letters, digits and _ . @ - alone")
    assignment, notebook = read_assignment(path), read_notebook(path)
    for task in assignment.tasks:
        try:
            parse(task.answer)
        except SyntaxError as error:
            raise AssignmentError(f"the cell of {task.name} is no Python: {error}") from error
    target = Path(out) / student / f"{assignment.name}.ipynb"
    write_notebook(_with_cells(notebook, _without_outputs), target)
    return target


def write_notebook(notebook: Notebook, path: Path) -> None:
    """Write ``notebook`` to ``path``, as ``make format`` would leave it."""
    text = json.dumps(notebook, indent=1, ensure_ascii=True) + "\n"
    write_atomically(path, text.encode())


def _released(cell: Cell) -> Cell:
    text = cell_text(cell)
    if is_question(cell):
        return _with_text(cell, ANSWER_HERE)
    if is_test(cell):
        return _with_text(cell, HIDDEN_TESTS.sub("", text))
    if is_answer(cell):
        if not SOLUTION.search(text):
            raise AssignmentError(f"{grade_id(cell)} has no ### BEGIN SOLUTION ... END SOLUTION")
        return _with_text(cell, SOLUTION.sub(lambda found: STUB.format(indent=found[1]), text))
    return cell


def _with_text(cell: Cell, text: str) -> Cell:
    return cell | {"source": text.rstrip("\n").splitlines(keepends=True)}


def _without_outputs(cell: Cell) -> Cell:
    return cell | ({"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {})


def _with_cells(notebook: Notebook, change: Callable[[Cell], Cell]) -> Notebook:
    return notebook | {"cells": [change(cell) for cell in notebook["cells"]]}
