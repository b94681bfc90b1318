"""Pages for people: a student's feedback, and the instructor's page to mark questions from.

Plain HTML in one file each; nothing is fetched. Introduced in the chapter *For instructors*.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from ulmfit_lib.assignments.judge import Report, Result
from ulmfit_lib.assignments.source import Assignment

_STYLE = """
:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:50rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{border-bottom:1px solid #8888;padding:.4rem .6rem;text-align:left;vertical-align:top}
td.number{text-align:right;white-space:nowrap}
pre{border-left:4px solid #8888;overflow-wrap:anywhere;padding-left:1rem;white-space:pre-wrap}
"""

Marked = Mapping[str, tuple[float | None, str]]  # by question: points (None: not yet), comment


def feedback_page(assignment: Assignment, report: Report, marked: Marked) -> str:
    """What a student gets back: points, hints, answers with comments.

    Introduced in the chapter *For instructors*.

    Args:
        assignment: its tasks and questions.
        report: the student's.
        marked: of the questions, by hand.
    """
    by_hand = sum(points or 0.0 for points, _ in marked.values())
    total = f"{report.points + by_hand:g} of {assignment.points:g} points"
    problem = f"<p><strong>{html.escape(report.problem)}</strong></p>" if report.problem else ""
    rows = "".join(map(_row, report.results))
    parts = [
        f"<p>{html.escape(report.student)}: <strong>{total}</strong>{_waiting(assignment, marked)}"
        f"</p>{problem}",
        "<h2>Tasks</h2><table><thead><tr><th scope='col'>Test</th><th scope='col'>Points</th>"
        f"<th scope='col'>What it says</th></tr></thead><tbody>{rows}</tbody></table>",
        *(_question(assignment, report, q.name, marked) for q in assignment.questions),
    ]
    return _page(f"{assignment.title}: feedback", "".join(parts))


def marking_page(assignment: Assignment, reports: Sequence[Report]) -> str:
    """For the instructor: every question with its rubric, and all answers to it.

    Introduced in the chapter *For instructors*.

    Args:
        assignment: the source, whose questions hold their rubrics.
        reports: one a student.
    """
    parts = []
    for question in assignment.questions:
        parts.append(f"<h2>{html.escape(question.name)} ({question.points:g} points)</h2>")
        parts.append(f"<h3>Rubric</h3><pre>{html.escape(question.text)}</pre>")
        for report in reports:
            answer = report.answers.get(question.name, "(no answer)")
            parts.append(f"<h3>{html.escape(report.student)}</h3><pre>{html.escape(answer)}</pre>")
    return _page(f"{assignment.title}: marking", "".join(parts))


def _row(result: Result) -> str:
    points = f"{result.points:g} of {result.possible:g}"
    said = result.hint or "right"
    return (
        f"<tr><th scope='row'>{html.escape(result.test)}</th><td class='number'>{points}</td>"
        f"<td>{html.escape(said)}</td></tr>"
    )


def _question(assignment: Assignment, report: Report, name: str, marked: Marked) -> str:
    possible = next(q.points for q in assignment.questions if q.name == name)
    points, comment = marked.get(name, (None, ""))
    said = "not marked yet" if points is None else f"{points:g} of {possible:g}"
    answer = html.escape(report.answers.get(name, "(no answer)"))
    remark = f"<p>{html.escape(comment)}</p>" if comment else ""
    return f"<h2>{html.escape(name)}: {said}</h2><pre>{answer}</pre>{remark}"


def _waiting(assignment: Assignment, marked: Marked) -> str:
    done = {name for name, (points, _) in marked.items() if points is not None}
    open_ = [question for question in assignment.questions if question.name not in done]
    return f" ({len(open_)} questions are not marked yet)" if open_ else ""


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{html.escape(title)}</h1>{body}</main></body></html>\n"
    )
