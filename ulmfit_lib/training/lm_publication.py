"""Pre-training of an AWD-LSTM that ends in a weight file with its card.

Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ulmfit_lib.models.awd_lstm import LanguageModel
from ulmfit_lib.models.pretrained import model_card, model_name, save_language_model
from ulmfit_lib.text.streams import LMStream
from ulmfit_lib.text.token_files import TokenFile
from ulmfit_lib.training.held_out import language_model_row
from ulmfit_lib.training.pretraining import PretrainConfig, pretrain
from ulmfit_lib.training.publication import ModelKind
from ulmfit_lib.training.segments import Progress

LIMITS = (
    "It knows no text but its own, whose language, subjects and biases it repeats; facts that it "
    "seems to state are not reliable."
)


class AWDLSTMKind(ModelKind[LanguageModel]):
    """An AWD-LSTM in one file. Introduced in the chapter *Text and language models*.

    Args:
        config: the run.
    """

    config: PretrainConfig

    def __init__(self, config: PretrainConfig) -> None:
        self.config = config
        self.direction = config.stream.direction
        self.name = model_name(self.direction)
        self.facts = {"direction": self.direction, "limits": LIMITS}

    def check(self, train: TokenFile) -> None:
        """As :class:`ulmfit_lib.text.streams.LMStream` does."""
        LMStream(train.tokens, self.config.stream)

    def train(
        self, train: TokenFile, valid: TokenFile, folder: Path, report: Callable[[str], None]
    ) -> tuple[LanguageModel, Progress]:
        """See :func:`ulmfit_lib.training.pretraining.pretrain`: train, valid, folder, report."""
        return pretrain(self.config, train, valid, folder, report)

    def measure(self, model: LanguageModel, text: TokenFile) -> dict[str, Any]:
        """Perplexities of ``model`` on ``text``."""
        return language_model_row(model, text, self.config.stream.bptt, self.direction)

    def save(self, model: LanguageModel, card: dict[str, Any], folder: Path) -> Path:
        """Write ``model`` and ``card`` to ``folder``; returns the path of the weights."""
        return save_language_model(model.cpu(), card, self.name, folder)

    def card(self, folder: Path) -> dict[str, Any]:
        """The card in ``folder``."""
        return model_card(self.name, folder)
