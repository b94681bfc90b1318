"""The tokens that are no text, by their numbers: every checkpoint has its own.

The book's vocabulary begins with ``[PAD]`` as 0; in RoBERTa's, 0 is the
opening token and 1 the padding. Introduced in the chapter *How to fine-tune
BERT*.
"""

from __future__ import annotations

from dataclasses import dataclass

from ulmfit_lib.text.tokenizer import BOS_ID, CLS_ID, PAD_ID, SEP_ID


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the tokens around a text. Introduced in the chapter *How to fine-tune BERT*."""

    cls_id: int = CLS_ID  # opens a framed text
    sep_id: int = SEP_ID  # closes it
    pad_id: int = PAD_ID  # fills a row up
    bos_id: int = BOS_ID  # opens a document in a stream; packing turns it into sep_id

    def __post_init__(self) -> None:
        around = (self.cls_id, self.sep_id, self.pad_id)
        if min(*around, self.bos_id) < 0 or self.pad_id in (self.cls_id, self.sep_id, self.bos_id):
            raise ValueError(f"{self}: ids count from 0, and padding has one of its own")


BOOK_TOKENS = SpecialTokens()  # of the vocabulary that the book's models share
