"""The pins: exact, complete, without torchvision, and the same in every place that states them."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ulmfit_lib.environment import Environment, installed_alone, read_pins
from ulmfit_lib.study.doctor import installed_packages, plain_name

PROJECT = Environment(Path(__file__).parents[2])
CODE = ("ulmfit_lib", "book", "tests", "benchmarks")
OWN = {"ulmfit_lib", "tests", "book_build"}
NOT_OF_THE_TEXT_HALF = {"torchvision", "spacy"}  # fastai asks for them; nothing here imports them
HEADING_OF_THE_REST = "# Pulled in by"


def lines() -> list[str]:
    text = PROJECT.requirements.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    return {plain_name(name): pin for name, pin in read_pins(PROJECT.requirements).items()}


def chosen() -> set[str]:
    """Packages that the project itself uses: those above the pulled-in ones, and fastai."""
    text = PROJECT.requirements.read_text(encoding="utf-8")
    own = re.findall(r"^([\w.-]+)==", text.partition(HEADING_OF_THE_REST)[0], re.M)
    return {plain_name(name) for name in own} | {plain_name(name) for name, _ in alone()}


def alone() -> list[tuple[str, str]]:
    return [tuple(requirement.split("==")) for requirement in installed_alone(PROJECT)]  # type: ignore[misc]


@cache
def sources() -> tuple[Path, ...]:
    """The project's Python files."""
    found = (file for folder in CODE for file in (PROJECT.root / folder).rglob("*.py"))
    return tuple(file for file in found if not {"node_modules", "_build"} & set(file.parts))


@cache
def providers() -> dict[str, set[str]]:
    """Top-level name to the installed packages that bring it."""
    found = packages_distributions()
    return {name: {plain_name(package) for package in packages} for name, packages in found.items()}


@cache
def imported() -> set[str]:
    """Top-level names that the project's Python files import."""
    found: set[str] = set()
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - OWN - set(sys.stdlib_module_names)


@pytest.mark.parametrize("line", lines())
def test_every_line_is_one_exact_pin(line: str) -> None:
    assert re.fullmatch(r"[A-Za-z][\w.-]*==\d[\w.]*(; [\w.]+ [!=]= \"\w+\")?", line)


def test_no_package_is_pinned_twice() -> None:
    names = [plain_name(line.split("==")[0]) for line in lines()]
    assert sorted(set(names)) == sorted(names)


def test_torchvision_is_nowhere() -> None:
    assert not NOT_OF_THE_TEXT_HALF & pins().keys()


def test_fastai_is_installed_alone_and_pinned() -> None:
    assert "fastai" in dict(alone()) and "fastai" not in pins()


@pytest.mark.parametrize("name", sorted(imported()))
def test_what_is_imported_is_chosen(name: str) -> None:
    packages = providers().get(name, set())
    local = not packages and name in {file.stem for file in sources()}
    assert local or packages & chosen(), (
        f"import {name}: {sorted(packages) or 'nothing installed'} is not among the chosen pins"
    )


def test_everything_pulled_in_is_pinned() -> None:
    missing, queue = set(), sorted(chosen() | pins().keys())
    known = pins().keys() | {name for name, _ in alone()} | NOT_OF_THE_TEXT_HALF
    for package in queue:
        try:
            wanted = [Requirement(text) for text in requires(package) or []]
        except PackageNotFoundError:
            continue  # another platform's
        here = [w for w in wanted if not w.marker or w.marker.evaluate({"extra": ""})]
        missing |= {f"{package} -> {w.name}" for w in here if plain_name(w.name) not in known}
    assert not {m for m in missing if "nvidia" not in m and "triton" not in m}


def test_what_is_installed_is_what_is_pinned() -> None:
    installed = installed_packages()
    other = {
        f"{name} {installed[name]} instead of {pin}"
        for name, pin in [*pins().items(), *alone()]
        if name in installed and installed[name].split("+")[0] != pin
    }
    assert not other, "run 'make environment'"


@pytest.mark.parametrize("file", ["README.md", "requirements.txt"])
def test_the_documented_commands_are_those_of_make(file: str) -> None:
    text = (PROJECT.root / file).read_text(encoding="utf-8")
    for command in (
        "pip install -r requirements.txt",
        f"pip install --no-deps {' '.join(installed_alone(PROJECT))}",
        "pip install --no-deps --no-build-isolation -e .",
    ):
        assert command in text, f"{file} lacks: {command}"
