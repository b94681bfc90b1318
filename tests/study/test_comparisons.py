"""Arms against one another: paired by seed, with the interval that fits."""

from dataclasses import replace

import numpy as np
import pytest

from tests.study.record_samples import N_TEST, record
from ulmfit_lib.study.comparisons import (
    arm_contrast,
    arm_difference,
    arm_summary,
    mean_effect,
    record_noise_floor,
    rise_after_best,
    rise_difference,
)
from ulmfit_lib.study.records import RecordError
from ulmfit_lib.study.statistics import Summary, noise_floor, paired_difference, t_interval


def test_predictions_give_a_bootstrap_over_seeds_and_examples():
    sample = record({"a": 0.8, "b": 0.5})
    found = arm_difference(sample, "a", "b")
    values = sample.values("a", "accuracy") - sample.values("b", "accuracy")
    assert found.mean == pytest.approx(values.mean())
    assert 0.2 < found.low < found.mean < found.high < 0.4
    assert found == arm_difference(sample, "a", "b")
    assert arm_summary(sample, "a").mean == pytest.approx(sample.values("a", "accuracy").mean())


def test_one_training_under_two_names_has_one_interval():
    sample = record({"a": 0.8, "b": 0.5})
    twice = replace(sample, arms={**sample.arms, "lr=1x": sample.arms["a"]})
    assert arm_summary(twice, "lr=1x") == arm_summary(twice, "a")
    assert arm_difference(twice, "lr=1x", "b") == arm_difference(twice, "a", "b")


def test_an_arm_is_not_compared_with_itself():
    with pytest.raises(ValueError, match="'a' is compared with itself"):
        arm_difference(record({"a": 0.8, "b": 0.5}), "a", "a")


def test_without_predictions_students_interval_over_seeds_is_used():
    sample = record({"a": 0.8, "b": 0.5}, keep_predictions=False)
    a, b = sample.values("a", "accuracy"), sample.values("b", "accuracy")
    assert arm_summary(sample, "a") == t_interval(a)
    found, wanted = arm_difference(sample, "a", "b"), paired_difference(a, b)
    assert found.mean == pytest.approx(wanted.mean)
    assert (found.low, found.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))


def test_only_seeds_that_all_arms_share_are_compared():
    sample = record({"a": 0.8, "b": 0.5})
    fewer = replace(
        sample, arms={"a": sample.arms["a"], "b": {s: sample.arms["b"][s] for s in (1, 3, 4)}}
    )
    found = arm_difference(fewer, "a", "b")
    seeds = [1, 3, 4]
    wanted = fewer.values("a", "accuracy", seeds) - fewer.values("b", "accuracy", seeds)
    assert (found.n, found.mean) == (3, pytest.approx(wanted.mean()))
    apart = replace(sample, arms={"a": {0: sample.arms["a"][0]}, "b": {1: sample.arms["b"][1]}})
    with pytest.raises(RecordError, match="no seed in common"):
        arm_difference(apart, "a", "b")


def test_a_contrast_weighs_its_arms():
    sample = record({"a": 0.9, "b": 0.6, "c": 0.7, "d": 0.65}, keep_predictions=False)
    found = arm_contrast(sample, {"a": 1, "b": -1, "c": -1, "d": 1})
    means = [sample.values(arm, "accuracy").mean() for arm in "abcd"]
    assert found.mean == pytest.approx(np.dot(means, [1, -1, -1, 1]))


def test_the_noise_floor_is_that_of_the_test_set():
    sample = record({"a": 0.8})
    accuracy = sample.values("a", "accuracy").mean()
    assert record_noise_floor(sample, "a") == noise_floor(N_TEST, accuracy)


def test_a_rise_is_measured_from_the_lowest_fifth_to_the_last():
    assert rise_after_best([0.5, 0.2, 0.4]) == pytest.approx(0.2)
    assert rise_after_best([0.5, 0.4, 0.2]) == 0 == rise_after_best([0.3])
    lucky = [0.5, 0.5, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert rise_after_best(lucky) == pytest.approx(0.25), "one epoch of two makes half a valley"
    with pytest.raises(ValueError, match="curve is empty"):
        rise_after_best([])


def test_rises_are_paired_by_seed():
    sample = record({"u": 0.5, "flat": 0.5})
    for arm, rise in (("u", 0.1), ("flat", 0.02)):
        for seed, cell in sample.arms[arm].items():
            curve = [0.3, 0.2, 0.2 + rise + 0.01 * seed]
            sample.arms[arm][seed] = replace(cell, curves={"valid_error": curve})
    found = rise_difference(sample, "u", "flat", "valid_error")
    assert (found.mean, found.sd) == (pytest.approx(0.08), pytest.approx(0, abs=1e-12))
    assert found.n == 5
    with pytest.raises(RecordError, match=r"'u' kept no curve 'loss': \['valid_error'\]"):
        rise_difference(sample, "u", "flat", "loss")


def test_a_mean_effect_counts_every_task_alike():
    effects = [Summary(mean, 9, mean - 9, mean + 9, 5) for mean in (1.0, 2.0, 6.0)]
    assert mean_effect(effects) == t_interval([1, 2, 6])
    with pytest.raises(ValueError):
        mean_effect([])
