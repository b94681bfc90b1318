"""How many labels does transfer save? One learning curve against another, with an interval.

A classifier that starts from a language model reaches some accuracy with n
labels a class; the same network from scratch needs m of them for the same
accuracy. The saving is m / n, read off the two curves. Source: ULMFiT, section
5 ("Low-shot learning"), which gives it without an interval. Introduced in the
chapter *ULMFiT*.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ulmfit_lib.study.records import RecordError, RunRecord
from ulmfit_lib.study.seeds import derive

Curve = NDArray[np.float64]
_DRAWS_AT_ONCE = 2_000_000  # resampled examples held in memory at a time


@dataclass(frozen=True)
class LabelSaving:
    """What transfer saves at one number of labels. Introduced in the chapter *ULMFiT*."""

    per_class: int  # labelled examples of each class that transfer had
    accuracy: float  # mean accuracy that it reached with them
    factor: float  # labels that the baseline needs for it, over those; inf: more than it ever had
    low: float  # lower end of the interval
    high: float  # upper end; inf where the baseline may never get there
    most: float  # largest factor that could have been seen: the baseline's most labels over those
    n: int  # seeds
    level: float = 0.95  # coverage that the interval aims at

    def text(self) -> str:
        """``"8.2 [5.1, 12]"``; "> 20" where the baseline never got there."""
        ends = (self._number(x) for x in (self.factor, self.low, self.high))
        factor, low, high = ends
        return f"{factor} [{low}, {high}]"

    def _number(self, factor: float) -> str:
        return f"{factor:.2g}" if math.isfinite(factor) else f"> {self.most:.2g}"


def labels_needed(sizes: Sequence[int], accuracies: Sequence[float], target: float) -> float:
    """Labels a class at which a learning curve first reaches ``target``.

    Between its points the curve is a straight line over the logarithm of the
    labels, and it never falls: a dip is noise. Introduced in the chapter
    *ULMFiT*.

    Args:
        sizes: labels a class, ascending.
        accuracies: accuracy at each of them.
        target: accuracy to reach.

    Returns:
        ``sizes[0]`` where even that is enough (fewer may do), inf where none is.

    Raises:
        ValueError: no point, lengths that differ, or sizes that do not ascend.
    """
    if not len(sizes) or len(sizes) != len(accuracies) or list(sizes) != sorted(set(sizes)):
        raise ValueError(f"sizes={list(sizes)}: give ascending sizes and one accuracy for each")
    best = np.maximum.accumulate(np.asarray(accuracies, dtype=np.float64))
    reached = np.flatnonzero(best >= target)
    if not len(reached):
        return math.inf
    i = int(reached[0])
    if i == 0:
        return float(sizes[0])
    share = (target - best[i - 1]) / (best[i] - best[i - 1])
    return float(sizes[i - 1] * (sizes[i] / sizes[i - 1]) ** share)


def label_savings(
    record: RunRecord,
    transfer: str,
    baseline: str,
    n_draws: int = 2000,
    level: float = 0.95,
) -> tuple[LabelSaving, ...]:
    """The saving at every number of labels that ``transfer`` was run with.

    The arms are called ``NAME/LABELS``, as ``semi-supervised/50``. The
    interval is a bootstrap over test examples and seeds, the same draws for
    all arms; the seeds' part is stretched for their small number, as in
    :func:`ulmfit_lib.study.statistics.contrast`. Introduced in the chapter
    *ULMFiT*.

    Args:
        record: with predictions.
        transfer: name of the arms that start from a language model.
        baseline: name of the arms that they are compared with.
        n_draws: bootstrap samples.
        level: coverage, in ``(0, 1)``.

    Raises:
        RecordError: no arm of a name, no seed in common, or no predictions.
        ValueError: ``n_draws`` or ``level`` out of range.
    """
    if n_draws < 1 or not 0 < level < 1:
        raise ValueError(f"n_draws={n_draws}, level={level}: give 1 or more and a share in (0, 1)")
    ours, theirs = curve_sizes(record, transfer), curve_sizes(record, baseline)
    names = [f"{transfer}/{n}" for n in ours] + [f"{baseline}/{n}" for n in theirs]
    right = _right(record, names)
    seed = derive(0, "label savings", record.experiment, transfer, baseline)
    draws = _draws(right, n_draws, level, np.random.default_rng(seed))
    means = right.mean(axis=(1, 2))
    savings = []
    for i, n in enumerate(ours):
        curve, target = slice(len(ours), None), i
        factors = np.array([labels_needed(theirs, row[curve], row[target]) / n for row in draws])
        low, high = _quantiles(factors, level)
        factor = labels_needed(theirs, means[curve].tolist(), float(means[target])) / n
        most = theirs[-1] / n
        savings.append(
            LabelSaving(n, float(means[target]), factor, low, high, most, right.shape[1], level)
        )
    return tuple(savings)


def label_saving(record: RunRecord, transfer: str, baseline: str, per_class: int) -> LabelSaving:
    """One of :func:`label_savings`: at ``per_class`` labels.

    Introduced in the chapter *ULMFiT*.

    Args:
        record: with predictions.
        transfer: name of the arms that start from a language model.
        baseline: name of the arms that they are compared with.
        per_class: labelled examples of each class that transfer has.

    Raises:
        RecordError: as :func:`label_savings`, or ``transfer`` was not run with so many.
    """
    found = {saving.per_class: saving for saving in label_savings(record, transfer, baseline)}
    if per_class not in found:
        raise RecordError(f"{record.experiment} has no arm {transfer}/{per_class}: {[*found]}")
    return found[per_class]


def curve_sizes(record: RunRecord, name: str) -> list[int]:
    """Labels a class of the arms ``NAME/LABELS``, ascending.

    Introduced in the chapter *ULMFiT*.

    Args:
        record: a run record.
        name: of the arms.

    Raises:
        RecordError: there is no such arm.
    """
    matches = (re.fullmatch(re.escape(name) + r"/(\d+)", arm) for arm in record.arms)
    found = sorted(int(match[1]) for match in matches if match)
    if not found:
        raise RecordError(f"{record.experiment} has no arms {name}/LABELS: {sorted(record.arms)}")
    return found


def _right(record: RunRecord, names: Sequence[str]) -> NDArray[np.float32]:
    """1 where an answer is right: (arms, seeds, examples), over the seeds that all arms share."""
    shared = sorted(set.intersection(*(set(record.cells(name)) for name in names)))
    if not shared:
        raise RecordError(f"{record.experiment}: the arms {names} have no seed in common")
    gold, rows = np.array(record.gold), []
    for name in names:
        predictions = record.predictions(name, shared)
        if predictions is None:
            raise RecordError(f"{record.experiment}: arm {name!r} kept no predictions")
        rows.append(predictions == gold)
    return np.stack(rows).astype(np.float32)


def _draws(
    right: NDArray[np.float32], n_draws: int, level: float, rng: np.random.Generator
) -> Curve:
    """Accuracy of every arm in every bootstrap sample, (draws, arms)."""
    n_seeds, n_examples = right.shape[1:]
    by_example, block = right.mean(axis=1), max(1, _DRAWS_AT_ONCE // n_examples)
    parts = []
    for start in range(0, n_draws, block):
        shape = (min(block, n_draws - start), n_examples)
        counts = rng.multinomial(n_examples, np.full(n_examples, 1 / n_examples), size=shape[0])
        parts.append(counts @ by_example.T / n_examples)
    draws = np.concatenate(parts)
    if n_seeds == 1:
        return draws
    by_seed = right.mean(axis=2)
    picked = by_seed[:, rng.integers(n_seeds, size=(n_draws, n_seeds))].mean(axis=2)
    tail = (1 + level) / 2
    stretch = math.sqrt(n_seeds / (n_seeds - 1)) * stats.t.ppf(tail, n_seeds - 1)
    deviation = picked - by_seed.mean(axis=1, keepdims=True)
    return np.asarray(draws + stretch / stats.norm.ppf(tail) * deviation.T)


def _quantiles(factors: Curve, level: float) -> tuple[float, float]:
    """Ends of the interval, each an observed value: some may be infinite."""
    tail = (1 - level) / 2
    low = np.quantile(factors, tail, method="lower")
    return float(low), float(np.quantile(factors, 1 - tail, method="higher"))
