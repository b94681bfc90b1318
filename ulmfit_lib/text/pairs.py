"""Pairs of texts as a BERT-style encoder reads them: ``[CLS] a [SEP] b [SEP]``.

Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ulmfit_lib.text.batches import TokenDataset
from ulmfit_lib.text.framing import frame
from ulmfit_lib.text.special_tokens import BOOK_TOKENS, SpecialTokens
from ulmfit_lib.text.tokenizer import PAD_ID, SEP_ID

PAIR_FRAME = 3  # tokens of a framed pair that are not text


def frame_pair(
    first: Sequence[int],
    second: Sequence[int],
    max_length: int,
    special: SpecialTokens = BOOK_TOKENS,
) -> list[int]:
    """``[CLS] a [SEP] b [SEP]``; where both are too long, the longer one gives way first.

    Token by token, the end of the longer text is cut (of the second, where
    they are equally long). Source: Devlin et al. 2019, section 4.1, and
    ``_truncate_seq_pair`` of the released code. Introduced in the chapter
    *RecAdam*.

    Args:
        first, second: token ids, without special tokens.
        max_length: tokens to keep, the three special ones included.
        special: ids of the special tokens.

    Raises:
        ValueError: a padding token stands in a text, or ``max_length`` leaves
            no token of either.
    """
    room = max_length - PAIR_FRAME
    if room < 2:
        raise ValueError(f"max_length={max_length} leaves no token of either text: give 5 or more")
    kept_b = min(len(second), max(room // 2, room - len(first)))
    kept_a = min(len(first), room - kept_b)
    cut = first[:kept_a], second[:kept_b]
    one, other = (frame(ids, max_length, special=special) for ids in cut)
    return one + other[1:]


def segment_ids(ids: Tensor, sep_id: int = SEP_ID, pad_id: int = PAD_ID) -> Tensor:
    """0 in the first text of each row, 1 in the second, as BERT's segment embeddings want it.

    A ``[SEP]`` belongs to the text that it ends; padding counts as the first.
    A row with one text is all 0. Source: Devlin et al. 2019, figure 2.
    Introduced in the chapter *RecAdam*.

    Args:
        ids: framed texts or pairs (B, T), padded after the text.
        sep_id, pad_id: the vocabulary's ``[SEP]`` and padding.

    Returns:
        (B, T) of ids' type.
    """
    ended = (ids == sep_id).cumsum(dim=1) - (ids == sep_id).to(ids.dtype)
    return ((ended >= 1) & (ids != pad_id)).to(ids.dtype)


class PairDataset(TokenDataset):
    """Pairs framed for an encoder, with their labels or scores.

    Introduced in the chapter *RecAdam*.

    Args:
        first, second: token ids of both texts of each pair.
        max_length: tokens of a framed pair, at most.
        labels: one class index or score per pair, or None.
        special: ids of the special tokens.

    Raises:
        ValueError: as :func:`frame_pair`, or columns of different lengths.
    """

    def __init__(
        self,
        first: Sequence[Sequence[int]],
        second: Sequence[Sequence[int]],
        max_length: int,
        labels: Sequence[int] | Sequence[float] | None = None,
        special: SpecialTokens = BOOK_TOKENS,
    ) -> None:
        if len(first) != len(second):
            raise ValueError(f"first has {len(first)} texts, second {len(second)}: give pairs")
        pairs = zip(first, second, strict=True)
        super().__init__([frame_pair(a, b, max_length, special) for a, b in pairs], labels)
        self.pad_id = special.pad_id
