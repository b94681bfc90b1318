"""A class: who is found, what is written, and marks by hand that stay."""

from __future__ import annotations

import csv
import html
import re
from pathlib import Path

import pytest

from tests.assignments.small_course import BROKEN, cell, solved, source, write
from ulmfit_lib.assignments import gradebook
from ulmfit_lib.assignments.feedback import feedback_page
from ulmfit_lib.assignments.gradebook import find_submissions, grade, read_marks
from ulmfit_lib.assignments.judge import Report, Result
from ulmfit_lib.assignments.release import release
from ulmfit_lib.assignments.source import AssignmentError, cell_text, grade_id, read_assignment


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course whose one assignment is the small one, with four submissions."""
    file = write(source(), tmp_path / "book" / "small.ipynb")
    handed_out = {grade_id(c): cell_text(c) for c in release(source())["cells"]}
    monkeypatch.setattr(gradebook, "find_source", lambda name: file)
    monkeypatch.setattr(gradebook, "stubs", lambda name: handed_out)
    write(source(), tmp_path / "in" / "ann" / "small.ipynb")
    write(release(source()), tmp_path / "in" / "bob" / "small" / "small.ipynb")
    write(BROKEN, tmp_path / "in" / "cem.ipynb")
    shouting = solved(question_why="<script>alert(1)</script>")
    write(shouting, tmp_path / "in" / "=dee" / "small.ipynb")
    return tmp_path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_class_is_graded(course: Path) -> None:
    said: list[str] = []
    reports = grade("small", course / "in", course / "out", 2, said.append)
    assert [r.student for r in reports] == [
        "=dee",
        "ann",
        "bob",
        "cem",
    ] and "4 submissions" in said[-1]
    book = {row["student"]: row for row in rows(course / "out" / "gradebook.csv")}
    assert {s: row["total"] for s, row in book.items()} == {
        "'=dee": "5", "ann": "5", "bob": "0", "cem": "0"
    }  # fmt: skip
    assert book["ann"]["of"] == "6" and book["ann"]["question_why"] == ""
    assert book["ann"]["note"] == "waits for marks" and "no notebook" in book["cem"]["note"]
    pages = sorted(f.stem for f in (course / "out" / "feedback").glob("*.html"))
    assert pages == ["=dee", "ann", "bob", "cem"]


def test_a_folder_without_a_submission_is_told(course: Path) -> None:
    """A notebook under another name would otherwise be a student without a row."""
    write(source(), course / "in" / "eve" / "small (1).ipynb")
    write(source(), course / "in" / ".cache" / "other.ipynb")
    said: list[str] = []
    assert len(grade("small", course / "in", course / "out", 2, said.append)) == 4
    assert "note: no small.ipynb in .cache, eve" in said


def test_pages_need_no_network_and_run_nothing(course: Path) -> None:
    grade("small", course / "in", course / "out", 2, str)
    for page in [*(course / "out" / "feedback").glob("*.html"), course / "out" / "marking.html"]:
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text and not re.search(r"(src|href)\s*=|url\(|@import", text)
        assert text.count("<h1>") == 1 and 'lang="en"' in text
    feedback = (course / "out" / "feedback" / "bob.html").read_text(encoding="utf-8")
    assert "not written yet" in feedback and "Rubric" not in feedback
    marking = (course / "out" / "marking.html").read_text(encoding="utf-8")
    assert "Rubric" in marking and "&lt;script&gt;alert(1)" in marking


def test_marks_by_hand_are_taken_over(course: Path) -> None:
    grade("small", course / "in", course / "out", 2, str)
    table = course / "out" / "marks.csv"
    text = table.read_text(encoding="utf-8")
    assert "ann,question_why,," in text and "'=dee,question_why,," in text
    text = text.replace("ann,question_why,,", "ann,question_why,0.5,- half a reason")
    table.write_text(text.replace("'=dee,question_why,,", "'=dee,question_why,1,"), "utf-8")
    for _ in range(2):
        grade("small", course / "in", course / "out", 2, str)
        book = {row["student"]: row["total"] for row in rows(course / "out" / "gradebook.csv")}
        assert (book["ann"], book["'=dee"], book["bob"]) == ("5.5", "6", "0")
    page = (course / "out" / "feedback" / "ann.html").read_text(encoding="utf-8")
    assert "- half a reason" in page and "'- half" not in html.unescape(page)
    assert "0.5 of 1" in page and "5.5 of 6" in page


@pytest.mark.parametrize("row", ["ann,why,1,", "ann,question_why,2,", "ann,question_why,x,"])
def test_marks_that_cannot_be_are_refused(row: str, course: Path) -> None:
    file = write(f"student,question,points,comment\n{row}\n", course / "marks.csv")
    assignment = read_assignment(course / "book" / "small.ipynb")
    with pytest.raises(AssignmentError, match="line 2"):
        read_marks(file, assignment)


class TestFinding:
    def test_nobody(self, tmp_path: Path) -> None:
        with pytest.raises(AssignmentError, match="no submission"):
            find_submissions("small", tmp_path)

    def test_two_of_one_student(self, course: Path) -> None:
        write(source(), course / "in" / "ann.ipynb")
        with pytest.raises(AssignmentError, match="ann has two submissions"):
            find_submissions("small", course / "in")

    def test_other_assignments_are_left_out(self, course: Path) -> None:
        write(source(), course / "in" / "eve" / "other.ipynb")
        assert "eve" not in find_submissions("small", course / "in")


def test_a_hint_is_shown_as_text() -> None:
    bad = "<img src=x onerror=alert(1)>"
    report = Report("<b>ann</b>", (Result("twice", "test_twice", 0, 3, bad),))
    notebook = source()
    notebook["cells"].append(cell("question", "question_more", "", 1))
    assignment = read_assignment_of(notebook)
    page = feedback_page(assignment, report, {})
    assert "<img" not in page and "<b>" not in page and "2 questions are not marked yet" in page


def read_assignment_of(notebook: dict):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return read_assignment(write(notebook, Path(folder) / "small.ipynb"))
