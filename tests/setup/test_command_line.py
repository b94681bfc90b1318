"""The command line from outside: help without torch, errors in one line, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ulmfit_lib import __main__ as command_line
from ulmfit_lib.study import doctor
from ulmfit_lib.study.doctor import Check, Status
from ulmfit_lib.text import corpora
from ulmfit_lib.text.catalogue import CATALOGUE
from ulmfit_lib.text.corpus import Corpus, Split

ROOT = Path(__file__).parents[2]


def answer(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit status of a command line, run in this process."""
    monkeypatch.setattr(sys, "argv", ["ulmfit_lib", *arguments])
    with pytest.raises(SystemExit) as stop:
        command_line.main()
    return int(stop.value.code or 0)


def failing(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the doctor fail with ``error``."""

    def fail() -> list[Check]:
        raise error

    monkeypatch.setattr(doctor, "examine", fail)


def test_help_does_not_wait_for_torch() -> None:
    program = (
        "import sys; sys.argv = ['x', '--help']\n"
        "from ulmfit_lib.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith("False\n"), done.stderr
    assert "doctor" in done.stdout


def test_every_command_says_what_it_does() -> None:
    names = ("doctor", "tokenizer", "words", "pretrain", "run", "data", "fit", "predict")
    for name in (*names, "assignment"):
        shown = CliRunner().invoke(command_line.app, [name, "--help"])
        assert shown.exit_code == 0 and name in shown.output


@pytest.mark.parametrize(
    ("status", "code"), [(Status.OK, 0), (Status.NOTE, 0), (Status.PROBLEM, 1)]
)
def test_the_doctors_exit_status(
    status: Status, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [Check("cache", status, "found", "do this")])
    assert answer(monkeypatch, "doctor", "--json") == code
    assert json.loads(capsys.readouterr().out)[0]["status"] == status


@pytest.mark.parametrize(
    "error", [ValueError("share=2: give a share"), FileNotFoundError("no weights at x")]
)
def test_an_explained_error_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(error, monkeypatch)
    assert answer(monkeypatch, "doctor") == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {error}\n") and "Traceback" not in said
    assert "python -m ulmfit_lib --debug doctor" in said


def test_debug_shows_where_an_error_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ValueError("share=2: give a share"), monkeypatch)
    assert answer(monkeypatch, "--debug", "doctor") == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_is_never_made_to_look_like_a_users_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ZeroDivisionError("division by zero"), monkeypatch)
    assert answer(monkeypatch, "doctor") == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_librarys_own_errors_are_explained() -> None:
    class Own(RuntimeError):
        __module__ = "ulmfit_lib.text.python_sources"

    assert command_line.is_explained(Own("no library")) and not command_line.is_explained(
        KeyError(1)
    )


def test_the_data_sets_are_listed_with_source_and_licence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "trec6").mkdir()
    monkeypatch.setenv("ULMFIT_LIB_DATA", str(tmp_path))
    listed = CliRunner().invoke(command_line.app, ["data", "list"]).output
    rows = {line.split()[0]: line for line in listed.splitlines()}
    assert set(rows) == set(CATALOGUE)
    assert "built from the installed packages" in rows["pydocs"]
    assert "the data folder" in rows["trec6"]
    assert "the hub, " in rows["imdb"] and CATALOGUE["imdb"].licence in rows["imdb"]


def test_building_a_data_set_prints_sizes_and_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = {"train": Split(("a", "b"), (0, 1)), "test": Split(("c",), (0,))}
    tiny = Corpus("tiny", splits, ("no", "yes"), "CC0", "nobody", "this test")
    monkeypatch.setattr(corpora, "load", {"tiny": tiny}.__getitem__)
    shown = CliRunner().invoke(command_line.app, ["data", "build", "tiny"]).output
    assert "train 2, test 1; 2 classes" in shown and "licence: CC0" in shown
    assert tiny.fingerprint in shown


def test_a_mistyped_data_set_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(monkeypatch, "data", "build", "pydoc") == 1
    assert "did you mean 'pydocs'" in capsys.readouterr().err


def test_an_unknown_command_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(monkeypatch, "no-such-command") == 2
    assert "no-such-command" in capsys.readouterr().err
