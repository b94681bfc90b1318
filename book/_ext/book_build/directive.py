"""What the book's directives share: the checkout, Markdown inside them, tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from book_build.layout import Layout


class BookDirective(SphinxDirective):
    """A directive that writes MyST Markdown or a table into the page."""

    @property
    def layout(self) -> Layout:
        """The checkout that is being built."""
        return Layout(Path(self.env.app.srcdir))

    def depends_on(self, path: Path) -> None:
        """Read the page again when ``path`` changes."""
        self.env.note_dependency(str(path))

    def markdown(self, text: str, titles: bool = False) -> list[nodes.Node]:
        """The nodes of a piece of MyST Markdown.

        Args:
            text: Markdown source; roles and directives in it work.
            titles: whether headings are allowed.
        """
        node = nodes.container()
        node.document = self.state.document
        lines = StringList(text.splitlines(), source=self.env.doc2path(self.env.docname))
        self.state.nested_parse(lines, self.content_offset, node, titles)
        return node.children

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[str]],
        classes: Sequence[str] = (),
        widths: Sequence[int] | None = None,
    ) -> nodes.table:
        """A table whose cells are Markdown.

        Args:
            headers: one Markdown string per column.
            rows: for each row one Markdown string per column; the first is the row's header.
            classes: CSS classes.
            widths: relative column widths; equal by default.
        """
        given = ["colwidths-given"] if widths else []
        table = nodes.table("", classes=["book-table", *classes, *given])
        group = nodes.tgroup("", cols=len(headers), stub_columns=1)
        for column, width in enumerate(widths or [1] * len(headers)):
            group += nodes.colspec("", colwidth=width, **({} if column else {"stub": 1}))
        group += nodes.thead("", self._row(headers))
        group += nodes.tbody("", *(self._row(row) for row in rows))
        table += group
        return table

    def _row(self, cells: Sequence[str]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", *self.markdown(cell)) for cell in cells))
