"""Sources are found without importing; what is missing is named with its remedy."""

import importlib.metadata
import sys
import sysconfig
from pathlib import Path

import pytest

from ulmfit_lib.text import python_sources
from ulmfit_lib.text.python_sources import (
    LIBRARIES,
    Library,
    MissingLibraryError,
    installed_versions,
    library_files,
    library_folder,
    library_versions,
    other_packages,
    python_files,
)

NETWORKX = next(library for library in LIBRARIES if library.label == "networkx")


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def test_files_are_sorted_and_without_tests_and_vendored_copies(tmp_path: Path) -> None:
    make(tmp_path, "b.py", "a/c.py", "a/b.py", "a.txt", "test_x.py", "conftest.py")
    make(tmp_path, "tests/t.py", "_vendor/v.py", "externals/e.py", "site-packages/s.py")
    found = [path.relative_to(tmp_path).as_posix() for path in python_files(tmp_path)]
    assert found == ["a/b.py", "a/c.py", "b.py"]


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.label)
def test_every_library_is_found_unimported(library: Library) -> None:
    files = library_files(library, 7)
    assert len(files) == 7
    assert files == library_files(library, 7)
    assert all(library_folder(library) in file.parents for file in files)
    assert not any("site-packages" in f.parts for f in files) or library.package


def test_the_files_drawn_do_not_depend_on_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    for place in ("here", "there"):
        make(tmp_path / place / "package", *[f"m{i}.py" for i in range(20)])
        spec_path = tmp_path / place
        monkeypatch.setattr(python_sources, "library_folder", lambda _, p=spec_path: p / "package")
        drawn.append([file.name for file in library_files(NETWORKX, 5)])
    assert drawn[0] == drawn[1] != [f"m{i}.py" for i in range(5)]


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingLibraryError, match="'networkx'.*pip install networkx"):
        library_files(NETWORKX, 5)


def test_a_library_without_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "networkx":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(python_sources.importlib.metadata, "version", version)
    with pytest.raises(MissingLibraryError, match="'networkx'.*pip install networkx"):
        library_versions()


def test_a_library_without_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "networkx.pyc")
    monkeypatch.setattr(python_sources, "library_folder", lambda _: tmp_path)
    with pytest.raises(MissingLibraryError, match="'networkx' has no Python sources.*reinstall"):
        library_files(NETWORKX, 5)


def test_a_missing_standard_library_has_its_own_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python_sources, "library_folder", lambda _: tmp_path)
    with pytest.raises(MissingLibraryError, match="install Python with its standard library"):
        library_files(LIBRARIES[-1], 5)


def test_other_packages_are_none_of_the_eleven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "torch/a.py", "functorch/a.py", "pylab.py", "mpl_toolkits/a.py", "IPython/a.py")
    make(tmp_path, "ulmfit_lib/a.py", "rich/a.py", "six.py", "torch.libs/a.so")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert [path.name for path in other_packages()] == ["rich", "six.py"]


def test_versions() -> None:
    versions = library_versions()
    assert set(versions) == {library.label for library in LIBRARIES}
    python = ".".join(map(str, sys.version_info[:3]))
    assert versions["standard library"] == installed_versions()["python"] == python
    assert installed_versions()["scikit-learn"] == versions["scikit-learn"]
