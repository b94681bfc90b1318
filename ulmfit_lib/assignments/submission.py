"""What a student handed in, cell by cell, and the definitions in it.

Only definitions are taken from code: functions, classes, imports, assignments. So a plot, a print
or a training run that was left in a cell costs nothing, and neither does a broken cell elsewhere.
Introduced in the chapter *For instructors*.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ulmfit_lib.assignments.source import (
    Assignment,
    Cell,
    cell_text,
    grade_id,
    is_answer,
    is_given,
    is_question,
    is_test,
    parse,
    read_notebook,
)

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_BLOCKS = (ast.If, ast.Try, ast.With)
_OWN_LIBRARY = "ulmfit_lib"


@dataclass(frozen=True)
class Submission:
    """A student's notebook. Introduced in the chapter *For instructors*."""

    cells: tuple[tuple[str, str], ...]  # nbgrader id ("" where there is none) and code, in order
    answers: dict[str, str]  # text of each question's answer


def read_submission(path: str | Path) -> Submission:
    """The submission at ``path``. Introduced in the chapter *For instructors*.

    Raises:
        AssignmentError: it is no notebook.
    """
    cells = read_notebook(path)["cells"]
    code = [c for c in cells if c["cell_type"] == "code" and not is_test(c) and not is_given(c)]
    texts = {grade_id(c): cell_text(c) for c in cells if is_question(c)}
    return Submission(tuple((_answer_id(c), cell_text(c)) for c in code), texts)


def own_cells(submission: Submission, task: str, stub: str) -> list[tuple[bool, str]]:
    """The student's code cells in order, each with whether it is the answer to ``task``.

    A cell that still holds the stub is no answer where there is another: a duplicated cell costs
    nothing. Introduced in the chapter *For instructors*.

    Args:
        submission: all of the student's cells.
        task: the answer's id.
        stub: what the hand-out has in that cell.
    """
    mine = [code for name, code in submission.cells if name == task]
    done = [code for code in mine if code.strip() != stub.strip()]
    return [(n == task, c) for n, c in submission.cells if n != task or not done or c in done]


def definitions(code: str, with_calls: bool) -> Iterator[ast.stmt]:
    """The statements of ``code`` that define something.

    Introduced in the chapter *For instructors*.

    Args:
        code: of one cell.
        with_calls: take assignments that call something, too; those of other tasks' cells
            might train for an hour.

    Raises:
        SyntaxError: it is no Python.
    """
    for node in parse(code).body:
        if isinstance(node, _DEFINITIONS):
            yield node
        elif isinstance(node, _ASSIGNMENTS) and (with_calls or not _calls(node)):
            yield node
        elif isinstance(node, _BLOCKS) and with_calls:
            yield node


def library_import(statement: ast.stmt) -> str | None:
    """What ``statement`` imports from the book's own library, if it does.

    The answer to every task stands in there. Introduced in the chapter *For instructors*.
    """
    for node in ast.walk(statement):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name.split(".")[0] == _OWN_LIBRARY:
                return name
    return None


def solutions_of_others(assignment: Assignment, task: str) -> list[str]:
    """Reference answers to every task but ``task``, so that one mistake costs one task.

    Introduced in the chapter *For instructors*.

    Args:
        assignment: the source.
        task: the one that is judged.
    """
    return [other.answer for other in assignment.tasks if other.name != task]


def _calls(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.Call) for inner in ast.walk(node))


def _answer_id(cell: Cell) -> str:
    return grade_id(cell) if is_answer(cell) else ""
