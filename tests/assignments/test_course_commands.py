"""The course's commands from outside, as a student and an instructor use them."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

import pytest

from tests.assignments.small_course import source, write
from ulmfit_lib import __main__ as command_line
from ulmfit_lib.assignments.release import build, release, solution
from ulmfit_lib.assignments.source import grade_id


def answer(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit status of ``assignment ARGUMENTS``, run in this process."""
    monkeypatch.setattr(sys, "argv", ["ulmfit_lib", "assignment", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        command_line.main()
    return int(stop.value.code or 0)


def test_check_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(release(source()), tmp_path / "small.ipynb")
    assert answer(monkeypatch, "check", file) == 1
    assert "test_twice: not written yet" in capsys.readouterr().out
    assert answer(monkeypatch, "check", write(solution(source()), file)) == 0
    assert "2 of 2 tests pass here" in capsys.readouterr().out


def test_check_names_the_task_that_another_one_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = release(source())
    for row in notebook["cells"]:
        if grade_id(row) == "apply":
            row["source"] = "def apply(f, x):\n    return [f(v) + twice(0) for v in x]"
    assert answer(monkeypatch, "check", write(notebook, tmp_path / "small.ipynb")) == 1
    assert "apply needs twice, which is not written yet" in capsys.readouterr().out


def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(monkeypatch, "check", write("no JSON", tmp_path / "small.ipynb")) == 1
    assert "error: small.ipynb is no notebook" in capsys.readouterr().err
    assert answer(monkeypatch, "grade", tmp_path / "nowhere", "--name", "fitlam") == 1
    assert "no submission" in capsys.readouterr().err
    assert answer(monkeypatch, "grade", tmp_path, "--name", "algebra") == 1
    assert "no assignment 'algebra'" in capsys.readouterr().err


def test_a_course_from_hand_out_to_gradebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Build; one student solves it, one does not; both pack; the folder is graded."""
    assert answer(monkeypatch, "build", "--out", tmp_path / "hand-out") == 0
    build(tmp_path / "private", solution)
    for student, folder in (("ann", "private"), ("bob", "hand-out")):
        shutil.copy(tmp_path / folder / "fitlam" / "fitlam.ipynb", tmp_path / "fitlam.ipynb")
        pack = ("pack", tmp_path / "fitlam.ipynb", "--student", student)
        assert answer(monkeypatch, *pack, "--out", tmp_path / "in") == 0
    out = tmp_path / "graded"
    assert answer(monkeypatch, "grade", tmp_path / "in", "--name", "fitlam", "--out", out) == 0
    with (out / "gradebook.csv").open(newline="", encoding="utf-8") as file:
        totals = {row["student"]: (row["total"], row["of"]) for row in csv.DictReader(file)}
    assert totals == {"ann": ("15", "20"), "bob": ("0", "20")}
