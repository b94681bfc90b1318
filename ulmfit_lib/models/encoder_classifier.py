"""A classifier on top of a BERT-style encoder: pool the last layer, drop, one linear layer.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from ulmfit_lib.models.dropout import check_probability
from ulmfit_lib.models.pooling import masked_mean
from ulmfit_lib.models.segments import segments
from ulmfit_lib.text.tokenizer import PAD_ID

POOLINGS = ("cls", "mean")


@dataclass(frozen=True)
class EncoderClassifierConfig:
    """How the classifier decides. Introduced in the chapter *How to fine-tune BERT*."""

    pooling: str = "mean"  # "cls": the state of [CLS]; "mean": of all tokens
    dropout: float = 0.1  # of the pooled vector
    pad_id: int = PAD_ID  # token that is not there

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling={self.pooling!r} must be one of {POOLINGS}")
        check_probability("dropout", self.dropout)


class EncoderClassifier(nn.Module):
    """Class logits of framed texts.

    BERT's classifier reads the state of ``[CLS]`` (``pooling="cls"``), which
    its next-sentence objective had trained. An encoder that was trained to
    fill masks alone has never used that state, and the mean over the tokens
    says more when labels are few. Source: Devlin et al. 2019, section 4.1;
    Sun et al. 2019, section 3. Introduced in the chapter *How to fine-tune
    BERT*.

    Args:
        encoder: a ``BertModel``, or another of ``transformers`` with
            ``embeddings`` and ``encoder.layer``; copied, the original stays
            as it is.
        n_classes: number of logits, C.
        config: pooling and dropout.

    Raises:
        ValueError: ``n_classes`` is below 1.
    """

    encoder: Any  # transformers leaves the types of its models' parts open

    def __init__(
        self,
        encoder: PreTrainedModel,
        n_classes: int,
        config: EncoderClassifierConfig | None = None,
    ) -> None:
        super().__init__()
        if n_classes < 1:
            raise ValueError(f"n_classes={n_classes} must be at least 1")
        self.config = config if config is not None else EncoderClassifierConfig()
        self.encoder = copy.deepcopy(encoder)
        self.encoder.pooler = None  # reads [CLS] through a layer that masks alone never train
        self.dropout = nn.Dropout(self.config.dropout)
        self.head = nn.Linear(encoder.config.hidden_size, n_classes)
        nn.init.normal_(self.head.weight, std=encoder.config.initializer_range)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, C) of framed texts or pairs ``ids`` (B, T), padded after the text."""
        return self.head(self.dropout(self.pooled(ids)))

    def pooled(self, ids: Tensor) -> Tensor:
        """The vector (B, H) that stands for each framed text of ``ids`` (B, T)."""
        mask = ids != self.config.pad_id
        told = segments(self.encoder, ids)
        states = self.encoder(ids, attention_mask=mask, **told).last_hidden_state
        if self.config.pooling == "cls":
            return states[:, 0]
        return masked_mean(states, mask)

    def layer_groups(self) -> list[nn.Module]:
        """Embeddings, layers from the bottom up, head: every parameter once."""
        return [self.encoder.embeddings, *self.encoder.encoder.layer, self.head]
