"""Docstrings are read from files as they are, without importing anything."""

import ast
from pathlib import Path

import pytest

from ulmfit_lib.text.docstrings import (
    definitions,
    docstrings,
    masked_paragraphs,
    over_files,
    parse_file,
    read_paragraphs,
)

SOURCE = '''"""Module text."""
raise SystemExit("imported")

class A:
    """Class text."""
    def f(self):
        "Method text."
        def inner():
            """Inner text."""
        return "no docstring"

if True:
    async def g():
        r"""Function \\text."""
else:
    try:
        pass
    except ValueError:
        def h():
            """Handler text."""

def silent():
    x = """no docstring"""
'''


def test_docstrings_of_every_definition_in_order() -> None:
    texts = ["Module text.", "Class text.", "Method text.", "Inner text."]
    texts += [r"Function \text.", "Handler text."]
    tree = ast.parse(SOURCE)
    assert list(docstrings(tree)) == texts
    names = [node.name for node in definitions(tree.body)]
    assert names == ["A", "f", "inner", "g", "h", "silent"]


def test_a_file_is_read_but_not_run(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""Sum the numbers of numpy arrays."""\nraise SystemExit(1)\n')
    assert read_paragraphs(path) == [("summary", "Sum the numbers of LIBRARY arrays.")]


@pytest.mark.parametrize(
    "content",
    [b"def f(:\n", b"x = '\x00'\n", b"\xff\xfe\n", b"# coding: no-such\n", b"print 'two'\n", b""],
)
def test_what_is_not_python_gives_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "module.py"
    path.write_bytes(content)
    assert read_paragraphs(path) == []


def test_the_encoding_that_a_file_states_is_used(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_bytes('# coding: latin-1\n"""A na\u00efve word or two."""\n'.encode("latin-1"))
    assert read_paragraphs(path) == [("summary", "A naïve word or two.")]


def test_warnings_of_foreign_code_stay_silent(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""A \\d word."""\nif 1 is 1: pass\n')
    assert parse_file(path)
    assert not recwarn.list


def test_short_pieces_and_skipped_sections_are_left_out() -> None:
    docstring = "Short.\n\nSee Also\n--------\nother : another function of this kind\n"
    assert list(masked_paragraphs(docstring)) == []


def test_files_come_back_in_their_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"m{i}.py" for i in range(60)]
    for i, path in enumerate(paths):
        path.write_text(f'"""This is module number {i}."""\n')
    found = over_files(read_paragraphs, paths, "reading")
    assert [texts[0][1] for texts in found] == [f"This is module number {i}." for i in range(60)]
