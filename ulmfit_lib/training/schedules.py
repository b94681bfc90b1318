"""Learning-rate schedules as pure functions of the batch number.

Every schedule is ``f(t, T, lr_max)``: ``t`` counts batches from 0, ``T`` is
their total number, and the answer is the learning rate of batch ``t``.
``t`` may be an array; the answer then has its shape. :func:`by_position`
turns a schedule into what fastai's ``ParamScheduler`` wants. Introduced in
the chapter *FitLaM*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Batch = TypeVar("Batch", float, NDArray[Any])
Schedule: TypeAlias = Callable[[float, int, float], float]


def constant(t: Batch, T: int, lr_max: float) -> Batch:
    """The same learning rate for every batch: what the papers compare with.

    Introduced in the chapter *FitLaM*.

    Args:
        t: batch number(s), ``0 <= t <= T``.
        T: number of batches.
        lr_max: the learning rate.

    Raises:
        ValueError: ``T < 1``, ``lr_max < 0`` or a ``t`` outside ``[0, T]``.
    """
    return _rate(t, np.ones_like(_batches(t, T, lr_max)), lr_max)


def cosine(t: Batch, T: int, lr_max: float) -> Batch:
    r"""Cosine annealing: from ``lr_max`` down to 0.

    .. math:: \eta_t = \tfrac{1}{2} \eta_{max} (1 + \cos(\pi t / T))

    Source: FitLaM (arXiv 1801.06146 v1), described there in prose. Introduced
    in the chapter *FitLaM*.

    Args:
        t: batch number(s), ``0 <= t <= T``.
        T: number of batches.
        lr_max: the largest learning rate.

    Raises:
        ValueError: ``T < 1``, ``lr_max < 0`` or a ``t`` outside ``[0, T]``.
    """
    return _rate(t, _falling_cosine(_batches(t, T, lr_max) / T), lr_max)


def reverse_cosine(t: Batch, T: int, lr_max: float) -> Batch:
    r"""Reverse annealing: from 0 up to ``lr_max``, the mirror image of :func:`cosine`.

    .. math:: \eta_t = \tfrac{1}{2} \eta_{max} (1 - \cos(\pi t / T))

    Source: FitLaM v1, where the shape of the rise is not given. Introduced in
    the chapter *FitLaM*.

    Args:
        t: batch number(s), ``0 <= t <= T``.
        T: number of batches.
        lr_max: the learning rate approached at the end.

    Raises:
        ValueError: ``T < 1``, ``lr_max < 0`` or a ``t`` outside ``[0, T]``.
    """
    return _rate(t, 1.0 - _falling_cosine(_batches(t, T, lr_max) / T), lr_max)


def warmup_reverse_annealing(t: Batch, T: int, lr_max: float, warmup: float = 0.5) -> Batch:
    """Raise the learning rate by :func:`reverse_cosine`, then lower it by :func:`cosine`.

    The first ``W = round(warmup * T)`` batches rise, the other ``T - W``
    fall; batch ``W`` runs at ``lr_max``. A warm-up of one epoch out of ``E``
    is ``warmup=1 / E``. Source: FitLaM v1 (for the stage in which all layers
    train). Introduced in the chapter *FitLaM*.

    Args:
        t: batch number(s), ``0 <= t <= T``.
        T: number of batches.
        lr_max: the largest learning rate.
        warmup: share of the batches that rise, in ``[0, 1]``.

    Raises:
        ValueError: ``T < 1``, ``lr_max < 0``, a ``t`` outside ``[0, T]`` or a
            ``warmup`` outside ``[0, 1]``.
    """
    batch = _batches(t, T, lr_max)
    rise = round(_share("warmup", warmup) * T)
    rising = 1.0 - _falling_cosine(batch / max(1, rise))
    falling = _falling_cosine((batch - rise) / max(1, T - rise))
    return _rate(t, np.where(batch < rise, rising, falling), lr_max)


def slanted_triangular(
    t: Batch, T: int, lr_max: float, cut_frac: float = 0.1, ratio: float = 32
) -> Batch:
    r"""Slanted triangular learning rate: a short linear rise, a long linear fall.

    .. math::
        cut = \max(1, \lfloor T \cdot cut\_frac \rfloor), \quad
        p = \begin{cases} t / cut & t < cut \\ 1 - (t - cut) / (T - cut) & t \ge cut \end{cases},
        \quad \eta_t = \eta_{max} \frac{1 + p (ratio - 1)}{ratio}

    Never below ``lr_max / ratio``, for every ``T``; the decay divides by
    ``T - cut``, as the released code does, where the printed formula goes
    wrong (:func:`slanted_triangular_as_printed`). Source: ULMFiT, section 3.2,
    equation 3. Introduced in the chapter *FitLaM*.

    Args:
        t: batch number(s), ``0 <= t <= T``.
        T: number of batches, over all epochs.
        lr_max: the largest learning rate.
        cut_frac: share of the batches that rise, in ``(0, 1]``.
        ratio: how many times smaller the smallest learning rate is.

    Raises:
        ValueError: ``T < 1``, ``lr_max < 0``, a ``t`` outside ``[0, T]``, a
            ``cut_frac`` outside ``(0, 1]`` or a ``ratio`` below 1.
    """
    batch = _batches(t, T, lr_max)
    _check_slant(cut_frac, ratio)
    cut = max(1, math.floor(T * cut_frac))
    fall = 1.0 - (batch - cut) / max(1, T - cut)
    p = np.where(batch < cut, batch / cut, fall)
    return _rate(t, (1.0 + p * (ratio - 1.0)) / ratio, lr_max)


def slanted_triangular_as_printed(
    t: Batch, T: int, lr_max: float, cut_frac: float = 0.1, ratio: float = 32
) -> Batch:
    r"""ULMFiT's equation 3 word for word, to show where it fails.

    The decay divides by :math:`cut (1 / cut\_frac - 1)`. Because ``cut`` is
    rounded down, that is too short unless ``T`` is a multiple of
    ``1 / cut_frac``: the last learning rates are negative, so the model
    climbs the loss (``T=15``: four batches). Train with
    :func:`slanted_triangular`. Source: ULMFiT, section 3.2. Introduced in the
    chapter *FitLaM*.

    Args:
        t: batch number(s), ``0 <= t <= T``.
        T: number of batches, over all epochs.
        lr_max: the largest learning rate.
        cut_frac: share of the batches that rise, in ``(0, 1]``.
        ratio: how many times smaller the smallest learning rate is.

    Raises:
        ZeroDivisionError: ``T * cut_frac < 1``, or ``cut_frac`` is 1.
        ValueError: as :func:`slanted_triangular`.
    """
    batch = _batches(t, T, lr_max)
    _check_slant(cut_frac, ratio)
    cut = math.floor(T * cut_frac)
    fall = 1.0 - (batch - cut) * (1 / (cut * (1 / cut_frac - 1)))
    p = np.where(batch < cut, batch / cut, fall)
    return _rate(t, (1.0 + p * (ratio - 1.0)) / ratio, lr_max)


def linear_warmup(t: Batch, T: int, lr_max: float, warmup: float = 0.1) -> Batch:
    """A linear rise to ``lr_max``, then a linear fall to 0, with no jump between.

    The form that BERT's successors use: ``W = floor(warmup * T)`` batches
    rise, ``T - W`` fall. Introduced in the chapter *FitLaM*.

    Args:
        t: batch number(s), ``0 <= t <= T``.
        T: number of batches.
        lr_max: the largest learning rate.
        warmup: share of the batches that rise, in ``[0, 1]``.

    Raises:
        ValueError: ``T < 1``, ``lr_max < 0``, a ``t`` outside ``[0, T]`` or a
            ``warmup`` outside ``[0, 1]``.
    """
    batch = _batches(t, T, lr_max)
    rise = math.floor(_share("warmup", warmup) * T)
    fall = (T - batch) / max(1, T - rise)
    return _rate(t, np.where(batch < rise, batch / max(1, rise), fall), lr_max)


def sun2019_warmup(t: Batch, T: int, lr_max: float, warmup: float = 0.1) -> Batch:
    """The warm-up of Sun et al.'s released code, which jumps down at its peak.

    With ``x = t / T``: ``x / warmup`` before the warm-up ends and ``1 - x``
    after it, so the factor drops from 1.0 to 0.9 at ``x = 0.1``. Their paper
    calls it slanted triangular. Source: the code of "How to Fine-Tune BERT
    for Text Classification?" (2019). Introduced in the chapter *FitLaM*.

    Args:
        t: batch number(s), ``0 <= t <= T``.
        T: number of batches.
        lr_max: scale of the schedule; reached only just before the jump.
        warmup: share of the batches that rise, in ``[0, 1]``.

    Raises:
        ValueError: ``T < 1``, ``lr_max < 0``, a ``t`` outside ``[0, T]`` or a
            ``warmup`` outside ``[0, 1]``.
    """
    x = _batches(t, T, lr_max) / T
    rise = x / warmup if _share("warmup", warmup) > 0 else x
    return _rate(t, np.where(x < warmup, rise, 1.0 - x), lr_max)


def by_position(schedule: Schedule, T: int, lrs: Sequence[float]) -> Callable[[float], list[float]]:
    """``schedule`` for fastai: position in training to one rate per group.

    fastai's ``ParamScheduler`` calls its functions with the share of training
    done, a sum of ``1 / T``; the batch number is got back exactly by
    rounding. Use it as ``ParamScheduler({"lr": by_position(cosine, T, lrs)})``.
    Past the end (a stream may hold a few batches more than its length says)
    the last batch's rate holds. Introduced in the chapter *FitLaM*.

    Args:
        schedule: ``f(t, T, lr_max)``; give other arguments by
            ``functools.partial``.
        T: batches in the whole fit, ``epochs * len(dls.train)``.
        lrs: largest learning rate of each parameter group, bottom to top.

    Returns:
        A function from a position in ``[0, 1]`` to a list like ``lrs``.

    Raises:
        ValueError: ``T < 1`` or ``lrs`` is empty.
    """
    if T < 1 or not lrs:
        raise ValueError(f"T={T}, {len(lrs)} learning rates: give T >= 1 and one rate per group")

    def rates(position: float) -> list[float]:
        """Every group's rate at a share of the stage in ``[0, 1]``."""
        t = min(round(position * T), T - 1)
        return [schedule(t, T, lr) for lr in lrs]

    return rates


