"""Adam as the papers set it, and NT-ASGD, in the form that fastai's Learner takes.

Both are torch optimizers inside fastai's ``OptimWrapper``. Introduced in the
chapters *FitLaM* (:func:`adam`) and *Text and language models*
(:func:`ntasgd`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.learner import Recorder
from fastai.optimizer import OptimWrapper
from torch import Tensor

OptFunc = Callable[..., OptimWrapper]


def adam(
    betas: tuple[float, float] = (0.7, 0.99),
    weight_decay: float = 0.0,
    eps: float = 1e-8,
    fused: bool = True,
) -> OptFunc:
    """Adam with decoupled weight decay, as an ``opt_func`` for a ``Learner``.

    ``torch.optim.AdamW`` in fastai's ``OptimWrapper``. The first beta of 0.7
    is ULMFiT's (section 4.1). Two things to know: ``OptimWrapper`` ignores
    the learner's ``wd_bn_bias``, so weight decay reaches biases and
    normalisation too; and the decay of a step is ``lr * weight_decay``, so it
    follows the schedule. Introduced in the chapter *FitLaM*.

    Args:
        betas: decay rates of the mean gradient and of the mean squared one.
        weight_decay: decoupled decay, per unit of learning rate.
        eps: added to the root mean square.
        fused: one kernel for the whole step (CPU, CUDA and MPS); faster, and
            equal up to rounding.

    Returns:
        A function ``(params, lr) -> OptimWrapper``; fastai calls it with the
        learner's parameter groups.

    Raises:
        ValueError: a beta outside ``[0, 1)`` or a negative ``weight_decay``
            (from torch, when the learner builds the optimizer).
    """
    return partial(
        OptimWrapper,
        opt=torch.optim.AdamW,
        betas=betas,
        weight_decay=weight_decay,
        eps=eps,
        fused=fused,
    )


class NTASGD(torch.optim.Optimizer):
    r"""SGD that, once told to, also averages its iterates.

    Each step is :math:`w \leftarrow w - lr \, (g + wd \cdot w)`. From
    :meth:`start_averaging` on, at iterate ``T``, the average
    :math:`\frac{1}{k - T + 1} \sum_{i=T}^{k} w_i` is kept beside the weights;
    training goes on with ``w`` itself. Evaluate inside
    :meth:`averaged_weights`, or let :class:`NonMonotonicTrigger` do it.

    Source: Merity et al. 2017, section 3, algorithm 1. Their code uses
    ``torch.optim.ASGD``, which leaves the first two iterates out of the
    average and takes a changed learning rate one step late, so that the
    rescaling of a short batch falls on the batch after it. Introduced in the
    chapter *Text and language models*.

    Args:
        params: parameters or parameter groups.
        lr: learning rate; 30 in the paper.
        weight_decay: L2 penalty, added to the gradient; 1.2e-6 in the paper.

    Raises:
        ValueError: a negative ``lr`` or ``weight_decay``.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 30.0,
        weight_decay: float = 1.2e-6,
    ) -> None:
        if lr < 0 or weight_decay < 0:
            raise ValueError(f"lr={lr}, weight_decay={weight_decay}: give values of 0 or more")
        self.swapped = False
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @property
    def averaging(self) -> bool:
        """Whether iterates are being averaged."""
        return any("average" in state for state in self.state.values())

    def start_averaging(self) -> None:
        """Start the average at the present weights."""
        for p in self._parameters():
            self.state[p] = {"average": p.detach().clone(), "count": torch.tensor(1)}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update the weights by their gradients; those without one stay as they are.

        Raises:
            RuntimeError: the averages are swapped in.
        """
        if self.swapped:
            raise RuntimeError("step() on averaged weights: call swap_averages() back first")
        loss = self._evaluate(closure)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad + group["weight_decay"] * p, alpha=group["lr"])
        for p in self._parameters():
            self._average(p)
        return loss

    @torch.no_grad()
    def swap_averages(self) -> None:
        """Exchange weights and averages; a second call undoes the first bit for bit."""
        for p in self._parameters():
            if "average" in self.state[p]:
                weights = p.clone()
                p.copy_(self.state[p]["average"])
                self.state[p]["average"].copy_(weights)
        self.swapped = not self.swapped

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within this context the model has its averaged weights."""
        self.swap_averages()
        try:
            yield
        finally:
            self.swap_averages()

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _average(self, p: Tensor) -> None:
        state = self.state.get(p, {})
        if "average" in state:
            state["count"] += 1
            state["average"].add_((p - state["average"]) / state["count"])

    @staticmethod
    def _evaluate(closure: Callable[[], float] | None) -> float | None:
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()


