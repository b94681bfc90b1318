"""Which of two texts a token belongs to, for encoders that have been given a place to be told.

Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from ulmfit_lib.text.pairs import segment_ids
from ulmfit_lib.text.tokenizer import PAD_ID, SEP_ID


def segments(
    encoder: PreTrainedModel, ids: Tensor, sep_id: int = SEP_ID, pad_id: int = PAD_ID
) -> dict[str, Any]:
    """``token_type_ids`` for an encoder that has two segment embeddings, else nothing.

    The shipped encoder has two, and its second is a copy of the first: it was
    pre-trained on single texts, and learns the difference in fine-tuning.
    RoBERTa has one, DistilBERT none. Introduced in the chapter *RecAdam*.

    Args:
        encoder: its configuration says how many it has.
        ids: framed texts or pairs (B, T).
        sep_id, pad_id: the vocabulary's ``[SEP]`` and padding.
    """
    known = getattr(encoder.config, "type_vocab_size", 0)
    return {"token_type_ids": segment_ids(ids, sep_id, pad_id)} if known >= 2 else {}
