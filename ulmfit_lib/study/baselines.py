"""The baselines a sceptic asks for.

They see the same labelled examples as the models they are compared with, and
nothing in them is chosen on test data. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from numpy.typing import ArrayLike
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

_TFIDF_C = 10.0  # the same for every data set and every number of labels
_PROBE_C = 0.1  # standardised features are many and the labels few: pull hard


def tfidf_classifier(c: float = _TFIDF_C) -> Pipeline:
    """TF-IDF of words and word pairs, then logistic regression, not yet fitted.

    Sub-linear term frequency, lower case. Introduced in the chapter *FitLaM*.

    Args:
        c: inverse strength of the L2 penalty, fixed beforehand. With 10 or 50
            labels a class it hardly matters: from 1 to 100, held-out training
            text of pydocs, IMDb and AG News moved by less than 0.6 points.
    """
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
    return make_pipeline(words, LogisticRegression(C=c, max_iter=1000))


def tfidf_logistic_regression(
    train_texts: Sequence[str], train_labels: Sequence[int], test_texts: Sequence[str]
) -> list[int]:
    """Predictions of :func:`tfidf_classifier`, one per test text.

    Introduced in the chapter *FitLaM*.

    Args:
        train_texts: labelled texts, length N.
        train_labels: class of each, length N.
        test_texts: texts to classify.

    Raises:
        ValueError: no example, texts and labels of different lengths, one
            class only, or no text that holds a word.
    """
    _check(train_texts, train_labels, classes=2)
    model = tfidf_classifier().fit(list(train_texts), list(train_labels))
    return [int(label) for label in model.predict(list(test_texts))]


def majority(
    train_texts: Sequence[str], train_labels: Sequence[int], test_texts: Sequence[str]
) -> list[int]:
    """The commonest training class for every test text; on a tie the smallest label.

    Introduced in the chapter *FitLaM*.

    Args:
        train_texts: labelled texts, length N; only counted.
        train_labels: class of each, length N.
        test_texts: texts to classify.

    Raises:
        ValueError: no example, or texts and labels of different lengths.
    """
    _check(train_texts, train_labels, classes=1)
    counts = Counter(int(label) for label in train_labels)
    commonest = min(counts, key=lambda label: (-counts[label], label))
    return [commonest] * len(test_texts)


def linear_probe(
    train_features: ArrayLike, train_labels: Sequence[int], test_features: ArrayLike
) -> list[int]:
    """Logistic regression on frozen features: what they hold before any fine-tuning.

    Introduced in the chapter *FitLaM*.

    Args:
        train_features: shape (N, F); scaled here to mean 0 and variance 1.
        train_labels: class of each, length N.
        test_features: shape (M, F).

    Returns:
        Predicted classes, length M.

    Raises:
        ValueError: no example, features and labels of different lengths, or
            one class only.
    """
    _check(train_features, train_labels, classes=2)  # type: ignore[arg-type]
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=_PROBE_C, max_iter=1000))
    probe.fit(train_features, list(train_labels))
    return [int(label) for label in probe.predict(test_features)]


def _check(examples: Sequence[object], labels: Sequence[int], classes: int) -> None:
    if len(examples) != len(labels) or not len(labels):
        raise ValueError(
            f"{len(examples)} training examples and {len(labels)} labels: give one label each"
        )
    if len(set(labels)) < classes:
        raise ValueError(f"the training labels hold {set(labels)} only: give two classes or more")
