"""Dynamic token masking for masked language modelling (MLM).

Two steps, so that other ways to choose can share the second: *which*
positions are to be predicted (:func:`choose_positions`, at random, as tokens
or as whole words), and *what the model sees there* (:func:`corrupt`, the
80/10/10 rule). Source: Devlin et al. 2019, section 3.1 and appendix A; masks
that are drawn anew for every batch: Liu et al. 2019, section 4.1. Introduced
in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, models
from torch import Tensor

from ulmfit_lib.text.tokenizer import MASK

IGNORED = -100  # label of a position that is not to be predicted, as torch's cross-entropy has it
_SPACES = ("Ġ", "Ċ", "ĉ", "č")  # how a byte-level vocabulary writes blank, newline, tab and return
_PIECE = "##"  # how a WordPiece vocabulary marks what goes on with a word


@dataclass(frozen=True)
class MaskingConfig:
    """How tokens are masked. Introduced in the chapter *How to fine-tune BERT*."""

    rate: float = 0.15  # share of the ordinary tokens to be predicted
    whole_words: bool = False  # choose all tokens of a word or none
    masked: float = 0.8  # share of the chosen ones that the model sees as [MASK]
    replaced: float = 0.1  # share that it sees as a random token; it sees the rest as they are

    def __post_init__(self) -> None:
        _check_share("rate", self.rate)
        _check_share("masked", self.masked)
        _check_share("replaced", self.replaced)
        if self.masked + self.replaced > 1.0 + 1e-9:
            raise ValueError(
                f"masked={self.masked}, replaced={self.replaced}: their sum is the share of the "
                "chosen tokens that change, give 1 or less"
            )


class MaskingVocabulary(NamedTuple):
    """What masking must know of a vocabulary of V tokens.

    Introduced in the chapter *How to fine-tune BERT*.
    """

    mask_id: int  # what a masked token becomes
    special: Tensor  # (V,) True for [PAD], [CLS], [SEP], ..., which are never chosen or drawn
    opens: Tensor  # (V,) True for tokens that begin a new word
    closes: Tensor  # (V,) True for tokens after which a new word begins


class MaskedTokens(NamedTuple):
    """What a model reads, and what it is to predict.

    Introduced in the chapter *How to fine-tune BERT*.
    """

    ids: Tensor  # (..., T) token ids with masks
    labels: Tensor  # (..., T) the original id where it is to be predicted, IGNORED elsewhere


def masking_vocabulary(tokenizer: Tokenizer, mask: str = MASK) -> MaskingVocabulary:
    """Look up which tokens are special and where words begin.

    A word is what stands between blanks. In a byte-level vocabulary a token
    with a leading blank or line end opens one, in a WordPiece vocabulary
    every token without the mark ``##``. Introduced in the chapter *How to
    fine-tune BERT*.

    Args:
        tokenizer: the vocabulary; ``backend_tokenizer`` of one from
            ``transformers``.
        mask: the mask token.

    Raises:
        ValueError: the vocabulary has no such mask token, or ordinary tokens
            are missing from it.
    """
    mask_id = tokenizer.token_to_id(mask)
    if mask_id is None:
        raise ValueError(f"mask={mask!r} is not in the vocabulary: name its mask token")
    size = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(i) or "" for i in range(size)]
    added = tokenizer.get_added_tokens_decoder()
    special = torch.tensor([i in added and added[i].special for i in range(size)])
    if special.all():
        raise ValueError("the vocabulary has special tokens only: there is nothing to mask")
    if isinstance(tokenizer.model, models.WordPiece):
        opens = torch.tensor([not token.startswith(_PIECE) for token in tokens])
        return MaskingVocabulary(mask_id, special, opens | special, special)
    opens = torch.tensor([token.startswith(_SPACES) for token in tokens])
    closes = torch.tensor([token.endswith(_SPACES[1:]) for token in tokens])
    return MaskingVocabulary(mask_id, special, opens | special, closes | special)


def mask_tokens(
    ids: Tensor, vocabulary: MaskingVocabulary, config: MaskingConfig, generator: torch.Generator
) -> MaskedTokens:
    """Choose positions at random and hide them: one fresh MLM batch.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        ids: token ids (..., T), special tokens and padding included.
        vocabulary: of those ids.
        config: rate, whole words, and the three shares.
        generator: of the random draws.

    Raises:
        ValueError: an id lies outside the vocabulary.
    """
    chosen = choose_positions(ids, vocabulary, config.rate, generator, config.whole_words)
    return corrupt(ids, chosen, vocabulary, generator, config.masked, config.replaced)


def choose_positions(
    ids: Tensor,
    vocabulary: MaskingVocabulary,
    rate: float,
    generator: torch.Generator,
    whole_words: bool = False,
) -> Tensor:
    """Draw the positions to be predicted: each token, or each word, with probability ``rate``.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        ids: token ids (..., T).
        vocabulary: of those ids.
        rate: probability of each, in ``[0, 1]``; also the expected share of
            tokens, whole words or not.
        generator: of the random draws.
        whole_words: draw once for all tokens of a word.

    Returns:
        Booleans (..., T), False at every special token.

    Raises:
        ValueError: ``rate`` is no share, or an id lies outside the vocabulary.
    """
    _check_share("rate", rate)
    special = _is_special(ids, vocabulary)
    draws = torch.rand(ids.shape, generator=generator)
    if whole_words:
        draws = draws.gather(-1, _first_of_word(ids, vocabulary))
    return (draws < rate) & ~special


def corrupt(
    ids: Tensor,
    chosen: Tensor,
    vocabulary: MaskingVocabulary,
    generator: torch.Generator,
    masked: float = 0.8,
    replaced: float = 0.1,
) -> MaskedTokens:
    """Hide the ``chosen`` positions: 80 % masked, 10 % replaced at random, 10 % left as they are.

    The random token is drawn from the ordinary ones, the right one among
    them. Whoever chooses by other means than chance (selective masking) comes
    in here. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        ids: token ids (..., T); left as they are.
        chosen: booleans (..., T), the positions to be predicted.
        vocabulary: of those ids.
        generator: of the random draws.
        masked: share that becomes the mask token.
        replaced: share that becomes a random token.

    Raises:
        ValueError: a chosen position holds a special token, the shapes
            differ, or an id lies outside the vocabulary.
    """
    if chosen.shape != ids.shape:
        raise ValueError(f"chosen has shape {tuple(chosen.shape)}, ids {tuple(ids.shape)}")
    if bool((chosen & _is_special(ids, vocabulary)).any()):
        raise ValueError("chosen holds a special token or padding: those are never predicted")
    fate = torch.rand(ids.shape, generator=generator)
    ordinary = (~vocabulary.special).nonzero().squeeze(1)
    drawn = ordinary[torch.randint(len(ordinary), ids.shape, generator=generator)]
    changed = torch.where(fate < masked, vocabulary.mask_id, drawn)
    changes = chosen & (fate < masked + replaced)
    labels = torch.where(chosen, ids, IGNORED)
    return MaskedTokens(torch.where(changes, changed, ids), labels)


def _is_special(ids: Tensor, vocabulary: MaskingVocabulary) -> Tensor:
    size = len(vocabulary.special)
    if ids.numel() and not (0 <= int(ids.min()) and int(ids.max()) < size):
        raise ValueError(
            f"ids range from {int(ids.min())} to {int(ids.max())}, the vocabulary has {size} "
            "tokens: encode the text with the tokenizer that the masking was made for"
        )
    return vocabulary.special[ids]


def _first_of_word(ids: Tensor, vocabulary: MaskingVocabulary) -> Tensor:
    """For each position (..., T) the position at which its word begins."""
    begins = vocabulary.opens[ids]
    begins[..., 1:] |= vocabulary.closes[ids[..., :-1]]
    positions = torch.arange(ids.shape[-1]).expand(ids.shape)
    return torch.where(begins, positions, 0).cummax(-1).values if ids.numel() else positions


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name}={value} is not a share: give a value in [0, 1]")
