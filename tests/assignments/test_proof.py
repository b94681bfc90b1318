"""The proof: every assignment gives known submissions the points and the hints that it should.

``python -m tests.assignments.proof`` writes the table that the guide shows.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.assignments.proof import TABLE, Case, cases, expected_points, judged, row, table
from ulmfit_lib.assignments.judge import Report
from ulmfit_lib.assignments.source import assignment_names, find_source, read_assignment

NAMES = assignment_names()
CASES = [pytest.param(name, case.name, id=f"{name}-{case.name}") for name in NAMES
         for case in cases(name)]  # fmt: skip


@cache
def reports(name: str) -> dict[str, tuple[Case, Report]]:
    return {case.name: (case, report) for case, report in judged(name)}


@pytest.mark.parametrize(("name", "submission"), CASES)
def test_a_known_submission(name: str, submission: str) -> None:
    case, report = reports(name)[submission]
    hints = {result.test: result.hint for result in report.results if result.hint}
    assert set(hints) == set(case.loses), hints
    for test, part in case.loses.items():
        assert part in hints[test]
    assert report.points == expected_points(case, report)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_proven(name: str) -> None:
    """The solution, the hand-out, two more right answers, and a wrong one for every test."""
    found = {case.name: case for case in cases(name)}
    assert sum(not case.loses for case in found.values()) >= 3
    wrong = [case for case in found.values() if case.loses and case.name != "untouched"]
    tests = {t.name for task in read_assignment(find_source(name)).tasks for t in task.tests}
    assert len(wrong) >= 5 and set().union(*(case.loses for case in wrong)) == tests


def test_the_table_of_the_guide_is_up_to_date() -> None:
    rows = [row(name, *pair) for name in NAMES for pair in reports(name).values()]
    assert TABLE.read_text(encoding="utf-8") == table(rows), "run python -m tests.assignments.proof"
