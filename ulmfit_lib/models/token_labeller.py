"""A class for every token: an encoder with a linear layer over each of its states.

Introduced in the chapter *Selective masking*.
"""

from __future__ import annotations

from torch import Tensor

from ulmfit_lib.models.encoder_classifier import EncoderClassifier


class TokenLabeller(EncoderClassifier):
    """Logits of every token of framed texts.

    Selective masking trains one to tell important tokens, so that text
    without labels can be masked like text with labels. Source: Gu et al.
    2020, section 2.2. Introduced in the chapter *Selective masking*.

    Args:
        encoder: as :class:`ulmfit_lib.models.encoder_classifier.EncoderClassifier`
            takes it.
        n_classes: number of logits of a token, C.
        config: layers and dropout; nothing is pooled.
    """

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, C) of framed texts ``ids`` (B, T), padded after the text."""
        states = self._states(ids, ids != self.config.pad_id)
        return self.head(self.dropout(states))
