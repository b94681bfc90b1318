"""Two classification tasks made of docstrings: whose paragraph, which section.

Pure functions from the paragraphs of the libraries' files to a corpus; what
is read and cached is the business of :mod:`ulmfit_lib.text.pydocs`.
Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ulmfit_lib.text.balanced_splits import (
    Caps,
    Passage,
    as_split,
    assign_files,
    balanced_splits,
    first_of_each_file,
    without_near_copies,
)
from ulmfit_lib.text.corpus import Corpus, Split
from ulmfit_lib.text.prose import is_prose, is_wordlike, sentences, words

ROLES = ("summary", "parameters", "returns", "raises", "notes", "examples")
LICENCE = "that of each library (BSD, Apache-2.0, PSF and the like)"
CITATION = "the authors of the libraries; see their licences"

MIN_WORDS = 12  # shortest paragraph of the library task
MIN_SENTENCE_WORDS = 6  # shortest sentence of the role task
PARAGRAPH_CAPS = Caps(per_class={"train": 600, "valid": 100, "test": 250}, per_file=40)
SENTENCE_CAPS = Caps(
    per_class={"train": 500, "valid": 80, "test": 250}, per_file=20, library_share=0.35
)
FILE_WEIGHT_CAP = 40  # a file's paragraphs beyond these don't count when files are split

# Library label -> file -> (role, masked text) of each paragraph in it.
Paragraphs = Mapping[str, Mapping[str, Sequence[tuple[str, str]]]]


def library_task(paragraphs: Paragraphs) -> Corpus:
    """Which library wrote this paragraph? With the rest of the training files unlabelled.

    Introduced in the chapter *Text and language models*.
    """
    passages = without_near_copies(list(_prose(paragraphs)), threshold=0.5, n=3)
    split_of = split_files(paragraphs)
    chosen = balanced_splits(passages, split_of, PARAGRAPH_CAPS)
    taken = {p.text for p in chosen["train"]}
    rest = [p for p in passages if split_of[p.library, p.file] == "train" and p.text not in taken]
    splits = {name: as_split(of_split) for name, of_split in chosen.items()}
    splits["unsup"] = as_split(rest, labelled=False)
    return _corpus("pydocs", splits, tuple(paragraphs))


def role_task(paragraphs: Paragraphs) -> Corpus:
    """Which section of its docstring does this sentence come from?

    The files are split as in :func:`library_task`. Introduced in the chapter
    *Text and language models*.
    """
    candidates = first_of_each_file(list(_sentences(paragraphs)), SENTENCE_CAPS.per_file)
    passages = without_near_copies(candidates, threshold=0.5, n=2)
    chosen = balanced_splits(passages, split_files(paragraphs), SENTENCE_CAPS)
    splits = {name: as_split(of_split) for name, of_split in chosen.items()}
    return _corpus("pydocs-roles", splits, ROLES)


def split_files(paragraphs: Paragraphs) -> dict[tuple[str, str], str]:
    """The split ("train", "valid" or "test") of each (library, file)."""
    split_of = {}
    for library, files in paragraphs.items():
        sizes = {file: min(len(found), FILE_WEIGHT_CAP) for file, found in files.items()}
        for file, split in assign_files(sizes).items():
            split_of[library, file] = split
    return split_of


def standard_sentence(text: str) -> str:
    """``text`` with a capital in front and one full stop at the end.

    Sections have habits of their own in these, which would tell the role
    without a word being read.

    >>> standard_sentence("if x is negative")
    'If x is negative.'
    """
    text = text.strip(" .:;,-")
    return text[:1].upper() + text[1:] + "."


def _prose(paragraphs: Paragraphs) -> Iterator[Passage]:
    for label, (library, files) in enumerate(paragraphs.items()):
        for file, found in files.items():
            for _, text in found:
                if is_prose(text, MIN_WORDS):
                    yield Passage(text, label, library, file)


def _sentences(paragraphs: Paragraphs) -> Iterator[Passage]:
    for library, files in paragraphs.items():
        for file, found in files.items():
            for role, text in found:
                if role in ROLES:
                    for sentence in _clean_sentences(text):
                        yield Passage(sentence, ROLES.index(role), library, file)


def _clean_sentences(text: str) -> Iterator[str]:
    for sentence in sentences(text):
        clean = standard_sentence(sentence)
        if clean[0].isalpha() and is_wordlike(clean) and len(words(clean)) >= MIN_SENTENCE_WORDS:
            yield clean


def _corpus(name: str, splits: Mapping[str, Split], label_names: tuple[str, ...]) -> Corpus:
    return Corpus(
        name=name,
        splits=splits,
        label_names=label_names,
        licence=LICENCE,
        citation=CITATION,
        provenance="docstrings of the installed Python libraries, names masked",
    )
