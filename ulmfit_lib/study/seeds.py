"""Where every random draw of a study comes from.

One seed a run; everything random below it gets a seed of its own, derived
from that seed and a name, so that adding a draw in one place changes nothing
in another. Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

_SEED_LIMIT = 2**32  # numpy's legacy generator takes no larger seed


class HeldOut(NamedTuple):
    """Positions in a training set, ascending. Introduced in the chapter *FitLaM*."""

    train: list[int]
    valid: list[int]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (every device).

    Python's string hashing is outside its reach: iterate over sorted sets.
    Introduced in the chapter *Text and language models*.

    Raises:
        ValueError: ``seed`` outside ``[0, 2**32)``.
    """
    _check_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def derive(seed: int, *names: str | int) -> int:
    """A seed for the draw called ``names`` of the run ``seed``, in ``[0, 2**32)``.

    The same on every machine and in every process. Introduced in the chapter
    *Text and language models*.

    Raises:
        ValueError: ``seed`` outside ``[0, 2**32)``, or no name given.
    """
    _check_seed(seed)
    if not names:
        raise ValueError("derive() got no name: say what the seed is for, derive(seed, 'head')")
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def few_labels(
    labels: Sequence[Hashable], per_class: int, seed: int, or_all: bool = False
) -> list[int]:
    """Positions of ``per_class`` examples of every class, drawn at random.

    Subsets of one seed are nested: the 10 of a class are among its 50.
    Introduced in the chapter *FitLaM*.

    Args:
        labels: the class of every example, length N.
        per_class: examples wanted of each class.
        seed: the run's seed.
        or_all: of a class that has fewer, take all.

    Returns:
        Ascending positions, ``per_class`` times the number of classes of them;
        fewer where ``or_all`` is needed.

    Raises:
        ValueError: ``per_class < 1``, no labels, or a class with too few examples.
    """
    if per_class < 1:
        raise ValueError(f"per_class={per_class}: ask for at least 1 example of each class")
    drawn: list[int] = []
    for label, order in _shuffled_by_class(labels, seed, "few labels"):
        if len(order) < per_class and not or_all:
            raise ValueError(
                f"per_class={per_class}, but class {label!r} has {len(order)} examples: "
                "ask for fewer, or merge or drop that class"
            )
        drawn.extend(order[:per_class].tolist())
    return sorted(drawn)


def hold_out(labels: Sequence[Hashable], share: float, seed: int) -> HeldOut:
    """Split a training set into train and validation, class by class.

    For data sets that come without a validation split; test data are never
    used instead. Every class keeps at least one example on both sides.
    Introduced in the chapter *FitLaM*.

    Args:
        labels: the class of every example, length N.
        share: part of each class that becomes validation, in ``(0, 1)``.
        seed: the run's seed.

    Raises:
        ValueError: ``share`` outside ``(0, 1)``, no labels, or a class with one example.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share={share}: give the validation share as a number in (0, 1)")
    valid: list[int] = []
    for label, order in _shuffled_by_class(labels, seed, "hold out"):
        if len(order) < 2:
            raise ValueError(f"class {label!r} has one example: it cannot be on both sides")
        count = min(max(1, math.floor(share * len(order) + 0.5)), len(order) - 1)
        valid.extend(order[:count].tolist())
    kept_back = set(valid)
    return HeldOut([i for i in range(len(labels)) if i not in kept_back], sorted(valid))


def _shuffled_by_class(
    labels: Sequence[Hashable], seed: int, purpose: str
) -> list[tuple[Hashable, NDArray[np.int64]]]:
    """Each class with its positions, in an order fixed by seed, purpose and class."""
    if not len(labels):
        raise ValueError("labels is empty: give the class of every example")
    positions: dict[Hashable, list[int]] = {}
    for i, label in enumerate(labels):
        positions.setdefault(label, []).append(i)
    shuffled = []
    for label in sorted(positions, key=str):
        rng = np.random.default_rng(derive(seed, purpose, str(label)))
        shuffled.append((label, rng.permutation(np.array(positions[label], dtype=np.int64))))
    return shuffled


def _check_seed(seed: int) -> None:
    if not 0 <= seed < _SEED_LIMIT:
        raise ValueError(f"seed={seed}: give a whole number in [0, 2**32)")
