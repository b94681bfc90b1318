"""A classifier on top of a BERT-style encoder: features, pooled; dropout; one linear layer.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from ulmfit_lib.models.dropout import check_probability
from ulmfit_lib.models.layer_features import (
    LAST_LAYER,
    check_combination,
    combine_layers,
    layer_numbers,
)
from ulmfit_lib.models.pooling import masked_mean
from ulmfit_lib.models.pretrained_encoder import encoder_parts
from ulmfit_lib.models.segments import segments
from ulmfit_lib.text.tokenizer import PAD_ID, SEP_ID

POOLINGS = ("cls", "mean", "pooler")


@dataclass(frozen=True)
class EncoderClassifierConfig:
    """How the classifier decides. Introduced in the chapter *How to fine-tune BERT*."""

    # "cls": the state of [CLS]; "mean": of all tokens; "pooler": [CLS] through BERT's tanh layer
    pooling: str = "mean"
    dropout: float = 0.1  # of the pooled vector
    pad_id: int = PAD_ID  # token that is not there
    sep_id: int = SEP_ID  # token that ends a text
    layers: tuple[int, ...] = LAST_LAYER  # transformer layers that are read, 0 the lowest
    combination: str = "concat"  # of several layers: "concat", "mean" or "max"

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling={self.pooling!r} must be one of {POOLINGS}")
        check_combination(self.combination)
        check_probability("dropout", self.dropout)
        if self.pooling == "pooler" and self.layers != LAST_LAYER:
            raise ValueError(f"layers={self.layers}: BERT's pooler reads the last layer alone")


class EncoderClassifier(nn.Module):
    """Class logits of framed texts.

    BERT's classifier reads the state of ``[CLS]`` (``pooling="cls"``), which
    its next-sentence objective had trained. An encoder that was trained to
    fill masks alone has never used that state, and the mean over the tokens
    says more when labels are few. Layers above the highest one that is read
    are left out: they would be computed for nothing and never trained.
    Source: Devlin et al. 2019, section 4.1; Sun et al. 2019, sections 3 and
    5.3.2. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        encoder: of BERT's, RoBERTa's or DistilBERT's kind in ``transformers``;
            copied, the original stays as it is.
        n_classes: number of logits, C.
        config: pooling, layers and dropout.

    Raises:
        TypeError: an encoder of another kind.
        ValueError: ``n_classes`` is below 1, a layer that the encoder has
            not, or ``pooling="pooler"`` for an encoder without one.
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
        self._read = self._leave_out()
        self.dropout = nn.Dropout(self.config.dropout)
        self.head = self.new_head(n_classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, C) of framed texts or pairs ``ids`` (B, T), padded after the text."""
        return self.head(self.dropout(self.pooled(ids)))

    def pooled(self, ids: Tensor) -> Tensor:
        """The vector (B, F) that stands for each framed text of ``ids`` (B, T)."""
        mask = ids != self.config.pad_id
        states = self._states(ids, mask)
        if self.config.pooling == "cls":
            return states[:, 0]
        if self.config.pooling == "pooler":
            return self.encoder.pooler(states)
        return masked_mean(states, mask)

    def layer_groups(self) -> list[nn.Module]:
        """Embeddings, layers from the bottom up, what is above them: every parameter once."""
        parts = encoder_parts(self.encoder)
        top = self.head if parts.pooler is None else nn.ModuleList([parts.pooler, self.head])
        return [parts.embeddings, *parts.layers, top]

    @property
    def n_features(self) -> int:
        """Numbers that stand for a text, F."""
        concatenated = len(self._read) if self.config.combination == "concat" else 1
        return int(self.encoder.config.hidden_size) * concatenated

    def new_head(self, n_classes: int) -> nn.Linear:
        """A linear layer from the features to ``n_classes`` logits, as BERT begins one."""
        head = nn.Linear(self.n_features, n_classes)
        nn.init.normal_(head.weight, std=self.encoder.config.initializer_range)
        nn.init.zeros_(head.bias)
        return head

    def _states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """States (B, T, F) of the layers that are read."""
        told = segments(self.encoder, ids, self.config.sep_id, self.config.pad_id)
        if len(self._read) == 1:
            states: Tensor = self.encoder(ids, attention_mask=mask, **told).last_hidden_state
            return states
        every = self.encoder(ids, attention_mask=mask, output_hidden_states=True, **told)
        found = every.hidden_states
        return combine_layers([found[i + 1] for i in self._read], self.config.combination)

    def _leave_out(self) -> tuple[int, ...]:
        """Drop what is not read; the layers that are, counted from the bottom."""
        parts = encoder_parts(self.encoder)
        if self.config.pooling != "pooler":
            self.encoder.pooler = None  # reads [CLS] through a layer that masks alone never train
        elif parts.pooler is None:
            raise ValueError(
                "pooling='pooler', but this encoder has no pooler: load it with AutoModel, or "
                "choose 'cls' or 'mean'"
            )
        read = layer_numbers(self.config.layers, len(parts.layers))
        del parts.layers[max(read) + 1 :]
        return read
