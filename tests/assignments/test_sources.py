"""The sources: read right, refused where they are wrong, and without answers once released."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest

from tests.assignments.small_course import cell, own_cell, source, write
from ulmfit_lib.assignments import release as release_module
from ulmfit_lib.assignments.release import build, pack, release, solution, stubs
from ulmfit_lib.assignments.source import (
    AssignmentError,
    assignment_names,
    cell_text,
    find_source,
    grade_id,
    is_answer,
    is_given,
    is_question,
    is_test,
    marks,
    parse,
    read_assignment,
    read_notebook,
)

NAMES = assignment_names()
NBGRADER_KEYS = {"grade", "grade_id", "locked", "schema_version", "solution", "task"}


def file(notebook: object, folder: Path) -> Path:
    return write(notebook, folder / "small.ipynb")


def test_a_source_is_read(tmp_path: Path) -> None:
    found = read_assignment(file(source(), tmp_path))
    assert (found.name, found.title, found.points) == ("small", "Two lines", 6)
    assert [(task.name, task.points) for task in found.tasks] == [("twice", 3), ("apply", 2)]
    assert found.functions() == {"half", "twice", "apply"}
    assert found.questions[0].text.startswith("Because.")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([], "no cell in it is marked as an answer"),
        ([cell("answer", "a", "")], "the tests of a are missing"),
        ([cell("answer", "a", ""), cell("test", "check_a", "", 1)], "judges no answer"),
        ([cell("answer", "a", ""), cell("test", "test_ab", "", 1)], "judges no answer"),
        ([cell("answer", "a", ""), *[cell("test", "test_a", "", 1)] * 2], "twice"),
    ],
)
def test_what_is_no_assignment_is_refused(cells: list, words: str, tmp_path: Path) -> None:
    with pytest.raises(AssignmentError, match=words):
        read_assignment(file(source() | {"cells": cells}, tmp_path))


def test_unknown_assignments_are_named() -> None:
    with pytest.raises(AssignmentError, match="fitlam"):
        find_source("no-such-assignment")


def test_the_hand_out_of_a_source() -> None:
    made = {grade_id(c): cell_text(c) for c in release(source())["cells"]}
    assert made["twice"] == "def twice(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert "two times two" in made["test_twice"] and "sign" not in made["test_twice"]
    assert "Rubric" not in made["question_why"]
    assert made["setup"] == cell_text(source()["cells"][1])


def test_an_answer_that_would_be_given_away_is_refused() -> None:
    notebook = source()
    notebook["cells"][2]["source"] = "def twice(x):\n    return 2 * x"
    with pytest.raises(AssignmentError, match="BEGIN SOLUTION"):
        release(notebook)


@pytest.mark.parametrize("name", NAMES)
class TestTheBooks:
    def test_nothing_of_the_solution_is_handed_out(self, name: str) -> None:
        """Neither a line of an answer, nor of a hidden test, nor of a rubric."""
        text = "\n".join(cell_text(c) for c in release(read_notebook(find_source(name)))["cells"])
        assert "### " not in text.replace("#### ", "") and "Rubric" not in text
        for line in secret_lines(name):
            assert line not in text, line

    def test_the_hand_out_can_be_read_again(self, name: str, tmp_path: Path) -> None:
        handed_out = release(read_notebook(find_source(name)))
        found = read_assignment(write(handed_out, tmp_path / f"{name}.ipynb"))
        whole = read_assignment(find_source(name))
        assert found.points == whole.points and len(found.tasks) == len(whole.tasks)
        assert set(stubs(name)) == {task.name for task in whole.tasks}

    def test_the_solution_has_no_markers(self, name: str) -> None:
        made = solution(read_notebook(find_source(name)))
        code = [cell_text(c) for c in made["cells"] if c["cell_type"] == "code"]
        assert not any("### " in text for text in code)
        for text in code:
            ast.parse(text)

    def test_the_metadata_is_nbgraders(self, name: str) -> None:
        """Schema 3: these keys, points where they are graded, every id once."""
        cells = [c for c in read_notebook(find_source(name))["cells"] if marks(c)]
        for c in cells:
            graded = {"points"} if marks(c)["grade"] else set()
            assert set(marks(c)) == NBGRADER_KEYS | graded and marks(c)["schema_version"] == 3
            assert is_answer(c) + is_test(c) + is_question(c) + is_given(c) == 1
            assert re.fullmatch(r"\w+", grade_id(c))
        assert len({grade_id(c) for c in cells}) == len(cells)

    def test_every_form_is_a_valid_notebook(self, name: str) -> None:
        """And its markers pair up: nbgrader refuses a begin without an end."""
        made = read_notebook(find_source(name))
        for notebook in (made, release(made), solution(made)):
            nbformat.validate(nbformat.from_dict(notebook))
        for text in map(cell_text, made["cells"]):
            for kind in ("SOLUTION", "HIDDEN TESTS"):
                marked = re.findall(rf"^ *### (BEGIN|END) {kind}$", text, re.M)
                assert marked == ["BEGIN", "END"] * (len(marked) // 2)

    def test_size_and_points(self, name: str) -> None:
        """Four to seven tasks, two questions, and the points that the first cell says."""
        found = read_assignment(find_source(name))
        assert 4 <= len(found.tasks) <= 7 and len(found.questions) == 2
        first = cell_text(read_notebook(find_source(name))["cells"][0])
        by_hand = sum(question.points for question in found.questions)
        assert f"**{found.points:g} points**" in first
        assert f"({found.points - by_hand:g})" in first and f"({by_hand:g})" in first

    def test_every_task_has_visible_and_hidden_tests_and_a_described_interface(
        self, name: str
    ) -> None:
        for task in read_assignment(find_source(name)).tasks:
            for node in ast.parse(task.answer).body:
                assert isinstance(node, ast.FunctionDef) and ast.get_docstring(node), task.name
                assert node.returns and all(a.annotation for a in node.args.args), task.name
            for test in task.tests:
                visible, _, hidden = test.code.partition("### BEGIN HIDDEN TESTS")
                assert "assert " in visible and "assert " in hidden, test.name
                assert "manual_seed(" not in test.code.replace("Generator().manual_seed(", "")

    def test_every_rubric_adds_up(self, name: str) -> None:
        for question in read_assignment(find_source(name)).questions:
            rubric = question.text.partition("**Rubric.**")[2]
            assert len(re.findall(r"\b1 point\b", rubric)) == question.points, question.name


def secret_lines(name: str) -> set[str]:
    """Lines of answers and hidden tests that are long enough to be told from others."""
    cells = read_notebook(find_source(name))["cells"]
    text = "\n".join(cell_text(c) for c in cells)
    marked = r"### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)### END"
    secret = "\n".join(re.findall(marked, text, re.S))
    shown = [cell_text(c) for c in cells if is_given(c)]
    visible = [cell_text(c).partition("### BEGIN")[0] for c in cells if is_test(c)]
    lines = {line.strip() for line in secret.split("\n") if len(line.strip()) > 30}
    return {line for line in lines if not any(line in other for other in [*shown, *visible])}


def test_build_writes_every_hand_out(tmp_path: Path) -> None:
    written = build(tmp_path)
    assert [f.relative_to(tmp_path).as_posix() for f in written] == [
        f"{name}/{name}.ipynb" for name in NAMES
    ]


class TestPack:
    def test_outputs_are_left_out(self, tmp_path: Path) -> None:
        notebook = source()
        notebook["cells"][1]["outputs"] = [{"output_type": "stream", "text": "secret"}]
        packed = pack(file(notebook, tmp_path), "ann", tmp_path / "out")
        assert packed == tmp_path / "out" / "ann" / "small.ipynb"
        assert "secret" not in packed.read_text()
        assert json.loads(packed.read_text())["cells"][2]["source"]

    @pytest.mark.parametrize("student", ["", "../bob", "a/b", ".hidden", "=1+1"])
    def test_names_that_cannot_be_folders(self, student: str, tmp_path: Path) -> None:
        with pytest.raises(AssignmentError, match="letters, digits"):
            pack(file(source(), tmp_path), student, tmp_path)

    def test_a_cell_that_is_no_python_is_named(self, tmp_path: Path) -> None:
        notebook = source()
        notebook["cells"][2] = cell("answer", "twice", "def twice(x:")
        with pytest.raises(AssignmentError, match="the cell of twice is no Python"):
            pack(file(notebook, tmp_path), "ann", tmp_path)

    def test_a_cell_of_ones_own_is_kept(self, tmp_path: Path) -> None:
        notebook = source()
        notebook["cells"].append(own_cell("helper = 3"))
        assert "helper = 3" in pack(file(notebook, tmp_path), "ann", tmp_path / "o").read_text()


def test_the_public_site_has_no_source() -> None:
    toc = (release_module.find_source(NAMES[0]).parents[2] / "_toc.yml").read_text()
    assert not any(f"assignments/{name}" in toc for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_background_leads_to_a_chapter(name: str) -> None:
    source = find_source(name)
    text = cell_text(read_notebook(source)["cells"][0])
    (chapter,) = re.findall(r"\]\(\.\./\.\./html/book/(\w+)\.html\)", text)  # from a hand-out
    assert (source.parents[1] / f"{chapter}.ipynb").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_runs_as_a_notebook(name: str) -> None:
    """Every cell in order, the experiment on the shipped models and tests included."""
    names: dict[str, object] = {"__name__": "notebook"}
    for number, c in enumerate(solution(read_notebook(find_source(name)))["cells"]):
        if c["cell_type"] == "code":
            exec(compile(cell_text(c), f"{name}, cell {number}", "exec"), names)


@pytest.mark.parametrize("code", ['s = (\n    "a %s"\n    % n\n)', "ok = (\n    a\n    != b\n)"])
def test_a_line_of_python_may_begin_like_one_of_ipython(code: str) -> None:
    assert ast.unparse(parse(code)) == ast.unparse(ast.parse(code))


def test_text_in_quotes_is_left_as_it_is() -> None:
    (found,) = parse('"""\n% of all\n!\n"""').body
    assert isinstance(found, ast.Expr) and ast.literal_eval(found.value) == "\n% of all\n!\n"


def test_lines_of_ipython_are_left_out() -> None:
    assert len(parse("%matplotlib inline\n!ls\nx = 1").body) == 3
