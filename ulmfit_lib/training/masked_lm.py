"""Loss and accuracy of a masked language model.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ulmfit_lib.models.encoder import MaskedPositionsModel, MaskedPositionsOutput
from ulmfit_lib.text.packing import MaskedTargets
from ulmfit_lib.training.evaluation import evaluation_mode
from ulmfit_lib.training.processes import mean_over_processes


def masked_lm_loss(output: MaskedPositionsOutput, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the masked tokens, in nats, computed in 32 bits.

    On several processes the masked tokens of *all* of them weigh the same:
    the sum is divided by the mean number per process, so that the processes'
    averaged gradients are those of the whole batch. Source: Devlin et al.
    2019, section 3.1. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        output: logits (M, V) at the masked positions.
        targets: the tokens that stand there, (M,).

    Returns:
        A scalar; 0 where nothing is masked.
    """
    total = F.cross_entropy(output.logits.float(), targets, reduction="sum")
    return total / max(1.0, mean_over_processes(len(targets)))


@dataclass(frozen=True)
class MaskedLMScore:
    """How well a model fills masked places. Introduced in the chapter *How to fine-tune BERT*."""

    loss: float  # mean cross-entropy of a masked token, in nats
    accuracy: float  # share of masked tokens whose logit is the largest
    n: int  # masked tokens


def score_masked_lm(model: MaskedPositionsModel, batches: Iterable[MaskedTargets]) -> MaskedLMScore:
    """Loss and accuracy over ``batches``, every masked token counted once.

    In evaluation mode, without gradients; the model's mode is as before when
    it returns. Masks must be frozen for two scores to be comparable
    (:class:`ulmfit_lib.text.packing.HeldOutSequences`). Introduced in the
    chapter *How to fine-tune BERT*.

    Args:
        model: the encoder.
        batches: masked ids, positions and targets; padding is not attended to.

    Raises:
        ValueError: nothing is masked.
    """
    device = next(model.parameters()).device
    pad_id = model.model.config.pad_token_id
    loss, right, n = 0.0, 0, 0
    with evaluation_mode(model):
        for ids, positions, targets in batches:
            ids, targets = ids.to(device), targets.to(device)
            logits = model(ids, positions.to(device), ids != pad_id).logits.float()
            loss += F.cross_entropy(logits, targets, reduction="sum").item()
            right += int((logits.argmax(dim=1) == targets).sum())
            n += len(targets)
    if n == 0:
        raise ValueError("batches have no masked token: give more text")
    return MaskedLMScore(loss / n, right / n, n)
