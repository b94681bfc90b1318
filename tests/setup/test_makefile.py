"""``make`` from outside: its list, its refusals, and what each command consists of."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT_SCRIPT = "ulmfit_lib/environment.py"


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *arguments]
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # set when the tests themselves run under make
    variables = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=variables)


def steps(target: str) -> list[str]:
    """The commands of ``target``, without running them."""
    return make("-n", target).stdout.splitlines()


@pytest.fixture
def python_3_12(tmp_path: Path) -> Path:
    """A program that answers as another Python does: with nothing."""
    program = tmp_path / "python3.12"
    program.write_text("#!/bin/sh\necho\n")
    program.chmod(0o755)
    return program


def test_plain_make_lists_the_commands() -> None:
    listed = make().stdout
    for target in ("book", "test", "lab", "assignments", "doctor", "clean", "format"):
        assert f"make {target} - " in listed


@pytest.mark.parametrize("target", ["book", "test", "lab", "doctor"])
def test_another_python_stops_every_command_with_the_remedy(target: str, python_3_12: Path) -> None:
    answer = make(target, f"PYTHON={python_3_12}")
    assert answer.returncode != 0 and not answer.stdout
    assert "needs Python 3.11" in answer.stderr and str(python_3_12) in answer.stderr
    assert "make book PYTHON=" in answer.stderr


def test_no_python_at_all_stops_with_the_remedy() -> None:
    answer = make("book", "PYTHON=")
    assert answer.returncode != 0
    assert "no python3.11 on the path" in answer.stderr


@pytest.mark.parametrize("target", ["book", "test", "lab", "doctor", "format"])
def test_every_command_sets_up_first(target: str) -> None:
    listed = steps(target)
    set_up = next(i for i, line in enumerate(listed) if ENVIRONMENT_SCRIPT in line)
    work = [i for i, line in enumerate(listed) if ".venv/bin/" in line]
    assert work and set_up < min(work)


def test_test_checks_style_types_and_behaviour() -> None:
    listed = "\n".join(steps("test"))
    for step in ("ruff check", "ruff format --check", "mypy", "pytest"):
        assert step in listed


def test_what_is_cleaned_is_never_the_environment() -> None:
    assert ".venv" not in "\n".join(steps("clean") + steps("clean-book"))


def test_the_ci_script_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
