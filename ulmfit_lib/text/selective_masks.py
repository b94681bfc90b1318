"""Which tokens to mask when some matter more than others, and the control with as many at random.

A choice is a boolean tensor for :func:`ulmfit_lib.text.masking.corrupt`,
which hides the chosen tokens as BERT does; :class:`ChosenMasks` makes batches
of texts whose masks are chosen. Source: Gu et al. 2020, section
2.2, and its released code. Introduced in the chapter *Selective masking*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from fastai.data.load import DataLoader
from torch import Tensor

from ulmfit_lib.text.batches import TokenDataset, pad_batch
from ulmfit_lib.text.framing import frame
from ulmfit_lib.text.masking import MaskingVocabulary, corrupt
from ulmfit_lib.text.packing import gather_targets
from ulmfit_lib.text.special_tokens import BOOK_TOKENS, SpecialTokens
from ulmfit_lib.text.truncation import FRAME

RATE = 0.15  # largest share of a text's ordinary tokens that is masked


def mask_budget(ids: Tensor, vocabulary: MaskingVocabulary, rate: float = RATE) -> Tensor:
    """The most tokens of each text that may be masked, (B,): ``max(1, floor(rate * n))``.

    ``n`` counts ordinary tokens; a text without any has none to give.
    Introduced in the chapter *Selective masking*.

    Args:
        ids: token ids (B, T), special tokens and padding included.
        vocabulary: of those ids.
        rate: share of the ordinary tokens, in [0, 1].

    Raises:
        ValueError: ``rate`` is no share.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate={rate} is not a share: give a value in [0, 1]")
    ordinary = (~vocabulary.special[ids]).sum(dim=1)
    return (rate * ordinary).long().clamp(min=1).minimum(ordinary)


def most_important(
    ids: Tensor,
    scores: Tensor,
    candidates: Tensor,
    vocabulary: MaskingVocabulary,
    rate: float = RATE,
) -> Tensor:
    """The highest-scored candidates of each text, within :func:`mask_budget`.

    A text with fewer candidates than its budget gets fewer masks, one without
    candidates none. Introduced in the chapter *Selective masking*.

    Args:
        ids: token ids (B, T), special tokens and padding included.
        scores: (B, T), such as a labeller's logit of "important".
        candidates: (B, T), True where a token may be chosen; special tokens
            never are.
        vocabulary: of those ids.
        rate: largest share of the ordinary tokens.

    Returns:
        Booleans (B, T).

    Raises:
        ValueError: the shapes differ, or ``rate`` is no share.
    """
    if not ids.shape == scores.shape == candidates.shape:
        shapes = [tuple(t.shape) for t in (ids, scores, candidates)]
        raise ValueError(f"ids, scores and candidates have shapes {shapes}: give one shape (B, T)")
    allowed = candidates & ~vocabulary.special[ids]
    budget = mask_budget(ids, vocabulary, rate)
    return _best(scores, allowed, budget)


def as_many_at_random(
    ids: Tensor,
    chosen: Tensor,
    vocabulary: MaskingVocabulary,
    generator: torch.Generator,
    first: Tensor | None = None,
) -> Tensor:
    """In every text as many ordinary tokens as ``chosen`` has there, drawn at random.

    The control of selective masking: the same budget text by text, so that
    what is left to differ is *which* tokens are hidden. Introduced in the
    chapter *Selective masking*.

    Args:
        ids: token ids (B, T), special tokens and padding included.
        chosen: booleans (B, T).
        vocabulary: of those ids.
        generator: of the draws.
        first: booleans (B, T); these tokens are drawn before any other.

    Returns:
        Booleans (B, T).
    """
    draws = torch.rand(ids.shape, generator=generator)
    if first is not None:
        draws += first
    return _best(draws, ~vocabulary.special[ids], chosen.sum(dim=1))


def _best(scores: Tensor, allowed: Tensor, budget: Tensor) -> Tensor:
    """The ``budget`` highest of the ``allowed`` scores of each row; ties go to the left."""
    ranked = scores.float().masked_fill(~allowed, -torch.inf)
    rank = ranked.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return (rank < budget[:, None]) & allowed


class FramedTokenLabels(TokenDataset):
    """Texts framed for an encoder, with a class for every token; the frame has class 0.

    The released code trains on the frame, too. Introduced in the chapter
    *Selective masking*.

    Args:
        documents: token ids of each text, without special tokens.
        labels: class of each token.
        max_length: tokens of a framed text, at most; the first ones are kept.
        special: ids of the special tokens.

    Raises:
        ValueError: a text has more or fewer labels than tokens.
    """

    def __init__(
        self,
        documents: Sequence[Sequence[int]],
        labels: Sequence[Sequence[int]],
        max_length: int,
        special: SpecialTokens = BOOK_TOKENS,
    ) -> None:
        for number, (ids, classes) in enumerate(zip(documents, labels, strict=True)):
            if len(ids) != len(classes):
                raise ValueError(
                    f"text {number} has {len(ids)} tokens and {len(classes)} labels: give one each"
                )
        framed = [frame(ids, max_length, special=special) for ids in documents]
        most = max_length - FRAME
        super().__init__(framed, [[0, *(int(c) for c in row[:most]), 0] for row in labels])
        self.pad_id = special.pad_id


class ChosenMasks(DataLoader):
    """Batches of texts in which the chosen tokens are hidden, for fastai's Learner.

    Each batch is (ids (B, T), positions (M,), attention mask (B, T), targets
    (M,)). A text without a chosen token teaches nothing and is left out. The
    choice stays the same; what becomes of a chosen token is drawn anew each
    time. Introduced in the chapter *Selective masking*.

    Args:
        texts: framed texts; their labels say which tokens are chosen.
        vocabulary: for the masks.
        batch_size: texts, fewer where there are fewer.
        updates: batches, passing over the texts as often as it takes.
        seed: of the order and of the masks.

    Raises:
        ValueError: no token is chosen in any text.
    """

    n_inp = 3

    def __init__(
        self,
        texts: FramedTokenLabels,
        vocabulary: MaskingVocabulary,
        batch_size: int,
        updates: int,
        seed: int = 0,
    ) -> None:
        rows = [texts[i] for i in range(len(texts))]
        self.rows = [(ids, chosen) for ids, chosen in rows if any(chosen)]
        if not self.rows:
            raise ValueError("no token is chosen in any text: there is nothing to predict")
        self.vocabulary, self.pad_id, self.seed = vocabulary, texts.pad_id, seed
        self.batch_size, self.updates = min(batch_size, len(self.rows)), updates
        super().__init__(bs=None, n=updates)

    def create_batches(self, samps: object) -> Iterator[tuple[Tensor, ...]]:
        """All batches, in order."""
        generator = torch.Generator().manual_seed(self.seed)
        per_pass = len(self.rows) // self.batch_size
        for t in range(self.updates):
            turn, i = divmod(t, per_pass)
            if i == 0:
                order = np.random.default_rng([self.seed, turn]).permutation(len(self.rows))
            chosen = order[i * self.batch_size :][: self.batch_size]
            yield self._batch([self.rows[k] for k in chosen], generator)

    def _batch(
        self, rows: Sequence[tuple[list[int], list[int]]], generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        ids = pad_batch([row[0] for row in rows], self.pad_id)
        chosen = pad_batch([row[1] for row in rows], 0).bool()
        found = gather_targets(corrupt(ids, chosen, self.vocabulary, generator))
        return found.ids, found.positions, ids != self.pad_id, found.targets
