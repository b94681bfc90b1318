"""Quizzes: a reason for every choice, on a page that works alone."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.study.page_reading import Page, foreign_addresses
from ulmfit_lib.study.claims import CLAIMS_FILE
from ulmfit_lib.study.quiz import Choice, Question, Quiz, QuizError, load_quiz, render_quiz

QUIZZES = sorted((CLAIMS_FILE.parent / "quizzes").glob("*.yml"))

QUIZ = Quiz(
    "fitlam",
    "What stays?",
    (
        Question(
            "What does `ratio` multiply?",
            (
                Choice("The rate *below*", "Each layer gets less than the one above.", right=True),
                Choice("The rate above", "That would train the bottom fastest: 1 < 2 & so on."),
            ),
        ),
        Question(
            "Which hold for $\\eta^{l} < \\eta^{l+1}$?",
            (
                Choice("a", "First reason.", right=True),
                Choice("b", "Second reason.", right=True),
                Choice("c", "Third reason."),
            ),
            several=True,
        ),
    ),
)
PLAIN = {
    "id": "q",
    "title": "T",
    "questions": [
        {
            "ask": "Q?",
            "choices": [
                {"text": "yes", "right": True, "reason": "so it is"},
                {"text": "no", "reason": "not at all"},
            ],
        }
    ],
}
line = st.text(min_size=1, max_size=40).filter(lambda text: text.strip())


def written(tmp_path, raw):
    path = tmp_path / "quiz.yml"
    path.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw))
    return path


def test_the_page_is_well_formed_and_needs_nothing_else():
    text = render_quiz(QUIZ)
    page = Page(text)
    assert not page.repeated_ids()
    assert foreign_addresses(text) == []
    assert len(page.all("fieldset")) == len(page.all("legend")) == 2
    assert page.by_id("fitlam")["aria-labelledby"] == "fitlam-title"


def test_every_choice_has_its_field_label_and_reason():
    page = Page(render_quiz(QUIZ))
    fields = page.all("input")
    assert [field["type"] for field in fields] == ["radio"] * 2 + ["checkbox"] * 3
    assert [label["for"] for label in page.all("label")] == [field["id"] for field in fields]
    assert len({field["name"] for field in fields[:2]}) == 1
    reasons = [reason["text"] for reason in page.all("p", class_="quiz-reason")]
    assert reasons[0] == "Right. Each layer gets less than the one above."
    assert reasons[1] == "Not so. That would train the bottom fastest: 1 < 2 & so on."
    assert [reason.split()[0] for reason in reasons] == ["Right.", "Not", "Right.", "Right.", "Not"]


def test_code_and_mathematics_are_marked():
    page = Page(render_quiz(QUIZ))
    assert page.all("code")[0]["text"] == "ratio"
    (formula,) = page.all("span", class_="math notranslate nohighlight")
    assert formula["text"] == "\\(\\eta^{l} < \\eta^{l+1}\\)"
    assert "(more than one is right)" in page.all("legend")[1]["text"]


@given(line, line, line)
def test_any_text_is_shown_as_it_is(ask, answer, reason):
    if answer == "no" or "`" in ask + answer + reason or "$" in ask + answer + reason:
        return
    quiz = Quiz("q", "T", (Question(ask, (Choice(answer, reason, True), Choice("no", "-"))),))
    page = Page(render_quiz(quiz))
    assert page.all("legend")[0]["text"] == f"1. {' '.join(ask.split())}"
    assert page.all("label")[0]["text"] == " ".join(answer.split())
    assert page.all("p", class_="quiz-reason")[0]["text"] == f"Right. {' '.join(reason.split())}"


def test_markup_in_a_text_is_text():
    hard = "<b>1 &lt; 2</b></p><script>alert()</script>"
    choices = (Choice(hard, hard, True), Choice(f"`{hard}`", f"${hard.replace('$', '')}$"))
    text = render_quiz(Quiz("q", hard, (Question(hard, choices),)))
    page = Page(text)
    assert page.all("legend")[0]["text"] == f"1. {hard}"
    assert page.all("code")[0]["text"] == hard
    assert page.all("b") == [] and text.count("<script") == 1


def test_a_file_makes_a_quiz(tmp_path):
    quiz = load_quiz(written(tmp_path, PLAIN))
    assert quiz.questions[0].choices[0] == Choice("yes", "so it is", right=True)
    assert quiz._repr_html_() == render_quiz(quiz)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q: q.update(id="1 a"), "id='1 a'"),
        (lambda q: q.update(questions=[]), "asks nothing"),
        (lambda q: q["questions"][0]["choices"][1].update(right=True), "has 2 right choices: mark"),
        (lambda q: q["questions"][0]["choices"][0].pop("right"), "has 0 right choices"),
        (lambda q: q["questions"][0].update(several=True), "1 right choices, but says several"),
        (lambda q: q["questions"][0]["choices"].pop(), "two or more different choices"),
        (
            lambda q: q["questions"][0]["choices"][1].update(text="yes"),
            "two or more different choices",
        ),
        (
            lambda q: q["questions"][0]["choices"][1].pop("reason"),
            r"quiz.yml is no quiz: quiz.yml.questions\[0\].choices\[1\]: missing \['reason'\]",
        ),
        (lambda q: q["questions"][0]["choices"][1].update(reason=" "), "expected a text, got ' '"),
        (lambda q: q["questions"][0].update(hint="x"), r"unknown \['hint'\]"),
        (
            lambda q: q["questions"][0]["choices"][0].update(right="yes"),
            "right: expected true or false, got 'yes'",
        ),
    ],
)
def test_a_quiz_that_cannot_be_asked_is_refused(tmp_path, change, message):
    raw = yaml.safe_load(yaml.safe_dump(PLAIN))
    change(raw)
    with pytest.raises(QuizError, match=message):
        load_quiz(written(tmp_path, raw))


def test_what_is_no_yaml_is_no_quiz(tmp_path):
    with pytest.raises(QuizError, match="quiz.yml is no quiz"):
        load_quiz(written(tmp_path, "- [a"))
    with pytest.raises(FileNotFoundError):
        load_quiz(tmp_path / "nothing.yml")


def test_a_choice_without_a_reason_is_refused_in_python_too():
    with pytest.raises(QuizError, match="the choice 'b' needs a reason"):
        Quiz("q", "T", (Question("?", (Choice("a", "r", True), Choice("b", " "))),))


@pytest.mark.parametrize("file", QUIZZES, ids=lambda file: file.stem)
def test_every_quiz_of_the_book_is_sound(file):
    assert len(load_quiz(file).questions) >= 3
    plain = re.sub(r"`[^`]*`|\$[^$]*\$", "", file.read_text())
    assert "*" not in plain  # emphasis would be shown as asterisks
