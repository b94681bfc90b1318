"""A known saving is found, its interval covers it, and what was never reached is not made up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.study.record_samples import record
from ulmfit_lib.study.label_savings import label_savings, labels_needed
from ulmfit_lib.study.records import RecordError

SIZES = (5, 20, 50, 200)


def curves(saving: float, seeds: int = 5) -> dict[str, float]:
    """Arms whose accuracy grows with the logarithm of the labels; transfer is ``saving`` ahead."""

    def accuracy(n: float) -> float:
        return 0.55 + 0.08 * math.log(n)

    found = {f"scratch/{n}": accuracy(n) for n in SIZES}
    return found | {f"tuned/{n}": accuracy(saving * n) for n in (5, 20)}


def test_labels_needed_are_read_off_between_the_points() -> None:
    assert labels_needed([10, 1000], [0.5, 0.7], 0.6) == pytest.approx(100)
    assert labels_needed([10, 100], [0.5, 0.7], 0.7) == pytest.approx(100)
    assert labels_needed([10, 100], [0.5, 0.7], 0.4) == 10
    assert labels_needed([10, 100], [0.5, 0.7], 0.71) == math.inf
    assert labels_needed([1, 10, 100], [0.5, 0.4, 0.6], 0.55) == pytest.approx(10**1.5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_target_never_needs_fewer_labels(
    accuracies: list[float], first: float, second: float
) -> None:
    sizes = [5 * 2**i for i in range(len(accuracies))]
    low, high = sorted((first, second))
    needed = labels_needed(sizes, accuracies, low)
    assert needed <= labels_needed(sizes, accuracies, high) * (1 + 1e-9)
    assert needed == math.inf or sizes[0] <= needed <= sizes[-1]


def test_curves_that_are_none_are_refused() -> None:
    for sizes, accuracies in (([], []), ([5, 5], [0.1, 0.2]), ([5], [0.1, 0.2])):
        with pytest.raises(ValueError, match="ascending sizes"):
            labels_needed(sizes, accuracies, 0.5)


@pytest.mark.parametrize("saving", [2.0, 6.0])
def test_a_known_saving_is_found_within_its_interval(saving: float) -> None:
    at_five, at_twenty = label_savings(record(curves(saving)), "tuned", "scratch", n_draws=400)
    assert (at_five.per_class, at_twenty.per_class) == (5, 20)
    for found in (at_five, at_twenty):
        assert found.low <= saving <= found.high
        assert found.low <= found.factor <= found.high
        assert found.low >= 0.5 * saving
    assert at_five.most == 40


def test_a_baseline_that_never_gets_there_gives_a_bound() -> None:
    arms = {"scratch/5": 0.3, "scratch/50": 0.4, "tuned/5": 0.9}
    (found,) = label_savings(record(arms), "tuned", "scratch", n_draws=100)
    assert found.factor == found.low == found.high == math.inf
    assert found.text() == "> 10 [> 10, > 10]"


def test_no_saving_where_transfer_does_not_help() -> None:
    arms = {"scratch/5": 0.6, "scratch/50": 0.9, "tuned/5": 0.6, "tuned/50": 0.9}
    for found in label_savings(record(arms), "tuned", "scratch", n_draws=300):
        assert found.low <= 1.3 and found.high >= 0.9


def test_one_seed_has_an_interval_of_its_examples_alone() -> None:
    wide = label_savings(record(curves(4.0)), "tuned", "scratch", n_draws=300)[0]
    one = label_savings(record(curves(4.0), seeds=1), "tuned", "scratch", n_draws=300)[0]
    assert one.low < one.high and np.isfinite(one.factor) and np.isfinite(wide.factor)


def test_the_same_record_gives_the_same_interval() -> None:
    sample = record(curves(3.0))
    first, second = (label_savings(sample, "tuned", "scratch", n_draws=50) for _ in range(2))
    assert first == second


def test_what_a_record_lacks_is_named() -> None:
    sample = record(curves(3.0))
    with pytest.raises(RecordError, match="has no arms other/LABELS"):
        label_savings(sample, "other", "scratch")
    without = record(curves(3.0), keep_predictions=False)
    with pytest.raises(RecordError, match="'tuned/5' kept no predictions"):
        label_savings(without, "tuned", "scratch")
    with pytest.raises(ValueError, match="level=2"):
        label_savings(sample, "tuned", "scratch", level=2)
