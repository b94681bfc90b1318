"""Running text as batches for language models (Merity et al. 2017, section 5).

The token stream is cut into ``batch_size`` rows that are read side by side;
each batch goes on where the one before ended, so a model that carries its
hidden state reads every row as one long text. Introduced in the chapter
*Text and language models*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fastai.data.load import DataLoader
from torch import Tensor

from ulmfit_lib.text.tokenizer import BOS_ID

DIRECTIONS = ("forward", "backward")


def check_direction(direction: str) -> str:
    """``direction`` itself, if there is such a one.

    Raises:
        ValueError: ``direction`` is neither "forward" nor "backward".
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction={direction!r} must be one of {DIRECTIONS}")
    return direction


@dataclass(frozen=True)
class StreamConfig:
    """How a token stream is cut into batches."""

    batch_size: int = 32  # rows read side by side, B
    bptt: int = 70  # tokens per batch and row, before it is varied
    random_lengths: bool = True  # vary the length of each batch as the AWD-LSTM does
    direction: str = "forward"  # "backward" reads every row from its end to its start
    seed: int = 0  # of the random lengths

    def __post_init__(self) -> None:
        check_direction(self.direction)
        if self.batch_size < 1 or self.bptt < 1:
            raise ValueError(f"batch_size={self.batch_size}, bptt={self.bptt}: give 1 or more")


def join_documents(documents: Sequence[Sequence[int]], bos_id: int = BOS_ID) -> np.ndarray:
    """One stream of token ids (N,), each of ``documents`` opened by ``bos_id``, ``[BOS]``.

    Ids are held in 16 bits where the vocabulary allows, 32 otherwise.
    """
    pieces = [np.array([bos_id, *ids]) for ids in documents]
    stream = np.concatenate(pieces) if pieces else np.array([], dtype=np.int64)
    fits = stream.size == 0 or int(stream.max()) < 2**16
    return stream.astype(np.uint16 if fits else np.uint32)


def bptt_lengths(n_tokens: int, bptt: int, generator: np.random.Generator) -> Iterator[int]:
    """Lengths of consecutive chunks that cover ``n_tokens`` (Merity et al. 2017, section 4.1).

    The base is ``bptt`` with probability 0.95, half of it otherwise; the
    length is drawn from N(base, 5) and is at least 5. The last chunk takes
    what is left.

    Args:
        n_tokens: tokens to cover.
        bptt: the usual length.
        generator: of the random draws.
    """
    left = n_tokens
    while left > 0:
        base = bptt if generator.random() < 0.95 else bptt / 2
        length = min(left, max(5, int(generator.normal(base, 5))))
        left -= length
        yield length


class LMStream(DataLoader):
    """Batches (inputs (B, T), targets (B, T)) of consecutive tokens, for fastai's Learner.

    Targets are the inputs moved on by one token. Epoch ``k`` is a pure
    function of the config and ``k``: an interrupted run can go on at any
    epoch. Introduced in the chapter *Text and language models*.

    Args:
        tokens: token ids (N,); may be a memory map.
        config: how to cut them.
        batches_per_epoch: cut an epoch off after so many batches and go on
            there in the next one; ``None`` reads the whole stream per epoch.

    Raises:
        ValueError: fewer than two tokens per row.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        config: StreamConfig = StreamConfig(),
        batches_per_epoch: int | None = None,
    ) -> None:
        self.row_length = len(tokens) // config.batch_size
        if self.row_length < 2:
            raise ValueError(
                f"{len(tokens)} tokens are too few for batch_size={config.batch_size}: "
                "give more text or a smaller batch"
            )
        self.tokens, self.config, self.batches_per_epoch = tokens, config, batches_per_epoch
        self.epoch = 0
        super().__init__(bs=None, n=len(self._draw_lengths(0)))

    def __len__(self) -> int:
        """Batches of the coming epoch."""
        return self.batches_per_epoch or len(self._draw_lengths(self.epoch))

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass epoch ``epoch``, counted from 0."""
        self.epoch = epoch

    def create_batches(self, samps: object) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this epoch's batches and move on to the next epoch."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        if self.batches_per_epoch is None:
            yield from self._pass(epoch)
        else:
            yield from self._slice(epoch * self.batches_per_epoch, self.batches_per_epoch)

    def _draw_lengths(self, turn: int) -> list[int]:
        n_targets = self.row_length - 1
        if not self.config.random_lengths:
            full, rest = divmod(n_targets, self.config.bptt)
            return [self.config.bptt] * full + [rest] * (rest > 0)
        generator = np.random.default_rng([self.config.seed, turn])
        return list(bptt_lengths(n_targets, self.config.bptt, generator))

    def _pass(self, turn: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One reading of the whole stream, the ``turn``-th."""
        start = 0
        for length in self._draw_lengths(turn):
            yield self._cut(start, length)
            start += length

    def _slice(self, first: int, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches ``first .. first + count`` of the endless sequence of passes."""
        turn = 0
        while first >= (n := len(self._draw_lengths(turn))):
            first, turn = first - n, turn + 1
        while count > 0:
            lengths = self._draw_lengths(turn)
            start = sum(lengths[:first])
            for length in lengths[first : first + count]:
                yield self._cut(start, length)
                start, count = start + length, count - 1
            first, turn = 0, turn + 1

    def _cut(self, start: int, length: int) -> tuple[Tensor, Tensor]:
        rows = np.arange(self.config.batch_size)[:, None] * self.row_length
        columns = np.arange(start, start + length + 1)
        if self.config.direction == "backward":
            columns = self.row_length - 1 - columns
        ids = torch.from_numpy(self.tokens[rows + columns].astype(np.int64))
        return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
