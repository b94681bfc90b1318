"""Arms of a run record against one another, with the interval that fits.

Where the record kept predictions and the metric can be computed from them,
intervals come from the bootstrap over seeds and test examples; otherwise
from Student's t over seeds. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ulmfit_lib.study.records import RecordError, RunRecord
from ulmfit_lib.study.seeds import derive
from ulmfit_lib.study.statistics import (
    METRICS,
    NoiseFloor,
    Summary,
    contrast,
    noise_floor,
    paired_difference,
    t_interval,
)


def arm_summary(record: RunRecord, arm: str, metric: str = "accuracy") -> Summary:
    """Mean of ``metric`` over the seeds of ``arm``, with its interval.

    Introduced in the chapter *FitLaM*.

    Args:
        record: the record.
        arm: name of the arm.
        metric: name of a metric of the record's cells.

    Raises:
        RecordError: no such arm or metric.
        ValueError: a run diverged (its metric is nan).
    """
    return arm_contrast(record, {arm: 1.0}, metric)


def arm_difference(record: RunRecord, first: str, second: str, metric: str = "accuracy") -> Summary:
    """Mean of ``metric(first) - metric(second)``, paired by seed.

    Introduced in the chapter *FitLaM*.

    Args:
        record: the record.
        first, second: names of arms.
        metric: name of a metric of the record's cells.

    Raises:
        RecordError: no such arm or metric, or no seed in common.
        ValueError: a run diverged (its metric is nan), or both arms are the same one.
    """
    if first == second:
        raise ValueError(f"{first!r} is compared with itself: name two arms")
    return arm_contrast(record, {first: 1.0, second: -1.0}, metric)


def arm_contrast(
    record: RunRecord, weights: Mapping[str, float], metric: str = "accuracy"
) -> Summary:
    """Weighted sum of arms, paired by the seeds that all of them share.

    Introduced in the chapter *FitLaM*.

    Args:
        record: the record.
        weights: arm to weight; 1 and -1 make a difference.
        metric: name of a metric of the record's cells.

    Raises:
        RecordError: no such arm or metric, or no seed in common.
        ValueError: a run diverged (its metric is nan).
    """
    shared = _shared_seeds(record, list(weights))
    signs = list(weights.values())
    kept = [record.predictions(arm, shared) for arm in weights]
    paired = [rows for rows in kept if rows is not None]
    if metric in METRICS and len(paired) == len(weights):
        seed = derive(0, "bootstrap", record.experiment)  # the same draws for all arms
        return contrast(record.gold, paired, signs, seed=seed, metric=metric)
    values = np.stack([record.values(arm, metric, shared) for arm in weights])
    return t_interval(np.array(signs) @ values)


def mean_effect(effects: Sequence[Summary]) -> Summary:
    """Mean of one effect over several tasks, with Student's interval over the tasks.

    Every task counts alike, however well its own effect is known. The interval
    is of the mean over tasks of such a kind (a single further one may well lie
    outside it), and takes the tasks as drawn on their own: several of one
    domain are fewer than they look. Introduced in the chapter *Don't stop
    pre-training*.

    Args:
        effects: of each task, one or more.

    Raises:
        ValueError: no effect, or one that is not finite.
    """
    return t_interval([effect.mean for effect in effects])


def rise_difference(record: RunRecord, first: str, second: str, curve: str) -> Summary:
    """How much more the curve of ``first`` rises after its best epochs than that of ``second``.

    Paired by seed, with Student's interval. Introduced in the chapter *ULMFiT*.

    Args:
        record: the record.
        first, second: names of arms.
        curve: name of a curve of their cells, such as ``"valid_error"``.

    Raises:
        RecordError: no such arm or curve, or no seed in common.
    """
    shared = _shared_seeds(record, [first, second])
    rises, others = (
        [rise_after_best(_curve(record, arm, seed, curve)) for seed in shared]
        for arm in (first, second)
    )
    return paired_difference(rises, others)


def rise_after_best(curve: Sequence[float]) -> float:
    """How far a curve ends above its lowest part: 0 for one that falls to the end.

    Means of a fifth of its points in a row are compared, the last ones with
    the lowest ones, so that a single lucky epoch makes no valley. Introduced
    in the chapter *ULMFiT*.

    Args:
        curve: one value per epoch, such as the validation error.

    Raises:
        ValueError: no value.
    """
    if not len(curve):
        raise ValueError("curve is empty: give one value per epoch")
    width = max(1, len(curve) // 5)
    means = np.convolve(np.asarray(curve, dtype=np.float64), np.full(width, 1 / width), "valid")
    return float(means[-1] - means.min())


def record_noise_floor(record: RunRecord, arm: str) -> NoiseFloor:
    """The noise floor of the record's test set at the accuracy of ``arm``.

    Introduced in the chapter *FitLaM*.

    Args:
        record: the record.
        arm: name of the arm.

    Raises:
        RecordError: no such arm, or its cells have no accuracy.
    """
    return noise_floor(len(record.gold), float(record.values(arm, "accuracy").mean()))


def _curve(record: RunRecord, arm: str, seed: int, name: str) -> Sequence[float]:
    curves = record.cells(arm)[seed].curves
    if not len(curves.get(name, ())):
        raise RecordError(f"{record.experiment}: {arm!r} kept no curve {name!r}: {sorted(curves)}")
    return curves[name]


def _shared_seeds(record: RunRecord, arms: list[str]) -> list[int]:
    shared = set.intersection(*(set(record.cells(arm)) for arm in arms))
    if not shared:
        raise RecordError(
            f"{record.experiment}: the arms {arms} have no seed in common, so they cannot be "
            "paired: run the same seeds for each"
        )
    return sorted(shared)
