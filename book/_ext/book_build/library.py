"""Read the library's source without importing it: its symbols, their chapters, their code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

PACKAGE = "ulmfit_lib"
Kind = Literal["function", "class", "data"]
_CHAPTER = re.compile(r"introduced in the chapters? \*([^*]+)\*", re.IGNORECASE)
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Symbol:
    """One public name of the library."""

    module: str  # dotted, e.g. "ulmfit_lib.models.awd_lstm"
    name: str
    kind: Kind
    summary: str  # first sentence of the docstring
    chapter: str | None  # the chapter that introduces it, as the docstring names it
    inherits: bool = False  # a class with base classes (a NamedTuple's says nothing)
    value: str = ""  # of a constant, where it is short

    @property
    def path(self) -> str:
        """The full dotted name."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Listing:
    """The source text of one symbol."""

    file: str  # relative to the project root
    code: str
    first_line: int


def modules(root: Path, package: str) -> tuple[str, ...]:
    """The public modules of ``package`` (a dotted name), in alphabetical order."""
    folder = root.joinpath(*package.split("."))
    names = sorted(path.stem for path in folder.glob("*.py"))
    return tuple(f"{package}.{name}" for name in names if not name.startswith("_"))


def public_symbols(root: Path, module: str) -> tuple[Symbol, ...]:
    """The public functions, classes and constants of ``module``, in the order of its source."""
    file = _module_file(root, module)
    return tuple(_symbols(module, _tree(file), file.read_text(encoding="utf-8").splitlines()))


def module_docstring(root: Path, module: str) -> str:
    """The docstring of ``module``; empty if it has none."""
    return ast.get_docstring(_tree(_module_file(root, module))) or ""


def introduced_in(root: Path, package: str, chapter: str) -> tuple[Symbol, ...]:
    """Every public symbol below ``package`` whose docstring names ``chapter``.

    A symbol whose docstring names no chapter belongs to the one that its module's docstring names.
    """
    folders = [path.parent for path in sorted(root.joinpath(package).glob("*/__init__.py"))]
    found = []
    for folder in folders:
        for module in modules(root, f"{package}.{folder.name}"):
            found += [s for s in public_symbols(root, module) if s.chapter == chapter]
    return tuple(found)


def listing(root: Path, path: str, docstring: bool = True) -> Listing:
    """The source of a symbol, e.g. ``ulmfit_lib.models.awd_lstm.AWDLSTM.forward``.

    Args:
        root: the project root.
        path: dotted name of a function, a class, a method or a module-level constant.
        docstring: whether to keep the symbol's own docstring.

    Raises:
        LookupError: there is no such module or symbol.
    """
    file, names = _split(root, path)
    node = _find(_tree(file), names, path)
    lines = file.read_text(encoding="utf-8").splitlines()
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    kept = range(first, (node.end_lineno or first) + 1)
    hidden = set() if docstring else _docstring_lines(node)
    code = _dedent([lines[number - 1] for number in kept if number not in hidden])
    return Listing(file.relative_to(root).as_posix(), code, first)


def fields(root: Path, path: str) -> list[tuple[str, str]]:
    """Name and comment of each field of a class, if every field has a comment; else nothing.

    Args:
        root: the project root.
        path: dotted name of a class.
    """
    file, names = _split(root, path)
    node = _find(_tree(file), names, path)
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [
        (statement.target.id, _remark(statement, lines))
        for statement in getattr(node, "body", [])
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    ]
    return found if all(comment for _, comment in found) else []


