"""Baselines: strong where they should be, and blind where they should be."""

import numpy as np
import pytest

from ulmfit_lib.study.baselines import (
    linear_probe,
    majority,
    tfidf_classifier,
    tfidf_logistic_regression,
)

TOPICS = {0: ["cat", "purr", "whisker"], 1: ["rocket", "orbit", "launch"], 2: ["sonata", "violin"]}


def sentences(n, seed):
    rng = np.random.default_rng(seed)
    labels = [i % 3 for i in range(n)]
    texts = [" ".join(rng.choice(TOPICS[c] + ["the", "a", "of"], 8)) for c in labels]
    return texts, labels


def test_tfidf_finds_topics():
    (train, labels), (test, gold) = sentences(30, 0), sentences(60, 1)
    found = tfidf_logistic_regression(train, labels, test)
    assert np.mean(np.array(found) == gold) > 0.95
    assert all(type(label) is int for label in found)


def test_tfidf_uses_word_pairs():
    train = ["not good", "good not", "not good", "good not"]
    labels = [0, 1, 0, 1]
    assert tfidf_logistic_regression(train, labels, ["not good", "good not"]) == [0, 1]
    names = tfidf_classifier().fit(train, labels)[0].get_feature_names_out()
    assert set(names) == {"not", "good", "not good", "good not"}


def test_the_majority_is_the_commonest_class_and_the_smallest_on_a_tie():
    assert majority(["a", "b", "c"], [2, 1, 2], ["x", "y"]) == [2, 2]
    assert majority(["a", "b"], [5, 3], ["x"]) == [3]
    assert majority(["a"], [4], []) == []


def test_a_linear_probe_does_not_mind_the_scale_of_features():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = rng.normal(size=(90, 20))
    features[np.arange(90), labels] += 3
    features *= np.logspace(-3, 3, 20)
    found = linear_probe(features[:60], labels[:60].tolist(), features[60:])
    assert np.mean(np.array(found) == labels[60:]) > 0.8


@pytest.mark.parametrize("baseline", [tfidf_logistic_regression, majority])
def test_labels_and_texts_must_match(baseline):
    with pytest.raises(ValueError, match="2 training examples and 1 labels"):
        baseline(["a", "b"], [0], ["c"])
    with pytest.raises(ValueError, match="0 training examples"):
        baseline([], [], ["c"])


def test_one_class_cannot_be_learned():
    with pytest.raises(ValueError, match=r"\{1\} only: give two classes"):
        tfidf_logistic_regression(["a", "b"], [1, 1], ["c"])
    with pytest.raises(ValueError, match="two classes"):
        linear_probe(np.zeros((2, 3)), [0, 0], np.zeros((1, 3)))
