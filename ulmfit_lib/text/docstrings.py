"""Docstrings of Python files, read statically: parsed with ``ast``, never imported.

Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import ast
import gc
import os
import tokenize
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from joblib import Parallel, delayed  # type: ignore[import-untyped]
from tqdm import tqdm

from ulmfit_lib.text.docstring_sections import parse_docstring
from ulmfit_lib.text.masking_names import mask_names
from ulmfit_lib.text.prose import paragraphs

FILES_PER_TASK = 25
SHORTEST = 4  # blank-separated pieces in a paragraph worth keeping

T = TypeVar("T")
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def over_files(read: Callable[[Path], T], paths: Sequence[Path], title: str) -> list[T]:
    """``read`` of each of ``paths``, in their order, on all cores.

    A progress bar is shown on a terminal. Introduced in the chapter *Text and
    language models*.

    Args:
        read: called with one path; must be picklable.
        paths: the files.
        title: of the progress bar.
    """
    tasks = [paths[i : i + FILES_PER_TASK] for i in range(0, len(paths), FILES_PER_TASK)]
    workers = Parallel(n_jobs=os.cpu_count(), return_as="generator")
    results: list[T] = []
    with tqdm(total=len(paths), desc=title, unit="file", disable=None) as bar:
        for of_task in workers(delayed(_read_each)(read, task) for task in tasks):
            results.extend(of_task)
            bar.update(len(of_task))
    return results


def read_paragraphs(path: Path) -> list[tuple[str, str]]:
    """(role, text) of each paragraph in the docstrings of a file, names masked.

    Nothing where the file is not valid Python. Introduced in the chapter *Text
    and language models*.
    """
    tree = parse_file(path)
    return [pair for text in docstrings(tree) for pair in masked_paragraphs(text)] if tree else []


def parse_file(path: Path) -> ast.Module | None:
    """The syntax tree of the Python file ``path``; None where it cannot be parsed."""
    try:
        with tokenize.open(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(file.read())
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        return None


def docstrings(tree: ast.Module) -> Iterator[str]:
    """The docstrings of a module and its classes and functions, in their order."""
    yield from _docstring(tree)
    for node in definitions(tree.body):
        yield from _docstring(node)


def definitions(statements: Sequence[ast.AST]) -> Iterator[Definition]:
    """The classes and functions among and inside ``statements``, in their order."""
    for statement in statements:
        if isinstance(statement, Definition):
            yield statement
        for field in ("body", "orelse", "handlers", "finalbody"):
            yield from definitions(getattr(statement, field, ()))


def masked_paragraphs(docstring: str) -> Iterator[tuple[str, str]]:
    """(role, text) of each paragraph of ``docstring``, library names masked."""
    for block in parse_docstring(docstring):
        for text in paragraphs(block.lines):
            if block.role != "skip" and len(text.split()) >= SHORTEST:
                yield block.role, mask_names(text)


def _docstring(node: ast.Module | Definition) -> Iterator[str]:
    text = ast.get_docstring(node, clean=False)
    if text:
        yield text


def _read_each(read: Callable[[Path], T], paths: Sequence[Path]) -> list[T]:
    gc.disable()  # a third of the time: syntax trees are many objects, and never cyclic
    try:
        return [read(path) for path in paths]
    finally:
        gc.enable()
