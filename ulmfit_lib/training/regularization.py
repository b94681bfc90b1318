"""AR, TAR and the learning rate of random-length batches, as fastai callbacks.

Source: Merity et al. 2017, sections 4.1 and 4.6, and their released code.
Gradient clipping is fastai's ``GradientClip``. Introduced in the chapter
*Text and language models*.
"""

from __future__ import annotations

from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler
from torch import Tensor


def activation_penalty(dropped: Tensor, alpha: float = 2.0, mask: Tensor | None = None) -> Tensor:
    r"""AR: :math:`\alpha \, \mathrm{mean}((m \odot h_t)^2)`, which keeps activations small.

    Source: Merity et al. 2017, section 4.6; the mean over all elements is the
    released code's. Introduced in the chapter *Text and language models*.

    Args:
        dropped: last layer's output *after* dropout, (B, T, E).
        alpha: strength; 2 in the paper.
        mask: (B, T), True at the steps that count; None for all.

    Returns:
        A scalar.
    """
    return alpha * _mean_square(dropped, mask)


def temporal_penalty(raw: Tensor, beta: float = 1.0, mask: Tensor | None = None) -> Tensor:
    r"""TAR: :math:`\beta \, \mathrm{mean}((h_t - h_{t+1})^2)`, which keeps them steady.

    Only steps of ``raw`` itself are compared: the first has no predecessor,
    whatever the chunk before it ended with. One step alone costs nothing.
    Source: Merity et al. 2017, section 4.6. Introduced in the chapter *Text
    and language models*.

    Args:
        raw: last layer's output *before* dropout, (B, T, E).
        beta: strength; 1 in the paper.
        mask: (B, T), True at the steps that count; a difference counts where
            both of its steps do.

    Returns:
        A scalar.
    """
    both = mask[:, 1:] & mask[:, :-1] if mask is not None else None
    return beta * _mean_square(raw[:, 1:] - raw[:, :-1], both)


class ActivationRegularizer(Callback):
    """Add AR and TAR to the loss that is differentiated, not to the one reported.

    The model's output must have ``raw`` and ``dropped``, both (B, T, E), as
    ``LMOutput`` has; where it has a ``mask`` (B, T) too, as
    ``ClassifierOutput``, padding is left out. Two faults of fastai's
    ``RNNRegularizer`` are not repeated: it drops TAR for a batch of one row
    (it looks at ``len(h)``, the batch axis), and a chunk of one step makes its
    loss NaN. Source: Merity et al. 2017, section 4.6. Introduced in the
    chapter *Text and language models*.

    Args:
        alpha: strength of AR, 0 to leave it out.
        beta: strength of TAR, 0 to leave it out.

    Raises:
        ValueError: a negative strength.
    """

    run_valid = False

    def __init__(self, alpha: float = 2.0, beta: float = 1.0) -> None:
        if alpha < 0 or beta < 0:
            raise ValueError(f"alpha={alpha}, beta={beta}: give penalties of 0 or more")
        self.alpha, self.beta = alpha, beta

    def after_loss(self) -> None:
        """Add the penalties of this batch."""
        output, mask = self.pred, getattr(self.pred, "mask", None)
        penalty = activation_penalty(output.dropped, self.alpha, mask)
        penalty = penalty + temporal_penalty(output.raw, self.beta, mask)
        self.learn.loss_grad = self.learn.loss_grad + penalty


class RescaleLearningRate(Callback):
    """Multiply the learning rate by ``T / bptt`` for a batch of ``T`` steps, then restore it.

    With random lengths a short batch has fewer terms in its mean loss; the
    factor keeps its say in proportion. Acts after the scheduler and on every
    group. Source: Merity et al. 2017, section 4.1. Introduced in the chapter
    *Text and language models*.

    Args:
        bptt: the length at which the learning rate is as scheduled.

    Raises:
        ValueError: ``bptt`` is below 1.
    """

    order, run_valid = ParamScheduler.order + 1, False

    def __init__(self, bptt: int) -> None:
        if bptt < 1:
            raise ValueError(f"bptt={bptt}: give a length of 1 or more")
        self.bptt = bptt

    def before_batch(self) -> None:
        """Scale by the length of this batch, ``xb[0]`` being (B, T)."""
        self.scheduled = [hyper["lr"] for hyper in self.opt.hypers]
        factor = self.xb[0].shape[1] / self.bptt
        self.opt.set_hyper("lr", [lr * factor for lr in self.scheduled])

    def after_batch(self) -> None:
        """Put the scheduled rates back."""
        self.opt.set_hyper("lr", self.scheduled)


def _mean_square(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of the squares of ``x`` (B, T, E) over the steps of ``mask``; 0 without any."""
    squares = x.float().pow(2)
    if mask is None:
        return squares.sum() / max(1, squares.numel())
    return (squares * mask.unsqueeze(-1)).sum() / (mask.sum() * x.shape[-1]).clamp(min=1)
