"""Random draws: repeatable, separate, nested, balanced."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.study.seeds import derive, few_labels, hold_out, seed_everything

seeds = st.integers(0, 2**32 - 1)


def draws():
    return random.random(), np.random.random(), torch.rand(1).item()


def test_one_seed_sets_every_generator():
    seed_everything(3)
    first = draws()
    seed_everything(3)
    assert draws() == first
    seed_everything(4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="seed="):
        seed_everything(seed)
    with pytest.raises(ValueError, match="seed="):
        derive(seed, "a")


def test_derived_seeds_are_the_same_everywhere():
    assert derive(0, "head") == 787101478
    assert derive(7, "bptt", 2) == 2671644663


def test_derived_seeds_differ_by_seed_and_by_every_name():
    found = [derive(0, "a"), derive(1, "a"), derive(0, "b"), derive(0, "a", "b"), derive(0, "ab"),
             derive(0, "a", 1), derive(0, "a", "1")]  # fmt: skip
    assert len(set(found)) == len(found)


def test_a_derived_seed_needs_a_name():
    with pytest.raises(ValueError, match="no name"):
        derive(0)


@given(seed=seeds, sizes=st.lists(st.integers(5, 12), min_size=1, max_size=5))
def test_few_labels_are_balanced_and_nested(seed, sizes):
    labels = [c for c, size in enumerate(sizes) for _ in range(size)]
    random.Random(seed).shuffle(labels)
    small, large = few_labels(labels, 2, seed), few_labels(labels, 5, seed)
    assert set(small) < set(large)
    assert large == sorted(set(large))
    assert Counter(labels[i] for i in large) == dict.fromkeys(range(len(sizes)), 5)


def test_seeds_draw_different_labels_and_number_types_do_not_matter():
    labels = [i % 4 for i in range(400)]
    assert few_labels(labels, 10, 0) != few_labels(labels, 10, 1)
    assert few_labels(np.array(labels), 10, 0) == few_labels(labels, 10, 0)
    assert few_labels([f"class {c}" for c in labels], 10, 0)


def test_every_example_of_a_class_can_be_drawn():
    labels = [0] * 10 + [1] * 10
    drawn = Counter(i for seed in range(300) for i in few_labels(labels, 3, seed))
    assert set(drawn) == set(range(20))
    assert max(drawn.values()) < 2 * min(drawn.values())  # about 90 each


def test_too_few_examples_are_named():
    with pytest.raises(ValueError, match="per_class=3, but class 'rare' has 2 examples"):
        few_labels(["rare", "often", "often", "often", "rare"], 3, 0)
    assert few_labels(["rare", "often", "often", "often", "rare"], 3, 0, or_all=True) == [*range(5)]
    with pytest.raises(ValueError, match="per_class=0"):
        few_labels([0, 1], 0, 0)
    with pytest.raises(ValueError, match="labels is empty"):
        few_labels([], 1, 0)


@given(seed=seeds, sizes=st.lists(st.integers(2, 30), min_size=1, max_size=4))
def test_hold_out_cuts_every_class_in_two(seed, sizes):
    labels = [c for c, size in enumerate(sizes) for _ in range(size)]
    train, valid = hold_out(labels, 0.1, seed)
    assert sorted(train + valid) == list(range(len(labels)))
    for c, size in enumerate(sizes):
        count = sum(labels[i] == c for i in valid)
        assert 1 <= count < size
        assert abs(count - 0.1 * size) <= 1


def test_hold_out_refuses_what_it_cannot_cut():
    with pytest.raises(ValueError, match="share=1.0"):
        hold_out([0, 0, 1, 1], 1.0, 0)
    with pytest.raises(ValueError, match="class 1 has one example"):
        hold_out([0, 0, 1], 0.5, 0)
