"""Texts as a BERT-style encoder reads them: ``[CLS] text [SEP]``, cut to its length.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Sequence

from ulmfit_lib.text.batches import TokenDataset
from ulmfit_lib.text.packing import FRAME
from ulmfit_lib.text.tokenizer import CLS_ID, PAD_ID, SEP_ID


def frame(ids: Sequence[int], max_length: int) -> list[int]:
    """``[CLS]``, the first tokens of a text, ``[SEP]``; an empty text is the two alone.

    Source: Devlin et al. 2019, figure 4b. Introduced in the chapter *How to
    fine-tune BERT*.

    Args:
        ids: token ids, without special tokens.
        max_length: tokens to keep, ``[CLS]`` and ``[SEP]`` included.

    Raises:
        ValueError: a padding token stands in the text, or ``max_length``
            leaves no token of it.
    """
    if max_length <= FRAME:
        raise ValueError(f"max_length={max_length} leaves no token of the text: give 3 or more")
    if PAD_ID in ids:
        raise ValueError(
            f"ids[{list(ids).index(PAD_ID)}]={PAD_ID} is the padding token, which no text "
            "contains: pass the document without its padding"
        )
    return [CLS_ID, *ids[: max_length - FRAME], SEP_ID]


class FramedDataset(TokenDataset):
    """Documents framed for an encoder, with their labels.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        documents: token ids of each text, without special tokens.
        max_length: tokens of a framed text, at most.
        labels: one class index per document, or None.

    Raises:
        ValueError: as :func:`frame`, or labels and documents differ in number.
    """

    def __init__(
        self,
        documents: Sequence[Sequence[int]],
        max_length: int,
        labels: Sequence[int] | None = None,
    ) -> None:
        super().__init__([frame(ids, max_length) for ids in documents], labels)
