"""Notebooks as they go into git: no outputs, no counts, no settings of one person's editor.

``make format`` strips every notebook of the book with this; ``test_stripped.py`` checks them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BOOK = Path(__file__).parents[2] / "book"
NOTEBOOK_METADATA = {"kernelspec": {"display_name", "language", "name"}, "language_info": {"name"}}
CELL_METADATA = {"tags", "mystnb", "nbgrader"}  # what the site and the assignments read

Notebook = dict[str, Any]


def notebooks() -> list[Path]:
    """Every notebook of the book that is a source."""
    found = sorted(BOOK.rglob("*.ipynb"))
    return [file for file in found if not {"_build", ".ipynb_checkpoints"} & set(file.parts)]


def strays(notebook: Notebook) -> Iterator[str]:
    """What :func:`strip` would take away, in words."""
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell.get("outputs"):
            yield f"cell {number} has outputs"
        if cell.get("execution_count") is not None:
            yield f"cell {number} has an execution count"
        if extra := set(cell["metadata"]) - CELL_METADATA:
            yield f"cell {number} has metadata {sorted(extra)}"
        if "attachments" in cell:
            yield f"cell {number} has attachments: keep pictures as files"
    if _kept(notebook["metadata"]) != notebook["metadata"]:
        yield f"the notebook has metadata {notebook['metadata']}"


def strip(notebook: Notebook) -> Notebook:
    """``notebook`` without outputs, counts and stray metadata; attachments stay."""
    cells = [_stripped_cell(cell) for cell in notebook["cells"]]
    return notebook | {"cells": cells, "metadata": _kept(notebook["metadata"])}


def _stripped_cell(cell: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in cell["metadata"].items() if key in CELL_METADATA}
    empty = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
    return cell | {"metadata": metadata} | empty


def _kept(metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        part: {key: value for key, value in metadata[part].items() if key in keys}
        for part, keys in NOTEBOOK_METADATA.items()
        if part in metadata
    }


def main() -> None:
    """Strip every notebook in place; the clean ones are not written."""
    for file in notebooks():
        notebook = json.loads(file.read_text(encoding="utf-8"))
        stripped = strip(notebook)
        if stripped != notebook:
            text = json.dumps(stripped, indent=1, ensure_ascii=False) + "\n"
            file.write_text(text, encoding="utf-8")
            print(f"stripped {file.relative_to(BOOK.parent)}")


if __name__ == "__main__":
    main()
