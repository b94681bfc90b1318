"""Numbers with their uncertainty: no mean of this book goes without an interval.

Two things make a test score uncertain: the random seed (initialisation,
order of the batches, which examples were labelled) and the luck of the test
set. :func:`bootstrap` and :func:`contrast` count both; :func:`t_interval`
serves values that exist once per seed only, such as a perplexity. Introduced
in the chapter *FitLaM*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Scores = NDArray[np.float64]
METRICS = ("accuracy", "macro_f1", "mcc")
N_DRAWS = 5_000  # bootstrap samples: a bound of two points then moves by some hundredths
_DRAWS_AT_ONCE = 4_000_000  # resampled examples held in memory at a time


@dataclass(frozen=True)
class Summary:
    """A mean and how far to trust it. Introduced in the chapter *FitLaM*."""

    mean: float
    sd: float  # between seeds, n - 1 in the denominator; nan for one seed
    low: float  # lower end of the interval; nan where none can be given
    high: float  # upper end
    n: int  # seeds
    level: float = 0.95  # coverage that the interval aims at

    def text(self, *, percent: bool = True, digits: int = 1, sign: bool = False) -> str:
        """``"71.3 [69.8, 72.6]"``.

        A bound that would be printed as zero gets up to two digits more: its
        side of zero is what decides.

        Args:
            percent: print 0.713 as 71.3.
            digits: digits after the point.
            sign: write ``+`` before positive numbers (for differences).
        """
        scale = 100.0 if percent else 1.0
        mean = _number(scale * self.mean, digits, sign)
        low, high = (_bound(scale * x, digits, sign) for x in (self.low, self.high))
        if math.isnan(self.low):
            return f"{mean} (no interval: n = {self.n})"
        return f"{mean} [{low}, {high}]"

    def __str__(self) -> str:
        """The summary in percent, one digit after the point."""
        return self.text()


@dataclass(frozen=True)
class NoiseFloor:
    """What a test set cannot resolve. Introduced in the chapter *FitLaM*."""

    n_test: int  # examples
    standard_error: float  # binomial, of one run's accuracy, in [0, 1]
    one_example: float  # how far one more right answer moves the accuracy, in [0, 1]

    def __str__(self) -> str:
        """The noise floor in points."""
        return (
            f"{self.n_test:,} test examples: one of them is {100 * self.one_example:.2f} points, "
            f"one standard error {100 * self.standard_error:.2f} points"
        )


@dataclass(frozen=True)
class McNemar:
    """Where two classifiers differ. Introduced in the chapter *FitLaM*."""

    only_first: int  # examples that only the first gets right
    only_second: int  # examples that only the second gets right
    p_value: float  # exact, two-sided


def t_interval(values: ArrayLike, level: float = 0.95) -> Summary:
    """Mean of one value per seed, with Student's interval.

    Honest for few seeds (3 of them: 4.3 standard errors each way), as long as
    the values are roughly normal. Introduced in the chapter *FitLaM*.

    Args:
        values: one finite number per seed, shape (S,).
        level: coverage, in ``(0, 1)``.

    Returns:
        The interval is nan for one seed.

    Raises:
        ValueError: no value, more than one dimension, a value that is not
            finite, or a ``level`` outside ``(0, 1)``.
    """
    scores = _per_seed("values", values)
    _check_level(level)
    half = _t_quantile(len(scores), level) * _sd(scores) / math.sqrt(len(scores))
    mean = float(scores.mean())
    return Summary(mean, _sd(scores), mean - half, mean + half, len(scores), level)


def paired_difference(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Summary:
    """Mean of ``first - second`` over seeds that both arms share.

    Introduced in the chapter *FitLaM*.

    Args:
        first, second: one finite number per seed, shape (S,), in the same
            order of seeds.
        level: coverage, in ``(0, 1)``.

    Raises:
        ValueError: different numbers of seeds, and whatever :func:`t_interval` refuses.
    """
    a, b = _per_seed("first", first), _per_seed("second", second)
    if len(a) != len(b):
        raise ValueError(
            f"first has {len(a)} seeds, second {len(b)}: a paired comparison needs the same seeds"
        )
    return t_interval(a - b, level)


def bootstrap(
    gold: ArrayLike,
    predictions: ArrayLike,
    *,
    seed: int,
    metric: str = "accuracy",
    n_draws: int = N_DRAWS,
    level: float = 0.95,
) -> Summary:
    """Mean score of an arm; the interval counts seeds and test examples.

    :func:`contrast` with one arm. Introduced in the chapter *FitLaM*.

    Args:
        gold: true classes, shape (N,).
        predictions: predicted classes, shape (S, N), one row per seed.
        seed: of the resampling.
        metric: one of :data:`METRICS`.
        n_draws: bootstrap samples.
        level: coverage, in ``(0, 1)``.

    Raises:
        ValueError: shapes that do not fit, or an argument out of range.
    """
    return contrast(
        gold, [predictions], [1.0], seed=seed, metric=metric, n_draws=n_draws, level=level
    )


def paired_bootstrap(
    gold: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    seed: int,
    metric: str = "accuracy",
    n_draws: int = N_DRAWS,
    level: float = 0.95,
) -> Summary:
    """Mean of ``score(first) - score(second)``, same seeds and same examples.

    :func:`contrast` with weights 1 and -1. Introduced in the chapter *FitLaM*.

    Args:
        gold: true classes, shape (N,).
        first, second: predicted classes, shape (S, N), row s of both from seed s.
        seed: of the resampling.
        metric: one of :data:`METRICS`.
        n_draws: bootstrap samples.
        level: coverage, in ``(0, 1)``.

    Raises:
        ValueError: shapes that do not fit, or an argument out of range.
    """
    arms, weights = [first, second], [1.0, -1.0]
    return contrast(gold, arms, weights, seed=seed, metric=metric, n_draws=n_draws, level=level)


def contrast(
    gold: ArrayLike,
    arms: Sequence[ArrayLike],
    weights: Sequence[float],
    *,
    seed: int,
    metric: str = "accuracy",
    n_draws: int = N_DRAWS,
    level: float = 0.95,
) -> Summary:
    r"""Weighted sum of arms' scores with a bootstrap over seeds and examples.

    Every draw resamples the test examples (the same for all arms and seeds)
    and, independently, the seeds (the same for all arms), and adds both
    deviations to the mean. Resampling S seeds alone makes intervals that are
    too short when S is small, so the seeds' part is stretched by
    :math:`\sqrt{S / (S - 1)} \cdot t_{S-1} / z`. With one seed only the
    examples vary, and the interval says nothing about other seeds.
    Introduced in the chapter *FitLaM*.

    Args:
        gold: true classes, shape (N,).
        arms: predicted classes of each arm, shape (S, N); row s of each is seed s's.
        weights: of the arms; (1, -1) is a difference, (1, -1, -1, 1) one of differences.
        seed: of the resampling.
        metric: one of :data:`METRICS`.
        n_draws: bootstrap samples.
        level: coverage, in ``(0, 1)``.

    Raises:
        ValueError: shapes that do not fit, or an argument out of range.
    """
    truth, stack = _checked_arms(gold, arms, weights)
    _check_level(level)
    rng = np.random.default_rng(seed)
    by_seed = np.tensordot(np.asarray(weights), scores(truth, stack, metric), axes=1)
    blocks = [
        np.tensordot(weights, scores(truth, stack, metric, counts).mean(axis=1), axes=1)
        for counts in _resampled_examples(len(truth), n_draws, rng)
    ]
    draws = np.concatenate(blocks) + _seed_deviations(by_seed, n_draws, level, rng)
    tail = (1.0 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    mean, sd = float(by_seed.mean()), _sd(by_seed)
    return Summary(mean, sd, float(low), float(high), len(by_seed), level)


def scores(
    gold: NDArray[np.int64],
    predictions: NDArray[np.int64],
    metric: str = "accuracy",
    counts: NDArray[np.float32] | None = None,
) -> Scores:
    """Score of every row of predictions, on the test set or on resamples of it.

    ``macro_f1`` averages over the classes that occur in ``gold`` or in any
    prediction, a class that is absent from a resample counting 0; ``mcc`` is
    Matthews' coefficient for any number of classes (Gorodkin 2004), 0 where
    it is undefined. Introduced in the chapter *FitLaM*.

    Args:
        gold: true classes, shape (N,).
        predictions: predicted classes, shape (..., N).
        metric: one of :data:`METRICS`.
        counts: how often each resample drew each example, shape (B, N).

    Returns:
        Shape (...) without ``counts``, (..., B) with them.

    Raises:
        ValueError: an unknown ``metric``.
    """
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r}: choose one of {', '.join(METRICS)}")
    draws = np.ones((1, len(gold)), dtype=np.float32) if counts is None else counts
    rows = predictions.reshape(-1, len(gold))
    if metric == "accuracy":
        found = ((rows == gold).astype(np.float32) @ draws.T) / draws.sum(axis=1)
    else:
        of_tally = {"macro_f1": _macro_f1, "mcc": _mcc}[metric]
        found = np.stack([of_tally(tally) for tally in _tallies(gold, rows, draws)])
    shaped = found.astype(np.float64).reshape(*predictions.shape[:-1], len(draws))
    return shaped[..., 0] if counts is None else shaped


def mcnemar(gold: ArrayLike, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Exact test whether two classifiers are right equally often.

    One run of each, on the same examples. Source: McNemar (1947), in its
    exact binomial form. Introduced in the chapter *FitLaM*.

    Args:
        gold: true classes, shape (N,).
        first, second: predicted classes, shape (N,).

    Raises:
        ValueError: shapes that differ, or no example.
    """
    truth, stack = _checked_arms(gold, [np.atleast_2d(first), np.atleast_2d(second)], [1, -1])
    if stack.shape[1] != 1:
        raise ValueError(f"first holds {stack.shape[1]} runs: McNemar's test compares single runs")
    right = stack[:, 0] == truth
    b, c = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    p_value = float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0
    return McNemar(b, c, p_value)


