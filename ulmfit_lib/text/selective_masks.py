"""Which tokens to mask when some matter more than others, and the control with as many at random.

The choice is a boolean tensor for :func:`ulmfit_lib.text.masking.corrupt`,
which hides the chosen tokens as BERT does. Source: Gu et al. 2020, section
2.2, and its released code. Introduced in the chapter *Selective masking*.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ulmfit_lib.text.masking import MaskingVocabulary

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
    ids: Tensor, chosen: Tensor, vocabulary: MaskingVocabulary, generator: torch.Generator
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

    Returns:
        Booleans (B, T).
    """
    draws = torch.rand(ids.shape, generator=generator)
    return _best(draws, ~vocabulary.special[ids], chosen.sum(dim=1))


def _best(scores: Tensor, allowed: Tensor, budget: Tensor) -> Tensor:
    """The ``budget`` highest of the ``allowed`` scores of each row; ties go to the left."""
    ranked = scores.float().masked_fill(~allowed, -torch.inf)
    rank = ranked.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return (rank < budget[:, None]) & allowed
