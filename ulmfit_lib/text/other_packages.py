"""Text of the installed packages that the embedded tasks don't draw on.

Docstrings as unlabelled domain text, code as the irrelevant domain. Introduced
in the chapter *Text and language models*.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from ulmfit_lib.text.balanced_splits import Passage, without_near_copies
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.docstring_tasks import MIN_WORDS
from ulmfit_lib.text.docstrings import Definition, over_files, parse_file, read_paragraphs
from ulmfit_lib.text.prose import is_prose
from ulmfit_lib.text.python_sources import other_packages, python_files

CODE_LINES = range(5, 121)  # lines in a function or class worth keeping
HELD_OUT, UNLABELLED = 0, 1


def docstring_paragraphs(apart_from: Sequence[Corpus]) -> tuple[str, ...]:
    """Paragraphs of prose from the other packages' docstrings.

    Near copies of each other, and of the labelled texts of ``apart_from``, are
    dropped. Introduced in the chapter *Text and language models*.
    """
    found = over_files(read_paragraphs, other_files(), "reading other docstrings")
    texts = [text for of_file in found for _, text in of_file if is_prose(text, MIN_WORDS)]
    held_out = [
        text
        for corpus in apart_from
        for split in corpus.splits.values()
        if split.labels is not None
        for text in split.texts
    ]
    passages = [Passage(text, UNLABELLED, "", "") for text in texts]
    passages += [Passage(text, HELD_OUT, "", "") for text in held_out]
    kept = without_near_copies(passages, threshold=0.5, n=3)
    return tuple(passage.text for passage in kept if passage.label == UNLABELLED)


def code_definitions() -> tuple[str, ...]:
    """Functions and classes of the other packages, without docstrings and comments.

    Introduced in the chapter *Text and language models*.
    """
    found = over_files(read_code, other_files(), "reading code")
    return tuple(dict.fromkeys(text for of_file in found for text in of_file))


def read_code(path: Path) -> list[str]:
    """The outermost functions and classes of a file as code, one text each."""
    tree = parse_file(path)
    statements = [node for node in tree.body if isinstance(node, Definition)] if tree else []
    texts = (ast.unparse(_without_docstrings(node)) for node in statements)
    return [text for text in texts if text.count("\n") + 1 in CODE_LINES]


def other_files() -> list[Path]:
    """The Python files of every installed package that is not one of the eleven."""
    return [file for package in other_packages() for file in python_files(package)]


def _without_docstrings(node: Definition) -> Definition:
    for inner in ast.walk(node):
        if isinstance(inner, Definition) and ast.get_docstring(inner, clean=False):
            inner.body[:1] = [] if len(inner.body) > 1 else [ast.Pass()]
    return node
