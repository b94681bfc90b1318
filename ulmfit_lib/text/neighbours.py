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

from ulmfit_lib.text.near_copies import near_copy_groups

Vectors = NDArray[np.float32]
_BLOCK = 512  # task texts whose similarities to the pool are held at once


@dataclass(frozen=True)
class EmbeddingConfig:
    """How a text becomes a vector. Introduced in the chapter *Don't stop pre-training*."""

    size: int = 128  # features of a vector, fewer where there are fewer words
    max_words: int = 30_000  # of the vocabulary, the most frequent ones
    min_documents: int = 2  # texts that a word must stand in
    seed: int = 0  # of the decomposition


def embed(
    pool: Sequence[str], task: Sequence[str], config: EmbeddingConfig = EmbeddingConfig()
) -> tuple[Vectors, Vectors]:
    """Vectors of length 1 for the texts of a pool and of a task; zero where no word is known.

    Words and directions are learned from the pool, as VAMPIRE is. Introduced
    in the chapter *Don't stop pre-training*.

    Args:
        pool: domain texts, N.
        task: texts of the task, M.
        config: sizes and seed.

    Returns:
        (N, F) and (M, F).

    Raises:
        ValueError: the pool has too few words for a vector of two features.
    """
    words = TfidfVectorizer(
        sublinear_tf=True,
        stop_words="english",
        min_df=min(config.min_documents, len(pool)),
        max_features=config.max_words,
    )
    try:
        counted = words.fit_transform(pool)
    except ValueError as error:
        raise ValueError(f"the pool of {len(pool)} texts has no words to compare by") from error
    size = min(config.size, *(n - 1 for n in counted.shape))
    if size < 2:
        raise ValueError(
            f"the pool has {counted.shape[0]} texts and {counted.shape[1]} words: too few to "
            "compare texts by, give more text"
        )
    directions = TruncatedSVD(size, random_state=config.seed)
    found = directions.fit_transform(counted), directions.transform(words.transform(task))
    pool_vectors, task_vectors = (normalize(v).astype(np.float32) for v in found)
    return pool_vectors, task_vectors


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


def select_neighbours(
    pool: Sequence[str],
    task: Sequence[str],
    k: int,
    forbidden: Sequence[str] = (),
    config: EmbeddingConfig = EmbeddingConfig(),
) -> list[int]:
    """Positions in the pool of the union of every task text's ``k`` nearest neighbours (kNN-TAPT).

    Near copies within the pool count once, and near copies of ``forbidden``
    texts, the test set's above all, are never chosen. A text that is in the
    pool itself is not its own neighbour: near copies of the task's texts are
    left out too. Source: Gururangan et al. 2020, section 5.2. Introduced in
    the chapter *Don't stop pre-training*.

    Args:
        pool: unlabelled domain texts.
        task: the task's training texts.
        k: neighbours of each task text.
        forbidden: texts that must not be trained on.
        config: of the vectors.

    Returns:
        Ascending positions, at most ``k`` per task text.

    Raises:
        ValueError: fewer than ``k`` texts of the pool may be chosen.
    """
    allowed = allowed_positions(pool, [*task, *forbidden])
    vectors = embed([pool[i] for i in allowed], task, config)
    return sorted(allowed[i] for i in set(nearest(*vectors, k).ravel().tolist()))


def select_at_random(
    pool: Sequence[str], task: Sequence[str], n: int, forbidden: Sequence[str] = (), seed: int = 0
) -> list[int]:
    """Positions in the pool of ``n`` random texts, from the same ones that may be neighbours.

    The control of :func:`select_neighbours` (RAND-TAPT). Introduced in the
    chapter *Don't stop pre-training*.

    Args:
        pool: unlabelled domain texts.
        task: the task's training texts.
        n: texts to draw.
        forbidden: texts that must not be trained on.
        seed: of the draw.

    Returns:
        Ascending positions.

    Raises:
        ValueError: fewer than ``n`` texts may be chosen.
    """
    allowed = allowed_positions(pool, [*task, *forbidden])
    if n > len(allowed):
        raise ValueError(f"n={n}, but only {len(allowed)} of {len(pool)} texts may be chosen")
    drawn = np.random.default_rng(seed).choice(len(allowed), n, replace=False)
    return sorted(allowed[i] for i in drawn)


def allowed_positions(pool: Sequence[str], apart_from: Sequence[str]) -> list[int]:
    """Positions in the pool of texts that are no near copies of earlier ones or of ``apart_from``.

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        pool: texts to choose from.
        apart_from: texts that none may copy.
    """
    groups = near_copy_groups([*apart_from, *pool], threshold=0.5)
    first = len(apart_from)
    return [i for i in range(len(pool)) if groups[first + i] == first + i]
