"""Choosing more text for a task from a large pool: its nearest neighbours, or as much at random.

The paper embeds texts by VAMPIRE, a variational auto-encoder over words. Its
stand-in here is lighter, and exact: TF-IDF, reduced by a truncated singular
value decomposition (latent semantic analysis), and cosine similarity searched
by brute force. Source: Gururangan et al. 2020, section 5.2. Introduced in the
chapter *Don't stop pre-training*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from ulmfit_lib.text.near_copies import unlike

Vectors = NDArray[np.float32]
_BLOCK = 512  # task texts whose similarities to the pool are held at once


@dataclass(frozen=True)
class EmbeddingConfig:
    """How a text becomes a vector. Introduced in the chapter *Don't stop pre-training*."""

    size: int = 128  # features of a vector, fewer where there are fewer words
    max_words: int = 30_000  # of the vocabulary, the most frequent ones
    min_documents: int = 2  # texts that a word must stand in
    seed: int = 0  # of the decomposition


class Pool:
    """Unlabelled texts of a domain, ready to be chosen from.

    Near copies within the pool count once, and near copies of ``forbidden``
    texts, the test set's above all, are never chosen. Words and directions
    are learned from the pool, as VAMPIRE is. Introduced in the chapter *Don't
    stop pre-training*.

    Args:
        texts: of the domain, N.
        forbidden: texts that must not be trained on.
        config: how a text becomes a vector.

    Raises:
        ValueError: too few texts or words to compare by.
    """

    def __init__(
        self,
        texts: Sequence[str],
        forbidden: Sequence[str] = (),
        config: EmbeddingConfig = EmbeddingConfig(),
    ) -> None:
        self.texts = tuple(texts[i] for i in unlike(texts, forbidden, distinct=True))
        self._words = TfidfVectorizer(
            sublinear_tf=True,
            stop_words="english",
            min_df=min(config.min_documents, max(1, len(self.texts))),
            max_features=config.max_words,
        )
        try:
            counted = self._words.fit_transform(self.texts)
        except ValueError as error:
            raise ValueError(
                f"the pool's {len(self.texts)} texts have no words to compare by: give more text"
            ) from error
        size = min(config.size, *(n - 1 for n in counted.shape))
        if size < 2:
            raise ValueError(
                f"the pool has {counted.shape[0]} texts with {counted.shape[1]} words: too few "
                "to compare by, give more text"
            )
        self._directions = TruncatedSVD(size, random_state=config.seed)
        self.vectors = _unit(self._directions.fit_transform(counted))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors (M, F) of length 1 for any texts; zero where no word is known."""
        return _unit(self._directions.transform(self._words.transform(texts)))

    def neighbours(self, task: Sequence[str], k: int) -> list[str]:
        """The union of every task text's ``k`` nearest texts of the pool (kNN-TAPT).

        Source: Gururangan et al. 2020, section 5.2.

        Args:
            task: the task's training texts.
            k: neighbours of each.

        Returns:
            At most ``k`` texts for each of the task, each once, in the pool's order.

        Raises:
            ValueError: ``k`` is below 1 or above the size of the pool.
        """
        chosen = np.unique(nearest(self.vectors, self.embed(task), k))
        return [self.texts[i] for i in chosen]

    def at_random(self, n: int, seed: int) -> list[str]:
        """``n`` random texts of the pool, in its order: the control (RAND-TAPT).

        Args:
            n: texts to draw.
            seed: of the draw.

        Raises:
            ValueError: the pool has fewer.
        """
        if not 0 <= n <= len(self.texts):
            raise ValueError(f"n={n}: the pool has {len(self.texts)} texts to draw from")
        drawn = np.random.default_rng(seed).choice(len(self.texts), n, replace=False)
        return [self.texts[i] for i in np.sort(drawn)]


def nearest(pool: Vectors, task: Vectors, k: int) -> NDArray[np.int64]:
    """The ``k`` vectors of the pool with the largest cosine similarity, nearest first, (M, k).

    Exact; ties go to the earlier one. Introduced in the chapter *Don't stop
    pre-training*.

    Args:
        pool: vectors of length 1, (N, F).
        task: vectors of length 1, (M, F).
        k: neighbours of each.

    Raises:
        ValueError: the pool has fewer than ``k`` vectors, or ``k`` is below 1.
    """
    if not 1 <= k <= len(pool):
        raise ValueError(f"k={k} neighbours of a pool of {len(pool)}: give between 1 and as many")
    found = []
    for start in range(0, len(task), _BLOCK):
        distances = -(task[start : start + _BLOCK] @ pool.T)
        found.append(np.argsort(distances, axis=1, kind="stable")[:, :k])
    return np.concatenate(found) if found else np.zeros((0, k), dtype=np.int64)


def _unit(vectors: NDArray[np.float64]) -> Vectors:
    return np.asarray(normalize(vectors), dtype=np.float32)
