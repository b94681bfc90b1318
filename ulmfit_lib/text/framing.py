"""Texts as a BERT-style encoder reads them: ``[CLS] text [SEP]``, cut to its length.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Sequence

from ulmfit_lib.text.batches import TokenDataset
from ulmfit_lib.text.special_tokens import BOOK_TOKENS, SpecialTokens
from ulmfit_lib.text.truncation import FRAME, truncate


def frame(
    ids: Sequence[int],
    max_length: int,
    truncation: str = "head",
    special: SpecialTokens = BOOK_TOKENS,
) -> list[int]:
    """``[CLS]``, what is kept of a text, ``[SEP]``; an empty text is the two alone.

    Source: Devlin et al. 2019, figure 4b. Introduced in the chapter *How to
    fine-tune BERT*.

    Args:
        ids: token ids, without special tokens.
        max_length: tokens to keep, ``[CLS]`` and ``[SEP]`` included.
        truncation: which tokens of a longer text are kept.
        special: ids of the special tokens.

    Raises:
        ValueError: a padding token stands in the text, ``max_length``
            leaves no token of it, or no such truncation.
    """
    if max_length <= FRAME:
        raise ValueError(f"max_length={max_length} leaves no token of the text: give 3 or more")
    if special.pad_id in ids:
        raise ValueError(
            f"ids[{list(ids).index(special.pad_id)}]={special.pad_id} is the padding token, "
            "which no text contains: pass the document without its padding"
        )
    return [special.cls_id, *truncate(ids, max_length - FRAME, truncation), special.sep_id]


class FramedDataset(TokenDataset):
    """Documents framed for an encoder, with their labels.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        documents: token ids of each text, without special tokens.
        max_length: tokens of a framed text, at most.
        labels: one class index per document, or None.
        truncation: which tokens of a longer text are kept.
        special: ids of the special tokens.

    Raises:
        ValueError: as :func:`frame`, or labels and documents differ in number.
    """

    def __init__(
        self,
        documents: Sequence[Sequence[int]],
        max_length: int,
        labels: Sequence[int] | None = None,
        truncation: str = "head",
        special: SpecialTokens = BOOK_TOKENS,
    ) -> None:
        super().__init__([frame(ids, max_length, truncation, special) for ids in documents], labels)
        self.pad_id = special.pad_id
