"""What is installed here, what is off, and the remedy: ``python -m ulmfit_lib doctor``.

Each check is a function that looks at one thing and returns what it found; nothing is changed,
and no network is used. Introduced on the book's opening page.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch

from ulmfit_lib.environment import Environment, installed_alone, read_pins
from ulmfit_lib.study.scale import current_scale
from ulmfit_lib.text.cache import cache_dir
from ulmfit_lib.text.checksums import TABLE, check_file, read_table
from ulmfit_lib.text.corpora import DATA_VARIABLE
from ulmfit_lib.text.python_sources import distributions

PROJECT = Path(__file__).parents[2]
MEMORY_NEEDED_GB = 4.0
CACHE_SPACE_NEEDED_GB = 1.0
GB = 1e9
INSTALL = "run 'make environment' (pip alone: 'pip install -r requirements.txt')"


class Status(StrEnum):
    """How a check came out. Introduced on the book's opening page."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Check:
    """One thing looked at. Introduced on the book's opening page."""

    name: str  # what was looked at
    status: Status  # a problem means that some of the book will not work
    detail: str  # what was found
    remedy: str = ""  # what to do; empty where nothing is off


def examine() -> list[Check]:
    """All checks, in the order in which they are shown."""
    looks: Sequence[Callable[[], list[Check]]] = (
        lambda: [check_python(sys.version_info[:2])],
        lambda: check_packages(project_pins(), installed_packages()),
        lambda: [check_torchvision(find_spec("torchvision") is not None)],
        lambda: [check_device(), check_processor(), check_memory(), check_scale()],
        lambda: [check_cache()],
        lambda: check_data(os.environ.get(DATA_VARIABLE, "")),
        check_weights,
    )
    return [check for look in looks for check in look()]


def check_python(version: tuple[int, ...]) -> Check:
    """Whether this is the Python that the pins are made for.

    Args:
        version: major and minor version.
    """
    found = f"{platform.python_version()} ({sys.executable})"
    if version == (3, 11):
        return Check("Python", Status.OK, found)
    return Check("Python", Status.PROBLEM, found, "install Python 3.11; remove .venv; run make")


def project_pins() -> dict[str, str]:
    """Package to exact version, from ``requirements.txt`` and ``pyproject.toml``.

    Empty where the library was installed without its project folder.
    """
    project = Environment(PROJECT)
    if not project.requirements.is_file():
        return {}
    pins = read_pins(project.requirements)
    for requirement in installed_alone(project):
        name, pin = requirement.split("==")
        pins[name] = pin
    return pins


def installed_packages() -> dict[str, str]:
    """Every installed package and its version, names in pip's normal form."""
    return {plain_name(d.name): d.version for d in distributions()}


def plain_name(package: str) -> str:
    """``package`` as pip compares names: ``Sphinx_Design`` is ``sphinx-design``.

    Args:
        package: a name as anybody writes it.
    """
    return re.sub(r"[-_.]+", "-", package).lower()


def check_packages(pins: Mapping[str, str], installed: Mapping[str, str]) -> list[Check]:
    """The packages against their pins: one line for all that agree, one for each that does not.

    Args:
        pins: package to pinned version.
        installed: package, in pip's normal form, to version.
    """
    if not pins:
        where = PROJECT / "requirements.txt"
        return [Check("packages", Status.NOTE, f"no pins at {where}", "work in a clone")]
    compared = [_compare(name, pin, installed.get(plain_name(name))) for name, pin in pins.items()]
    agreeing = [check for check in compared if check.status is Status.OK]
    shown = [check for check in compared if check.name in MAIN_PACKAGES]
    summary = f"{len(agreeing)} of {len(pins)} are at their pinned versions"
    off = [c for c in compared if c.status is not Status.OK and c not in shown]
    return [*shown, *off, Check("packages", Status.OK, summary)]


MAIN_PACKAGES = frozenset(
    {"torch", "fastai", "transformers", "tokenizers", "datasets", "scikit-learn", "jupyter-book"}
)


