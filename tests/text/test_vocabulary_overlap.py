"""Two measures of shared words, their golden values, and how one follows from the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from ulmfit_lib.text.vocabulary_overlap import (
    TOP,
    general_words,
    jaccard_similarity,
    overlap,
    overlap_matrix,
    top_words,
    vocabulary,
    words,
)

TEXTS = ["The tensor is returned as a tensor.", "Returns the axis; tensor axis", "An axis."]


def test_golden_values():
    left, right = [f"w{i}" for i in range(10)], [f"w{i}" for i in range(5, 15)]
    assert overlap(left, right) == 0.5
    assert jaccard_similarity(left, right) == pytest.approx(1 / 3)


@given(st.integers(1, 200), st.integers(0, 200))
def test_with_vocabularies_of_one_size_one_measure_gives_the_other(n, moved):
    left, right = range(n), range(moved, moved + n)
    o = overlap([str(i) for i in left], [str(i) for i in right])
    j = jaccard_similarity([str(i) for i in left], [str(i) for i in right])
    assert j == pytest.approx(o / (2 - o))


def test_words_are_counted_without_case_and_stop_words():
    assert words("The Tensor, a 3-d x") == ["tensor"]
    assert top_words(TEXTS, 2) == ("axis", "tensor")  # three times each: by the alphabet
    assert top_words(TEXTS) == ("axis", "tensor", "returned", "returns")
    assert top_words([""]) == ()


def test_a_vocabulary_is_that_of_the_released_script():
    texts = TEXTS * 2
    theirs = CountVectorizer(min_df=3, stop_words="english").fit(texts)
    assert vocabulary(texts) == set(theirs.get_feature_names_out())
    assert vocabulary(texts, 5) == frozenset()


def test_the_shorter_list_sets_how_far_both_are_read():
    long = [f"w{i}" for i in range(100)]
    assert overlap(long, long[:10]) == 1.0
    assert overlap(long, ["w99", "w98"]) == 0.0


def test_a_matrix_is_symmetric_and_in_order():
    domains = {"a": ["x", "y"], "b": ["y", "z"], "c": ["x", "y"]}
    matrix = overlap_matrix(domains)
    np.testing.assert_allclose(matrix, [[1, 0.5, 1], [0.5, 1, 0.5], [1, 0.5, 1]])
    np.testing.assert_allclose(overlap_matrix(domains, jaccard_similarity)[0, 1], 1 / 3)


def test_domains_without_words_are_refused():
    with pytest.raises(ValueError, match="without words"):
        overlap([], ["a"])
    with pytest.raises(ValueError, match="without words"):
        jaccard_similarity([], [])


def test_the_general_words_are_those_of_english_prose():
    found = general_words()
    assert len(set(found)) == len(found) == TOP
    assert {"university", "war", "city", "species"} <= set(found[:500])
    assert not {"the", "of"} & set(found)
    assert overlap(found, found[:100]) == 1.0
