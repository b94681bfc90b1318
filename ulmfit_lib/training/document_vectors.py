"""What a frozen encoder says of each document: one vector, for a linear probe.

Introduced in the chapter *ULMFiT*.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ulmfit_lib.text.batches import BatchConfig, TextLoader, TokenDataset

Pool = Callable[[Tensor, Tensor], Tensor]  # states (B, T, H) and mask (B, T) to (B, F)


def document_vectors(
    states: Callable[[Tensor], Tensor], dataset: TokenDataset, pool: Pool
) -> Tensor:
    """The pooled states (N, F) of each document, without gradient, in the documents' order.

    Introduced in the chapter *ULMFiT*.

    Args:
        states: from ids (B, T), padded after the text, to hidden states (B, T, H).
        dataset: the documents as the model reads them.
        pool: such as :func:`ulmfit_lib.models.pooling.masked_mean`.
    """
    loader = TextLoader(dataset, BatchConfig(64))
    with torch.no_grad():
        rows = [pool(states(ids), ids != dataset.pad_id) for (ids, *_) in loader]
    return loader.in_dataset_order(torch.cat(rows))