def _compare(name: str, pin: str, found: str | None) -> Check:
    if found is None:
        return Check(name, Status.PROBLEM, f"not installed; pinned: {pin}", INSTALL)
    if found.split("+")[0] != pin:  # "+cpu" tells how it was built, not what it is
        return Check(name, Status.PROBLEM, f"{found}; pinned: {pin}", INSTALL)
    return Check(name, Status.OK, found)


def check_torchvision(present: bool) -> Check:
    """torchvision must not be there: beside a CPU build of torch it breaks transformers.

    Args:
        present: whether Python finds it.
    """
    if not present:
        return Check("torchvision", Status.OK, "not installed, as it should be")
    return Check(
        "torchvision",
        Status.PROBLEM,
        "installed; beside a CPU build of torch it breaks 'import transformers'",
        "pip uninstall torchvision; install fastai with --no-deps, as the README says",
    )


def check_device() -> Check:
    """The device that training uses."""
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        memory = torch.cuda.get_device_properties(0).total_memory / GB
        bf16 = "with" if torch.cuda.is_bf16_supported() else "without"
        return Check("device", Status.OK, f"cuda: {name}, {memory:.0f} GB, {bf16} bfloat16")
    if torch.backends.mps.is_available():
        return Check("device", Status.OK, "mps (Apple)")
    return Check("device", Status.OK, "cpu")


def check_processor() -> Check:
    """Cores, torch's threads, and whether products in bfloat16 are done by the hardware."""
    cores = usable_cores()
    bf16 = "fast bfloat16" if has_fast_bfloat16() else "no fast bfloat16"
    detail = f"{cores} cores, {torch.get_num_threads()} torch threads, "
    detail += f"{torch.backends.cpu.get_cpu_capability()}, {bf16}"
    if torch.get_num_threads() > cores:
        remedy = f"set OMP_NUM_THREADS={cores}: more threads than cores slow training down"
        return Check("processor", Status.NOTE, detail, remedy)
    return Check("processor", Status.OK, detail)


def usable_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_fast_bfloat16(flags: str | None = None) -> bool:
    """Whether the processor has instructions for bfloat16 products.

    Args:
        flags: the processor's features; by default what Linux says of this one (elsewhere
            the answer is no).
    """
    if flags is None:
        source = Path("/proc/cpuinfo")
        flags = source.read_text() if source.is_file() else ""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags.split()))


def check_memory(total: float | None = None, free: float | None = None) -> Check:
    """Main memory, total and free; a chapter needs up to 4 GB.

    Args:
        total: bytes; this machine's by default.
        free: bytes; this machine's by default.
    """
    memory = psutil.virtual_memory()
    total = memory.total if total is None else total
    free = memory.available if free is None else free
    detail = f"{total / GB:.1f} GB, {free / GB:.1f} GB of it free"
    if total / GB < MEMORY_NEEDED_GB:
        return Check("memory", Status.PROBLEM, detail, "a chapter needs up to 4 GB")
    if free / GB < MEMORY_NEEDED_GB:
        return Check("memory", Status.NOTE, detail, "close other programs: chapters need 4 GB")
    return Check("memory", Status.OK, detail)


def check_scale() -> Check:
    """What the dial ``ULMFIT_SCALE`` is set to."""
    try:
        return Check("ULMFIT_SCALE", Status.OK, str(current_scale()))
    except ValueError as error:
        return Check("ULMFIT_SCALE", Status.PROBLEM, str(error), "unset ULMFIT_SCALE")


def check_cache() -> Check:
    """The cache folder: where it is, how large, whether it can be written to."""
    try:
        folder = cache_dir()
        probe = folder / f".doctor-{secrets.token_hex(8)}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        remedy = "set ULMFIT_LIB_CACHE to a folder that can be written to"
        return Check("cache", Status.PROBLEM, str(error), remedy)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free
    detail = f"{folder}: {size / 1e6:.0f} MB; {free / GB:.0f} GB free on its disk"
    if free / GB < CACHE_SPACE_NEEDED_GB:
        return Check("cache", Status.PROBLEM, detail, "free 1 GB, or set ULMFIT_LIB_CACHE")
    return Check("cache", Status.OK, detail)


