"""Arms of a run record against one another, with the interval that fits.

Where the record kept predictions and the metric can be computed from them,
intervals come from the bootstrap over seeds and test examples; otherwise
from Student's t over seeds. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ulmfit_lib.study.records import RecordError, RunRecord
from ulmfit_lib.study.seeds import derive
from ulmfit_lib.study.statistics import (
    METRICS,
    NoiseFloor,
    Summary,
    contrast,
    noise_floor,
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
        ValueError: a run diverged (its metric is nan).
    """
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
        seed = derive(0, "bootstrap", record.experiment, *weights)
        return contrast(record.gold, paired, signs, seed=seed, metric=metric)
    values = np.stack([record.values(arm, metric, shared) for arm in weights])
    return t_interval(np.array(signs) @ values)


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


def _shared_seeds(record: RunRecord, arms: list[str]) -> list[int]:
    shared = set.intersection(*(set(record.cells(arm)) for arm in arms))
    if not shared:
        raise RecordError(
            f"{record.experiment}: the arms {arms} have no seed in common, so they cannot be "
            "paired: run the same seeds for each"
        )
    return sorted(shared)
