"""Which layer groups train when: plans as tables, and their application to a Learner.

A plan is a tuple of :class:`Stage`; groups are counted from the bottom (0) to
the top, so a plan can be printed, compared and joined (``gradual(5) +
full(5)``) without any model. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastai.callback.core import Callback
from fastai.learner import Learner

from ulmfit_lib.training.groups import Ratio, discriminative_lrs
from ulmfit_lib.training.schedules import Schedule, slanted_triangular


@dataclass(frozen=True)
class Stage:
    """One stage of a plan. Introduced in the chapter *FitLaM*."""

    trainable: tuple[int, ...]  # group indices that train, 0 = bottom; the rest is frozen
    epochs: int = 1  # passes over the training data
    lr_max: float = 0.01  # largest learning rate of the top group
    schedule: Schedule = slanted_triangular  # f(t, T, lr_max) over this stage's batches

    def __post_init__(self) -> None:
        if not self.trainable:
            raise ValueError("trainable=(): a stage needs at least one group to train")
        if min(self.trainable) < 0 or len(set(self.trainable)) < len(self.trainable):
            raise ValueError(
                f"trainable={self.trainable}: give different group indices, counted from 0"
            )
        if self.epochs < 1 or not self.lr_max >= 0:
            raise ValueError(
                f"epochs={self.epochs}, lr_max={self.lr_max}: give 1 epoch or more and a "
                "learning rate of 0 or more"
            )


Plan = tuple[Stage, ...]


def full(
    n_groups: int, epochs: int = 1, lr_max: float = 0.01, schedule: Schedule = slanted_triangular
) -> Plan:
    """Everything trains from the start: one stage.

    Source: "Full" in ULMFiT, table 7. Introduced in the chapter *FitLaM*.

    Args:
        n_groups: number of layer groups.
        epochs: passes over the training data.
        lr_max: largest learning rate of the top group.
        schedule: over the stage's batches.

    Raises:
        ValueError: a number is out of range.
    """
    return (Stage(tuple(range(_count(n_groups))), epochs, lr_max, schedule),)


def last_only(
    n_groups: int, epochs: int = 1, lr_max: float = 0.01, schedule: Schedule = slanted_triangular
) -> Plan:
    """Only the top group trains: the encoder is a fixed feature extractor.

    Source: "Last" in ULMFiT, table 7. Introduced in the chapter *FitLaM*.

    Args:
        n_groups: number of layer groups.
        epochs: passes over the training data.
        lr_max: largest learning rate of the top group.
        schedule: over the stage's batches.

    Raises:
        ValueError: a number is out of range.
    """
    return (Stage((_count(n_groups) - 1,), epochs, lr_max, schedule),)


def gradual(
    n_groups: int,
    n_stages: int | None = None,
    epochs: int = 1,
    lr_max: float = 0.01,
    schedule: Schedule = slanted_triangular,
) -> Plan:
    """Gradual unfreezing: stage ``e`` trains ``groups[-e:]``, all of them together.

    One more group thaws per stage, from the top down, and thawed groups stay
    thawed. With fewer stages than groups the lowest groups stay frozen; add
    :func:`full` for the rest of the training. Source: FitLaM v1 and ULMFiT,
    section 3.3. Introduced in the chapter *FitLaM*.

    Args:
        n_groups: number of layer groups.
        n_stages: number of stages, by default one per group.
        epochs: passes over the training data in each stage.
        lr_max: largest learning rate of the top group.
        schedule: over each stage's batches.

    Raises:
        ValueError: a number is out of range, or ``n_stages > n_groups``.
    """
    n_stages = n_stages if n_stages is not None else _count(n_groups)
    if not 1 <= n_stages <= n_groups:
        raise ValueError(
            f"n_stages={n_stages}: {n_groups} groups take 1 to {n_groups} stages to thaw; "
            "add full(...) to train on with everything open"
        )
    return tuple(
        Stage(tuple(range(n_groups - e, n_groups)), epochs, lr_max, schedule)
        for e in range(1, n_stages + 1)
    )


def chain_thaw(
    n_groups: int,
    epochs: int = 1,
    lr_new: float = 1e-3,
    lr_rest: float = 1e-4,
    schedule: Schedule = slanted_triangular,
) -> Plan:
    """Chain-thaw: the new top group alone, each other group alone from the bottom, then all.

    Source: Felbo et al. 2017 (DeepMoji), the rates as ULMFiT, table 7, used
    them. Introduced in the chapter *FitLaM*.

    Args:
        n_groups: number of layer groups.
        epochs: passes over the training data in each stage.
        lr_new: largest learning rate while the new group trains alone.
        lr_rest: the same in all other stages.
        schedule: over each stage's batches.

    Raises:
        ValueError: a number is out of range.
    """
    top = _count(n_groups) - 1
    alone = tuple(Stage((i,), epochs, lr_rest, schedule) for i in range(top))
    together = full(n_groups, epochs, lr_rest, schedule)
    return (Stage((top,), epochs, lr_new, schedule), *alone, *together)


def rates_by_step(
    plan: Plan, n_groups: int, ratio: Ratio, batches_per_epoch: int
) -> list[list[float]]:
    """The learning rate of every group at every optimizer step of a plan; nan where it is frozen.

    Introduced in the chapter *ULMFiT*.

    Args:
        plan: the stages, one after the other.
        n_groups: number of layer groups.
        ratio: as :func:`ulmfit_lib.training.groups.discriminative_lrs` takes it.
        batches_per_epoch: optimizer steps of an epoch.

    Returns:
        One list per step, its rates from the bottom group to the top.

    Raises:
        ValueError: no batch, or whatever :func:`discriminative_lrs` refuses.
    """
    if batches_per_epoch < 1:
        raise ValueError(f"batches_per_epoch={batches_per_epoch}: an epoch has at least 1")
    rows = []
    for stage in plan:
        steps = stage.epochs * batches_per_epoch
        for t in range(steps):
            rates = discriminative_lrs(
                float(stage.schedule(t, steps, stage.lr_max)), n_groups, ratio
            )
            rows.append(
                [rate if i in stage.trainable else math.nan for i, rate in enumerate(rates)]
            )
    return rows


def train_only(learn: Learner, trainable: Sequence[int]) -> None:
    """Let the groups in ``trainable`` learn and freeze all others.

    Any set of groups may be named, not only the top ones as with fastai's
    ``freeze_to``. A frozen parameter has no gradient at all, so neither
    momentum nor weight decay moves it: torch's optimizers skip it. Its
    optimizer state is kept, and used again when it thaws.

    The normalisation layers of a frozen group freeze too (fastai's ``freeze``
    would go on training them): the plan says which parameters move, without
    exception. Only their running statistics follow the data, as long as the
    module is in training mode; the head that holds them is frozen by
    :func:`chain_thaw` alone. Introduced in the chapter *FitLaM*.

    Args:
        learn: a learner; its optimizer is created where it has none yet.
        trainable: group indices, 0 = bottom.

    Raises:
        ValueError: an index is no group of the learner's optimizer.
    """
    if learn.opt is None:
        learn.create_opt()
    groups = learn.opt.param_lists
    wrong = [i for i in trainable if not 0 <= i < len(groups)]
    if wrong:
        raise ValueError(
            f"trainable={tuple(trainable)}: {wrong[0]} is none of the learner's "
            f"{len(groups)} groups 0 .. {len(groups) - 1}; does its splitter match the plan?"
        )
    for i, group in enumerate(groups):
        for p in group:
            p.requires_grad_(i in trainable)
            if i not in trainable:
                p.grad = None


class ThawByStep(Callback):
    """Open layer groups at given optimizer steps, from the top down, within one stage of a plan.

    A :class:`Stage` lasts whole epochs, and an epoch has as many steps as the
    texts make; this says it in steps, so arms with more or fewer texts open
    alike. Introduced in the chapter *RecAdam*.

    Args:
        openings: number of top groups that learn, by the step from which on
            they do; steps are counted from 0.

    Raises:
        ValueError: a step below 0, or no group to train.
    """

    run_valid = False

    def __init__(self, openings: Mapping[int, int]) -> None:
        if any(step < 0 or count < 1 for step, count in openings.items()):
            raise ValueError(f"openings={dict(openings)}: give steps from 0 and 1 group or more")
        self.openings, self.taken = dict(openings), 0

    def before_batch(self) -> None:
        """Freeze or thaw where this step says so."""
        if self.taken in self.openings:
            n_groups = len(self.learn.opt.param_lists)
            train_only(self.learn, range(n_groups - self.openings[self.taken], n_groups))
        self.taken += 1


def _count(n_groups: int) -> int:
    if n_groups < 1:
        raise ValueError(f"n_groups={n_groups}: a model has at least 1 layer group")
    return n_groups
