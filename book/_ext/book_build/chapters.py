"""Directives around a chapter: its card, its quiz, its run time, the versions it ran with."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives

from book_build.directive import BookDirective
from book_build.execution import Measurement, measurement
from book_build.layout import notebooks
from book_build.wording import duration, size

VERSIONS_SHOWN = (
    "torch", "fastai", "transformers", "tokenizers", "safetensors", "datasets", "scikit-learn",
    "scipy", "numpy", "matplotlib", "ipywidgets", "jupyter-book", "Sphinx", "myst-nb",
)  # fmt: skip


class ChapterCard(BookDirective):
    """The box at the head of a chapter.

    The body is a definition list: the paper, its claim in one sentence, what the chapter adds to
    the library. Run time and memory are added here, from the execution that made the page.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The card, its last two entries measured."""
        body = self.markdown("\n".join(self.content))
        entries = next((node for node in body if isinstance(node, nodes.definition_list)), None)
        if entries is None:
            raise self.error("chapter-card: write its body as a definition list (Term, `: text`)")
        took = self._measured()
        for term, text in (("Run time", _run_time(took)), ("Memory", _memory(took))):
            entries += self._entry(term, text)
        return [nodes.container("", *body, classes=["chapter-card"])]

    def _measured(self) -> Measurement | None:
        path = Path(self.env.doc2path(self.env.docname))
        return measurement(self.layout, path) if path.suffix == ".ipynb" else None

    def _entry(self, term: str, text: str) -> nodes.definition_list_item:
        definition = nodes.definition("", nodes.paragraph(text, text))
        return nodes.definition_list_item("", nodes.term(term, term), definition)


class QuizBlock(BookDirective):
    """``{quiz} fitlam``: the questions of ``book/quizzes/fitlam.yml``, with a reason per choice."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The quiz as HTML, which works without a kernel."""
        from ulmfit_lib.study.quiz import load_quiz, render_quiz

        path = self.layout.book / "quizzes" / f"{self.arguments[0]}.yml"
        self.depends_on(path)
        try:
            html = render_quiz(load_quiz(path))
        except (FileNotFoundError, ValueError) as error:
            raise self.error(f"quiz: {error}") from error
        return [nodes.raw("", html, format="html")]


class ChapterStatus(BookDirective):
    """A table with run time, peak memory and date of every chapter's execution."""

    def run(self) -> list[nodes.Node]:
        """One row per notebook."""
        root = self.layout.root
        rows = [
            [f"{{doc}}`/{path.relative_to(root).with_suffix('').as_posix()}`", *self._cells(path)]
            for path in notebooks(root)
        ]
        headers = ["Chapter", "Run time", "Peak memory", "Scale", "Cores", "Executed (UTC)"]
        return [self.table(headers, rows, ["status-table"], [5, 3, 3, 2, 2, 5])]

    def _cells(self, path: Path) -> list[str]:
        took = measurement(self.layout, path)
        if took is None:
            return ["not executed", "", "", "", ""]
        when = (took.executed_at or "not recorded").replace("T", " ").removesuffix("+00:00")
        scale = took.scale or "not recorded"
        return [duration(took.seconds), size(took.peak_bytes), scale, str(took.cores or ""), when]


class Versions(BookDirective):
    """A table of the packages that the book's numbers depend on."""

    option_spec: ClassVar = {"only": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """One row per package that is installed."""
        names = self.options.get("only", " ".join(VERSIONS_SHOWN)).split()
        rows = [[f"`{name}`", metadata.version(name)] for name in names if _installed(name)]
        return [self.table(["Package", "Version"], rows, ["versions-table"])]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _run_time(took: Measurement | None) -> str:
    if took is None:
        return "measured when the book is built"
    where = f", {took.cores} cores, scale {took.scale}" if took.scale else ""
    return f"{duration(took.seconds)} (measured{where})"


def _memory(took: Measurement | None) -> str:
    if took is None or took.peak_bytes is None:
        return "measured when the book is built"
    return f"{size(took.peak_bytes)} at most (measured)"
