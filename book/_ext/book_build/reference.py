"""The library on the site: a page per module, the symbols of a chapter, source code."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.directives.code import container_wrapper

from book_build.directive import BookDirective
from book_build.layout import Layout
from book_build.library import (
    PACKAGE,
    Symbol,
    introduced_in,
    listing,
    module_docstring,
    modules,
    public_symbols,
)

PAGE = "# `{name}`\n\nThe module `{module}`.\n\n```{{api}} {module}\n```\n"
_ROLES = {"function": "func", "class": "class", "data": "data"}


def write_pages(layout: Layout) -> list[Path]:
    """Write the page of every public module, and remove those of modules that are gone.

    A package that has a page, ``book/api/text.md``, gets one below it for each of its modules,
    ``book/api/text/batches.md``. Git ignores them; ``_toc.yml`` takes a package's whole folder.

    Returns:
        The pages of the modules.
    """
    api = layout.book / "api"
    wanted = {
        api / package.stem / f"{module.rpartition('.')[2]}.md": module
        for package in sorted(api.glob("*.md"))
        for module in modules(layout.root, f"{PACKAGE}.{package.stem}")
    }
    for page in set(api.glob("*/*.md")) - wanted.keys():
        page.unlink()
    for page, module in wanted.items():
        text = PAGE.format(name=page.stem, module=module)
        page.parent.mkdir(exist_ok=True)
        if not page.is_file() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")
    return list(wanted)


class ApiModules(BookDirective):
    """``{api-modules} ulmfit_lib.text``: the modules of a package and what each is for."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A table with one row per module, linked to its page."""
        found = modules(self.layout.root, self.arguments[0])
        if not found:
            raise self.error(f"{self.arguments[0]} has no public modules: check the name")
        for module in found:
            self.depends_on(self.layout.root.joinpath(*module.split(".")).with_suffix(".py"))
        return self.markdown(f"```{{eval-rst}}\n{_table_rst(f'~{name}' for name in found)}\n```")


class ApiPage(BookDirective):
    """``{api} ulmfit_lib.text.batches``: every public symbol of a module, from its docstrings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """What the module is for, a table of its symbols, their documentation."""
        root, module = self.layout.root, self.arguments[0]
        try:
            described, symbols = module_docstring(root, module), public_symbols(root, module)
        except LookupError as error:
            raise self.error(f"api: {error}") from error
        bare = [] if described else [module]
        bare += [symbol.name for symbol in symbols if symbol.kind != "data" and not symbol.summary]
        if bare:
            raise self.error(f"api: no docstring: {', '.join(bare)}")
        self.depends_on(root.joinpath(*module.split(".")).with_suffix(".py"))
        return self.markdown(f"```{{eval-rst}}\n{_module_rst(module, symbols)}\n```")


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
        parts.append(_table_rst(symbol.name for symbol in listed))
    parts += [_symbol_rst(symbol) for symbol in symbols]
    return "\n\n".join(parts)


def _table_rst(names: Iterable[str]) -> str:
    """A table of links, each with the first sentence of what it leads to."""
    rows = "\n".join(f"   {name}" for name in names)
    return f".. autosummary::\n   :nosignatures:\n\n{rows}"


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
