"""Adam as the papers set it, and NT-ASGD, in the form that fastai's Learner takes.

Both are torch optimizers inside fastai's ``OptimWrapper``. Introduced in the
chapters *FitLaM* (:func:`adam`) and *Text and language models*
(:func:`ntasgd`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from fastai.optimizer import OptimWrapper

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
