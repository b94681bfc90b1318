"""Set up ``.venv``, the book's own Python environment: what every ``make`` command starts with.

Run it as a file, ``python3.11 ulmfit_lib/environment.py``: nothing is installed yet, so it uses
the standard library alone. It installs the pins of ``requirements.txt``, then fastai without its
dependencies (the note in ``requirements.txt`` says why), then the book's library. A stamp in
``.venv`` remembers what was installed; while that is what the project asks for, there is nothing
to do. Interrupted at any point, the next run goes on.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
SPACE_FOR_NEW = 4 * GIB
SPACE_FOR_CHANGES = 1 * GIB
WANTED_PYTHON = (3, 11)
LONGEST_LINE_SHOWN = 200
LIBRARIES_TO_TRY = "torch, transformers, fastai.text.all"
PIP_OPTIONS = (
    "--disable-pip-version-check",
    "--no-input",
    "--progress-bar=off",
    "--no-compile",  # Python compiles what it imports, a small part of what is installed
)


class SetUpError(Exception):
    """The set-up cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Environment:
    """Where the pieces of one environment are."""

    root: Path  # the project's folder: requirements.txt and pyproject.toml are in it

    @property
    def folder(self) -> Path:
        """The virtual environment."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The environment's own interpreter."""
        return self.folder / "bin" / "python"

    @property
    def settings(self) -> Path:
        """Python's own note of the environment: version, and where it was made."""
        return self.folder / "pyvenv.cfg"

    @property
    def packages(self) -> Path:
        """Where pip puts what it installs."""
        return self.folder / "lib" / "python{}.{}".format(*WANTED_PYTHON) / "site-packages"

    @property
    def requirements(self) -> Path:
        """The pins."""
        return self.root / "requirements.txt"

    @property
    def stamp(self) -> Path:
        """Written when a set-up is complete: the :func:`fingerprint` it was made for."""
        return self.folder / "set-up-complete"

    @property
    def log(self) -> Path:
        """All that pip said in the last set-up."""
        return self.folder / "set-up.log"


def set_up(environment: Environment) -> None:
    """Bring ``environment`` to what the project asks for; nothing to do, nothing done.

    Args:
        environment: where it is or is to be.

    Raises:
        SetUpError: wrong Python, too little disk, a failed download, or packages that do not
            work together.
    """
    check_python(sys.version_info[:2])
    if is_complete(environment):
        return
    with only_one_at_a_time(environment) as lock:
        if is_complete(environment):
            return
        _install_all(environment, lock)


def _install_all(environment: Environment, lock: int) -> None:
    new = not is_usable(environment)
    check_disk(environment, SPACE_FOR_NEW if new else SPACE_FOR_CHANGES)
    say("Setting up .venv, the book's own Python environment.")
    environment.stamp.unlink(missing_ok=True)
    if new:
        create(environment)
    environment.log.unlink(missing_ok=True)
    install_packages(environment, lock)
    mend(environment, lock)
    try_imports(environment)
    environment.stamp.write_text(fingerprint(environment))
    say("Set-up complete.")


def check_python(version: tuple[int, ...]) -> None:
    """Stop unless ``version`` (major, minor) is the one that the pins are made for.

    Args:
        version: major and minor version of the running Python.

    Raises:
        SetUpError: it is another.
    """
    if version != WANTED_PYTHON:
        wanted, found = (".".join(map(str, v)) for v in (WANTED_PYTHON, version))
        raise SetUpError(
            f"this is Python {found}, and the book's pins are made for Python {wanted}. "
            f"Install Python {wanted} and say where it is: make PYTHON=/path/to/python{wanted}"
        )


def check_disk(environment: Environment, needed: int) -> None:
    """Stop where the disk has not ``needed`` bytes free.

    Args:
        environment: it is the disk of this environment's project.
        needed: bytes.

    Raises:
        SetUpError: there is less.
    """
    free = shutil.disk_usage(environment.root).free
    if free < needed:
        raise SetUpError(
            f"{free / GIB:.1f} GB are free on the disk of {environment.root}, and the set-up "
            f"needs {needed / GIB:.0f} GB. Free some space, or move the project to a larger disk."
        )


def fingerprint(environment: Environment) -> str:
    """What a complete set-up depends on, as one SHA-256: Python, pins, package, this file.

    Args:
        environment: one that was made, with or without packages.
    """
    digest = hashlib.sha256()
    project = (environment.requirements, environment.root / "pyproject.toml", Path(__file__))
    files = (environment.settings, *project)
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def is_complete(environment: Environment) -> bool:
    """Whether the last set-up was finished and is still what the project asks for.

    Args:
        environment: the one in question.
    """
    if not (environment.stamp.is_file() and is_in_place(environment)):
        return False
    return environment.stamp.read_text() == fingerprint(environment)


