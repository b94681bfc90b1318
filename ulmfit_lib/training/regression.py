"""Scores instead of classes: mean squared error, and the correlation that they are judged by.

Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from ulmfit_lib.text.batches import TextLoader
from ulmfit_lib.training.evaluation import evaluation_mode


def regression_loss(output: Tensor, scores: Tensor) -> Tensor:
    """Mean squared error of a head with one output, computed in 32 bits.

    Source: BERT's released code for STS-B. Introduced in the chapter *RecAdam*.

    Args:
        output: (B, 1).
        scores: (B,).

    Raises:
        ValueError: more than one output.
    """
    if output.shape[1:] != (1,):
        raise ValueError(f"output has shape {tuple(output.shape)}: a score needs one output a row")
    return F.mse_loss(output.float().squeeze(1), scores.float())


def pearson(scores: ArrayLike, predicted: ArrayLike) -> float:
    """Pearson's correlation, GLUE's measure for STS-B; 0 where either never changes.

    Introduced in the chapter *RecAdam*.

    Args:
        scores: gold ones, (N,).
        predicted: (N,).

    Raises:
        ValueError: they differ in number, or there are fewer than two.
    """
    a, b = np.asarray(scores, dtype=float), np.asarray(predicted, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(
            f"scores has shape {a.shape}, predicted {b.shape}: give two or more of each"
        )
    if not a.std() > 0 or not b.std() > 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def predict_scores(model: nn.Module, batches: Iterable[Sequence[Tensor]]) -> Tensor:
    """The score (N,) of every document, on the CPU, in the data set's order.

    In evaluation mode, without gradients. Introduced in the chapter *RecAdam*.

    Args:
        model: ids (B, T) to one output (B, 1).
        batches: tuples that begin with ids; a ``TextLoader``'s order is undone.
    """
    device = next(model.parameters()).device
    with evaluation_mode(model):
        rows = torch.cat([model(ids.to(device)).float().cpu() for ids, *_ in batches])
    return (batches.in_dataset_order(rows) if isinstance(batches, TextLoader) else rows).squeeze(1)
