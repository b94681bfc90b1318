"""Unlabelled text and code from packages that the tasks don't draw on."""

import ast
import sysconfig
from pathlib import Path

import pytest

from ulmfit_lib.text.corpus import Corpus, Split
from ulmfit_lib.text.other_packages import code_definitions, docstring_paragraphs, read_code

HELD_OUT = "Return the list of sheep that are in the field at the time of the count."
OTHER = "Open the gate of the field so that the dog and the sheep can leave it."
CODE = f'''
import os  # a comment

def count(field):
    """{OTHER}"""
    # a comment
    total = 0
    for sheep in field:
        if sheep.awake:
            total += 1
    return total

def short():
    """Too short."""

class Gate:
    """{HELD_OUT}"""

    def open(self):
        "Open it."

    def close(self, slowly):
        """Close it."""
        self.closed = slowly
        self.slow = slowly
'''


@pytest.fixture()
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two packages, one of them one of the eleven."""
    for package in ("farm", "torch"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "module.py").write_text(CODE.replace("gate", package))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    return tmp_path


def held_out(text: str, labels: tuple[int, ...] | None) -> Corpus:
    return Corpus("c", {"test": Split((text,), labels)}, ("x",), "", "", "")


def test_paragraphs_of_other_packages_only(site_packages: Path) -> None:
    texts = docstring_paragraphs(apart_from=())
    assert sorted(texts) == sorted([HELD_OUT, OTHER.replace("gate", "farm")])


def test_copies_of_labelled_texts_are_left_out(site_packages: Path) -> None:
    changed = HELD_OUT.replace("Return", "Returns")
    texts = docstring_paragraphs(apart_from=(held_out(changed, (0,)),))
    assert texts == (OTHER.replace("gate", "farm"),)
    assert len(docstring_paragraphs(apart_from=(held_out(changed, None),))) == 2


def test_code_without_docstrings_and_comments(site_packages: Path) -> None:
    count, gate = code_definitions()
    for text in (count, gate):
        ast.parse(text)
        assert '"' not in text and "'" not in text and "#" not in text
    assert count.startswith("def count(field):\n    total = 0")
    assert "def open(self):\n        pass" in gate


def test_files_that_are_not_python_hold_no_code(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def f(:")
    assert read_code(tmp_path / "m.py") == []
