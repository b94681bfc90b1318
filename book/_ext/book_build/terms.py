"""Glossary and notation, in English, Chinese and symbols, each from one source file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxRole

from book_build.directive import BookDirective

GLOSSARY_FILE = "glossary.yml"
NOTATION_FILE = "notation.yml"
_TERM_KEYS = {"term", "zh", "symbol", "definition", "see"}
_NOTATION_KEYS = {"symbol", "meaning", "shape", "chapter"}


@lru_cache(maxsize=8)
def _read(path: Path, changed: int) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_glossary(book: Path) -> tuple[dict[str, str], ...]:
    """The entries of ``book/glossary.yml``, in alphabetical order.

    Raises:
        ValueError: an entry lacks its term, Chinese or definition, has an unknown key, or a term
            occurs twice.
    """
    path = book / GLOSSARY_FILE
    entries = _read(path, path.stat().st_mtime_ns)
    _check_entries(entries, _TERM_KEYS, {"term", "zh", "definition"}, "term", path)
    return tuple(sorted(entries, key=lambda entry: entry["term"].casefold()))


def read_notation(book: Path) -> Mapping[str, list[dict[str, str]]]:
    """The groups of ``book/notation.yml``: a heading and the symbols under it.

    Raises:
        ValueError: an entry lacks its symbol or meaning, or has an unknown key.
    """
    path = book / NOTATION_FILE
    groups = _read(path, path.stat().st_mtime_ns)
    for entries in groups.values():
        _check_entries(entries, _NOTATION_KEYS, {"symbol", "meaning"}, "symbol", path)
    return groups


def _check_entries(
    entries: list[dict[str, str]], known: set[str], needed: set[str], key: str, path: Path
) -> None:
    seen: set[str] = set()
    for entry in entries:
        name = entry.get(key, "?")
        if missing := needed - entry.keys():
            raise ValueError(f"{path.name}: the entry {name!r} lacks {', '.join(sorted(missing))}")
        if unknown := entry.keys() - known:
            raise ValueError(f"{path.name}: the entry {name!r} has the unknown {sorted(unknown)}")
        if name.casefold() in seen:
            raise ValueError(f"{path.name}: {name!r} is there twice")
        seen.add(name.casefold())


class BookGlossary(BookDirective):
    """The whole glossary, as a Sphinx glossary (so that the ``term`` role finds its entries)."""

    def run(self) -> list[nodes.Node]:
        """One entry per term."""
        self.depends_on(self.layout.book / GLOSSARY_FILE)
        entries = "\n\n".join(_glossary_entry(e) for e in read_glossary(self.layout.book))
        return self.markdown(f"````{{glossary}}\n{entries}\n````")


class NotationTable(BookDirective):
    """All symbols, one table for each group of ``book/notation.yml``."""

    def run(self) -> list[nodes.Node]:
        """A heading and a table per group."""
        self.depends_on(self.layout.book / NOTATION_FILE)
        sections = []
        for heading, entries in read_notation(self.layout.book).items():
            section = nodes.section(ids=[nodes.make_id(heading)])
            section += nodes.title(heading, heading)
            rows = [[e["symbol"], e["meaning"], e.get("shape", "")] for e in entries]
            section += self.table(["Symbol", "Meaning", "Shape, range"], rows, widths=[2, 6, 3])
            self.state.document.note_implicit_target(section, section)
            sections.append(section)
        return sections


class TermWithChinese(SphinxRole):
    """``{term-zh}`dropout` ``: a term's link to the glossary, with its Chinese in brackets.

    ``{term-zh}`dropping weights <weight drop>` `` shows other words for the same entry.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The link and the Chinese, marked as such for screen readers."""
        shown, _, target = self.text.rstrip(">").partition(" <")
        target = target or shown
        entry = _look_up(Path(self.env.app.srcdir) / "book", target)
        if entry is None:
            message = f"{GLOSSARY_FILE} has no term {target!r}: add it, or correct the spelling"
            problem = self.inliner.reporter.error(message, line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, problem)], [problem]
        link = addnodes.pending_xref(
            "", nodes.inline("", shown, classes=["xref", "std", "std-term"]),
            refdomain="std", reftype="term", reftarget=entry["term"], refdoc=self.env.docname,
            refexplicit=True, refwarn=True,
        )  # fmt: skip
        chinese = entry["zh"].partition("（")[0]  # without the remark in brackets
        return [link, nodes.Text(" ("), _chinese(chinese), nodes.Text(")")], []


def _look_up(book: Path, term: str) -> dict[str, str] | None:
    wanted = term.casefold()
    return next((e for e in read_glossary(book) if e["term"].casefold() == wanted), None)


def _chinese(text: str) -> nodes.raw:
    """Chinese text with its language marked in HTML."""
    return nodes.raw("", f'<span lang="zh-Hans">{escape(text)}</span>', format="html")


def _glossary_entry(entry: Mapping[str, str]) -> str:
    """One entry in the form that the glossary directive reads."""
    marks = [f'<span lang="zh-Hans">{escape(entry["zh"])}</span>']
    marks += [entry["symbol"]] if entry.get("symbol") else []
    text = " ".join(entry["definition"].split())
    see = f" See {entry['see']}." if entry.get("see") else ""
    return f"{entry['term']}\n  {' · '.join(marks)}\n\n  {text}{see}"
