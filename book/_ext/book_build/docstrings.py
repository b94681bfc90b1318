"""Fit the library's docstrings to the reference pages: sections, fields, cross-references."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

from book_build.layout import chapter_pages
from book_build.library import PACKAGE, attributes, fields, imported_names

_RESULT_SECTION = re.compile(r"^(Returns|Yields):$")
_CHAPTER_NAME = re.compile(r"(\bchapter\s+)\*([^*]+)\*")
_DESCRIBED = re.compile(r"^\s*(Args|Arguments|Attributes|Parameters):$|:param ")


def process(
    app: Sphinx, what: str, name: str, obj: Any, options: Mapping[str, Any], lines: list[str]
) -> None:
    """Rewrite one docstring in place, before napoleon reads it.

    - ``Returns:`` holds a sentence, not "type: sentence": napoleon would take the words before a
      colon for a type.
    - The chapter that introduces a symbol becomes a link.
    - A dataclass' fields are described by the comments behind them; they become its parameters.
    """
    _keep_result_sentences(lines)
    lines[:] = link_chapters(Path(app.srcdir), "\n".join(lines)).split("\n")
    if what in {"attribute", "property", "data"} and lines:
        lines.insert(0, "\\ ")  # nothing, but not empty: keeps a colon in the first line a colon
    if what == "class" and not any(_DESCRIBED.search(line) for line in lines):
        described = fields(Path(app.srcdir), name)
        if described:
            lines += ["", *(f":param {field}: {comment}" for field, comment in described), ""]


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.Node | None:
    """Find what a docstring's short reference means.

    A name means what it means in the module that uses it: what that module imports, else the one
    documented symbol of that name, else something without an entry of its own, which stays plain
    text: a private name, or an attribute of the module's classes. The rest stays broken.
    """
    if node.get("refdomain") != "py":
        return None
    root, module = Path(app.srcdir), node.get("py:module") or ""
    target = node["reftarget"].lstrip(".")
    full = _imported(root, module, target)
    if full and not full.startswith(f"{PACKAGE}."):
        return contnode
    found = _find(env, full or target)
    if found is not None:
        return make_refnode(
            app.builder, node["refdoc"], found.docname, found.node_id, contnode, target
        )
    name = target.rpartition(".")[2]
    return contnode if name.startswith("_") or name in attributes(root, module) else None


def skip(
    app: Sphinx, what: str, name: str, obj: Any, skipped: bool, options: Mapping[str, Any]
) -> bool | None:
    """Leave out the fields of a NamedTuple: they are described with its parameters."""
    return True if (obj.__doc__ or "").startswith("Alias for field number") else None


def link_chapters(root: Path, text: str) -> str:
    """Turn "the chapter *FitLaM*" into a link to that chapter, if the book has it."""

    def link(match: re.Match[str]) -> str:
        name = " ".join(match[2].split())
        page = chapter_pages(root).get(name)
        return f"{match[1]}:doc:`{name} </{page}>`" if page else match[0]

    return _CHAPTER_NAME.sub(link, text)


def _keep_result_sentences(lines: list[str]) -> None:
    """Turn Returns and Yields sections into plain fields."""
    index = 0
    while index < len(lines):
        match = _RESULT_SECTION.match(lines[index])
        if match and index + 1 < len(lines):
            label = match.group(1).lower()
            lines[index : index + 2] = [f":{label}: {lines[index + 1].strip()}"]
        index += 1


def _imported(root: Path, module: str, target: str) -> str | None:
    """The full name of ``target`` if its first part is imported by ``module``."""
    head, _, rest = target.partition(".")
    full = imported_names(root, module).get(head)
    if full is None:
        return None
    return f"{full}.{rest}" if rest else full


def _find(env: BuildEnvironment, target: str) -> Any:
    """The one documented object whose dotted name ends in ``target``."""
    objects = env.get_domain("py").objects  # type: ignore[attr-defined]
    if target in objects:
        return objects[target]
    found = {
        (o.docname, o.node_id): o for name, o in objects.items() if name.endswith(f".{target}")
    }
    return next(iter(found.values())) if len(found) == 1 else None


def standard_library_names() -> str:
    """A pattern of everything in Python's own modules."""
    return rf"({'|'.join(sorted(sys.stdlib_module_names))})\..*"
