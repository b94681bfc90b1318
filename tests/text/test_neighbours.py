"""Neighbours are exactly the nearest; copies and test texts are never chosen."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from ulmfit_lib.text.neighbours import (
    EmbeddingConfig,
    allowed_positions,
    embed,
    nearest,
    select_at_random,
    select_neighbours,
)

TOPICS = {
    "plot": "axis legend figure colour marker line title".split(),
    "matrix": "row column inverse product sparse dense eigenvalue".split(),
    "model": "loss gradient layer optimizer batch epoch weight".split(),
}
CONFIG = EmbeddingConfig(size=8)


def sentences(topic, n, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(TOPICS[topic], 6)) + f" {topic}" for _ in range(n)]


POOL = [text for seed, topic in enumerate(TOPICS) for text in sentences(topic, 30, seed)]


def test_vectors_have_length_one_or_zero():
    pool, task = embed(POOL, ["legend axis", "nothing known here"], CONFIG)
    np.testing.assert_allclose(np.linalg.norm(pool, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(task, axis=1), [1, 0], atol=1e-5)
    again, _ = embed(POOL, ["legend axis"], CONFIG)
    np.testing.assert_array_equal(pool, again)


def test_the_nearest_are_those_of_an_exact_search():
    rng = np.random.default_rng(0)
    pool, task = (rng.normal(size=(n, 5)).astype(np.float32) for n in (200, 700))
    pool /= np.linalg.norm(pool, axis=1, keepdims=True)
    task /= np.linalg.norm(task, axis=1, keepdims=True)
    theirs = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(pool)
    np.testing.assert_array_equal(nearest(pool, task, 7), theirs.kneighbors(task)[1])


def test_neighbours_are_of_the_task_s_own_topic():
    task = sentences("plot", 5, seed=9)
    chosen = select_neighbours(POOL, task, 3, config=CONFIG)
    assert 3 <= len(chosen) <= 15 and chosen == sorted(set(chosen))
    assert all(POOL[i].endswith("plot") for i in chosen)
    at_random = select_at_random(POOL, task, len(chosen), seed=1)
    assert sum(POOL[i].endswith("plot") for i in at_random) < len(chosen)
    assert at_random == select_at_random(POOL, task, len(chosen), seed=1)


def test_neither_the_task_s_own_texts_nor_forbidden_ones_are_chosen():
    task, forbidden = [POOL[0]], [POOL[1], POOL[2]]
    for chosen in (
        select_neighbours([*POOL, *POOL], task, 25, forbidden, CONFIG),
        select_at_random([*POOL, *POOL], task, 60, forbidden),
    ):
        texts = [[*POOL, *POOL][i] for i in chosen]
        assert not set(texts) & {*task, *forbidden}
        assert len(texts) == len(set(texts))


def test_allowed_are_first_copies_only():
    assert allowed_positions(["a b c d", "x y z w", "a b c d"], ["x y z w"]) == [0]


def test_impossible_choices_are_refused():
    with pytest.raises(ValueError, match="k=500 neighbours of a pool of"):
        select_neighbours(POOL, [POOL[0]], 500, config=CONFIG)
    with pytest.raises(ValueError, match="n=500, but only"):
        select_at_random(POOL, [], 500)
    with pytest.raises(ValueError, match="no words|too few"):
        embed(["the", "of"], ["a"])
