"""How far two kinds of text share their words: two measures that are easily confused.

The paper describes the overlap of the most frequent words of two domains
(:func:`top_words`, :func:`overlap`); its released script computes the Jaccard
similarity of two whole vocabularies (:func:`jaccard_similarity` of
:func:`vocabulary`). They are different numbers: for vocabularies of one size
an overlap ``o`` is a Jaccard similarity ``o / (2 - o)``. Source: Gururangan et
al. 2020, section 3.1 and ``vocab_overlap.py``. Introduced in the chapter
*Don't stop pre-training*.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from ulmfit_lib.text.near_copies import jaccard

TOP = 10_000  # words of a domain that the paper compares
MIN_DOCUMENTS = 3  # texts that a word must stand in to count, in the released script
GENERAL_WORDS = Path(__file__).parents[1] / "models" / "weights" / "words.txt"
_WORD = re.compile(r"(?u)\b\w\w+\b")  # as scikit-learn cuts words, and so the released script


def document_frequencies(texts: Iterable[str]) -> Counter[str]:
    """In how many texts each word stands, in lower case, without stop-words.

    Introduced in the chapter *Don't stop pre-training*.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(words(text)))
    return counts


def words(text: str) -> list[str]:
    """The words of ``text`` in lower case: two characters or more, no stop-words.

    Introduced in the chapter *Don't stop pre-training*.
    """
    return [w for w in _WORD.findall(text.lower()) if w not in ENGLISH_STOP_WORDS]


def top_words(texts: Iterable[str], n: int = TOP) -> tuple[str, ...]:
    """The ``n`` most frequent words, most frequent first; ties in the order of the alphabet.

    Source: Gururangan et al. 2020, section 3.1. Introduced in the chapter
    *Don't stop pre-training*.

    Args:
        texts: of one domain.
        n: words, at most.
    """
    counts = Counter(word for text in texts for word in words(text))
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:n])


def vocabulary(texts: Iterable[str], min_documents: int = MIN_DOCUMENTS) -> frozenset[str]:
    """Every word that stands in ``min_documents`` texts or more.

    Source: the released ``vocab_overlap.py``. Introduced in the chapter
    *Don't stop pre-training*.

    Args:
        texts: of one domain.
        min_documents: texts that a word must stand in.
    """
    counts = document_frequencies(texts)
    return frozenset(word for word, n in counts.items() if n >= min_documents)


def overlap(left: Sequence[str], right: Sequence[str]) -> float:
    """Share of the words of one ranked list that are in the other, in [0, 1].

    A domain with fewer words than the other is compared with as many of the
    other's: the shorter list sets how far down both are read. Introduced in
    the chapter *Don't stop pre-training*.

    Args:
        left: words of a domain, most frequent first (:func:`top_words`).
        right: those of another.

    Raises:
        ValueError: a list is empty.
    """
    n = min(len(left), len(right))
    if n == 0:
        raise ValueError("a domain without words has no overlap: give it text")
    return len(set(left[:n]) & set(right[:n])) / n


def jaccard_similarity(left: Collection[str], right: Collection[str]) -> float:
    """Words in both over words in either, in [0, 1].

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        left: words of a domain, each once (:func:`vocabulary`).
        right: those of another.

    Raises:
        ValueError: neither has a word.
    """
    if not left and not right:
        raise ValueError("two domains without words have no similarity: give them text")
    return jaccard(frozenset(left), frozenset(right))


def general_words() -> tuple[str, ...]:
    """The most frequent words of the text that the shipped models were pre-trained on.

    Of its first 50,000 documents, as in the paper; ``python -m ulmfit_lib
    words`` makes such a list. Introduced in the chapter *Don't stop
    pre-training*.
    """
    return tuple(GENERAL_WORDS.read_text("utf-8").split())


Measure = Callable[[Sequence[str], Sequence[str]], float]


def overlap_matrix(
    domains: Mapping[str, Sequence[str]], measure: Measure = overlap
) -> NDArray[np.float64]:
    """``measure`` of every pair of domains, (D, D), symmetric, in the order of ``domains``.

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        domains: the words of each, by its name: of :func:`top_words` for
            :func:`overlap`, of :func:`vocabulary` for :func:`jaccard_similarity`.
        measure: of two lists of words.
    """
    lists = list(domains.values())
    matrix = np.ones((len(lists), len(lists)))
    for i, left in enumerate(lists):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = measure(left, lists[j])
    return matrix
