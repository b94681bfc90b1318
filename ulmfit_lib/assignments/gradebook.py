"""A class: submissions in a folder, the gradebook they become, and what is marked by hand.

Introduced in the chapter *For instructors*.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ulmfit_lib.assignments.feedback import feedback_page, marking_page
from ulmfit_lib.assignments.fence import kernel_fence
from ulmfit_lib.assignments.judge import Report, judge_all
from ulmfit_lib.assignments.release import stubs
from ulmfit_lib.assignments.source import Assignment, AssignmentError, find_source, read_assignment
from ulmfit_lib.text.cache import write_atomically

GRADEBOOK = "gradebook.csv"
MARKS = "marks.csv"
MARKING = "marking.html"
_MARK_FIELDS = ("student", "question", "points", "comment")


@dataclass(frozen=True)
class Mark:
    """Points for one answer, given by hand. Introduced in the chapter *For instructors*."""

    points: float | None  # None: not marked yet
    comment: str = ""


Marks = Mapping[tuple[str, str], Mark]  # by student and question


def grade(
    name: str, folder: str | Path, out: str | Path, workers: int, say: Callable[[str], object]
) -> list[Report]:
    """Grade every submission of assignment ``name`` in ``folder``.

    Writes to ``out``: the gradebook, a feedback page for each student, and for the questions a
    page to mark from and the table to fill in. Graded again, it takes over the marks in that
    table. Introduced in the chapter *For instructors*.

    Args:
        name: the assignment.
        folder: of the submissions, see :func:`find_submissions`.
        out: folder to write to.
        workers: submissions at a time.
        say: told what was done.

    Raises:
        AssignmentError: no such assignment, no submission, or a mark that cannot be.
    """
    assignment, files = read_assignment(find_source(name)), find_submissions(name, folder)
    out = Path(out)
    marks = read_marks(out / MARKS, assignment)
    reports = judge_all(assignment, files, stubs(name), workers)
    for report in reports:
        page = feedback_page(assignment, report, _own(marks, report.student))
        write_atomically(out / "feedback" / f"{report.student}.html", page.encode())
    write_atomically(out / MARKING, marking_page(assignment, reports).encode())
    write_atomically(out / MARKS, marks_table(assignment, reports, marks).encode())
    write_atomically(out / GRADEBOOK, gradebook_table(assignment, reports, marks).encode())
    if without := folders_without(name, folder):
        say(f"note: no {name}.ipynb in {', '.join(without)}")
    if not kernel_fence():
        say("note: this machine's kernel keeps no fence around submissions; see the guide")
    say(f"{len(reports)} submissions of {assignment.name}: {out / GRADEBOOK}, {out / 'feedback'}")
    return reports


def find_submissions(name: str, folder: str | Path) -> dict[str, Path]:
    """The notebook of each student, by the name of its folder or file.

    ``STUDENT/NAME.ipynb`` as ``pack`` writes it, ``STUDENT/NAME/NAME.ipynb`` as nbgrader does, or
    ``STUDENT.ipynb``. What stands inside a notebook does not say whose it is. Introduced in the
    chapter *For instructors*.

    Args:
        name: the assignment.
        folder: of the submissions.

    Raises:
        AssignmentError: there is none, or two for one student.
    """
    root = Path(folder)
    own = [*root.glob(f"*/{name}.ipynb"), *root.glob(f"*/{name}/{name}.ipynb")]
    found = [(file.relative_to(root).parts[0], file) for file in own]
    found += [(file.stem, file) for file in root.glob("*.ipynb")]
    by_student: dict[str, Path] = {}
    for student, file in sorted(found):
        if student in by_student:
            raise AssignmentError(f"{student} has two submissions: {by_student[student]}, {file}")
        by_student[student] = file
    if not by_student:
        raise AssignmentError(f"no submission in {root}: put STUDENT/{name}.ipynb there")
    return by_student


def folders_without(name: str, folder: str | Path) -> list[str]:
    """Folders of students in which there is no submission: forgotten, or under another name.

    Introduced in the chapter *For instructors*.

    Args:
        name: the assignment.
        folder: of the submissions.
    """
    found = find_submissions(name, folder)
    folders = [entry.name for entry in Path(folder).iterdir() if entry.is_dir()]
    return sorted(student for student in folders if student not in found)


def read_marks(path: Path, assignment: Assignment) -> dict[tuple[str, str], Mark]:
    """The marks in the table at ``path``; none where there is no table yet.

    Introduced in the chapter *For instructors*.

    Args:
        path: of the table, filled in by the instructor.
        assignment: what its questions can give.

    Raises:
        AssignmentError: a row names no question, or its points cannot be; says which row.
    """
    if not path.is_file():
        return {}
    possible = {question.name: question.points for question in assignment.questions}
    marks = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            question, said = row.get("question") or "", (row.get("points") or "").strip()
            points = _number(said)
            known = question in possible and (not said or points is not None)
            if not known or not 0 <= (points or 0) <= possible[question]:
                raise AssignmentError(
                    f"{path}, line {number}: {question!r} with {said!r} points; the questions are "
                    + ", ".join(f"{q} (0 to {p:g})" for q, p in possible.items())
                )
            student = _plain(row.get("student") or "")
            marks[student, question] = Mark(points, _plain(row.get("comment") or ""))
    return marks


def gradebook_table(assignment: Assignment, reports: Sequence[Report], marks: Marks) -> str:
    """One row a student: points of every task and question, and their sum, as CSV.

    Introduced in the chapter *For instructors*.

    Args:
        assignment: its tasks and questions.
        reports: one a student.
        marks: given by hand; a blank field waits for one.
    """
    asked = [question.name for question in assignment.questions]
    head = ["student", *(task.name for task in assignment.tasks), *asked, "total", "of", "note"]
    rows = [head]
    for report in reports:
        tasks = [report.task_points(task.name) for task in assignment.tasks]
        by_hand = [marks.get((report.student, q), Mark(None)).points for q in asked]
        total = sum(tasks) + sum(points or 0.0 for points in by_hand)
        waiting = "waits for marks" if None in by_hand and not report.problem else ""
        values = ["" if v is None else f"{v:g}" for v in [*tasks, *by_hand, total]]
        note = report.problem or waiting
        rows.append([_cell(report.student), *values, f"{assignment.points:g}", _cell(note)])
    return _csv(rows)


def marks_table(assignment: Assignment, reports: Sequence[Report], marks: Marks) -> str:
    """The table to fill in: one row a student and question, as CSV.

    Introduced in the chapter *For instructors*.

    Args:
        assignment: its questions.
        reports: one a student.
        marks: what was filled in before.
    """
    rows = [list(_MARK_FIELDS)]
    for report in reports:
        for question in assignment.questions:
            mark = marks.get((report.student, question.name), Mark(None))
            points = "" if mark.points is None else f"{mark.points:g}"
            rows.append([_cell(report.student), question.name, points, _cell(mark.comment)])
    return _csv(rows)


def _own(marks: Marks, student: str) -> dict[str, tuple[float | None, str]]:
    return {q: (mark.points, mark.comment) for (s, q), mark in marks.items() if s == student}


def _number(said: str) -> float | None:
    try:
        return float(said)
    except ValueError:
        return None


def _cell(text: str) -> str:
    """``text`` as a spreadsheet takes it for text, never for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _plain(text: str) -> str:
    return text[1:] if text[:1] == "'" else text


def _csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