def noise_floor(n_test: int, accuracy: float) -> NoiseFloor:
    """How much a score on ``n_test`` examples moves by sampling alone.

    Introduced in the chapter *FitLaM*.

    Args:
        n_test: test examples.
        accuracy: a typical accuracy, in ``[0, 1]``.

    Raises:
        ValueError: ``n_test < 1`` or ``accuracy`` outside ``[0, 1]``.
    """
    if n_test < 1:
        raise ValueError(f"n_test={n_test}: a test set has at least 1 example")
    if not 0.0 <= accuracy <= 1.0:
        raise ValueError(f"accuracy={accuracy}: give a share in [0, 1], not a percentage")
    return NoiseFloor(n_test, math.sqrt(accuracy * (1 - accuracy) / n_test), 1 / n_test)


def _resampled_examples(
    n_examples: int, n_draws: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """How often each draw takes each example, a block (b, N) at a time."""
    if n_draws < 1:
        raise ValueError(f"n_draws={n_draws}: draw at least 1 bootstrap sample")
    block = max(1, _DRAWS_AT_ONCE // n_examples)
    for start in range(0, n_draws, block):
        size = min(block, n_draws - start)
        picked = rng.integers(n_examples, size=(size, n_examples), dtype=np.int32)
        picked += np.arange(0, size * n_examples, n_examples, dtype=np.int32)[:, None]
        counts = np.bincount(picked.ravel(), minlength=size * n_examples)
        yield counts.reshape(size, n_examples).astype(np.float32)


def _seed_deviations(
    by_seed: Scores, n_draws: int, level: float, rng: np.random.Generator
) -> Scores:
    """What other seeds would have added to the mean, shape (n_draws,)."""
    n = len(by_seed)
    if n == 1:
        return np.zeros(n_draws)
    picked = by_seed[rng.integers(n, size=(n_draws, n))].mean(axis=1) - by_seed.mean()
    stretch = math.sqrt(n / (n - 1)) * _t_quantile(n, level) / stats.norm.ppf((1 + level) / 2)
    return stretch * picked


class _Tally(NamedTuple):
    """How often each class occurs in each draw, every one (B, C)."""

    right: Scores  # given rightly
    gold: Scores
    guessed: Scores


def _tallies(
    gold: NDArray[np.int64], rows: NDArray[np.int64], draws: NDArray[np.float32]
) -> Iterator[_Tally]:
    """What both F1 and Matthews' coefficient hang on, for every row of predictions."""
    classes, codes = np.unique(np.concatenate([gold, rows.ravel()]), return_inverse=True)
    is_class, truth = np.eye(len(classes), dtype=np.float32), codes[: len(gold)]

    def count(members: NDArray[np.float32]) -> Scores:
        """In each draw."""
        return (draws @ members).astype(np.float64)

    held = count(is_class[truth])
    for guess in codes[len(gold) :].reshape(rows.shape):
        members = is_class[guess]
        yield _Tally(count(members * (guess == truth)[:, None]), held, count(members))


def _macro_f1(tally: _Tally) -> Scores:
    in_play = tally.gold + tally.guessed
    f1 = np.divide(2 * tally.right, in_play, out=np.zeros_like(in_play), where=in_play > 0)
    return np.asarray(f1.mean(axis=1))


def _mcc(tally: _Tally) -> Scores:
    total, hits = tally.gold.sum(axis=1), tally.right.sum(axis=1)
    covariance = hits * total - (tally.gold * tally.guessed).sum(axis=1)
    gold, guessed = (total**2 - (n**2).sum(axis=1) for n in (tally.gold, tally.guessed))
    scale = np.sqrt(gold * guessed)
    return np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)


def _checked_arms(
    gold: ArrayLike, arms: Sequence[ArrayLike], weights: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``gold`` (N,) and all arms (A, S, N) as whole numbers."""
    truth = np.asarray(gold)
    if truth.ndim != 1 or not truth.size:
        raise ValueError(f"gold has shape {truth.shape}: give one class per example, (N,)")
    if len(arms) != len(weights) or not len(arms):
        raise ValueError(f"{len(arms)} arms but {len(weights)} weights: give one weight per arm")
    shapes = [np.shape(arm) for arm in arms]
    for shape in shapes:
        if shape != shapes[0] or len(shape) != 2 or shape[1] != len(truth) or not shape[0]:
            raise ValueError(
                f"predictions have shapes {shapes} for {len(truth)} examples: every arm needs "
                f"(seeds, {len(truth)}), with the same seeds"
            )
    return truth.astype(np.int64), np.stack([np.asarray(arm) for arm in arms]).astype(np.int64)


def _per_seed(name: str, values: ArrayLike) -> Scores:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"{name} has shape {scores.shape}: give one number per seed, (S,)")
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}={scores.tolist()} holds a number that is not finite")
    return scores


def _sd(scores: Scores) -> float:
    return float(scores.std(ddof=1)) if len(scores) > 1 else math.nan


def _t_quantile(n: int, level: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, n - 1)) if n > 1 else math.nan


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level}: give a coverage in (0, 1), such as 0.95")


def _bound(value: float, digits: int, sign: bool) -> str:
    """``value`` with as many digits as show its side of zero, two more at most."""
    more = (n for n in range(digits, digits + 3) if round(value, n))
    return _number(value, next(more, digits), sign)


def _number(value: float, digits: int, sign: bool) -> str:
    """``value`` with a true minus sign and without a negative zero."""
    rounded = round(value, digits) + 0.0
    return f"{rounded:{'+' if sign and rounded else ''}.{digits}f}".replace("-", "\N{MINUS SIGN}")
