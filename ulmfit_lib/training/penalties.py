r"""Quadratic penalties on the way from pre-trained weights, as a fastai callback.

One formula, :math:`\tfrac{\gamma}{2} \sum_i F_i (\theta_i - \theta^*_i)^2`, is L2-SP with
:math:`F_i = 1`, EWC with the Fisher information, and with an annealed mixture the *coupled* twin
of RecAdam, whose penalty goes through Adam's moments. Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

import torch
from fastai.callback.core import Callback
from torch import Tensor

from ulmfit_lib.training.anchors import Anchors
from ulmfit_lib.training.recadam import Annealing


def quadratic_penalty(anchors: Anchors, importance: Anchors | None = None) -> Tensor:
    r"""Half the squared distance, :math:`\tfrac12 \sum_i F_i (\theta_i - \theta^*_i)^2`.

    Its gradient at the anchors is zero. Source: Kirkpatrick et al. 2017,
    equation 3; with :math:`F_i = 1`, L2-SP of Li et al. 2018. Introduced in the
    chapter *RecAdam*.

    Args:
        anchors: parameters with the values that they are held to.
        importance: :math:`F_i` of the same parameters; None: 1 everywhere.

    Returns:
        A scalar that can be differentiated.

    Raises:
        ValueError: a parameter has an anchor and no importance.
    """
    if importance is not None and not set(anchors) <= set(importance):
        raise ValueError("importance lacks parameters that have an anchor: compute it for all")
    total = torch.zeros(())
    for p, anchor in anchors.items():
        gap = (p - anchor.to(p.device)).pow(2)
        weighed = gap if importance is None else importance[p].to(p.device) * gap
        total = total.to(p.device) + weighed.sum()
    return total / 2


class QuadraticPenalty(Callback):
    r"""Add :func:`quadratic_penalty` to the loss that is differentiated.

    Without ``annealing``: :math:`L_T + \gamma P`. With it:
    :math:`\lambda(t) L_T + (1 - \lambda(t)) \gamma P`, RecAdam's objective, with the penalty
    *coupled* to Adam: its gradient goes through the moments and is divided by
    :math:`\sqrt{v}` like any other. Source: Chen et al. 2020, algorithm 1, line
    6. The loss that is reported stays the task's. Introduced in the chapter
    *RecAdam*.

    Args:
        anchors: of the learner's model.
        gamma: strength; 0 is plain fine-tuning.
        importance: :math:`F_i`, or None for 1.
        annealing: the weight of the task's loss, or None.

    Raises:
        ValueError: a negative ``gamma``.
    """

    run_valid = False

    def __init__(
        self,
        anchors: Anchors,
        gamma: float,
        importance: Anchors | None = None,
        annealing: Annealing | None = None,
    ) -> None:
        if not gamma >= 0:
            raise ValueError(f"gamma={gamma}: give a strength of 0 or more")
        self.anchors, self.gamma = anchors, gamma
        self.importance, self.annealing, self.steps = importance, annealing, 0

    def after_loss(self) -> None:
        """Mix the task's loss with the penalty of this step."""
        self.steps += 1
        task, recall = 1.0, 1.0
        if self.annealing is not None:
            task = self.annealing(self.steps)
            recall = 1 - task
        penalty = quadratic_penalty(self.anchors, self.importance)
        self.learn.loss_grad = task * self.learn.loss_grad + recall * self.gamma * penalty
