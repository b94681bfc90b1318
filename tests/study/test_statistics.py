"""Intervals: right on known cases, and covering the truth as often as they say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import f1_score, matthews_corrcoef

from ulmfit_lib.study.statistics import (
    METRICS,
    Summary,
    bootstrap,
    contrast,
    mcnemar,
    noise_floor,
    paired_bootstrap,
    paired_difference,
    scores,
    t_interval,
)

classes = st.integers(0, 3)
pairs_of_labels = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        arrays(np.int64, n, elements=classes), arrays(np.int64, n, elements=classes)
    )
)


def simulated_runs(rng, n_seeds, n_examples, seed_sd):
    """Right (1) or wrong (0): examples differ in difficulty, seeds in luck."""
    difficulty = rng.normal(0, 1, n_examples)
    luck = rng.normal(0, seed_sd, (n_seeds, 1))
    noise = rng.normal(0, 0.7, (n_seeds, n_examples))
    return (0.5 + difficulty + luck + noise > 0).astype(int)


def test_t_interval_is_scipys():
    values = [0.71, 0.69, 0.74]
    found = t_interval(values)
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (found.mean, found.n) == (pytest.approx(np.mean(values)), 3)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.sd == pytest.approx(np.std(values, ddof=1))


def test_one_seed_has_no_interval():
    found = t_interval([0.5])
    assert math.isnan(found.low) and math.isnan(found.sd)
    assert found.text() == "50.0 (no interval: n = 1)"


def test_pairing_takes_out_what_the_seeds_share():
    luck = np.array([-0.1, 0.0, 0.1])
    found = paired_difference(0.6 + luck, 0.55 + luck)
    assert found.mean == pytest.approx(0.05)
    assert found.high - found.low < 1e-9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: t_interval([]), "shape"),
        (lambda: t_interval([0.1, math.nan]), "not finite"),
        (lambda: t_interval([0.1, 0.2], level=1.0), "level=1.0"),
        (lambda: paired_difference([0.1, 0.2], [0.1]), "first has 2 seeds, second 1"),
        (lambda: bootstrap([], [[]], seed=0), "gold has shape"),
        (lambda: bootstrap([0, 1], [0, 1], seed=0), r"\(seeds, 2\)"),
        (lambda: bootstrap([0, 1], [[0, 1, 1]], seed=0), "for 2 examples"),
        (lambda: bootstrap([0, 1], [[0, 1]], seed=0, metric="f2"), "metric='f2'"),
        (lambda: bootstrap([0, 1], [[0, 1]], seed=0, n_draws=0), "n_draws=0"),
        (lambda: contrast([0, 1], [[[0, 1]]], [1, 2], seed=0), "1 arms but 2 weights"),
        (lambda: paired_bootstrap([0], [[0], [0]], [[0]], seed=0), "same seeds"),
        (lambda: mcnemar([0, 1], [[0, 1], [1, 1]], [[0, 1], [1, 1]]), "single runs"),
        (lambda: noise_floor(0, 0.5), "n_test=0"),
        (lambda: noise_floor(10, 95.0), "accuracy=95.0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(pairs_of_labels)
def test_scores_are_scikit_learns(labels):
    gold, guess = labels
    assert scores(gold, guess) == pytest.approx(np.mean(gold == guess))
    assert scores(gold, guess, "macro_f1") == pytest.approx(f1_score(gold, guess, average="macro"))
    assert scores(gold, guess, "mcc") == pytest.approx(matthews_corrcoef(gold, guess), abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_counted_examples_score_like_repeated_ones(metric):
    rng = np.random.default_rng(1)
    gold, guesses = rng.integers(0, 3, 50), rng.integers(0, 3, (2, 4, 50))
    # every class stays in the resample, so that macro-F1 averages over the same ones
    counts = 1 + rng.integers(0, 3, (5, 50))
    found = scores(gold, guesses, metric, counts.astype(np.float32))
    assert found.shape == (2, 4, 5)
    for b in range(5):
        repeated = scores(gold.repeat(counts[b]), guesses.repeat(counts[b], axis=-1), metric)
        np.testing.assert_allclose(found[..., b], repeated, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_bootstrap_reports_the_mean_inside_its_interval(metric):
    rng = np.random.default_rng(2)
    gold = rng.integers(0, 4, 200)
    runs = np.where(rng.random((3, 200)) < 0.7, gold, rng.integers(0, 4, (3, 200)))
    found = bootstrap(gold, runs, seed=0, metric=metric, n_draws=300)
    assert found.mean == pytest.approx(scores(gold, runs, metric).mean())
    assert found.low < found.mean < found.high
    assert found == bootstrap(gold, runs, seed=0, metric=metric, n_draws=300)


def test_swapping_the_arms_turns_the_interval_round():
    rng = np.random.default_rng(3)
    gold = np.ones(300, dtype=int)
    a, b = simulated_runs(rng, 3, 300, 0.2), simulated_runs(rng, 3, 300, 0.2)
    forth = paired_bootstrap(gold, a, b, seed=5, n_draws=400)
    back = paired_bootstrap(gold, b, a, seed=5, n_draws=400)
    assert forth.mean == pytest.approx(-back.mean)
    assert (forth.low, forth.high) == (pytest.approx(-back.high), pytest.approx(-back.low))


def test_an_arm_does_not_differ_from_itself():
    runs = simulated_runs(np.random.default_rng(4), 3, 100, 0.3)
    found = paired_bootstrap(np.ones(100, dtype=int), runs, runs, seed=0, n_draws=100)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_more_examples_and_more_seeds_make_it_narrower():
    rng = np.random.default_rng(5)

    def width(n_seeds, n_examples):
        runs = simulated_runs(rng, n_seeds, n_examples, 0.3)
        found = bootstrap(np.ones(n_examples, dtype=int), runs, seed=0, n_draws=400)
        return found.high - found.low

    assert width(10, 100) > width(10, 2000)
    assert width(3, 2000) > width(20, 2000)


@pytest.mark.parametrize(("n_seeds", "seed_sd"), [(3, 0.0), (3, 0.3), (10, 0.3)])
def test_intervals_cover_the_truth(n_seeds, seed_sd):
    """95 % intervals of a true difference of 0 hold 0 at least 88 times in 100."""
    rng = np.random.default_rng(6)
    gold = np.ones(150, dtype=int)
    hits = 0
    for trial in range(100):
        a = simulated_runs(rng, n_seeds, 150, seed_sd)
        b = simulated_runs(rng, n_seeds, 150, seed_sd)
        found = paired_bootstrap(gold, a, b, seed=trial, n_draws=200)
        hits += found.low <= 0 <= found.high
    assert hits >= 88


def test_examples_alone_would_not_cover_the_seeds():
    """Why one seed is not enough: the interval of one run misses the truth too often."""
    rng = np.random.default_rng(7)
    gold, hits = np.ones(300, dtype=int), 0
    for trial in range(60):
        a, b = simulated_runs(rng, 1, 300, 0.5), simulated_runs(rng, 1, 300, 0.5)
        found = paired_bootstrap(gold, a, b, seed=trial, n_draws=100)
        hits += found.low <= 0 <= found.high
    assert hits < 45


def test_a_difference_of_differences():
    gold = np.ones(400, dtype=int)
    rng = np.random.default_rng(8)
    arms = [(rng.random((5, 400)) < p).astype(int) for p in (0.8, 0.5, 0.8, 0.75)]
    found = contrast(gold, arms, [1, -1, -1, 1], seed=0, n_draws=300)
    means = [arm.mean() for arm in arms]
    assert found.mean == pytest.approx(means[0] - means[1] - means[2] + means[3])
    assert found.low > 0


def test_mcnemar_counts_and_is_exact():
    gold = np.zeros(20, dtype=int)
    first, second = np.zeros(20, dtype=int), np.zeros(20, dtype=int)
    second[:10], first[10:12] = 1, 1
    found = mcnemar(gold, first, second)
    assert (found.only_first, found.only_second) == (10, 2)
    assert found.p_value == pytest.approx(2 * sum(math.comb(12, k) for k in range(3)) / 2**12)
    assert mcnemar(gold, first, first).p_value == 1.0


@pytest.mark.parametrize(
    ("n_test", "accuracy", "error_points", "example_points"),
    [(25_000, 0.95, 0.14, 0.004), (500, 0.96, 0.88, 0.2), (7_600, 0.95, 0.25, 0.013)],
)
def test_noise_floor_of_known_test_sets(n_test, accuracy, error_points, example_points):
    found = noise_floor(n_test, accuracy)
    assert 100 * found.standard_error == pytest.approx(error_points, abs=0.006)
    assert 100 * found.one_example == pytest.approx(example_points, rel=0.05)
    assert f"{n_test:,} test examples" in str(found)


def test_summaries_print_as_the_book_prints_them():
    found = Summary(0.7134, 0.01, 0.698, 0.726, 5)
    assert str(found) == "71.3 [69.8, 72.6]"
    assert found.text(percent=False, digits=2) == "0.71 [0.70, 0.73]"
    assert Summary(-0.004, 0, -0.01, 0.002, 3).text(sign=True) == "−0.4 [−1.0, +0.2]"
    assert Summary(-0.0001, 0, 0.0, 0.0, 3).text(sign=True) == "0.0 [0.0, 0.0]"


def test_a_bound_near_zero_shows_its_side():
    assert Summary(-0.008, 0, -0.016, -0.00011, 3).text() == "−0.8 [−1.6, −0.01]"
    assert Summary(0.01, 0, 0.00003, 0.02, 3).text(sign=True) == "+1.0 [+0.003, +2.0]"
    assert Summary(0.01, 0, 0.000001, 0.02, 3).text(sign=True) == "+1.0 [0.0, +2.0]"