def _batches(t: float | NDArray[Any], T: int, lr_max: float) -> NDArray[np.float64]:
    """``t`` as an array, all three arguments checked."""
    batch = np.asarray(t, dtype=np.float64)
    if T < 1:
        raise ValueError(f"T={T}: a schedule needs at least 1 batch")
    if not lr_max >= 0:
        raise ValueError(f"lr_max={lr_max}: give a learning rate of 0 or more")
    if not np.all((batch >= 0) & (batch <= T)):
        raise ValueError(f"t={t} lies outside [0, T={T}]: count batches from 0 over all epochs")
    return batch


def _share(name: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}={value} is not a share of the batches: give a value in [0, 1]")
    return value


def _check_slant(cut_frac: float, ratio: float) -> None:
    if not 0.0 < cut_frac <= 1.0:
        raise ValueError(f"cut_frac={cut_frac}: give a share of the batches in (0, 1]")
    if not ratio >= 1.0:
        raise ValueError(f"ratio={ratio}: give 1 or more (lr_max / ratio is the smallest rate)")


def _falling_cosine(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1.0 + np.cos(np.pi * x))


def _rate(t: Batch, factor: NDArray[np.float64], lr_max: float) -> Batch:
    """``lr_max * factor`` in the shape of ``t``: a plain float where ``t`` was a number."""
    rate = lr_max * factor
    return cast(Batch, rate if rate.ndim else float(rate))
