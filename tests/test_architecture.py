"""The house stays in order: who may import whom, how things are named, described and cut."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "ulmfit_lib"
# Each imports only those before it.
FLOORS = ("text", "models", "training", "study", "papers", "assignments")
GROUND = "environment"  # standard library alone, so anything may import it
VAGUE_NAMES = {"utils", "helpers", "common", "misc"}
TOP_LEVEL = {
    "README.md",
    "Makefile",
    "requirements.txt",
    "pyproject.toml",
    "CONTRIBUTING.md",
    "LICENSE",
    "_config.yml",
    "_toc.yml",
    ".ci",
    ".gitignore",
    ".gitattributes",
    "book",
    "ulmfit_lib",
    "tests",
    "benchmarks",
}
LONGEST_FUNCTION = 45  # lines, with signature and docstring
MACHINE_PATHS = re.compile(r"(?<![\w.~<])/(?:home|Users|root|work|mnt|opt)/\w")
REGISTRY_HOSTS = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|test\.pypi|npmjs\.org|npmjs\.com|deb\.debian\.org"
    r"|download\.pytorch\.org|index-url)",
    re.IGNORECASE,
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> set[str]:
    """Names of the library's modules that ``tree`` imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: import ulmfit_lib modules by full name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "ulmfit_lib"}


def module_graph() -> dict[str, set[str]]:
    """Module to the modules that it imports."""
    names = {dotted(file) for file in modules()}
    graph = {}
    for file in modules():
        wanted = imports(tree_of(file))
        graph[dotted(file)] = {w if w in names else w.rpartition(".")[0] for w in wanted}
    return graph


def public(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Public classes, functions and methods with their dotted names."""
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, node
        for member in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(member, Function) and not member.name.startswith("_"):
                yield f"{node.name}.{member.name}", member


def all_functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def lines(function: Function) -> int:
    """Lines of ``function`` without decorators."""
    return (function.end_lineno or 0) - function.lineno + 1


def tracked_files() -> list[Path]:
    """What git has, or would add: the project's own files."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git clone")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # weights, fonts, pictures


@pytest.mark.parametrize("file", modules(), ids=dotted)
def test_imports_point_down(file: Path) -> None:
    floor = file.relative_to(LIBRARY).parts[0]
    if floor not in FLOORS:
        return
    allowed = {*FLOORS[: FLOORS.index(floor) + 1], GROUND}
    reached = {name.split(".")[1] for name in imports(tree_of(file)) if "." in name}
    assert reached <= allowed, f"{dotted(file)} reaches up to {sorted(reached - allowed)}"


def test_the_ground_imports_nothing_of_the_library() -> None:
    assert imports(tree_of(LIBRARY / f"{GROUND}.py")) == set()


def test_no_import_goes_in_a_circle() -> None:
    try:
        TopologicalSorter(module_graph()).prepare()
    except CycleError as error:
        pytest.fail(f"these modules import each other: {error.args[1]}")


def test_every_floor_is_known() -> None:
    floors = {folder.name for folder in LIBRARY.iterdir() if (folder / "__init__.py").is_file()}
    assert floors == set(FLOORS)


def test_every_module_is_named_after_its_subject() -> None:
    names = {part for file in modules() for part in file.relative_to(LIBRARY).with_suffix("").parts}
    assert not names & VAGUE_NAMES


@pytest.mark.parametrize("file", modules(), ids=dotted)
def test_everything_public_is_described(file: Path) -> None:
    tree = tree_of(file)
    named = [*public(tree), *((f.name, f) for f in all_functions(tree) if f.name[0] != "_")]
    bare = {name for name, node in named if not ast.get_docstring(node)}
    assert not bare, f"no docstring: {bare}"


DESCRIBED_BY_THEIR_HELP = "__main__.py"  # the command line, whose options carry their own text


@pytest.mark.parametrize(
    "file", [f for f in modules() if f.name != DESCRIBED_BY_THEIR_HELP], ids=dotted
)
def test_arguments_are_described(file: Path) -> None:
    """By name, in ``Args:`` or in the sentence; a single argument is what the sentence is about."""
    silent = [
        f"{name}({argument})"
        for name, node in public(tree_of(file))
        if isinstance(node, Function) and len(own_arguments(node)) > 1
        for argument in own_arguments(node)
        if not re.search(rf"\b{argument}\b", ast.get_docstring(node) or "")
    ]
    assert not silent, f"the docstring does not name: {silent}"


def own_arguments(function: Function) -> list[str]:
    """Argument names, without ``self``, ``cls``, ``*args`` and ``**kwargs``."""
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return [a.arg for a in named if a.arg not in {"self", "cls"}]


@pytest.mark.parametrize("file", modules(), ids=dotted)
def test_functions_are_short(file: Path) -> None:
    found = {f.name: lines(f) for f in all_functions(tree_of(file))}
    long = {name: count for name, count in found.items() if count > LONGEST_FUNCTION}
    assert not long, f"over {LONGEST_FUNCTION} lines: {long}"


def test_the_project_folder_holds_only_what_belongs_there() -> None:
    found = {file.relative_to(ROOT).parts[0] for file in tracked_files()}
    assert found <= TOP_LEVEL, f"not at home here: {sorted(found - TOP_LEVEL)}"


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for file in tracked_files():
        if file == Path(__file__):
            continue
        for number, line in enumerate(text_of(file).splitlines(), start=1):
            if MACHINE_PATHS.search(line) or REGISTRY_HOSTS.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:90]}")
    assert not found, "\n".join(found)
