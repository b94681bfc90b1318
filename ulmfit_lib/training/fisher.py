r"""The diagonal of the Fisher information: how much each weight matters to what a model says.

.. math:: F_i = \mathbb{E}_x\, \mathbb{E}_{y \sim p(y|x)}
   \left[(\partial \log p(y|x) / \partial \theta_i)^2\right]

Gradients are squared *for each example*, before the mean: the square of a batch's mean gradient is
something else, near zero in a trained model. Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from ulmfit_lib.models.encoder import MaskedPositionsModel
from ulmfit_lib.text.packing import MaskedTargets

FISHERS = ("exact", "sampled", "empirical")
Example = TypeVar("Example")
Answers = tuple[Tensor, Tensor]  # log-probabilities (N, C) of an example's answers, gold ones (N,)


def diagonal_fisher(
    model: nn.Module,
    examples: Iterable[Example],
    answers: Callable[[nn.Module, Example], Answers],
    kind: str = "sampled",
    seed: int = 0,
) -> dict[str, Tensor]:
    """Mean squared gradient of the log-likelihood of one example, by parameter name.

    ``"exact"`` takes every answer with its probability (few classes only),
    ``"sampled"`` draws one from the model: both are the true Fisher
    information, the second without bias but with noise. ``"empirical"`` takes
    the gold answers, which is another quantity: close where the model's
    probabilities are right, zero where it is sure of every gold answer. In
    evaluation mode, one example after the other. Source: Kirkpatrick et al. 2017, section 2.
    Introduced in the chapter *RecAdam*.

    Args:
        model: at the weights whose importance is asked for.
        examples: single examples, never batches.
        answers: from model and example to log-probabilities (N, C) of its N
            independent answers, and the gold ones (N,).
        kind: one of :data:`FISHERS`.
        seed: of the drawn answers.

    Returns:
        A tensor of the parameter's shape for every trainable parameter.

    Raises:
        ValueError: an unknown ``kind``, or no example.
    """
    if kind not in FISHERS:
        raise ValueError(f"kind={kind!r}: choose one of {', '.join(FISHERS)}")
    generator = torch.Generator().manual_seed(seed)
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    squares = {name: torch.zeros_like(p) for name, p in params.items()}
    count, training = 0, model.training
    model.eval()
    for count, example in enumerate(examples, start=1):  # noqa: B007
        for weight, likelihood in _likelihoods(*answers(model, example), kind, generator):
            _add_squares(squares, params, weight, likelihood)
    model.train(training)
    if count == 0:
        raise ValueError("examples is empty: a Fisher information needs text to read")
    return {name: total / count for name, total in squares.items()}


def relative(fisher: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same importances with a mean of 1 over all weights.

    So a penalty has the same total stiffness with it as without. Introduced in
    the chapter *RecAdam*.

    Raises:
        ValueError: no weight matters at all.
    """
    total = sum(float(f.sum()) for f in fisher.values())
    mean = total / sum(f.numel() for f in fisher.values())
    if not mean > 0:
        raise ValueError("the Fisher information is 0 everywhere: no gradient came through")
    return {name: f / mean for name, f in fisher.items()}


def masked_lm_answers(model: nn.Module, example: MaskedTargets) -> Answers:
    """What a masked language model says at each masked place of one sequence.

    Introduced in the chapter *RecAdam*.

    Args:
        model: a :class:`ulmfit_lib.models.encoder.MaskedPositionsModel`.
        example: one masked sequence.
    """
    assert isinstance(model, MaskedPositionsModel)
    ids, positions, targets = example
    logits = model(ids, positions, ids != model.model.config.pad_token_id).logits
    return logits.float().log_softmax(dim=1), targets


def _likelihoods(
    log_probabilities: Tensor, gold: Tensor, kind: str, generator: torch.Generator
) -> Iterator[tuple[float, Tensor]]:
    """Log-likelihoods to differentiate, each with the weight of its squared gradient."""
    if kind == "exact":
        # Answers are independent given the example, so mixed terms have mean zero.
        for row in log_probabilities:
            yield from ((float(entry.detach().exp()), entry) for entry in row)
        return
    if kind == "sampled":
        shares = log_probabilities.detach().exp().cpu()
        gold = torch.multinomial(shares, 1, generator=generator).squeeze(1).to(gold.device)
    yield 1.0, log_probabilities.gather(1, gold.unsqueeze(1)).sum()


def _add_squares(
    squares: dict[str, Tensor], params: dict[str, nn.Parameter], weight: float, likelihood: Tensor
) -> None:
    grads = torch.autograd.grad(
        likelihood, list(params.values()), retain_graph=True, allow_unused=True
    )
    for total, grad in zip(squares.values(), grads, strict=True):
        if grad is not None:
            total.add_(grad.detach().pow(2), alpha=weight)
