"""The book's Sphinx extension: its directives, its execution stamp, its local MathJax."""

from __future__ import annotations

import builtins
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from book_build import docstrings, stamp
from book_build.chapters import ChapterCard, ChapterStatus, QuizBlock, Versions
from book_build.evidence import ArmDifferences, ClaimsTable, RunRecordSummary
from book_build.execution import kernel_environment
from book_build.layout import Layout
from book_build.mathjax import copy_mathjax, notice_formulas
from book_build.models import ShippedModels, TransferTable, TransferVerdicts
from book_build.reference import ApiModules, ApiPage, Source, Symbols, write_pages
from book_build.terms import BookGlossary, NotationTable, TermWithChinese
from book_build.training_curves import TrainingCurves

DIRECTIVES = {
    "chapter-card": ChapterCard,
    "quiz": QuizBlock,
    "chapter-status": ChapterStatus,
    "versions": Versions,
    "book-glossary": BookGlossary,
    "notation-table": NotationTable,
    "claims-table": ClaimsTable,
    "run-record": RunRecordSummary,
    "arm-differences": ArmDifferences,
    "shipped-models": ShippedModels,
    "training-curves": TrainingCurves,
    "transfer-table": TransferTable,
    "transfer-verdicts": TransferVerdicts,
    "api-modules": ApiModules,
    "api": ApiPage,
    "symbols": Symbols,
    "source": Source,
}
FIRST_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="refresh" content="0; url={page}"></head>
<body><main><h1>{title}</h1><p><a href="{page}">To the first page</a></p></main></body>
</html>
"""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    app.connect("config-inited", prepare, priority=100)
    app.connect("doctree-read", notice_formulas)
    app.connect("build-finished", finish, priority=100)
    app.connect("autodoc-process-docstring", docstrings.process, priority=400)
    app.connect("autodoc-skip-member", docstrings.skip)
    app.connect("missing-reference", docstrings.resolve)
    for name, directive in DIRECTIVES.items():
        app.add_directive(name, directive)
    app.add_role("term-zh", TermWithChinese())
    if find_spec("accessibility"):
        app.setup_extension("accessibility")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def prepare(app: Sphinx, config: Config) -> None:
    """Before anything is read: old executions go, the library's pages come, buttons are set."""
    layout = Layout(Path(app.srcdir))
    if str(layout.root) not in sys.path:
        sys.path.insert(0, str(layout.root))
    os.environ.update(kernel_environment(layout.root))
    stamp.refresh(layout)
    write_pages(layout)
    _ignore_standard_types(config)
    _set_buttons(config.html_theme_options)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """After the pages are written: MathJax, a first page that leads to the book, no templates."""
    if exception is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    copy_mathjax(site)
    page = f"{app.config.master_doc}.html"
    text = FIRST_PAGE.format(title=app.config.html_title, page=page)
    (site / "index.html").write_text(text, encoding="utf-8")
    for template in (site / "_static").glob("*webpack-macros.html"):
        template.unlink()  # the theme's, no page of the site


def _ignore_standard_types(config: Config) -> None:
    """Python's own names in signatures are no broken references."""
    names = "|".join(name for name in dir(builtins) if not name.startswith("_"))
    extra = [("py:.*", f"({names})"), ("py:.*", docstrings.standard_library_names())]
    config.nitpick_ignore_regex = [*map(tuple, config.nitpick_ignore_regex), *extra]


def _set_buttons(options: dict[str, Any]) -> None:
    """Source and Colab buttons, if ``repository.url`` in ``_config.yml`` names a repository."""
    known = bool(options.get("repository_url"))
    options["use_source_button"] = options["use_repository_button"] = known
    colab = "https://colab.research.google.com" if known else ""
    options["launch_buttons"] = {"notebook_interface": "jupyterlab", "colab_url": colab}
