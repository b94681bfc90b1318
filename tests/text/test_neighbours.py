"""Neighbours are exactly the nearest; copies and test texts are never chosen."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from ulmfit_lib.text.neighbours import EmbeddingConfig, Pool, nearest

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
    pool = Pool(POOL, config=CONFIG)
    task = pool.embed(["legend axis", "nothing known here"])
    np.testing.assert_allclose(np.linalg.norm(pool.vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(task, axis=1), [1, 0], atol=1e-5)
    np.testing.assert_allclose(pool.vectors, pool.embed(pool.texts), atol=1e-5)
    np.testing.assert_array_equal(pool.vectors, Pool(POOL, config=CONFIG).vectors)


def test_the_nearest_are_those_of_an_exact_search():
    rng = np.random.default_rng(0)
    pool, task = (rng.normal(size=(n, 5)).astype(np.float32) for n in (200, 700))
    pool /= np.linalg.norm(pool, axis=1, keepdims=True)
    task /= np.linalg.norm(task, axis=1, keepdims=True)
    theirs = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute").fit(pool)
    np.testing.assert_array_equal(nearest(pool, task, 7), theirs.kneighbors(task)[1])


def test_neighbours_are_of_the_task_s_own_topic():
    pool, task = Pool(POOL, config=CONFIG), sentences("plot", 5, seed=9)
    chosen = pool.neighbours(task, 3)
    assert 3 <= len(chosen) <= 15 and len(set(chosen)) == len(chosen)
    assert all(text.endswith("plot") for text in chosen)
    at_random = pool.at_random(len(chosen), seed=1)
    assert sum(text.endswith("plot") for text in at_random) < len(chosen)
    assert at_random == pool.at_random(len(chosen), seed=1) != pool.at_random(len(chosen), seed=2)


def test_neither_copies_nor_forbidden_texts_are_in_the_pool():
    pool = Pool([*POOL, *POOL], forbidden=POOL[:2], config=CONFIG)
    assert not set(pool.texts) & set(POOL[:2])
    assert len(set(pool.texts)) == len(pool.texts) <= len(POOL) - 2
    assert pool.neighbours([POOL[0]], len(pool.texts)) == list(pool.texts)


def test_impossible_choices_are_refused():
    pool = Pool(POOL, config=CONFIG)
    with pytest.raises(ValueError, match="k=500 neighbours of a pool of"):
        pool.neighbours([POOL[0]], 500)
    with pytest.raises(ValueError, match="n=500: the pool has"):
        pool.at_random(500, seed=0)
    with pytest.raises(ValueError, match="no words"):
        Pool(["the", "of"])
    with pytest.raises(ValueError, match="no words|too few"):
        Pool([])
