"""The two tasks on made-up libraries: splits by file, no copies, no formatting."""

import random

import pytest

from ulmfit_lib.text import docstring_tasks
from ulmfit_lib.text.balanced_splits import Caps
from ulmfit_lib.text.docstring_tasks import (
    MIN_SENTENCE_WORDS,
    ROLES,
    Paragraphs,
    library_task,
    role_task,
    split_files,
    standard_sentence,
)

SMALL = Caps(per_class={"train": 60, "valid": 10, "test": 20}, per_file=40)
WORDS = "sheep goat field fence count sleep graze wool farm hill river bell dog gate grass".split()


@pytest.fixture(autouse=True)
def small_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docstring_tasks, "PARAGRAPH_CAPS", SMALL)


def sentence(generator: random.Random) -> str:
    joints = ["of the", "is in a", "when the", "and", "or", "by its", "with no", "at their"]
    generator.shuffle(joints)
    nouns = generator.sample(WORDS, 9)
    return "The " + " ".join(map(" ".join, zip(nouns, joints, strict=False))) + f" {nouns[-1]}."


def made_up(seed: int = 0, files: int = 14, per_file: int = 4) -> Paragraphs:
    """Three libraries whose files hold ``per_file`` paragraphs of every role."""
    generator = random.Random(seed)
    return {
        library: {
            f"{library}/m{i}.py": [
                (role, sentence(generator)) for role in ROLES for _ in range(per_file)
            ]
            for i in range(files)
        }
        for library in ("alpha", "beta", "gamma")
    }


def reordered(paragraphs: Paragraphs) -> Paragraphs:
    return {library: dict(reversed(files.items())) for library, files in paragraphs.items()}


@pytest.mark.parametrize("task", [library_task, role_task])
def test_texts_come_from_the_files_of_their_split(task) -> None:
    paragraphs = made_up()
    split_of = split_files(paragraphs)
    places = {
        text: (library, file)
        for library, files in paragraphs.items()
        for file, found in files.items()
        for _, text in found
    }
    corpus = task(paragraphs)
    assert set(corpus.splits) >= {"train", "valid", "test"}
    for name, split in corpus.splits.items():
        assert len(split) > 0
        expected = "train" if name == "unsup" else name
        assert {split_of[places[text]] for text in split.texts} == {expected}


@pytest.mark.parametrize("task", [library_task, role_task])
def test_the_order_of_the_files_does_not_matter(task) -> None:
    assert task(made_up()).fingerprint == task(reordered(made_up())).fingerprint


@pytest.mark.parametrize("task", [library_task, role_task])
def test_labelled_splits_are_balanced(task) -> None:
    corpus = task(made_up())
    for name in ("train", "valid", "test"):
        labels = corpus.splits[name].labels
        assert {labels.count(i) for i in range(len(corpus.label_names))} == {
            len(labels) // len(corpus.label_names)
        }


def test_unlabelled_text_is_no_labelled_text_again() -> None:
    corpus = library_task(made_up(per_file=9))
    assert corpus.splits["unsup"].labels is None
    assert not set(corpus.splits["unsup"].texts) & set(corpus.splits["train"].texts)


def test_a_text_of_two_libraries_is_dropped_and_a_copy_kept_once() -> None:
    shared = "This is what both of the libraries say about it, in the same words as the other."
    twice = "This one stands in every file of a single library, which has copied it all over."
    paragraphs = made_up()
    for library in ("alpha", "beta"):
        paragraphs[library][f"{library}/m0.py"].append(("notes", shared))
    for found in paragraphs["gamma"].values():
        found.append(("notes", twice))
    corpus = library_task(paragraphs)
    texts = [text for split in corpus.splits.values() for text in split.texts]
    assert texts.count(shared) == 0
    assert texts.count(twice) <= 1
    assert len(set(texts)) == len(texts)


def test_sentences_of_roles_look_alike() -> None:
    paragraphs = made_up()
    for found in paragraphs["alpha"].values():
        found[:] = [(role, text.lower().rstrip(".") + ":") for role, text in found]
    for text in role_task(paragraphs).splits["train"].texts:
        assert text[0].isupper() and text.endswith(".")
        assert len(text.split()) >= MIN_SENTENCE_WORDS


@pytest.mark.parametrize(
    ("text", "standard"),
    [
        ("if x", "If x."),
        ("- If x:", "If x."),
        ("Already so.", "Already so."),
        ("", "."),
        ("émile goes ...", "Émile goes."),
    ],
)
def test_standard_sentence(text: str, standard: str) -> None:
    assert standard_sentence(text) == standard
