"""The set-up of ``.venv``: what stops it, what it does, and that it can be interrupted anywhere."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.setup.project_in_small import make_project, make_wheels
from ulmfit_lib import environment as subject
from ulmfit_lib.environment import Environment, SetUpError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """A small project, set up once, from wheels on the disk."""
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(make_wheels(folder / "wheels")))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.setattr(subject, "LIBRARIES_TO_TRY", "tensors, words, lonely")
        environment = Environment(make_project(folder / "project"))
        subject.set_up(environment)
        yield environment


@pytest.fixture
def forbidden_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        pytest.fail("nothing changed, and yet pip was run")

    monkeypatch.setattr(subject, "pip", fail)


def module_file(environment: Environment, name: str) -> Path:
    return environment.packages / name


def test_a_complete_set_up_installs_everything(small: Environment) -> None:
    program = "import tensors, words, lonely, backend; print(tensors.SIZE)"
    answer = subprocess.run([small.python, "-c", program], capture_output=True, text=True)
    assert answer.stdout == "3\n", answer.stderr


def test_a_complete_set_up_is_left_alone(small: Environment, forbidden_pip: None) -> None:
    subject.set_up(small)


def test_a_changed_pin_is_installed(small: Environment) -> None:
    before = small.requirements.read_text()
    small.requirements.write_text(before + "# a remark\n")
    assert not subject.is_complete(small)
    subject.set_up(small)
    assert subject.is_complete(small)


@pytest.mark.parametrize("file", ["requirements.txt", "pyproject.toml", ".venv/pyvenv.cfg"])
def test_the_fingerprint_covers(small: Environment, file: str) -> None:
    path = small.root / file
    before, content = subject.fingerprint(small), path.read_text()
    path.write_text(content + "\n# changed\n")
    changed = subject.fingerprint(small)
    path.write_text(content)
    assert changed != before == subject.fingerprint(small)


def test_an_interrupted_set_up_goes_on_in_the_same_place(small: Environment) -> None:
    kept = module_file(small, "tensors/kept-by-the-test")
    kept.write_text("")
    small.stamp.unlink()
    subject.set_up(small)
    assert subject.is_complete(small) and kept.exists()


@pytest.mark.parametrize(
    "lost", ["words.py", "words-0.3.dist-info/RECORD", "tensors/__init__.py"]
)  # fmt: skip
def test_a_half_installed_package_is_mended(small: Environment, lost: str) -> None:
    module_file(small, lost).unlink()
    small.stamp.unlink()
    subject.set_up(small)
    assert module_file(small, lost).is_file() and subject.is_complete(small)


def test_a_cut_off_file_is_mended(small: Environment) -> None:
    module_file(small, "words.py").write_text("imp")
    assert subject.incomplete_packages(small.packages) == ["words==0.3"]
    small.stamp.unlink()
    subject.set_up(small)
    assert module_file(small, "words.py").read_text() == "import tensors\n"


@pytest.mark.parametrize("kept", [0, -9])
def test_a_cut_off_list_of_files_is_noticed(small: Environment, kept: int) -> None:
    (record,) = small.packages.glob("words-*.dist-info/RECORD")
    whole = record.read_text()
    record.write_text(whole.rstrip()[:kept])
    assert subject.incomplete_packages(small.packages) == ["words==0.3"]
    record.write_text(whole)


def test_a_failed_download_says_what_to_do_and_leaves_no_stamp(small: Environment) -> None:
    before = small.requirements.read_text()
    small.requirements.write_text(before + "not-in-the-folder==1.0\n")
    with pytest.raises(SetUpError, match=r"(?s)not-in-the-folder.*network.*proxy.*same command"):
        subject.set_up(small)
    assert not small.stamp.exists()
    small.requirements.write_text(before)
    subject.set_up(small)
    assert subject.is_complete(small)


def test_libraries_that_break_each_other_stop_the_set_up(
    small: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "LIBRARIES_TO_TRY", "tensors, no_such_library")
    small.stamp.unlink()
    with pytest.raises(SetUpError, match=r"(?s)no_such_library.*rm -rf \.venv"):
        subject.set_up(small)
    monkeypatch.undo()
    assert not small.stamp.exists()


def test_a_moved_environment_is_not_used(small: Environment, tmp_path: Path) -> None:
    moved = Environment(tmp_path / "elsewhere")
    shutil.copytree(small.root, moved.root, symlinks=True)
    assert not subject.is_in_place(moved) and not subject.is_usable(moved)
    assert not subject.is_complete(moved)


def test_an_environment_without_interpreter_or_pip_is_not_used(tmp_path: Path) -> None:
    broken = Environment(tmp_path)
    assert not subject.is_usable(broken)
    broken.python.parent.mkdir(parents=True)
    broken.settings.write_text(f"command = python3.11 -m venv {broken.folder}\n")
    broken.python.symlink_to(tmp_path / "python-that-went-away")
    assert not subject.is_usable(broken)
    broken.python.unlink()
    broken.python.write_text("#!/bin/sh\nexit 1\n")
    broken.python.chmod(0o755)
    assert subject.is_in_place(broken) and not subject.is_usable(broken)


@pytest.mark.parametrize("version", [(3, 10), (3, 12), (2, 7)])
def test_another_python_is_refused_with_the_remedy(version: tuple[int, int]) -> None:
    with pytest.raises(SetUpError, match=r"Python {}\.{}.*PYTHON=".format(*version)):
        subject.check_python(version)


def test_python_3_11_is_accepted() -> None:
    subject.check_python((3, 11))


def test_a_full_disk_stops_the_set_up_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100, 0, 3 * subject.GIB))
    with pytest.raises(SetUpError, match=r"3\.0 GB are free.*needs 4 GB.*Free some space"):
        subject.set_up(Environment(make_project(tmp_path / "project")))
    assert not (tmp_path / "project" / ".venv").exists()


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "disk is full"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE FILE.",
            "arrived damaged",
        ),
        ("ERROR: Could not find a version that satisfies the requirement", "network"),
    ],
)
def test_the_remedy_fits_what_pip_said(tmp_path: Path, said: str, remedy: str) -> None:
    environment = Environment(tmp_path)
    environment.log.parent.mkdir()
    environment.log.write_text(f"Collecting torch\n{said}\n")
    assert remedy in subject.why_pip_failed(environment)
    assert said in subject.why_pip_failed(environment)


def test_a_second_set_up_waits_for_the_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = Environment(make_project(tmp_path / "project"))
    entered = threading.Event()

    def second() -> None:
        with subject.only_one_at_a_time(environment):
            entered.set()

    with environment.requirements.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    thread.join()
    assert entered.is_set() and "Another set-up" in capfd.readouterr().out


def test_the_count_of_packages_reaches_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    lines = [f"Collecting package-{i}\n" for i in range(60)] + [
        "Installing collected packages: x\n"
    ]
    assert list(subject.with_progress(lines, 60)) == lines
    assert capfd.readouterr().out.split("\n")[:3] == [
        "  25 of 60 packages fetched",
        "  50 of 60 packages fetched",
        "  all fetched; unpacking them",
    ]


def test_variables_that_lead_pip_astray_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PIP_USER", "1")
    cleaned = subject.clean_variables()
    assert "PYTHONPATH" not in cleaned and cleaned["PIP_USER"] == "0"


def test_a_refusal_is_one_message_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(environment: Environment) -> None:
        raise SetUpError("the reason, and the remedy")

    monkeypatch.setattr(subject, "set_up", refuse)
    assert subject.main() == 1
    assert capsys.readouterr().err == "\nThe set-up stopped: the reason, and the remedy\n"
