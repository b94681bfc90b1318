"""``pydocs``: real English text that every reader of the book already has.

The docstrings of the installed Python libraries, as a topic task (*which of 11
libraries wrote this paragraph?*), as a task about the role of a sentence
(*which section of its docstring does it come from?*), and as unlabelled text.
Each is built once and cached, keyed by the libraries' versions. Introduced in
the chapter *Text and language models*.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import time
import zlib
from collections.abc import Callable, Mapping

from ulmfit_lib.text import (
    balanced_splits,
    docstring_sections,
    docstring_tasks,
    docstrings,
    masking_names,
    near_copies,
    other_packages,
    prose,
    python_sources,
)
from ulmfit_lib.text.cache import cached
from ulmfit_lib.text.corpus import Corpus, from_json, to_json
from ulmfit_lib.text.docstring_tasks import Paragraphs, library_task, role_task
from ulmfit_lib.text.docstrings import over_files, read_paragraphs
from ulmfit_lib.text.python_sources import (
    LIBRARIES,
    MissingLibraryError,
    installed_versions,
    library_files,
    library_folder,
    library_versions,
    remedy,
)

FILES_PER_LIBRARY = 400  # of the big libraries; the others are read whole
# The modules that decide what is in a corpus; when one changes, the cache is built anew.
BUILDERS = (
    balanced_splits,
    docstring_sections,
    docstring_tasks,
    docstrings,
    masking_names,
    near_copies,
    other_packages,
    prose,
    python_sources,
)


def load() -> Corpus:
    """Which of 11 libraries wrote this paragraph?

    Splits ``train``, ``valid`` and ``test`` hold equally many paragraphs of
    each library, from different files; ``unsup`` is what else the files of
    ``train`` say, without labels. Introduced in the chapter *Text and language
    models*.

    Raises:
        MissingLibraryError: a library is not installed or has no sources.
    """
    return _cached_corpus("pydocs", library_task)


def roles() -> Corpus:
    """Which section of its docstring does this sentence come from?

    The same files make the same splits as in :func:`load`. Introduced in the
    chapter *Text and language models*.

    Raises:
        MissingLibraryError: a library is not installed or has no sources.
    """
    return _cached_corpus("pydocs-roles", role_task)


def other_docstrings() -> tuple[str, ...]:
    """Paragraphs of the docstrings of all other installed packages, unlabelled.

    Domain text for both tasks: none of their files, and no near copy of their
    validation and test texts. Introduced in the chapter *Text and language
    models*.

    Raises:
        MissingLibraryError: a library is not installed or has no sources.
    """
    return _cached_texts(
        "other-docstrings",
        lambda: other_packages.docstring_paragraphs(apart_from=(load(), roles())),
    )


def source_code() -> tuple[str, ...]:
    """Python code of the other installed packages: not prose, an irrelevant domain.

    One function or class per text, without docstrings and comments.
    Introduced in the chapter *Text and language models*.
    """
    return _cached_texts("source-code", other_packages.code_definitions)


def documented_paragraphs() -> Paragraphs:
    """What both tasks are made of: :func:`read_libraries`, from the cache where it is there.

    Raises:
        MissingLibraryError: a library is not installed or has no sources.
    """
    content = cached(
        "docstrings",
        _key(library_versions()),
        lambda: zlib.compress(json.dumps(read_libraries()).encode()),
    )
    paragraphs: Paragraphs = json.loads(zlib.decompress(content))
    return paragraphs


def read_libraries(at_most: int = FILES_PER_LIBRARY) -> Paragraphs:
    """The masked paragraphs of the eleven libraries, read now, not from the cache.

    Args:
        at_most: files per library.

    Raises:
        MissingLibraryError: a library is not installed or has no sources.
    """
    places = [(library, file) for library in LIBRARIES for file in library_files(library, at_most)]
    of_files = over_files(read_paragraphs, [file for _, file in places], "reading docstrings")
    found: dict[str, dict[str, list[tuple[str, str]]]] = {lib.label: {} for lib in LIBRARIES}
    for (library, file), pairs in zip(places, of_files, strict=True):
        if pairs:
            name = file.relative_to(library_folder(library)).as_posix()
            found[library.label][name] = pairs
    _check_readable(found)
    return found


def _check_readable(found: Paragraphs) -> None:
    for library in LIBRARIES:
        if not found[library.label]:
            raise MissingLibraryError(
                f"the library {library.label!r} has no docstrings in {library_folder(library)}: "
                f"{remedy(library)}"
            )


def _cached_corpus(name: str, build: Callable[[Paragraphs], Corpus]) -> Corpus:
    versions = library_versions()

    def build_and_tell() -> bytes:
        """The corpus as compressed JSON; says how long it took."""
        start = time.perf_counter()
        corpus = build(documented_paragraphs())
        _tell(name, time.perf_counter() - start, corpus.fingerprint)
        return zlib.compress(to_json(corpus))

    return from_json(zlib.decompress(cached(name, _key(versions), build_and_tell)))


def _cached_texts(name: str, build: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    content = cached(
        name,
        _key({**installed_versions(), **library_versions()}),
        lambda: zlib.compress(json.dumps(build()).encode()),
    )
    return tuple(json.loads(zlib.decompress(content)))


def _key(versions: Mapping[str, str]) -> dict[str, str]:
    digest = hashlib.sha256()
    for module in BUILDERS:
        digest.update(inspect.getsource(module).encode())
    builder = digest.hexdigest()
    return {**versions, "builder": builder, "files per library": str(FILES_PER_LIBRARY)}


def _tell(name: str, seconds: float, fingerprint: str) -> None:
    print(f"{name}: built in {seconds:.1f} s, sha256 {fingerprint}", file=sys.stderr)