def is_in_place(environment: Environment) -> bool:
    """Whether there is an interpreter, and the folder was not moved since it was made.

    A moved environment's programs still point to the old place.

    Args:
        environment: the one in question.
    """
    if not (environment.settings.is_file() and environment.python.exists()):
        return False
    note = environment.settings.read_text(encoding="utf-8")
    command = re.search(r"^command = .* -m venv (?:--\S+ )*(.+)$", note, re.M)
    return command is not None and Path(command[1]).resolve() == environment.folder.resolve()


def is_usable(environment: Environment) -> bool:
    """Whether pip runs in the environment, so that what is there can be built upon.

    Args:
        environment: the one in question.
    """
    if not is_in_place(environment):
        return False
    test = [str(environment.python), "-c", "import sys, pip; print(sys.version_info[:2])"]
    answer = subprocess.run(test, capture_output=True, text=True, env=clean_variables())
    return answer.stdout.strip() == str(WANTED_PYTHON)


def create(environment: Environment) -> None:
    """Make an empty environment, in the place of whatever is there.

    Args:
        environment: where.

    Raises:
        SetUpError: Python's ``venv`` did not work.
    """
    say("Making an empty environment.")
    command = [sys.executable, "-m", "venv", "--clear", str(environment.folder)]
    answer = subprocess.run(command, capture_output=True, text=True, env=clean_variables())
    if answer.returncode:
        raise SetUpError(
            f"'{' '.join(command)}' failed:\n{answer.stdout}{answer.stderr}\n"
            "On Debian and Ubuntu, 'apt-get install python3.11-venv' brings what it misses."
        )


def install_packages(environment: Environment, lock: int) -> None:
    """The three steps that the README documents for pip alone.

    Args:
        environment: where to.
        lock: file descriptor that pip holds open while it runs.

    Raises:
        SetUpError: a download or an installation failed.
    """
    pins = read_pins(environment.requirements)
    say(f"Installing {len(pins)} pinned packages; the first time takes a few minutes.")
    pip(environment, lock, "-r", str(environment.requirements), total=len(pins))
    alone = installed_alone(environment)
    say(f"Installing {', '.join(alone)} without its dependencies (no torchvision).")
    pip(environment, lock, "--no-deps", *alone)
    say("Installing the book's own library, ulmfit_lib.")
    pip(environment, lock, "--no-deps", "--no-build-isolation", "-e", str(environment.root))


def read_pins(requirements: Path) -> dict[str, str]:
    """Package names and their exact versions, as ``requirements.txt`` states them.

    Args:
        requirements: the file.
    """
    lines = requirements.read_text(encoding="utf-8").splitlines()
    pins = (re.match(r"([\w.-]+)==([^\s;]+)", line) for line in lines)
    return {pin[1]: pin[2] for pin in pins if pin}


def installed_alone(environment: Environment) -> list[str]:
    """Requirements to install without their dependencies, from ``pyproject.toml``.

    Args:
        environment: whose project folder is read.
    """
    import tomllib  # Python 3.11's: the version was checked before anything else

    project = tomllib.loads((environment.root / "pyproject.toml").read_text(encoding="utf-8"))
    return list(project["tool"]["ulmfit_lib"]["install_without_dependencies"])


def pip(environment: Environment, lock: int, *arguments: str, total: int = 0) -> None:
    """Run ``pip install``; its words go to the log, a count of packages to the screen.

    Args:
        environment: where to.
        lock: file descriptor that pip holds open, so that a pip which outlives a killed
            set-up keeps the next one waiting.
        arguments: what to install.
        total: packages expected; 0 shows no count.

    Raises:
        SetUpError: pip failed.
    """
    command = [str(environment.python), "-m", "pip", "install", *PIP_OPTIONS, *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=clean_variables(),
        pass_fds=(lock,),
    )
    assert process.stdout is not None
    with environment.log.open("a", buffering=1, encoding="utf-8") as log:
        for line in with_progress(process.stdout, total):
            log.write(line)
    if process.wait():
        raise SetUpError(why_pip_failed(environment))


