"""A classifier of whole documents on top of an AWD-LSTM: BPT3C and its head.

BPT3C (back-propagation through time for text classification) reads a document
in chunks and hands the state from chunk to chunk; the head sees a pooled
vector. Whatever the padding, the batch mates, the order of the batch or the
chunk size, a document's answer stays the same. Introduced in the chapter
*FitLaM*.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulmfit_lib.models.awd_lstm import (
    AWDLSTM,
    CLASSIFIER_DROPOUTS,
    Dropouts,
    EncoderState,
    detach_state,
)
from ulmfit_lib.models.dropout import check_probability
from ulmfit_lib.models.pooling import RunningConcatPool


@dataclass(frozen=True)
class ClassifierConfig:
    """How a text classifier reads and decides. Introduced in the chapter *FitLaM*."""

    bptt: int = 70  # tokens of a chunk
    max_pool_tokens: int = 1400  # last tokens of a document that are pooled: 20 chunks
    hidden_sizes: tuple[int, ...] = (50,)  # outputs of the linear blocks before the last
    head_dropouts: tuple[float, ...] = (0.4, 0.1)  # one per linear block
    carry_gradient: bool = False  # True: gradient also through the state between pooled chunks
    return_outputs: bool = False  # True: forward returns ClassifierOutput, for AR and TAR

    def __post_init__(self) -> None:
        for name in ("bptt", "max_pool_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if len(self.head_dropouts) != len(self.hidden_sizes) + 1:
            raise ValueError(
                f"head_dropouts={self.head_dropouts} must name one probability for each of the "
                f"{len(self.hidden_sizes) + 1} linear blocks"
            )


class ClassifierOutput(NamedTuple):
    """What the classifier returns for a batch when AR and TAR need the hidden states."""

    logits: Tensor  # (B, C)
    raw: Tensor  # (B, W, E) hidden states of the pooled window, zeros where mask is False
    dropped: Tensor  # (B, W, E) the same: the head's dropout acts on the pooled vector
    mask: Tensor  # (B, W) True at the tokens that were pooled


class LinearBlock(nn.Sequential):
    """BatchNorm, dropout, linear layer and, except in the last block, ReLU.

    Source: ULMFiT, section 3.3, in the order of its released code. Introduced
    in the chapter *FitLaM*.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        dropout: probability of dropping a normalised input feature.
        relu: end with a ReLU.

    Raises:
        ValueError: ``dropout`` lies outside [0, 1).
    """

    def __init__(self, in_features: int, out_features: int, dropout: float, relu: bool) -> None:
        super().__init__(
            nn.BatchNorm1d(in_features),
            nn.Dropout(check_probability("dropout", dropout)),
            nn.Linear(in_features, out_features),
            *([nn.ReLU()] if relu else []),
        )


def classifier_head(in_features: int, n_classes: int, config: ClassifierConfig) -> nn.Sequential:
    """Linear blocks from a pooled vector (B, 3E) to logits (B, C).

    Introduced in the chapter *FitLaM*.

    Args:
        in_features: size of the pooled vector, 3E.
        n_classes: number of classes, C.
        config: sizes and dropouts of the blocks.

    Raises:
        ValueError: ``n_classes`` is below 1.
    """
    if n_classes < 1:
        raise ValueError(f"n_classes={n_classes} must be at least 1 (1: a score, for regression)")
    sizes = [in_features, *config.hidden_sizes, n_classes]
    last = len(sizes) - 2
    return nn.Sequential(
        *(
            LinearBlock(sizes[i], sizes[i + 1], config.head_dropouts[i], relu=i < last)
            for i in range(last + 1)
        )
    )


def classifier_encoder(
    encoder: AWDLSTM, dropouts: Dropouts = CLASSIFIER_DROPOUTS, drop_mult: float = 1.0
) -> AWDLSTM:
    """A copy of a language model's encoder with the classifier's dropouts.

    Only the weights transfer: ULMFiT's classifier drops more than its language
    model (embedding .05, input .4, weight .5, hidden .3). The output dropout
    becomes 0, because the head drops the pooled vector instead. Introduced in
    the chapter *FitLaM*.

    Args:
        encoder: whose weights to copy; it stays as it is.
        dropouts: probabilities of the classifier.
        drop_mult: factor for all of them.

    Raises:
        ValueError: a probability times ``drop_mult`` lies outside [0, 1).
    """
    dropouts = replace(dropouts, output=0.0).scaled(drop_mult)
    copy = AWDLSTM(encoder.config, dropouts)
    copy.load_state_dict(encoder.state_dict())
    return copy.to(encoder.embedding.weight.device)


class PoolingWindow(NamedTuple):
    """The end of each document that is pooled, seen from the grid of chunks."""

    start: Tensor  # (B,) first token of the chunk in which the window begins
    skipped: Tensor  # (B,) tokens of that chunk that precede the window
    length: Tensor  # (B,) tokens from start to the end of the document


def pooling_window(lengths: Tensor, config: ClassifierConfig) -> PoolingWindow:
    """Where the last ``max_pool_tokens`` tokens of each document lie.

    Chunks start at multiples of ``bptt``, the window need not: 1,400 tokens of
    a 1,470-token document start at token 70, of a 1,500-token one at token
    100, inside the chunk that starts at 70. (fastai drops such a chunk whole,
    or, in version 0.7, one chunk too many.) Introduced in the chapter *FitLaM*.

    Args:
        lengths: tokens of each document, (B,) long.
        config: chunk and window size.
    """
    before = (lengths - config.max_pool_tokens).clamp(min=0)
    skipped = before % config.bptt
    return PoolingWindow(before - skipped, skipped, lengths - before + skipped)


class TextClassifier(nn.Module):
    """BPT3C: encoder over chunks, concat pooling, linear blocks.

    The state goes from chunk to chunk, without its gradient unless
    ``carry_gradient``; each of the last ``max_pool_tokens`` tokens of a
    document is pooled, and the gradient reaches the chunks they lie in. Chunks
    before that only move the state on and keep no graph, so memory doesn't
    grow with the length of a document. Source: ULMFiT, sections 3.3 and 4.1;
    FitLaM. Introduced in the chapter *FitLaM*.

    Args:
        encoder: the AWD-LSTM, with the classifier's dropouts
            (:func:`classifier_encoder`).
        n_classes: number of logits, C.
        config: chunk, window and head.

    Raises:
        ValueError: ``n_classes`` is below 1.
    """

    def __init__(
        self, encoder: AWDLSTM, n_classes: int, config: ClassifierConfig | None = None
    ) -> None:
        super().__init__()
        self.config = config if config is not None else ClassifierConfig()
        self.encoder = encoder
        self.head = classifier_head(3 * encoder.config.embedding_size, n_classes, self.config)

    def forward(self, ids: Tensor) -> Tensor | ClassifierOutput:
        """Logits (B, C) of documents ``ids`` (B, T), padded after the text.

        Returns:
            Logits, or :class:`ClassifierOutput` if ``config.return_outputs``.

        Raises:
            ValueError: a row is all padding, has padding before its end, or is
                alone in a training batch.
        """
        lengths = _document_lengths(ids, self.encoder.config.pad_id)
        if self.head.training and len(ids) == 1:
            raise ValueError(
                "ids has 1 row: BatchNorm can't be trained on one document, pass at least 2 "
                "(TextLoader(shuffle=True) sees to it) or call eval()"
            )
        window = pooling_window(lengths, self.config)
        longest_first = window.length.argsort(descending=True, stable=True)
        pooled, pieces, mask = self._read(ids[longest_first], _rows(window, longest_first))
        back = longest_first.argsort()
        logits = self.head(pooled[back])
        if not self.config.return_outputs:
            return logits
        raw = torch.cat(pieces, dim=1).masked_fill(~mask.unsqueeze(-1), 0.0)[back]
        return ClassifierOutput(logits, raw, raw, mask[back])

    def layer_groups(self) -> list[nn.Module]:
        """Embedding, LSTM layers from the bottom up, head: every parameter once."""
        return [self.encoder.embedding, *self.encoder.layers, self.head]

    def _read(self, ids: Tensor, window: PoolingWindow) -> tuple[Tensor, list[Tensor], Tensor]:
        """Pooled vectors (B, 3E), hidden states (B, bptt, E) if wanted, mask (B, W)."""
        state = self._state_at(ids, window.start)
        ids, mask = _window_tokens(ids, window)
        pool = RunningConcatPool(
            len(ids), self.encoder.config.embedding_size, like=self.encoder.embedding.weight
        )
        pieces: list[Tensor] = []
        for start, raw in self._chunks(ids, window.length, state):
            pool.add(raw, mask[: len(raw), start : start + self.config.bptt])
            if self.config.return_outputs:
                pieces.append(F.pad(raw, (0, 0, 0, 0, 0, len(ids) - len(raw))))
        return pool.result(), pieces, mask

    def _chunks(
        self, ids: Tensor, lengths: Tensor, state: EncoderState
    ) -> Iterator[tuple[int, Tensor]]:
        """Start and outputs (n, bptt, E) of each chunk, for the n rows that reach into it."""
        for start in range(0, ids.shape[1], self.config.bptt):
            n = int((lengths > start).sum())
            state = [(h[:, :n], c[:, :n]) for h, c in state]
            output = self.encoder(ids[:n, start : start + self.config.bptt], state)
            state = output.state if self.config.carry_gradient else detach_state(output.state)
            yield start, output.raw

    @torch.no_grad()
    def _state_at(self, ids: Tensor, starts: Tensor) -> EncoderState:
        """State of each row after its first ``starts`` tokens (multiples of bptt), no graph."""
        zeros, sizes = self.encoder.embedding.weight.new_zeros, self.encoder.config.layer_sizes
        state = [(zeros(1, len(ids), size), zeros(1, len(ids), size)) for _, size in sizes]
        for start in range(0, int(starts.max()), self.config.bptt):
            rows = (starts > start).nonzero().squeeze(1)
            chunk = ids[rows, start : start + self.config.bptt]
            output = self.encoder(chunk, [(h[:, rows], c[:, rows]) for h, c in state])
            for (h, c), (new_h, new_c) in zip(state, output.state, strict=True):
                h[:, rows], c[:, rows] = new_h.to(h.dtype), new_c.to(c.dtype)
        return state


def average_probabilities(forward: Tensor, backward: Tensor) -> Tensor:
    """Mean of two classifiers' class probabilities, (B, C).

    Source: ULMFiT, section 3.4 (bidirectional model). Introduced in the
    chapter *FitLaM*.

    Args:
        forward: probabilities of the forward model, (B, C).
        backward: probabilities of the backward model for the same documents
            in the same order, (B, C).

    Raises:
        ValueError: the shapes differ, or rows are no probabilities.
    """
    if forward.shape != backward.shape:
        raise ValueError(
            f"forward {tuple(forward.shape)} and backward {tuple(backward.shape)} differ: "
            "pass both models' answers for the same documents"
        )
    for name, p in (("forward", forward), ("backward", backward)):
        sums_to_one = torch.allclose(p.sum(dim=-1), p.new_ones(p.shape[:-1]), atol=1e-3)
        if not sums_to_one or bool((p < 0).any()):
            raise ValueError(f"{name} holds no probabilities: apply softmax to the logits first")
    return (forward + backward) / 2


def _document_lengths(ids: Tensor, pad_id: int) -> Tensor:
    """Tokens (B,) of each row of a batch that is padded after the text, or ValueError."""
    if ids.dim() != 2 or ids.numel() == 0:
        raise ValueError(f"ids has shape {tuple(ids.shape)}: pass token ids (B, T) of documents")
    real = ids != pad_id
    lengths = real.sum(dim=1)
    if not bool(lengths.all()):
        rows = (lengths == 0).nonzero().squeeze(1).tolist()
        raise ValueError(
            f"rows {rows} of ids are all padding (pad_id={pad_id}): "
            "begin_document() gives every document at least a BOS token"
        )
    if not bool((real[:, 1:] <= real[:, :-1]).all()):
        raise ValueError(
            f"ids has padding (pad_id={pad_id}) before or inside a text: "
            "pad after the text, as pad_batch() does"
        )
    return lengths


def _rows(window: PoolingWindow, rows: Tensor) -> PoolingWindow:
    return PoolingWindow(*(values[rows] for values in window))


def _window_tokens(ids: Tensor, window: PoolingWindow) -> tuple[Tensor, Tensor]:
    """Tokens (B, W) from ``window.start`` on, and the mask of those inside the window."""
    columns = torch.arange(int(window.length.max()), device=ids.device).unsqueeze(0)
    positions = (window.start.unsqueeze(1) + columns).clamp(max=ids.shape[1] - 1)
    in_text = columns < window.length.unsqueeze(1)
    return ids.gather(1, positions), in_text & (columns >= window.skipped.unsqueeze(1))
