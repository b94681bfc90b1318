"""Schedules: golden values, bounds for every length, and the position adapter."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_linear_schedule_with_warmup

from ulmfit_lib.training.schedules import (
    by_position,
    constant,
    cosine,
    linear_warmup,
    reverse_cosine,
    slanted_triangular,
    slanted_triangular_as_printed,
    sun2019_warmup,
    warmup_reverse_annealing,
)

SCHEDULES = [
    constant,
    cosine,
    reverse_cosine,
    warmup_reverse_annealing,
    slanted_triangular,
    linear_warmup,
    sun2019_warmup,
]


def test_slanted_triangular_golden_values():
    rates = slanted_triangular(np.array([0, 9, 10, 55, 99]), 100, 0.01)
    golden = [0.0003125, 0.00903125, 0.01, 0.00515625, 0.000420139]
    np.testing.assert_allclose(rates, golden, rtol=1e-5)


def test_cosine_and_reverse_golden_values():
    t = np.array([0, 25, 50, 75, 99])
    falling = [0.01, 0.008536, 0.005, 0.001464, 2e-6]
    np.testing.assert_allclose(cosine(t, 100, 0.01), falling, atol=5e-7)
    rising = [0, 0.001464, 0.005, 0.008536, 0.009998]
    np.testing.assert_allclose(reverse_cosine(t, 100, 0.01), rising, atol=5e-7)


@pytest.mark.parametrize(("x", "factor"), [(0.0999, 0.999), (0.1, 0.9), (0.5, 0.5)])
def test_sun2019_jumps_down_at_the_end_of_its_warmup(x, factor):
    assert sun2019_warmup(round(x * 10_000), 10_000, 1.0) == pytest.approx(factor)


@pytest.mark.parametrize(("T", "negative"), [(15, 4), (19, 8), (99, 6), (109, 6), (100, 0)])
def test_the_printed_formula_goes_negative(T, negative):
    rates = slanted_triangular_as_printed(np.arange(T), T, 0.01)
    assert (rates < 0).sum() == negative
    if T == 15:
        assert rates.min() == pytest.approx(-0.004, abs=5e-4)


@pytest.mark.parametrize("T", range(1, 10))
def test_the_printed_formula_divides_by_zero_on_short_runs(T):
    with pytest.raises(ZeroDivisionError):
        slanted_triangular_as_printed(0, T, 0.01)


@pytest.mark.parametrize("T", [10, 100, 2000])
def test_the_printed_formula_is_right_where_nothing_is_rounded(T):
    t = np.arange(T)
    printed = slanted_triangular_as_printed(t, T, 0.01)
    np.testing.assert_allclose(slanted_triangular(t, T, 0.01), printed, rtol=1e-12)


@given(
    T=st.integers(1, 3000),
    cut_frac=st.floats(1e-4, 1.0),
    ratio=st.floats(1.0, 1000.0),
    lr_max=st.floats(1e-8, 100.0),
)
def test_slanted_triangular_is_positive_for_every_length(T, cut_frac, ratio, lr_max):
    rates = slanted_triangular(np.arange(T), T, lr_max, cut_frac, ratio)
    assert np.all(rates > 0)
    assert np.all(rates >= lr_max / ratio * (1 - 1e-9))
    assert np.all(rates <= lr_max * (1 + 1e-9))
    cut = max(1, int(T * cut_frac))
    if cut < T:
        assert rates[cut] == pytest.approx(lr_max)
        assert np.all(np.diff(rates[cut:]) <= 0) and np.all(np.diff(rates[: cut + 1]) >= 0)


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(T=st.integers(1, 500), lr_max=st.floats(0.0, 100.0))
def test_every_schedule_stays_within_bounds(schedule, T, lr_max):
    rates = schedule(np.arange(T + 1), T, lr_max)
    assert rates.shape == (T + 1,)
    assert np.all(rates >= 0) and np.all(rates <= lr_max * (1 + 1e-9))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_array_gives_what_single_batches_give(schedule):
    singles = [schedule(t, 37, 0.02) for t in range(37)]
    assert all(type(rate) is float for rate in singles)
    np.testing.assert_array_equal(schedule(np.arange(37), 37, 0.02), singles)


@pytest.mark.parametrize(("T", "warmup"), [(10, 0.5), (9, 1 / 3), (100, 0.25)])
def test_warmup_reverse_annealing_is_the_two_cosines_end_to_end(T, warmup):
    rise = round(T * warmup)
    rates = warmup_reverse_annealing(np.arange(T), T, 0.01, warmup)
    up, down = np.arange(rise), np.arange(T - rise)
    np.testing.assert_allclose(rates[:rise], reverse_cosine(up, rise, 0.01), atol=1e-15)
    np.testing.assert_allclose(rates[rise:], cosine(down, T - rise, 0.01), atol=1e-15)
    assert rates[rise] == 0.01


def test_warmup_of_nothing_or_everything():
    t = np.arange(20)
    np.testing.assert_allclose(warmup_reverse_annealing(t, 20, 1.0, 0.0), cosine(t, 20, 1.0))
    all_warmup = warmup_reverse_annealing(t, 20, 1.0, 1.0)
    np.testing.assert_allclose(all_warmup, reverse_cosine(t, 20, 1.0))
    np.testing.assert_allclose(linear_warmup(t, 20, 1.0, 0.0), 1 - t / 20)
    np.testing.assert_allclose(sun2019_warmup(t, 20, 1.0, 0.0), 1 - t / 20)


def test_linear_warmup_equals_transformers():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = get_linear_schedule_with_warmup(optimizer, 10, 100)
    for t in range(100):
        assert linear_warmup(t, 100, 0.3) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("t", "T", "lr_max", "named"),
    [
        (-1, 10, 0.1, "t=-1"),
        (11, 10, 0.1, "t=11"),
        (0, 0, 0.1, "T=0"),
        (0, 10, -0.1, "lr_max=-0.1"),
        (float("nan"), 10, 0.1, "t=nan"),
        (0, 10, float("nan"), "lr_max=nan"),
    ],
)
def test_bad_arguments_are_named(schedule, t, T, lr_max, named):
    with pytest.raises(ValueError, match=named):
        schedule(t, T, lr_max)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="cut_frac=0"):
        slanted_triangular(0, 10, 0.1, cut_frac=0)
    with pytest.raises(ValueError, match="ratio=0.5"):
        slanted_triangular(0, 10, 0.1, ratio=0.5)
    for schedule in (warmup_reverse_annealing, linear_warmup, sun2019_warmup):
        with pytest.raises(ValueError, match="warmup=1.5"):
            schedule(0, 10, 0.1, warmup=1.5)


@given(n_epochs=st.integers(1, 7), n_batches=st.integers(1, 400))
def test_a_position_summed_as_fastai_sums_it_gives_the_exact_batch(n_epochs, n_batches):
    T = n_epochs * n_batches
    rates = by_position(lambda t, T, lr: t * lr, T, [1.0])
    seen = []
    for epoch in range(n_epochs):
        position = epoch / n_epochs
        for _ in range(n_batches):
            seen.append(rates(position)[0])
            position += 1.0 / T
    assert seen == list(range(T))


def test_by_position_gives_each_group_its_own_rate():
    schedule = partial(slanted_triangular, ratio=8, cut_frac=1 / 3)
    rates = by_position(schedule, 30, [0.001, 0.01])
    assert rates(10 / 30) == pytest.approx([0.001, 0.01])
    assert rates(1.0) == rates(29 / 30) == rates(1.2)
    assert all(type(rate) is float for rate in rates(0.0))


def test_by_position_refuses_an_empty_run():
    with pytest.raises(ValueError, match="T=0"):
        by_position(cosine, 0, [0.1])
    with pytest.raises(ValueError, match="0 learning rates"):
        by_position(cosine, 10, [])