def with_progress(lines: Iterable[str], total: int) -> Iterator[str]:
    """Pass pip's ``lines`` on, and tell on the screen how far it is.

    Args:
        lines: pip's output.
        total: packages expected; 0 shows nothing.
    """
    found = 0
    for line in lines:
        if total and line.startswith("Collecting "):
            found += 1
            if found % 25 == 0:
                say(f"  {min(found, total)} of {total} packages fetched")
        elif total and line.startswith("Installing collected packages"):
            say("  all fetched; unpacking them")
        yield line


def why_pip_failed(environment: Environment) -> str:
    """The end of pip's log and the likeliest remedy.

    Args:
        environment: whose log is read.
    """
    said = environment.log.read_text(encoding="utf-8")
    tail = "\n".join("  pip: " + line[:LONGEST_LINE_SHOWN] for line in said.splitlines()[-8:])
    if "No space left" in said:
        remedy = "The disk is full: free some space (TMPDIR too), and run the same command again."
    elif "DO NOT MATCH THE HASHES" in said:
        remedy = "A download arrived damaged: run the same command again."
    else:
        remedy = (
            "Most often the network broke off or a proxy is in the way: check the connection "
            "and the settings of pip (HTTPS_PROXY, 'pip config list'), and run the same command "
            "again. What was downloaded is kept."
        )
    return (
        f"pip could not install everything.\n{tail}\n{remedy}\nAll that pip said: {environment.log}"
    )


def mend(environment: Environment, lock: int) -> None:
    """Install again what an interrupted pip left incomplete.

    Args:
        environment: where.
        lock: file descriptor that pip holds open while it runs.

    Raises:
        SetUpError: a download or an installation failed.
    """
    broken = incomplete_packages(environment.packages)
    if broken:
        say(f"Mending what an interrupted set-up left incomplete: {', '.join(broken)}.")
        pip(environment, lock, "--ignore-installed", "--no-deps", *broken)


def incomplete_packages(packages: Path) -> list[str]:
    """Requirements (``name==version``) whose files are not all there, or not whole.

    Args:
        packages: the ``site-packages`` folder.
    """
    broken = []
    for metadata in sorted(packages.glob("*.dist-info")):
        record = metadata / "RECORD"
        rows = _rows(record) if record.is_file() else []
        if not (rows and all(_is_whole(packages, row) for row in rows)):
            name, version = metadata.name.removesuffix(".dist-info").rsplit("-", 1)
            broken.append(f"{name}=={version}")
    return broken


def _rows(record: Path) -> list[list[str]]:
    with record.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.reader(file) if row]


def _is_whole(packages: Path, row: list[str]) -> bool:
    if len(row) != 3 or not (row[2].isdecimal() or not row[2]):
        return False  # the list itself was cut
    name, _, size = row
    if name.endswith(".pyc"):
        return True  # Python writes these anew as it likes
    try:
        found = os.stat(packages / name).st_size
    except FileNotFoundError:
        return False
    return not size or found == int(size)


def try_imports(environment: Environment) -> None:
    """Import the three large libraries together: the one thing that pip does not check.

    Args:
        environment: where they were installed.

    Raises:
        SetUpError: they do not import.
    """
    say(f"Checking that the large libraries work together: {LIBRARIES_TO_TRY}.")
    command = [str(environment.python), "-c", f"import {LIBRARIES_TO_TRY}"]
    answer = subprocess.run(command, capture_output=True, text=True, env=clean_variables())
    if answer.returncode:
        raise SetUpError(
            f"the installed libraries do not import together:\n{answer.stderr[-1500:]}\n"
            "Remove the environment and run the same command again: rm -rf .venv"
        )


@contextmanager
def only_one_at_a_time(environment: Environment) -> Iterator[int]:
    """Hold the lock on this environment's set-up; wait while another has it.

    Args:
        environment: whose ``requirements.txt`` is locked.

    Yields:
        The file descriptor of the lock.
    """
    import fcntl  # not on Windows, where pip's own commands stand in for make

    with environment.requirements.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up of this folder is running; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def clean_variables() -> dict[str, str]:
    """The process environment without what would lead pip out of ``.venv``."""
    stray = {
        "PYTHONPATH",
        "PYTHONHOME",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "__PYVENV_LAUNCHER__",
    }
    kept = {name: value for name, value in os.environ.items() if name not in stray}
    return kept | {"PIP_USER": "0"}


def say(line: str) -> None:
    """One plain line for the person at the keyboard, at once.

    Args:
        line: what to say.
    """
    print(line, flush=True)


def main() -> int:
    """Set up this project's environment; the exit status."""
    try:
        set_up(Environment(Path(__file__).resolve().parents[1]))
    except SetUpError as error:
        print(f"\nThe set-up stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe set-up was interrupted; run the same command again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
