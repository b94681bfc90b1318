"""Concat pooling: one vector for a document of any length, padding left out.

The two forms of concat pooling take the last, the greatest and the mean hidden state over the real
positions of each row: :func:`masked_concat_pool` at once,
:class:`RunningConcatPool` piece by piece. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked_concat_pool(outputs: Tensor, mask: Tensor) -> Tensor:
    """``h_c = [h_T, maxpool(H), meanpool(H)]`` over the real positions of each row.

    Source: ULMFiT, section 3.3 ("Concat pooling"); FitLaM has the same.
    fastai 0.7 took the mean over the padding too. Introduced in the chapter
    *FitLaM*.

    Args:
        outputs: hidden states (B, T, H); what stands at padding is never read.
        mask: (B, T), True where a token is real.

    Returns:
        (B, 3H): last real state, maximum, mean.

    Raises:
        ValueError: the shapes disagree, or a row is all padding: its mean
            would be 0/0 and its maximum minus infinity.
    """
    _check_shapes(outputs, mask)
    _check_no_row_is_empty(mask.any(dim=1))
    hidden = outputs.masked_fill(~mask.unsqueeze(-1), 0.0)
    last = hidden[torch.arange(len(hidden), device=hidden.device), _last_real(mask)]
    maximum = outputs.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=1)
    mean = hidden.sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return torch.cat([last, maximum, mean], dim=1)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean (B, H) of ``states`` (B, T, H) where ``mask`` (B, T) is True.

    Computed in 32 bits. Introduced in the chapter *How to fine-tune BERT*.
    """
    weights = mask.unsqueeze(-1).float()
    return (states.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


class RunningConcatPool:
    """:func:`masked_concat_pool` of outputs that arrive in pieces, in constant memory.

    After any number of :meth:`add`, :meth:`result` equals the one-shot form on
    the pieces laid end to end. Gradients flow through each piece that carried
    them. Introduced in the chapter *FitLaM*.

    Args:
        batch_size: rows, B.
        size: features of a hidden state, H.
        like: a tensor whose dtype and device the pool takes.
    """

    def __init__(self, batch_size: int, size: int, like: Tensor) -> None:
        self.last = like.new_zeros(batch_size, size)
        self.maximum = like.new_full((batch_size, size), -torch.inf)
        self.sum = like.new_zeros(batch_size, size)
        self.count = torch.zeros(batch_size, 1, dtype=torch.long, device=like.device)

    def add(self, outputs: Tensor, mask: Tensor) -> None:
        """Pool the next piece of the first n rows: ``outputs`` (n, t, H), ``mask`` (n, t).

        Rows after the first n are left as they are: their documents have ended.

        Raises:
            ValueError: the shapes disagree, or n exceeds the number of rows.
        """
        _check_shapes(outputs, mask)
        n, rest = len(outputs), slice(len(outputs), None)
        if n > len(self.count):
            raise ValueError(f"outputs has {n} rows for a pool of {len(self.count)}: pass no more")
        real = mask.unsqueeze(-1)
        last = outputs[torch.arange(n, device=outputs.device), _last_real(mask)]
        last = torch.where(mask.any(dim=1, keepdim=True), last, self.last[:n])
        maximum = outputs.masked_fill(~real, -torch.inf).amax(dim=1)
        total = self.sum[:n] + outputs.masked_fill(~real, 0.0).sum(dim=1)
        self.last = torch.cat([last, self.last[rest]])
        self.maximum = torch.cat([self.maximum[:n].maximum(maximum), self.maximum[rest]])
        self.sum = torch.cat([total, self.sum[rest]])
        self.count = torch.cat([self.count[:n] + mask.sum(1, keepdim=True), self.count[rest]])

    def result(self) -> Tensor:
        """(B, 3H): last real state, maximum, mean.

        Raises:
            ValueError: a row has had no real position yet.
        """
        _check_no_row_is_empty(self.count.squeeze(1) > 0)
        return torch.cat([self.last, self.maximum, self.sum / self.count], dim=1)


def _last_real(mask: Tensor) -> Tensor:
    """Index (B,) of the last True of each row; 0 where there is none."""
    positions = torch.arange(mask.shape[1], device=mask.device)
    return (mask * positions).amax(dim=1)


def _check_shapes(outputs: Tensor, mask: Tensor) -> None:
    if outputs.dim() != 3 or outputs.shape[:2] != mask.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"outputs {tuple(outputs.shape)} and mask {tuple(mask.shape)} of {mask.dtype} do not "
            "fit: pass hidden states (B, T, H) and a boolean mask (B, T), True at real tokens"
        )
    if mask.shape[1] == 0:
        raise ValueError("outputs has T=0 positions: pass at least one")


def _check_no_row_is_empty(has_text: Tensor) -> None:
    if not bool(has_text.all()):
        rows = (~has_text).nonzero().squeeze(1).tolist()
        raise ValueError(
            f"rows {rows} of the batch are all padding, so there is nothing to pool: "
            "begin_document() gives every document at least a BOS token"
        )
