"""Pre-training of the AWD-LSTM on running text, with checkpoints and resume.

The run is one of :mod:`ulmfit_lib.training.segments`; what it carries from
segment to segment beside weights and optimizer is the hidden state.
Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ulmfit_lib.models.awd_lstm import (
    AWDLSTM,
    NO_DROPOUT,
    AWDLSTMConfig,
    Dropouts,
    EncoderState,
    LanguageModel,
)
from ulmfit_lib.text.streams import LMStream, StreamConfig
from ulmfit_lib.text.token_files import TokenFile
from ulmfit_lib.training.evaluation import language_model_loss
from ulmfit_lib.training.perplexity import (
    perplexity_per_token,
    perplexity_per_word,
    stream_perplexity,
)
from ulmfit_lib.training.processes import all_rows, own_rows, training_device
from ulmfit_lib.training.regularization import RescaleLearningRate
from ulmfit_lib.training.segments import (
    CHECKPOINT_NAME,
    Progress,
    RunConfig,
    Segments,
    run_segments,
)

__all__ = ["CHECKPOINT_NAME", "PretrainConfig", "Progress", "held_out_stream", "pretrain"]


@dataclass(frozen=True)
class PretrainConfig(RunConfig):
    """One pre-training run of an AWD-LSTM.

    Introduced in the chapter *Text and language models*.
    """

    model: AWDLSTMConfig = AWDLSTMConfig()  # sizes
    dropouts: Dropouts = NO_DROPOUT  # none: less than one pass over the corpus cannot overfit
    stream: StreamConfig = StreamConfig()  # rows, bptt, direction


def pretrain(
    config: PretrainConfig,
    train: TokenFile,
    valid: TokenFile,
    folder: str | Path,
    report: Callable[[str], None] = print,
) -> tuple[LanguageModel, Progress]:
    """Train an AWD-LSTM language model, resuming from ``folder`` if it holds a checkpoint.

    Args:
        config: the run.
        train: text to learn from.
        valid: held-out text.
        folder: where the checkpoint lives; one run per folder.
        report: receives one line of progress at a time.

    Returns:
        The trained model and the record of the run.

    Raises:
        ValueError: the checkpoint belongs to another configuration or corpus,
            or the corpus is too small for the batch.
    """
    torch.manual_seed(config.seed)
    model = LanguageModel(AWDLSTM(config.model, config.dropouts))
    stream = LMStream(train.tokens, config.stream, config.segment)
    held_out = held_out_stream(valid, config)
    keeper = LanguageModelSegments(config, model, train, valid, held_out, Path(folder), report)
    rescale = RescaleLearningRate(config.stream.bptt)
    return model, run_segments(keeper, stream, language_model_loss, [rescale])


def held_out_stream(valid: TokenFile, config: PretrainConfig) -> LMStream:
    """The held-out text that every checkpoint is measured on: its first tokens.

    Args:
        valid: held-out text.
        config: how many tokens, and the direction.
    """
    cut = StreamConfig(16, config.stream.bptt, False, config.stream.direction)
    return LMStream(valid.tokens[: config.valid_tokens], cut)


class LanguageModelSegments(Segments):
    """Segments of a language model that carries its hidden state from batch to batch.

    Every row of a batch has a state of its own; the checkpoint has those of
    all processes. Introduced in the chapter *Text and language models*.
    """

    bare_model: LanguageModel
    _hidden: EncoderState | None = None

    def measure(self) -> dict[str, float]:
        """The mean loss of a held-out token, from an empty state."""
        held_out = stream_perplexity(self.bare_model, self.held_out, self._words_per_token())
        return {"valid_loss": held_out.loss}

    def describe(self, row: dict[str, float]) -> str:
        """Held-out loss and perplexities, for the report."""
        loss = row["valid_loss"]
        return (
            f"held-out {loss:.4f} (perplexity {perplexity_per_token(loss, 1):.1f} a token, "
            f"{perplexity_per_word(loss, self._words_per_token()):.0f} a word)"
        )

    def take_up(self) -> None:
        """Go on with the state at the end of the last segment."""
        self.bare_model.state = self._hidden

    def put_down(self) -> None:
        """Keep the state."""
        self._hidden = self.bare_model.state

    def carried(self) -> dict[str, Tensor]:
        """Hidden and cell state of every layer, (1, B, size)."""
        tensors: dict[str, Tensor] = {}
        for i, (h, c) in enumerate(self._hidden or []):
            tensors |= {f"hidden.{i}.h": all_rows(h, 1), f"hidden.{i}.c": all_rows(c, 1)}
        return tensors

    def restore_carried(self, tensors: dict[str, Tensor]) -> None:
        """Take this process's rows of the state, on its device."""
        n = sum(name.startswith("hidden.") and name.endswith(".h") for name in tensors)
        device = training_device()
        self._hidden = [
            (
                own_rows(tensors[f"hidden.{i}.h"], 1).to(device),
                own_rows(tensors[f"hidden.{i}.c"], 1).to(device),
            )
            for i in range(n)
        ] or None

    def _words_per_token(self) -> float:
        return self.valid_text.n_words / len(self.valid_text.tokens)
