"""Notebooks go into git without outputs, and the tool that strips them takes no more than that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.notebooks.strip import BOOK, notebooks, strays, strip


def read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def run_notebook() -> dict[str, Any]:
    """A notebook as an editor leaves it after a run."""
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": "a",
                "execution_count": 7,
                "metadata": {"tags": ["hide-input"], "scrolled": True, "mystnb": {"figure": {}}},
                "outputs": [{"output_type": "stream", "name": "stdout", "text": ["3\n"]}],
                "source": ["print(1 + 2)"],
            },
            {"cell_type": "markdown", "id": "b", "metadata": {"jp-MarkdownHeadingCollapsed": True},
             "source": ["# Title"]},
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "version": "3.11.7"},
            "widgets": {"state": {}},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }  # fmt: skip


def source_notebooks() -> list[Any]:
    return [pytest.param(file, id=str(file.relative_to(BOOK))) for file in notebooks()]


@pytest.mark.parametrize("file", source_notebooks())
def test_the_notebook_is_stripped(file: Path) -> None:
    found = list(strays(read(file)))
    assert not found, f"run 'make format': {found}"


@pytest.mark.parametrize("file", source_notebooks())
def test_the_notebook_is_valid(file: Path) -> None:
    nbformat.validate(read(file))


def test_every_kind_of_stray_is_found() -> None:
    found = " / ".join(strays(run_notebook()))
    for kind in ("outputs", "execution count", "['scrolled']", "['jp-Markdown", "'widgets'"):
        assert kind in found


def test_attachments_are_reported() -> None:
    notebook = strip(run_notebook())
    notebook["cells"][1]["attachments"] = {"picture.png": {}}
    assert "attachments" in " ".join(strays(notebook))


def test_stripping_leaves_nothing_stray_and_a_valid_notebook() -> None:
    stripped = strip(run_notebook())
    assert not list(strays(stripped))
    nbformat.validate(stripped)


def test_stripping_keeps_sources_tags_and_captions() -> None:
    cell = strip(run_notebook())["cells"][0]
    assert cell["source"] == ["print(1 + 2)"]
    assert cell["metadata"] == {"tags": ["hide-input"], "mystnb": {"figure": {}}}


def test_stripping_twice_changes_nothing() -> None:
    once = strip(run_notebook())
    assert strip(once) == once