def imported_names(root: Path, module: str) -> dict[str, str]:
    """What each imported name of ``module`` stands for: ``{"nn": "torch.nn"}``."""
    found: dict[str, str] = {}
    for node in _nodes(root, module):
        if isinstance(node, ast.Import):
            found |= {(a.asname or a.name): a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {(a.asname or a.name): f"{node.module}.{a.name}" for a in node.names}
    return found


def attributes(root: Path, module: str) -> set[str]:
    """The fields and attributes that the classes of ``module`` set."""
    found = set()
    for node in _nodes(root, module):
        target = getattr(node, "target", None)
        if isinstance(node, ast.AnnAssign) and isinstance(target, ast.Name):
            found.add(target.id)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def _nodes(root: Path, module: str) -> Iterator[ast.AST]:
    """All nodes of a module's source; none for an unknown module."""
    try:
        file = _module_file(root, module)
    except LookupError:
        return
    yield from ast.walk(_tree(file))


def _symbols(module: str, tree: ast.Module, lines: list[str]) -> Iterator[Symbol]:
    default = _chapter(ast.get_docstring(tree))
    for node in tree.body:
        if isinstance(node, _Definition) and not node.name.startswith("_"):
            yield _definition(module, node, default)
        for name in _constants(node):
            remark, value = _remark(node, lines), _short_value(node)
            yield Symbol(module, name, "data", remark, default, value=value)


def _definition(module: str, node: _Definition, default: str | None) -> Symbol:
    """The symbol of a function or class; ``default`` is its module's chapter."""
    text = ast.get_docstring(node) or ""
    kind: Kind = "class" if isinstance(node, ast.ClassDef) else "function"
    bases = {ast.unparse(base) for base in getattr(node, "bases", [])} - {"NamedTuple"}
    chapter = _chapter(text) or default
    return Symbol(module, node.name, kind, _summary(text), chapter, inherits=bool(bases))


def _short_value(node: ast.stmt, longest: int = 60) -> str:
    value = getattr(node, "value", None)
    text = ast.unparse(value) if value is not None else ""
    return text if len(text) <= longest else ""


def _constants(node: ast.stmt) -> list[str]:
    """The public constants and type aliases that one statement assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    names = [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    return [name for name in names if name[0].isupper()]


def _remark(node: ast.stmt, lines: list[str]) -> str:
    """The comment that explains a constant: behind its last line, or on the lines above it."""
    last = lines[(node.end_lineno or node.lineno) - 1]
    _, found, behind = last[node.end_col_offset or 0 :].partition("#")
    if found:
        return behind.strip(" :")
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.startswith("#"):
            break
        above.insert(0, line.strip("#: "))
    return " ".join(above)


def _chapter(docstring: str | None) -> str | None:
    """The chapter named in a docstring; line breaks inside the phrase do not matter."""
    match = _CHAPTER.search(" ".join((docstring or "").split()))
    return match.group(1) if match else None


def _summary(docstring: str) -> str:
    """The first paragraph of a docstring on one line, without its chapter note."""
    first = " ".join(docstring.split("\n\n")[0].split())
    return _CHAPTER.sub("", first).strip(" .;,") + "." if first else ""


def _module_file(root: Path, module: str) -> Path:
    base = root.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    raise LookupError(f"no module {module} under {root.name}: check the name")


def _split(root: Path, path: str) -> tuple[Path, list[str]]:
    """Divide a dotted name into the module's file and the names inside it."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            return _module_file(root, ".".join(parts[:cut])), parts[cut:]
        except LookupError:
            continue
    raise LookupError(f"{path} names no module of the library: check the name")


def _find(tree: ast.Module, names: list[str], path: str) -> ast.stmt:
    """The statement that defines the innermost of ``names``."""
    body: list[ast.stmt] = tree.body
    node: ast.stmt | None = None
    for name in names:
        node = next((n for n in body if _defines(n, name)), None)
        if node is None:
            raise LookupError(f"{path} does not exist: there is no {name!r} in it")
        body = getattr(node, "body", [])
    assert node is not None
    return node


def _defines(node: ast.stmt, name: str) -> bool:
    if isinstance(node, _Definition):
        return node.name == name
    return name in _constants(node)


def _docstring_lines(node: ast.stmt) -> set[int]:
    """The lines of a definition's docstring (none if the body is nothing else)."""
    body = getattr(node, "body", [])
    if len(body) < 2 or not ast.get_docstring(node):  # type: ignore[arg-type]
        return set()
    return set(range(body[0].lineno, (body[0].end_lineno or body[0].lineno) + 1))


def _dedent(lines: list[str]) -> str:
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[indent:] for line in lines)


@lru_cache(maxsize=256)
def _parsed(file: Path, changed: int) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _tree(file: Path) -> ast.Module:
    return _parsed(file, file.stat().st_mtime_ns)