def ntasgd(weight_decay: float = 1.2e-6) -> OptFunc:
    """:class:`NTASGD` as an ``opt_func`` for a ``Learner``; set ``lr`` there (30 in the paper).

    Add :class:`NonMonotonicTrigger` to the learner, or nothing is ever
    averaged. Introduced in the chapter *Text and language models*.

    Args:
        weight_decay: L2 penalty, added to the gradient.
    """
    return partial(OptimWrapper, opt=NTASGD, weight_decay=weight_decay)


def is_non_monotonic(history: Sequence[float], loss: float, n: int = 5) -> bool:
    """Whether ``loss`` is worse than the best of ``history`` without its last ``n`` values.

    The rule that starts the averaging; ``history`` holds the earlier
    validation losses, not ``loss`` itself, as in the released code. Source:
    Merity et al. 2017, algorithm 1. Introduced in the chapter *Text and
    language models*.

    Args:
        history: validation losses of the epochs before, oldest first.
        loss: validation loss of this epoch.
        n: the non-monotone interval.

    Raises:
        ValueError: ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"n={n}: the non-monotone interval is at least 1 epoch")
    return len(history) > n and loss > min(history[:-n])


class NonMonotonicTrigger(Callback):
    """Start :class:`NTASGD`'s averaging, and validate with the averaged weights.

    After an epoch whose validation loss fulfils :func:`is_non_monotonic` the
    average starts. From then on each validation sees the average, and the
    training after it the weights as they were. When training ends the model
    has its *unaveraged* weights: save or use it within
    ``learn.opt.averaged_weights()``. Source: Merity et al. 2017, section 3.
    Introduced in the chapter *Text and language models*.

    Args:
        n: the non-monotone interval, in epochs.

    Raises:
        ValueError: ``n`` is below 1.
    """

    order = Recorder.order + 1  # it has the validation loss by then

    def __init__(self, n: int = 5) -> None:
        is_non_monotonic([], 0.0, n)  # says what is wrong with n
        self.n = n
        self.history: list[float] = []

    def before_fit(self) -> None:
        """Check the optimizer, and undo the swap of an interrupted validation.

        Raises:
            TypeError: the learner's optimizer is not :class:`NTASGD`.
        """
        if not isinstance(self.opt.opt, NTASGD):
            raise TypeError(
                f"NonMonotonicTrigger works with NTASGD, not {type(self.opt.opt).__name__}: "
                "pass opt_func=ntasgd() to the learner"
            )
        self._set_swapped(False)

    def before_validate(self) -> None:
        """Swap the averages in."""
        self._set_swapped(self.opt.opt.averaging)

    def after_validate(self) -> None:
        """Swap the weights back."""
        self._set_swapped(False)

    def after_epoch(self) -> None:
        """Remember this epoch's loss and start averaging if the rule says so."""
        loss = float(self.recorder.loss.value)
        if not self.opt.opt.averaging and is_non_monotonic(self.history, loss, self.n):
            self.opt.opt.start_averaging()
        self.history.append(loss)

    def _set_swapped(self, swapped: bool) -> None:
        if self.opt.opt.swapped != swapped:
            self.opt.opt.swap_averages()
