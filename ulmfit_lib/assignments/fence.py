"""The fence around a submission: processor time, memory, files, network, other processes.

:func:`enter` narrows the running process for good. The kernel keeps the fence where it can
(``setrlimit`` on Unix, Landlock on Linux 5.13 and later, whose rules no program can take off
again); an audit hook of Python stands before it everywhere, and says plainly what was refused.
Introduced in the chapter *For instructors*.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """What one task of one submission may use. Introduced in the chapter *For instructors*."""

    seconds: float = 20.0  # of processor time
    wall_seconds: float = 60.0  # on the clock, for what sleeps
    mebibytes: int = 2048  # of memory beyond what the library itself takes
    answer_mebibytes: int = 16  # of one answer, and of one file

    def __post_init__(self) -> None:
        if min(self.seconds, self.wall_seconds, self.mebibytes, self.answer_mebibytes) <= 0:
            raise ValueError(f"{self}: give every limit a value above 0")


STANDARD_LIMITS = Limits()


class RefusedError(PermissionError):
    """What a submission may not do. Introduced in the chapter *For instructors*."""


def enter(limits: Limits, readable: Sequence[Path], scratch: Path) -> None:
    """Put this process behind the fence, for good. Introduced in the chapter *For instructors*.

    Args:
        limits: of time, memory and file size.
        readable: folders that may be read: Python, its packages, the library, its cache.
        scratch: the one folder that may be written to.
    """
    _limit_resources(limits)
    _landlock(readable, scratch)
    sys.addaudithook(_watch(scratch.resolve()))


def readable_folders() -> list[Path]:
    """Where Python, its packages, this library and its cache live: what code needs to run.

    The book's own folders are not among them, so neither sources of assignments nor submissions.
    Introduced in the chapter *For instructors*.
    """
    from ulmfit_lib.text.cache import cache_dir

    system = [Path(p) for p in ("/usr", "/lib", "/lib64", "/etc", "/proc/self", "/sys", "/dev")]
    packages = [Path(p) for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    own = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1], cache_dir()]
    return [folder for folder in (*system, *packages, *own) if folder.is_dir()]


def kernel_fence() -> int:
    """Version of Landlock in this machine's kernel; 0 where only the audit hook stands.

    Introduced in the chapter *For instructors*.
    """
    if sys.platform != "linux":
        return 0
    kernel = ctypes.CDLL(None, use_errno=True)
    return max(0, int(kernel.syscall(_CREATE, None, ctypes.c_size_t(0), 1)))


def _limit_resources(limits: Limits) -> None:
    try:
        import resource
    except ImportError:  # Windows: the judge's clock alone
        return
    size = limits.answer_mebibytes * MEBIBYTE
    seconds, memory = int(limits.seconds + 1), _address_space() + limits.mebibytes * MEBIBYTE
    wanted = {
        resource.RLIMIT_CPU: (seconds, seconds + 1),  # a signal that tells why, then the end
        resource.RLIMIT_AS: (memory, memory),
        resource.RLIMIT_FSIZE: (size, size),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, pair in wanted.items():
        try:
            resource.setrlimit(kind, pair)
        except (ValueError, OSError):  # macOS refuses some; the clock still holds
            continue


def _address_space() -> int:
    """Bytes of address space that this process has now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 2**46
    return pages * os.sysconf("SC_PAGE_SIZE")


# Python's own names of what is refused (docs.python.org/3/library/audit_events.html).
_REFUSED = {
    "socket.": "use the network",
    "subprocess.": "start a program",
    "os.system": "start a program",
    "os.exec": "start a program",
    "os.spawn": "start a program",
    "os.posix_spawn": "start a program",
    "os.fork": "start a process",
    "os.kill": "signal a process",
    "pty.spawn": "start a program",
    "ctypes.": "call the system's own libraries",
    "resource.": "change its limits",
}
_CHANGING = ("os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _watch(scratch: Path) -> Any:
    refused = tuple(_REFUSED.items())  # a copy of its own, out of the submission's easy reach

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        """Called by Python before it does something of note."""
        for start, what in refused:
            if event.startswith(start):
                raise RefusedError(f"a submission may not {what} ({event})")
        if event == "open" and _writes(*arguments[1:]) and _outside(arguments[0], scratch):
            raise RefusedError(f"a submission may not write {arguments[0]}")
        if event.startswith(_CHANGING) and _outside(arguments[0], scratch):
            raise RefusedError(f"a submission may not change {arguments[0]}")

    return hook


def _writes(mode: str | None, flags: int) -> bool:
    return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & _WRITING)


def _outside(path: Any, scratch: Path) -> bool:
    if isinstance(path, int) or path == os.devnull:
        return False
    return not Path(os.fsdecode(path)).resolve().is_relative_to(scratch)


# Landlock (kernel documentation, userspace-api/landlock): three system calls, the same numbers on
# every processor, and rights as bits; a newer kernel knows more of them.
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_READ = 0b1101  # execute, read a file, read a folder
_RIGHTS_BY_VERSION = {1: 2**13 - 1, 2: 2**14 - 1, 3: 2**15 - 1, 4: 2**15 - 1, 5: 2**16 - 1}
_NO_NEW_PRIVILEGES = 38


class _Ruleset(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint64) for n in ("files", "network", "scoped")]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("rights", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def _landlock(readable: Sequence[Path], scratch: Path) -> bool:
    """Fence files, TCP and signals in by the kernel; False where it cannot."""
    version = kernel_fence()
    if not version:
        return False
    kernel = ctypes.CDLL(None, use_errno=True)
    rights = _RIGHTS_BY_VERSION[min(version, 5)]
    rules = _Ruleset(rights, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = kernel.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    for folder in readable:
        _allow(kernel, ruleset, folder, rights & _READ)
    _allow(kernel, ruleset, scratch, rights)
    _allow(kernel, ruleset, Path(os.devnull), rights & 0b110)
    kernel.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    restricted = kernel.syscall(_RESTRICT, ruleset, 0)
    os.close(ruleset)
    return bool(restricted == 0)


def _allow(kernel: ctypes.CDLL, ruleset: int, path: Path, rights: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    kernel.syscall(_ADD, ruleset, 1, ctypes.byref(_Beneath(rights, folder)), 0)
    os.close(folder)
