"""The prefix filter finds every near copy that comparing all pairs finds."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.near_copies import (
    jaccard,
    near_copy_groups,
    near_copy_pairs,
    shingles,
    unlike,
)

SETS = st.lists(st.frozensets(st.sampled_from("abcdefghij"), min_size=1, max_size=8), max_size=12)


@given(SETS, st.sampled_from([0.2, 1 / 3, 0.5, 0.6, 0.75, 1.0]))
def test_equals_brute_force(sets: list[frozenset[str]], threshold: float) -> None:
    expected = {
        (i, j)
        for i, j in itertools.combinations(range(len(sets)), 2)
        if jaccard(sets[i], sets[j]) >= threshold
    }
    found = list(near_copy_pairs(sets, threshold))
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_jaccard() -> None:
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5
    assert jaccard(frozenset("ab"), frozenset("ab")) == 1
    assert jaccard(frozenset("ab"), frozenset("cd")) == 0


def test_shingles_forget_case_marks_and_made_up_words() -> None:
    assert shingles("The BertModel, of 3!") == {"the # of", "# of #"}
    assert shingles("the RobertaModel of 12") == shingles("The BertModel, of 3!")
    assert shingles("One two") == {"one two"}
    assert shingles("") == {""}


def test_groups_join_copies_of_copies() -> None:
    texts = ["a b c d e f", "x y z", "a b c d e f g", "A b c d e f", "b c d e f g h"]
    assert near_copy_groups(texts, 0.5) == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("threshold", [0, -1, 1.5])
def test_thresholds_that_mean_nothing(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        near_copy_groups(["a"], threshold)


def test_copies_of_forbidden_texts_and_of_each_other_are_told_apart():
    words = [
        f"{a} {b} {c} {d}" for a, b, c, d in zip("abcde", "fghij", "klmno", "pqrst", strict=True)
    ]
    texts = [words[0], words[1], words[1], words[2]]
    assert unlike(texts, [words[2]]) == [0, 1, 2]
    assert unlike(texts, [words[2]], distinct=True) == [0, 1]
    assert unlike(texts, []) == [0, 1, 2, 3]
    assert unlike([], texts) == []
