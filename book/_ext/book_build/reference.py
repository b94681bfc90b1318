"""Directives that show the library: API pages, the symbols of a chapter, source code."""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.directives.code import container_wrapper

from book_build.directive import BookDirective
from book_build.library import PACKAGE, Symbol, introduced_in, listing, modules, public_symbols

_ROLES = {"function": "func", "class": "class", "data": "data"}


class ApiPages(BookDirective):
    """``{api} ulmfit_lib.text``: every public symbol of a package, from its docstrings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A section per module: what it is for, a table of its symbols, their documentation."""
        found = modules(self.layout.root, self.arguments[0])
        if not found:
            raise self.error(f"{self.arguments[0]} has no public modules: check the name")
        sections = []
        for module in found:
            self.depends_on(self.layout.root.joinpath(*module.split(".")).with_suffix(".py"))
            sections.append(self._section(module))
        return sections

    def _section(self, module: str) -> nodes.section:
        section = nodes.section(ids=[nodes.make_id(module)])
        title = module.rpartition(".")[2]
        section += nodes.title(title, "", nodes.literal(title, title))
        self.state.document.note_explicit_target(section)
        symbols = public_symbols(self.layout.root, module)
        section += self.markdown(f"```{{eval-rst}}\n{_module_rst(module, symbols)}\n```")
        return section


class Symbols(BookDirective):
    """``{symbols} FitLaM``: what a chapter adds to the library, linked to the API pages."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """A table with one row per module."""
        symbols = introduced_in(self.layout.root, PACKAGE, self.arguments[0])
        found = [symbol for symbol in symbols if symbol.kind != "data"]
        if not found:
            raise self.error(f"no docstring says 'Introduced in the chapter *{self.arguments[0]}*'")
        rows = [
            [_module_link(module), ", ".join(map(_link, group))]
            for module, group in groupby(found, key=lambda symbol: symbol.module)
        ]
        return [self.table(["Module", "Symbols"], rows, ["symbols-table"], [1, 3])]


class Source(BookDirective):
    """``{source} ulmfit_lib.models.awd_lstm.AWDLSTM``: code from the library, never a copy of it.

    ``:without-docstring:`` leaves the symbol's own docstring out.
    """

    required_arguments = 1
    option_spec: ClassVar = {"without-docstring": directives.flag}

    def run(self) -> list[nodes.Node]:
        """A captioned code block that links to the API page."""
        path = self.arguments[0]
        try:
            shown = listing(self.layout.root, path, "without-docstring" not in self.options)
        except LookupError as error:
            raise self.error(f"source: {error}") from error
        self.depends_on(self.layout.root / shown.file)
        block = nodes.literal_block(shown.code, shown.code, language="python")
        name = path.removeprefix(f"{PACKAGE}.").partition(".")[2].partition(".")[2]
        caption = f"`{name}` in `{shown.file}` ({{py:obj}}`reference <{_documented(path)}>`)"
        return [container_wrapper(self, block, caption)]


def _module_rst(module: str, symbols: tuple[Symbol, ...]) -> str:
    """The reStructuredText of one module: autodoc's directives, in the order of the source."""
    parts = [f".. automodule:: {module}"]
    listed = [symbol for symbol in symbols if symbol.kind != "data"]
    if listed:
        names = "\n".join(f"   {symbol.name}" for symbol in listed)
        parts.append(f".. autosummary::\n   :nosignatures:\n\n{names}")
    parts += [_symbol_rst(symbol) for symbol in symbols]
    return "\n\n".join(parts)


def _symbol_rst(symbol: Symbol) -> str:
    if symbol.kind == "class":
        bases = "\n   :show-inheritance:" if symbol.inherits else ""
        return f".. autoclass:: {symbol.name}\n   :members:{bases}"
    if symbol.kind == "data":
        value = f"\n   :value: {symbol.value}" if symbol.value else ""
        return f".. py:data:: {symbol.name}{value}\n\n   {symbol.summary}"
    return f".. autofunction:: {symbol.name}"


def _documented(path: str) -> str:
    """The part of a dotted name that has an entry: a private method is shown under its class."""
    public: list[str] = []
    for name in path.split("."):
        if name.startswith("_"):
            break
        public.append(name)
    return ".".join(public)


def _link(symbol: Symbol) -> str:
    return f"{{py:{_ROLES[symbol.kind]}}}`~{symbol.path}`"


def _module_link(module: str) -> str:
    return f"{{py:mod}}`{module.removeprefix(PACKAGE + '.')} <{module}>`"
