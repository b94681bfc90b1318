"""The embedded corpus as a reader gets it: masked, disjoint, balanced, the same twice."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from ulmfit_lib.text import cache, pydocs
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.docstring_tasks import ROLES, Paragraphs, split_files, standard_sentence
from ulmfit_lib.text.near_copies import shingles
from ulmfit_lib.text.prose import sentences
from ulmfit_lib.text.python_sources import LIBRARIES, MissingLibraryError

LABELLED = ("train", "valid", "test")
BUILD_SMALL = """
import json
from ulmfit_lib.text.docstring_tasks import library_task, role_task
from ulmfit_lib.text.pydocs import read_libraries
read = read_libraries(at_most=8)
print(json.dumps([library_task(read).fingerprint, role_task(read).fingerprint]))
"""


@pytest.fixture(scope="module", params=[pydocs.load, pydocs.roles], ids=["pydocs", "roles"])
def corpus(request: pytest.FixtureRequest) -> Corpus:
    return request.param()


@pytest.fixture(scope="module")
def paragraphs() -> Paragraphs:
    return pydocs.documented_paragraphs()


def test_no_library_name_survives_masking(corpus: Corpus) -> None:
    inside = re.compile(
        "torch|transformers|sympy|pandas|scipy|matplotlib|scikit|sklearn|numpy|networkx|ipython|"
        "hugging.?face|pyplot|pylab|(?-i:[Ss]tandard [Ll]ibrary)|stdlib",
        re.IGNORECASE,
    )
    alone = re.compile(r"(?<![^\W_])(np|pd|plt|mpl|nx|hf)(?![^\W_])", re.IGNORECASE)
    for split in corpus.splits.values():
        named = [text for text in split.texts if inside.search(text) or alone.search(text)]
        assert not named


def test_no_file_crosses_splits(corpus: Corpus, paragraphs: Paragraphs) -> None:
    said_in: dict[str, set[str]] = {name: set() for name in LABELLED}
    for (library, file), split in split_files(paragraphs).items():
        for _, text in paragraphs[library][file]:
            said_in[split] |= {text, *map(standard_sentence, sentences(text))}
    for name, split in corpus.splits.items():
        assert set(split.texts) <= said_in["train" if name == "unsup" else name]


@pytest.mark.parametrize(("load", "n"), [(pydocs.load, 3), (pydocs.roles, 2)])
def test_no_near_copy_crosses_splits_and_none_is_inside(load, n: int) -> None:
    corpus = load()
    texts = [text for split in corpus.splits.values() for text in split.texts]
    counts = CountVectorizer(analyzer=lambda text: shingles(text, n), binary=True)
    held = counts.fit_transform(texts).astype(np.int32)
    sizes = np.asarray(held.sum(axis=1)).ravel()
    for start in range(0, len(texts), 1000):
        shared = (held[start : start + 1000] @ held.T).tocoo()
        union = sizes[start + shared.row] + sizes[shared.col] - shared.data
        copies = (shared.data >= 0.5 * union) & (start + shared.row != shared.col)
        assert not copies.any(), texts[start + shared.row[copies][0]]


def test_every_class_has_as_many_texts(corpus: Corpus) -> None:
    for name in LABELLED:
        labels = corpus.splits[name].labels
        counts = {labels.count(i) for i in range(len(corpus.label_names))}
        assert len(counts) == 1
        assert set(labels) == set(range(len(corpus.label_names)))


def test_enough_for_the_chapters() -> None:
    library, role = pydocs.load(), pydocs.roles()
    assert library.label_names == tuple(lib.label for lib in LIBRARIES)
    assert role.label_names == ROLES
    for corpus in (library, role):
        per_class = {n: len(corpus.splits[n]) // len(corpus.label_names) for n in LABELLED}
        assert per_class["train"] >= 300
        assert per_class["valid"] >= 40
        assert per_class["test"] >= 80
    assert library.splits["unsup"].labels is None
    assert len(library.splits["unsup"]) > 10_000


def test_the_texts_are_prose() -> None:
    texts = pydocs.load().splits["test"].texts
    code = re.compile(r">>> \S|\n|``")  # a sentence may speak of the prompt, ">>>"
    assert not any(code.search(text) for text in texts)
    assert all(len(text.split()) >= 12 for text in texts)
    with_the = sum(bool(re.search(r"\b(the|a|of|is|to)\b", text.lower())) for text in texts)
    assert with_the > 0.98 * len(texts)


def test_two_builds_are_the_same_whatever_the_hash_seed() -> None:
    built = [
        subprocess.run(
            [sys.executable, "-c", BUILD_SMALL],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert json.loads(built[0]) == json.loads(built[1])


class TestCaching:
    """The cache, with a reading that is quick and counted."""

    @pytest.fixture(autouse=True)
    def small_and_counted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = 0
        sentence = "This is what the library says about part {} of the {} in file {} here."
        made_up = {
            lib.label: {
                f"{i}.py": [(role, sentence.format(role, lib.label, "x" * i)) for role in ROLES]
                for i in range(9)
            }
            for lib in LIBRARIES
        }

        def read_libraries() -> Paragraphs:
            self.reads += 1
            return made_up

        monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path))
        monkeypatch.setattr(pydocs, "read_libraries", read_libraries)

    def test_the_files_are_read_once_for_both_tasks(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = pydocs.load()
        told = capsys.readouterr().err
        assert re.search(rf"pydocs: built in [\d.]+ s, sha256 {first.fingerprint}", told)
        assert pydocs.load() == first
        pydocs.roles()
        pydocs.roles()
        assert self.reads == 1
        assert "pydocs:" not in capsys.readouterr().err

    def test_another_version_is_another_corpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        versions = pydocs.library_versions()
        pydocs.load()
        monkeypatch.setattr(pydocs, "library_versions", lambda: {**versions, "sympy": "0.0"})
        pydocs.load()
        assert self.reads == 2

    def test_another_builder_is_another_corpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pydocs.load()
        monkeypatch.setattr(pydocs, "BUILDERS", pydocs.BUILDERS[1:])
        pydocs.load()
        assert self.reads == 2

    def test_a_damaged_entry_is_built_again(self, tmp_path: Path) -> None:
        first = pydocs.load()
        for entry in tmp_path.iterdir():
            entry.write_bytes(entry.read_bytes()[:-9])
        assert pydocs.load() == first
        assert self.reads == 2


def test_a_library_without_docstrings_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module.py").write_text("x = 1\n")
    monkeypatch.setattr(pydocs, "library_files", lambda library, n: (tmp_path / "module.py",))
    monkeypatch.setattr(pydocs, "library_folder", lambda library: tmp_path)
    with pytest.raises(MissingLibraryError, match="'torch' has no docstrings.*pip install"):
        pydocs.read_libraries()
