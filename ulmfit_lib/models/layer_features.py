"""What the layers of an encoder know: features from one layer or several, and layer by layer.

Layers are counted from 0, the first transformer layer, as in the paper;
``transformers`` puts the embeddings before them, so its ``hidden_states[i +
1]`` is layer ``i``. Source: Sun et al. 2019, section 5.3.2. Introduced in the
chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ulmfit_lib.models.pooling import masked_mean
from ulmfit_lib.text.batches import BatchConfig, TextLoader, TokenDataset

COMBINATIONS = ("concat", "mean", "max")
LAST_LAYER = (-1,)


def layer_numbers(layers: Sequence[int], n_layers: int) -> tuple[int, ...]:
    """``layers`` counted from the bottom; -1 is the last, as in Python.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        layers: layers to take features from, in this order.
        n_layers: of the encoder.

    Raises:
        ValueError: none, one that the encoder has not, or one twice.
    """
    found = tuple(layer % n_layers for layer in layers if -n_layers <= layer < n_layers)
    if not layers or len(set(found)) < len(layers):
        raise ValueError(
            f"layers={tuple(layers)}: give different ones of the encoder's {n_layers}, 0 .. "
            f"{n_layers - 1}, or counted from the end"
        )
    return found


def combine_layers(states: Sequence[Tensor], combination: str) -> Tensor:
    """Features of several layers as one: side by side, their mean, or their maximum.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        states: of each layer, (..., H).
        combination: one of :data:`COMBINATIONS`.

    Returns:
        (..., kH) for "concat" of k layers, otherwise (..., H).

    Raises:
        ValueError: no such combination.
    """
    check_combination(combination)
    if combination == "concat":
        return torch.cat(list(states), dim=-1)
    stacked = torch.stack(list(states))
    return stacked.mean(dim=0) if combination == "mean" else stacked.amax(dim=0)


def check_combination(combination: str) -> None:
    """Make sure that ``combination`` is one of :data:`COMBINATIONS`.

    Introduced in the chapter *How to fine-tune BERT*.

    Raises:
        ValueError: it is not.
    """
    if combination not in COMBINATIONS:
        raise ValueError(f"combination={combination!r} must be one of {COMBINATIONS}")


def layer_by_layer(
    encoder: Any, dataset: TokenDataset, pooling: str = "mean", batch_size: int = 64
) -> Tensor:
    """Every layer's vector of each document, without gradient: (layers + 1, N, H).

    Entry 0 are the embeddings, entry ``i + 1`` is layer ``i``. A linear probe
    on each shows which layer knows what. Introduced in the chapter *How to
    fine-tune BERT*.

    Args:
        encoder: as ``transformers`` has it; put into evaluation mode meanwhile.
        dataset: framed documents.
        pooling: "cls" or "mean".
        batch_size: documents at once.

    Raises:
        ValueError: no such pooling.
    """
    if pooling not in ("cls", "mean"):
        raise ValueError(f"pooling={pooling!r} must be 'cls' or 'mean'")
    loader, was_training = TextLoader(dataset, BatchConfig(batch_size)), encoder.training
    encoder.eval()
    with torch.no_grad():
        rows = [_pooled_layers(encoder, ids, dataset.pad_id, pooling) for (ids, *_) in loader]
    encoder.train(was_training)
    return loader.in_dataset_order(torch.cat(rows)).transpose(0, 1).contiguous()


def _pooled_layers(encoder: Any, ids: Tensor, pad_id: int, pooling: str) -> Tensor:
    """Vectors (B, layers + 1, H) of a batch of ids (B, T)."""
    mask = ids != pad_id
    found = encoder(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    pooled = [s[:, 0] if pooling == "cls" else masked_mean(s, mask) for s in found]
    return torch.stack(pooled, dim=1)