def check_data(stated: str) -> list[Check]:
    """The folder of the papers' data sets: what is there, and whether it is whole.

    Args:
        stated: the value of ``ULMFIT_LIB_DATA``; empty where it is not set.
    """
    if not stated:
        detail = f"{DATA_VARIABLE} is not set: the embedded corpus is used, and the hub by name"
        return [Check("data", Status.OK, detail)]
    folder = Path(stated)
    if not folder.is_dir():
        remedy = f"set {DATA_VARIABLE} to the folder of the data sets, or unset it"
        return [Check("data", Status.PROBLEM, f"{folder} is no folder", remedy)]
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    found = Check("data", Status.OK, f"{folder}: {len(names)} data sets: {', '.join(names)}")
    return [found, *_check_files(folder)]


def _check_files(folder: Path) -> list[Check]:
    listed = read_table(folder / TABLE)
    if not listed:
        return [Check("data files", Status.NOTE, f"no checksums in {TABLE} to compare with")]
    faults = [fault for name in listed if (fault := fault_of(folder, name))]
    if faults:
        remedy = "copy these files again"
        return [Check("data files", Status.PROBLEM, fault, remedy) for fault in faults]
    return [Check("data files", Status.OK, f"{len(listed)} files have the listed SHA-256")]


def fault_of(folder: Path, name: str) -> str:
    """What is wrong with one file of a data folder; empty where nothing is.

    Args:
        folder: the data folder.
        name: of a file in it, as the folder's table of checksums lists it.
    """
    if not (folder / name).is_file():
        return f"{name} is missing"
    try:
        check_file(folder / name, folder)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def check_weights() -> list[Check]:
    """The shipped weights against the hashes in their model cards."""
    from ulmfit_lib.models.pretrained import weight_hashes

    remedy = "restore ulmfit_lib/models/weights from the repository: git checkout -- ulmfit_lib"
    try:
        hashes = weight_hashes()
    except (OSError, ValueError, KeyError) as error:
        return [Check("weights", Status.PROBLEM, f"cannot read the model cards: {error}", remedy)]
    if not hashes:
        return [Check("weights", Status.PROBLEM, "no shipped weights found", remedy)]
    return [_check_weight(name, *pair, remedy) for name, pair in hashes.items()]


def _check_weight(name: str, found: str, stated: str, remedy: str) -> Check:
    if found == stated:
        return Check(f"weights {name}", Status.OK, f"SHA-256 {found[:16]}…, as its card says")
    detail = f"SHA-256 {found[:16]}…, but its card says {stated[:16]}…"
    return Check(f"weights {name}", Status.PROBLEM, detail, remedy)


def is_broken(checks: Sequence[Check]) -> bool:
    """Whether anything found keeps some of the book from working.

    Args:
        checks: what :func:`examine` returned.
    """
    return any(check.status is Status.PROBLEM for check in checks)


def as_text(checks: Sequence[Check]) -> str:
    """The checks for reading: one line each, the remedy below what is off.

    Args:
        checks: what :func:`examine` returned.
    """
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        lines.append(f"{check.status:<8} {check.name:<{width}}  {check.detail}")
        if check.remedy:
            lines.append(f"{'':<8} {'':<{width}}  -> {check.remedy}")
    problems = sum(check.status is Status.PROBLEM for check in checks)
    verdict = f"{problems} to mend; the remedies stand above." if problems else "All is well."
    return "\n".join([*lines, "", verdict])


def as_json(checks: Sequence[Check]) -> str:
    """The checks for programs: a list of objects with the fields of :class:`Check`.

    Args:
        checks: what :func:`examine` returned.
    """
    return json.dumps([asdict(check) for check in checks], indent=1)
