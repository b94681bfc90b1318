"""Quizzes that answer back: every choice comes with a reason, on a page without a kernel.

A quiz is data, in a YAML file or in Python. It becomes plain HTML: choosing
an answer shows its reason, by style sheet alone; a few lines of script also
tell it to screen readers. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ulmfit_lib.study.fields import FieldError, as_flag, as_list, as_object, as_text

_ID = re.compile(r"[a-z][a-z0-9-]*\Z")
_MARKED = re.compile(r"(`[^`]+`|\$[^$]+\$)")

STYLE = """
.quiz fieldset{border:1px solid #8887;border-radius:4px;margin:0 0 1rem;padding:.6rem 1rem}
.quiz legend{float:none;font-size:1em;font-weight:600;padding:0 .3rem;width:auto}
.quiz-choice{margin:.35rem 0}
.quiz-choice input{accent-color:#2d68f0;height:1.1rem;margin:0 .5rem 0 0;vertical-align:-.15rem;
 width:1.1rem}
.quiz-reason{border-left:4px solid #da2b07;display:none;margin:.3rem 0 .5rem 1.6rem;
 padding-left:.7rem}
.quiz-right .quiz-reason{border-left-color:#18aa5d}
.quiz-choice input:checked~.quiz-reason{display:block}
.quiz-status{clip-path:inset(50%);height:1px;overflow:hidden;position:absolute;white-space:nowrap;
 width:1px}
@media print{.quiz-reason{display:block}}
"""

SCRIPT = """
(function(root){
 root.addEventListener("change",function(event){
  var choice=event.target.closest(".quiz-choice");
  root.querySelector(".quiz-status").textContent=
   event.target.checked?choice.querySelector(".quiz-reason").textContent:"";
 });
})
"""


class QuizError(ValueError):
    """A quiz that cannot be asked. Introduced in the chapter *FitLaM*."""


@dataclass(frozen=True)
class Choice:
    """One answer to choose. Introduced in the chapter *FitLaM*."""

    text: str  # the answer; `code` and $mathematics$ may stand in it
    reason: str  # why it is right or wrong
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with its choices. Introduced in the chapter *FitLaM*."""

    ask: str  # the question; `code` and $mathematics$ may stand in it
    choices: tuple[Choice, ...]  # two or more
    several: bool = False  # more than one of them is right


@dataclass(frozen=True)
class Quiz:
    """Questions under a title. Introduced in the chapter *FitLaM*.

    A notebook shows it ready for use.

    Raises:
        QuizError: a question without exactly one right choice (two or more
            where it says ``several``), a choice without a reason or given
            twice, or an id that cannot stand in a page.
    """

    id: str  # start of every id on the page: small letters, digits, hyphens
    title: str  # above the questions
    questions: tuple[Question, ...]  # one or more

    def __post_init__(self) -> None:
        if not _ID.match(self.id):
            raise QuizError(f"id={self.id!r}: use small letters, digits and hyphens")
        if not self.questions:
            raise QuizError(f"quiz {self.id!r} asks nothing: give one question or more")
        for number, question in enumerate(self.questions, start=1):
            _check(f"quiz {self.id!r}, question {number}", question)

    def _repr_html_(self) -> str:
        return render_quiz(self)


def load_quiz(path: str | Path) -> Quiz:
    """The quiz in a YAML file with the fields of :class:`Quiz`.

    Introduced in the chapter *FitLaM*.

    Raises:
        FileNotFoundError: no such file.
        QuizError: a field is missing, unknown or wrong; says which.
    """
    file = Path(path)
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
        return _quiz(file.name, raw)
    except (yaml.YAMLError, FieldError) as error:
        raise QuizError(f"{file.name} is no quiz: {error}") from error


def render_quiz(quiz: Quiz) -> str:
    """``quiz`` as self-contained HTML: fieldsets of radio buttons or check boxes.

    Introduced in the chapter *FitLaM*.
    """
    questions = [_question(quiz, number) for number in range(len(quiz.questions))]
    title = f"<strong>{_marked(quiz.title)}</strong>"
    return "\n".join(
        [
            f"<style>{STYLE}</style>",
            f'<section class="quiz" id="{quiz.id}" aria-labelledby="{quiz.id}-title">',
            f'<p class="quiz-title" id="{quiz.id}-title">{title}</p>',
            *questions,
            '<p class="quiz-status" role="status"></p>',
            f'<script>{SCRIPT.strip()}(document.getElementById("{quiz.id}"))</script>',
            "</section>",
        ]
    )


def _question(quiz: Quiz, number: int) -> str:
    question, name = quiz.questions[number], f"{quiz.id}-{number + 1}"
    more = " (more than one is right)" if question.several else ""
    choices = [
        _choice(f"{name}-{i + 1}", name, choice, question.several)
        for i, choice in enumerate(question.choices)
    ]
    legend = f"<legend>{number + 1}. {_marked(question.ask)}{more}</legend>"
    return f"<fieldset>{legend}\n" + "\n".join(choices) + "\n</fieldset>"


def _choice(uid: str, group: str, choice: Choice, several: bool) -> str:
    kind = "checkbox" if several else "radio"
    judged, word = ("quiz-right", "Right.") if choice.right else ("quiz-wrong", "Not so.")
    return (
        f'<div class="quiz-choice {judged}"><input type="{kind}" id="{uid}" name="{group}" '
        f'autocomplete="off"><label for="{uid}">{_marked(choice.text)}</label>'
        f'<p class="quiz-reason"><strong>{word}</strong> {_marked(choice.reason)}</p></div>'
    )


def _marked(text: str) -> str:
    """Text as HTML, with `code` and $mathematics$ (for MathJax) marked up."""
    pieces = []
    for piece in _MARKED.split(" ".join(text.split())):
        inner = html.escape(piece[1:-1])
        if _MARKED.fullmatch(piece) and piece.startswith("`"):
            pieces.append(f"<code>{inner}</code>")
        elif _MARKED.fullmatch(piece):
            pieces.append(f'<span class="math notranslate nohighlight">\\({inner}\\)</span>')
        else:
            pieces.append(html.escape(piece))
    return "".join(pieces)


def _check(where: str, question: Question) -> None:
    right = sum(choice.right for choice in question.choices)
    texts = [choice.text for choice in question.choices]
    if len(texts) < 2 or len(set(texts)) < len(texts):
        raise QuizError(f"{where}: give two or more different choices")
    if not question.several and right != 1:
        raise QuizError(
            f"{where} has {right} right choices: mark exactly one, or set several: true"
        )
    if question.several and right < 2:
        raise QuizError(f"{where} has {right} right choices, but says several: mark two or more")
    for choice in question.choices:
        if not choice.reason.strip():
            raise QuizError(f"{where}: the choice {choice.text!r} needs a reason")


def _quiz(where: str, raw: Any) -> Quiz:
    top = as_object(where, raw, ["id", "title", "questions"])
    return Quiz(
        id=as_text(f"{where}.id", top["id"]),
        title=as_text(f"{where}.title", top["title"]),
        questions=as_list(f"{where}.questions", top["questions"], _read_question),
    )


def _read_question(where: str, raw: Any) -> Question:
    row = as_object(where, raw, ["ask", "choices"], ["several"])
    return Question(
        ask=as_text(f"{where}.ask", row["ask"]),
        choices=as_list(f"{where}.choices", row["choices"], _read_choice),
        several=as_flag(f"{where}.several", row.get("several", False)),
    )


def _read_choice(where: str, raw: Any) -> Choice:
    row = as_object(where, raw, ["text", "reason"], ["right"])
    return Choice(
        text=as_text(f"{where}.text", row["text"]),
        reason=as_text(f"{where}.reason", row["reason"]),
        right=as_flag(f"{where}.right", row.get("right", False)),
    )
