"""How well a model does: its loss, its accuracy, its probabilities.

Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulmfit_lib.models.awd_lstm import LMOutput
from ulmfit_lib.models.classifier import ClassifierOutput
from ulmfit_lib.text.batches import TextLoader


def language_model_loss(output: LMOutput, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the next tokens, in nats, computed in 32 bits.

    Introduced in the chapter *Text and language models*.

    Args:
        output: of a language model; its logits are (B, T, V).
        targets: the tokens that come next, (B, T).

    Returns:
        A scalar.
    """
    return F.cross_entropy(output.logits.flatten(0, 1).float(), targets.flatten())


def classification_loss(output: Tensor | ClassifierOutput, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the classes, in nats, computed in 32 bits.

    Introduced in the chapter *FitLaM*.

    Args:
        output: logits (B, C), alone or in a classifier's output.
        labels: class indices (B,).

    Returns:
        A scalar.
    """
    return F.cross_entropy(_logits(output).float(), labels)


def accuracy(output: Tensor | ClassifierOutput, labels: Tensor) -> Tensor:
    """Share of rows whose largest logit is their label's; a metric for a ``Learner``.

    Introduced in the chapter *FitLaM*.

    Args:
        output: logits (B, C), alone or in a classifier's output.
        labels: class indices (B,).

    Returns:
        A scalar in ``[0, 1]``.
    """
    return (_logits(output).argmax(dim=1) == labels).float().mean()


@dataclass(frozen=True)
class Evaluation:
    """How well a classifier does. Introduced in the chapter *FitLaM*."""

    loss: float  # mean cross-entropy, in nats
    accuracy: float  # share of right answers
    n: int  # examples


def predict_probabilities(model: nn.Module, batches: Iterable[Sequence[Tensor]]) -> Tensor:
    """Class probabilities of every document, on the CPU.

    In evaluation mode, without gradients; the model's mode is as before when
    it returns. Introduced in the chapter *FitLaM*.

    Args:
        model: ids (B, T) to logits (B, C).
        batches: tuples that begin with ids (B, T), with or without labels.

    Returns:
        Probabilities (N, C): in the data set's order if ``batches`` is a
        ``TextLoader`` (which sorts by length), else in the order they came.

    Raises:
        ValueError: ``batches`` is empty, or a loader that shuffles.
    """
    probabilities = torch.cat([F.softmax(logits, dim=1) for logits, _ in _outputs(model, batches)])
    if isinstance(batches, TextLoader):
        return batches.in_dataset_order(probabilities)
    return probabilities


def evaluate(model: nn.Module, batches: Iterable[Sequence[Tensor]]) -> Evaluation:
    """Loss and accuracy of a classifier over labelled batches, every example counted once.

    In evaluation mode, without gradients; the model's mode is as before when
    it returns. Introduced in the chapter *FitLaM*.

    Args:
        model: ids (B, T) to logits (B, C).
        batches: (ids (B, T), labels (B,)).

    Raises:
        ValueError: ``batches`` is empty or has no labels.
    """
    outputs = _outputs(model, batches)
    logits = torch.cat([logits for logits, _ in outputs])
    labels = torch.cat([rest[0] for _, rest in outputs if rest])
    if len(labels) != len(logits):
        raise ValueError(f"{len(labels)} labels for {len(logits)} documents: label every batch")
    loss = classification_loss(logits, labels)
    return Evaluation(loss.item(), accuracy(logits, labels).item(), len(labels))


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Dropout off and no gradients within; afterwards each part is in its mode of before.

    Introduced in the chapter *FitLaM*.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _logits(output: Tensor | ClassifierOutput) -> Tensor:
    return output if isinstance(output, Tensor) else output.logits


def _outputs(
    model: nn.Module, batches: Iterable[Sequence[Tensor]]
) -> list[tuple[Tensor, list[Tensor]]]:
    """Logits of each batch, and what came with its ids, all on the CPU."""
    device = next(model.parameters()).device
    with evaluation_mode(model):
        outputs = [
            (_logits(model(ids.to(device))).float().cpu(), [tensor.cpu() for tensor in rest])
            for ids, *rest in batches
        ]
    if not outputs:
        raise ValueError("batches is empty: there is nothing to evaluate")
    return outputs
