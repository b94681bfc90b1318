"""Running text as packed sequences of one length, for masked language models.

A sequence is ``[CLS]``, running text, ``[SEP]``; where a document ends within
it, a ``[SEP]`` stands too, and the next document follows. So no position is
padding, and the special tokens stand where a fine-tuned model will meet them.
Source: Liu et al. 2019, section 4.2 ("full sentences"). Introduced in the
chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from fastai.data.load import DataLoader
from torch import Tensor

from ulmfit_lib.text.masking import (
    IGNORED,
    MaskedTokens,
    MaskingConfig,
    MaskingVocabulary,
    choose_positions,
    corrupt,
    mask_tokens,
)
from ulmfit_lib.text.special_tokens import BOOK_TOKENS, SpecialTokens
from ulmfit_lib.text.truncation import FRAME

STANDARD_MASKING = MaskingConfig()  # single tokens at 15 %: every held-out loss is of these
HELD_OUT_SEED = 0


@dataclass(frozen=True)
class PackConfig:
    """How running text is packed. Introduced in the chapter *How to fine-tune BERT*."""

    batch_size: int = 32  # sequences per batch, over all processes
    length: int = 128  # tokens per sequence, [CLS] and [SEP] included
    seed: int = 0  # of order, cuts and masks

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.length <= FRAME:
            raise ValueError(
                f"batch_size={self.batch_size}, length={self.length}: give 1 sequence or more, "
                f"each of {FRAME + 1} tokens or more"
            )


class MaskedTargets(NamedTuple):
    """A batch for a model that predicts the masked positions only.

    Introduced in the chapter *How to fine-tune BERT*.
    """

    ids: Tensor  # (B, T) token ids with masks
    positions: Tensor  # (M,) where to predict, counted through the rows: row * T + column
    targets: Tensor  # (M,) the tokens that stand there


def pack_sequences(
    tokens: np.ndarray, starts: np.ndarray, length: int, special: SpecialTokens = BOOK_TOKENS
) -> Tensor:
    """Sequences of ``length`` tokens whose text begins at ``starts``.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        tokens: token stream (N,), every document opened by ``[BOS]``.
        starts: where each sequence's text begins, (B,).
        length: tokens of a sequence, ``[CLS]`` and ``[SEP]`` included.
        special: ids of the special tokens.

    Returns:
        Token ids (B, length); where the stream ends early, ``[SEP]`` follows
        its last token and then padding.
    """
    columns = starts[:, None] + np.arange(length - FRAME)
    inside = columns < len(tokens)
    text = tokens[np.minimum(columns, len(tokens) - 1)].astype(np.int64)
    packed = np.full((len(starts), length), special.pad_id, dtype=np.int64)
    packed[:, 0] = special.cls_id
    closed = np.where(text == special.bos_id, special.sep_id, text)
    packed[:, 1:-1] = np.where(inside, closed, special.pad_id)
    packed[np.arange(len(starts)), 1 + inside.sum(axis=1)] = special.sep_id
    return torch.from_numpy(packed)


def gather_targets(masked: MaskedTokens) -> MaskedTargets:
    """The positions to be predicted, and what stands there, row by row.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        masked: ids and labels, both (B, T).
    """
    labels = masked.labels.flatten()
    positions = (labels != IGNORED).nonzero().squeeze(1)
    return MaskedTargets(masked.ids, positions, labels[positions])


class MaskedSequences(DataLoader):
    """Shuffled, packed and freshly masked batches of running text, for fastai's Learner.

    A *pass* reads the text once: cut into sequences at an offset of its own,
    in an order of its own; what does not fill a sequence at either end, or a
    batch, is left for other passes. Batch ``t``, counted over all passes, is a
    pure function of the settings and ``t``, so an interrupted run can go on
    at any batch. Made as (ids (B, T), labels (B, T)), which can be shared out
    among processes by rows; each then comes as the parts of
    :class:`MaskedTargets`, a plain tuple.
    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        tokens: token stream (N,), every document opened by ``[BOS]``; may be
            a memory map.
        config: how to pack them.
        vocabulary: for the masks.
        masking: how to mask.
        rate: the rate of masking at batch ``t``, instead of the constant in
            ``masking``.
        batches_per_epoch: how many batches make an epoch of fastai; None for
            one pass.
        special: ids of the special tokens.

    Raises:
        ValueError: the text does not fill one batch.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        config: PackConfig,
        vocabulary: MaskingVocabulary,
        masking: MaskingConfig = STANDARD_MASKING,
        rate: Callable[[int], float] | None = None,
        batches_per_epoch: int | None = None,
        special: SpecialTokens = BOOK_TOKENS,
    ) -> None:
        self.body = config.length - FRAME
        # One [BOS] opens the text, and any offset below `body` must leave the same number.
        self.n_sequences = (len(tokens) - self.body) // self.body
        self.batches_per_pass = self.n_sequences // config.batch_size
        if self.batches_per_pass < 1:
            raise ValueError(
                f"{len(tokens)} tokens are too few for batch_size={config.batch_size}, "
                f"length={config.length}: give more text, or smaller or shorter batches"
            )
        self.tokens, self.config, self.vocabulary = tokens, config, vocabulary
        self.masking, self.rate, self.special = masking, rate, special
        self.batches_per_epoch = batches_per_epoch or self.batches_per_pass
        self.epoch = 0
        self._order: tuple[int, np.ndarray] | None = None
        super().__init__(bs=None, n=self.batches_per_epoch)

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass of the learner epoch ``epoch``, counted from 0."""
        self.epoch = epoch

    def create_batches(self, samps: object) -> Iterator[tuple[Tensor, ...]]:
        """Yield this epoch's batches and move on to the next epoch."""
        first = self.epoch * self.batches_per_epoch
        self.epoch += 1
        for t in range(first, first + self.batches_per_epoch):
            yield tuple(self.batch(t))

    def after_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Turn labels into positions and targets, once the rows are shared out."""
        return tuple(gather_targets(MaskedTokens(*batch)))

    def batch(self, t: int) -> MaskedTokens:
        """Batch ``t`` of the whole run, counted from 0."""
        turn, number = divmod(t, self.batches_per_pass)
        starts = self._starts(turn)[number * self.config.batch_size :][: self.config.batch_size]
        ids = pack_sequences(self.tokens, starts, self.config.length, self.special)
        generator = torch.Generator().manual_seed(hash((self.config.seed, t)) % 2**63)
        rate = self.masking.rate if self.rate is None else self.rate(t)
        whole = self.masking.whole_words
        chosen = choose_positions(ids, self.vocabulary, rate, generator, whole)
        shares = self.masking.masked, self.masking.replaced
        return corrupt(ids, chosen, self.vocabulary, generator, *shares)

    def _starts(self, turn: int) -> np.ndarray:
        """Where the sequences of a pass begin, in the order in which they are read."""
        if self._order is None or self._order[0] != turn:
            generator = np.random.default_rng([self.config.seed, turn])
            offset = 1 + generator.integers(self.body)
            order = generator.permutation(self.n_sequences)
            self._order = turn, offset + order * self.body
        return self._order[1]


class HeldOutSequences:
    """Held-out text, packed whole and masked once, so that losses can be compared.

    The masks depend on text and length only: neither on the batch size nor on
    how often, or for which model, the text is read. Single tokens at 15 %,
    whatever a run masks in training. Introduced in the chapter *How to
    fine-tune BERT*.

    Args:
        tokens: token stream (N,), every document opened by ``[BOS]``.
        length: tokens of a sequence.
        vocabulary: for the masks.
        batch_size: sequences read at once.
        special: ids of the special tokens.

    Raises:
        ValueError: the text has less than one token after its ``[BOS]``.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        length: int,
        vocabulary: MaskingVocabulary,
        batch_size: int = 32,
        special: SpecialTokens = BOOK_TOKENS,
    ) -> None:
        if len(tokens) < 2:
            raise ValueError(f"{len(tokens)} tokens are no text to measure on: give more")
        starts = np.arange(1, len(tokens), PackConfig(batch_size, length).length - FRAME)
        generator = torch.Generator().manual_seed(HELD_OUT_SEED)
        ids = pack_sequences(tokens, starts, length, special)
        self.masked = mask_tokens(ids, vocabulary, STANDARD_MASKING, generator)
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[MaskedTargets]:
        """The same batches every time."""
        parts = (part.split(self.batch_size) for part in self.masked)
        return (gather_targets(MaskedTokens(*rows)) for rows in zip(*parts, strict=True))
