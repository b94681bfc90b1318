"""Where the Python files of the installed libraries are; nothing is imported.

Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STANDARD_LIBRARY = "standard library"

# Folders whose files belong to somebody else, or are not the library itself.
FOREIGN_FOLDERS = frozenset(
    "test tests testing externals extern third_party _vendor _vendored vendored vendor "
    "site-packages dist-packages __pycache__ node_modules lib2to3 idlelib turtledemo".split()
)


@dataclass(frozen=True)
class Library:
    """One of the libraries whose docstrings make the embedded corpus.

    Introduced in the chapter *Text and language models*.
    """

    label: str  # name of the class
    package: str  # folder in site-packages, "" for the standard library
    distribution: str  # name on the package index, "" for the standard library
    siblings: tuple[str, ...] = ()  # further folders of the same distribution


LIBRARIES = (
    Library("torch", "torch", "torch", ("functorch", "torchgen")),
    Library("transformers", "transformers", "transformers"),
    Library("sympy", "sympy", "sympy", ("isympy",)),
    Library("pandas", "pandas", "pandas"),
    Library("scipy", "scipy", "scipy"),
    Library("matplotlib", "matplotlib", "matplotlib", ("mpl_toolkits", "pylab")),
    Library("scikit-learn", "sklearn", "scikit-learn"),
    Library("numpy", "numpy", "numpy"),
    Library("networkx", "networkx", "networkx"),
    Library("IPython", "IPython", "ipython"),
    Library(STANDARD_LIBRARY, "", ""),
)


class MissingLibraryError(RuntimeError):
    """A library whose docstrings are needed is not here, or not as sources."""


def library_folder(library: Library) -> Path:
    """The folder that holds the sources of ``library``.

    Raises:
        MissingLibraryError: it is not installed, or not as a folder of files.
    """
    if not library.package:
        return Path(sysconfig.get_path("stdlib"))
    spec = importlib.util.find_spec(library.package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingLibraryError(
            f"the embedded corpus needs the library {library.label!r}, which is not installed: "
            f"pip install {library.distribution}"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def library_files(library: Library, at_most: int) -> tuple[Path, ...]:
    """The Python files of ``library``: all, or ``at_most`` drawn by their paths' hash.

    Raises:
        MissingLibraryError: the library is not installed, or without sources.
    """
    folder = library_folder(library)
    found = list(python_files(folder))
    if not found:
        raise MissingLibraryError(
            f"the library {library.label!r} has no Python sources in {folder}: {remedy(library)}"
        )
    return tuple(sorted(sorted(found, key=lambda f: path_hash(f, folder))[:at_most]))


def remedy(library: Library) -> str:
    """What to do where the sources of ``library`` cannot be read."""
    if not library.distribution:
        return "install Python with its standard library as .py files"
    return f"reinstall it with pip install --force-reinstall {library.distribution}"


def other_packages() -> tuple[Path, ...]:
    """Files and folders of every installed package that is not one of the eleven."""
    own = {"ulmfit_lib"}
    for library in LIBRARIES:
        own |= {library.package, *library.siblings}
    site_packages = Path(sysconfig.get_path("purelib"))
    entries = sorted(site_packages.iterdir()) if site_packages.is_dir() else []
    return tuple(
        entry for entry in entries if entry.stem not in own and entry.name not in FOREIGN_FOLDERS
    )


def python_files(path: Path) -> Iterator[Path]:
    """The ``.py`` files at or below ``path``, sorted, without tests and vendored copies."""
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            if entry.name not in FOREIGN_FOLDERS and not entry.is_symlink():
                yield from python_files(entry)
    elif path.suffix == ".py" and not path.name.startswith(("test_", "conftest", "_sysconfig")):
        yield path


def path_hash(file: Path, folder: Path) -> str:
    """SHA-256 (hex) of the place of ``file`` below ``folder``, equal on every machine."""
    return hashlib.sha256(file.relative_to(folder).as_posix().encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """The version of each of the eleven libraries.

    Raises:
        MissingLibraryError: one of them is not installed.
    """
    return {library.label: _version(library) for library in LIBRARIES}


def distributions() -> Iterator[importlib.metadata.Distribution]:
    """Every installed distribution; not what is left of one that was half removed."""
    for found in importlib.metadata.distributions():
        if any(found.read_text(name) for name in ("METADATA", "PKG-INFO", "")):
            yield found


def installed_versions() -> dict[str, str]:
    """The version of every installed distribution, and of Python."""
    versions = {"python": platform.python_version()}
    for distribution in distributions():
        versions[distribution.metadata["Name"].lower()] = distribution.version
    return versions


def _version(library: Library) -> str:
    if not library.distribution:
        return platform.python_version()
    try:
        return importlib.metadata.version(library.distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingLibraryError(
            f"the embedded corpus needs the library {library.label!r}, which is not installed: "
            f"pip install {library.distribution}"
        ) from error
