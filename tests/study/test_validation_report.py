"""The report counts right, and says it plainly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from ulmfit_lib.study.validation_report import validation_report

GOLD = [0] * 8 + [1] * 2 + [2] * 3
GUESS = [0] * 7 + [1] + [0, 1] + [2, 2, 0]
NAMES = ["common", "rare", "third"]


def test_the_numbers_are_scikit_learns() -> None:
    found = validation_report(GOLD, GUESS, NAMES)
    assert found.accuracy == pytest.approx(np.mean(np.equal(GOLD, GUESS)))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(GOLD, GUESS))
    assert found.macro_f1 == pytest.approx(f1_score(GOLD, GUESS, average="macro"))
    assert found.confusion == tuple(map(tuple, confusion_matrix(GOLD, GUESS).tolist()))
    columns = precision_recall_fscore_support(GOLD, GUESS)
    for score, expected in zip(found.classes, zip(*columns, strict=True), strict=True):
        assert (score.precision, score.recall, score.f1, score.n) == pytest.approx(expected)
    assert found.low < found.accuracy < found.high


def test_forty_right_of_forty_is_not_certainty() -> None:
    found = validation_report([0, 1] * 20, [0, 1] * 20, ["a", "b"])
    assert (found.accuracy, found.high) == (1.0, pytest.approx(1.0))
    assert found.low == pytest.approx(40 / (40 + 1.959964**2), abs=1e-6), "Wilson's interval"


def test_a_class_that_nobody_names_and_one_that_is_absent() -> None:
    found = validation_report([0, 0, 1], [0, 0, 0], ["a", "b", "absent"])
    assert found.balanced_accuracy == 0.5
    assert found.classes[1].precision == found.classes[1].f1 == 0.0
    assert found.classes[2].n == 0


def test_the_text_shows_measures_baselines_and_confusions() -> None:
    text = validation_report(GOLD, GUESS, NAMES, {"commonest class": 8 / 13}).text()
    assert "held-out examples: 13" in text and "balanced accuracy 68.1" in text
    assert "commonest class 61.5" in text
    lines = text.splitlines()
    assert lines[-4].split() == ["true", "class", "\\", "answer", *NAMES]
    assert lines[-3].split() == ["common", "7", "1", "0"]


def test_many_classes_list_their_worst_confusions() -> None:
    names = [f"class {i}" for i in range(20)]
    gold = list(range(20)) * 3
    guess = gold.copy()
    guess[0] = guess[20] = 7
    text = validation_report(gold, guess, names).text()
    assert "2 x 'class 0' taken for 'class 7'" in text and "true class" not in text


@pytest.mark.parametrize(
    ("gold", "guess", "names", "message"),
    [
        ([], [], ["a"], "0 true classes"),
        ([0], [0, 1], ["a", "b"], "1 true classes and 2 answers"),
        ([0], [2], ["a", "b"], "class 2 for 2 label names"),
    ],
)
def test_what_does_not_fit_is_refused(
    gold: list[int], guess: list[int], names: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        validation_report(gold, guess, names)
