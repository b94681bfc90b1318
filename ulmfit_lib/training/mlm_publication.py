"""Pre-training of a BERT-style encoder that ends in a folder with its card.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import BertForMaskedLM

from ulmfit_lib.models.encoder import SHIPPED_ENCODER, encoder_card, save_encoder
from ulmfit_lib.text.masking import masking_vocabulary
from ulmfit_lib.text.packing import MaskedSequences
from ulmfit_lib.text.token_files import TokenFile
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.encoder_start import EarlierRun
from ulmfit_lib.training.held_out import encoder_row
from ulmfit_lib.training.mlm_pretraining import MLMPretrainConfig, pretrain_encoder
from ulmfit_lib.training.publication import ModelKind
from ulmfit_lib.training.segments import Progress

LIMITS = (
    "It knows no text but its own, whose language, subjects and biases it repeats. No sentence "
    "pairs were seen, so the second segment means nothing before fine-tuning."
)


class EncoderKind(ModelKind[BertForMaskedLM]):
    """An encoder with its MLM head, in a folder. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        config: the run.
    """

    config: MLMPretrainConfig

    def __init__(self, config: MLMPretrainConfig) -> None:
        self.config = config
        self.name = SHIPPED_ENCODER.name
        self.facts = {"limits": LIMITS}
        if isinstance(config.start, EarlierRun):
            self.facts["earlier"] = config.start.facts()
        self.tokenizer = load_tokenizer()
        self.vocabulary = masking_vocabulary(self.tokenizer)

    def check(self, train: TokenFile) -> None:
        """As :class:`ulmfit_lib.text.packing.MaskedSequences` does."""
        MaskedSequences(train.tokens, self.config.packing, self.vocabulary)

    def train(
        self, train: TokenFile, valid: TokenFile, folder: Path, report: Callable[[str], None]
    ) -> tuple[BertForMaskedLM, Progress]:
        """See :func:`ulmfit_lib.training.mlm_pretraining.pretrain_encoder`.

        Its arguments are train, valid, folder and report.
        """
        return pretrain_encoder(self.config, train, valid, self.vocabulary, folder, report)

    def measure(self, model: BertForMaskedLM, text: TokenFile) -> dict[str, Any]:
        """Loss and accuracy of ``model`` at masked places of ``text``."""
        return encoder_row(model, text, self.config.packing.length, self.vocabulary)

    def multiplied(self, model: BertForMaskedLM) -> float:
        """All but the embeddings; the MLM head, its word vectors too, at masked places only."""
        body = sum(p.numel() for p in model.bert.encoder.parameters())
        head = sum(p.numel() for p in model.cls.parameters())
        return body + self.config.mean_mask_rate * head

    def save(self, model: BertForMaskedLM, card: dict[str, Any], folder: Path) -> Path:
        """Write ``model`` and ``card`` to ``bert`` in ``folder``; returns its path."""
        return save_encoder(model, self.config.model, self.tokenizer, card, folder / self.name)

    def card(self, folder: Path) -> dict[str, Any]:
        """The card of the encoder in ``folder``."""
        return encoder_card(folder / self.name)
