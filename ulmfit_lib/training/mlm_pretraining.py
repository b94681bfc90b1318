"""Pre-training of the BERT-style encoder on running text, with checkpoints and resume.

The run is one of :mod:`ulmfit_lib.training.segments`: masked language
modelling on packed sequences, no next-sentence objective (Liu et al. 2019),
and a rate of masking that falls as training goes on (Ankner et al. 2024).
Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import BertForMaskedLM

from ulmfit_lib.models.encoder import EncoderConfig, MaskedPositionsModel, build_encoder
from ulmfit_lib.text.masking import MaskingConfig, MaskingVocabulary
from ulmfit_lib.text.packing import HeldOutSequences, MaskedSequences, PackConfig
from ulmfit_lib.text.token_files import TokenFile
from ulmfit_lib.training.encoder_start import EarlierRun, StartConfig, go_on_from, start_encoder
from ulmfit_lib.training.masked_lm import masked_lm_loss, score_masked_lm
from ulmfit_lib.training.segments import Progress, RunConfig, Segments, run_segments


@dataclass(frozen=True)
class MLMPretrainConfig(RunConfig):
    """One pre-training run of an encoder. Introduced in the chapter *How to fine-tune BERT*."""

    lr_max: float = 1e-3  # highest learning rate
    warmup: float = 0.05  # share of the horizon during which the rate rises
    betas: tuple[float, float] = (0.9, 0.98)  # Adam's decay rates (Liu et al. 2019)
    clip: float = 1.0  # largest gradient norm
    valid_tokens: int = 131_072  # held-out tokens read at every checkpoint; a seventh is masked
    model: EncoderConfig = EncoderConfig()  # sizes
    packing: PackConfig = PackConfig()  # batches and their order
    masking: MaskingConfig = MaskingConfig()  # how to mask; its rate is that of the horizon
    start: StartConfig | EarlierRun | None = StartConfig()  # None: all weights at random
    first_rate: float = 0.3  # rate of masking at the first step, from which it falls linearly

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.packing.length > self.model.max_length:
            raise ValueError(
                f"packing.length={self.packing.length} exceeds model.max_length="
                f"{self.model.max_length}: shorten the sequences or give the model more positions"
            )
        if not 0.0 <= self.first_rate <= 1.0:
            raise ValueError(f"first_rate={self.first_rate} is not a share: give one in [0, 1]")

    def mask_rate(self, t: int) -> float:
        """Rate of masking at step ``t``, counted from 0."""
        done = min(1.0, t / self.horizon)
        return self.first_rate + done * (self.masking.rate - self.first_rate)

    @property
    def mean_mask_rate(self) -> float:
        """The rate of masking, on average over the steps of the run; it falls along a line."""
        return (self.mask_rate(0) + self.mask_rate(self.updates - 1)) / 2


def pretrain_encoder(
    config: MLMPretrainConfig,
    train: TokenFile,
    valid: TokenFile,
    vocabulary: MaskingVocabulary,
    folder: str | Path,
    report: Callable[[str], None] = print,
) -> tuple[BertForMaskedLM, Progress]:
    """Train an encoder with its MLM head, resuming from ``folder`` if it holds a checkpoint.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        config: the run.
        train: text to learn from.
        valid: held-out text.
        vocabulary: of the tokenizer that made both, for the masks.
        folder: where the checkpoint lives; one run per folder.
        report: receives one line of progress at a time.

    Returns:
        The trained model and the record of the run.

    Raises:
        ValueError: the checkpoint belongs to another configuration or corpus,
            the corpus is too small for the batch, or the vocabulary is not
            that of the model.
    """
    _check_vocabulary(vocabulary, config.model.vocab_size)
    encoder = _new_encoder(config, train, vocabulary)
    batches = MaskedSequences(
        train.tokens,
        config.packing,
        vocabulary,
        config.masking,
        config.mask_rate,
        batches_per_epoch=config.segment,
    )
    held_out = HeldOutSequences(
        valid.tokens[: config.valid_tokens], config.packing.length, vocabulary
    )
    model = MaskedPositionsModel(encoder)
    keeper = MaskedLMSegments(config, model, train, valid, held_out, Path(folder), report)
    return encoder, run_segments(keeper, batches, masked_lm_loss)


def _check_vocabulary(vocabulary: MaskingVocabulary, vocab_size: int) -> None:
    if len(vocabulary.special) != vocab_size:
        raise ValueError(
            f"model.vocab_size={vocab_size}, but the vocabulary has "
            f"{len(vocabulary.special)} tokens: give the model as many"
        )


def _new_encoder(
    config: MLMPretrainConfig, train: TokenFile, vocabulary: MaskingVocabulary
) -> BertForMaskedLM:
    torch.manual_seed(config.seed)
    if isinstance(config.start, EarlierRun):
        return go_on_from(config.start, config.model)
    encoder = build_encoder(config.model)
    if config.start is not None:
        start_encoder(encoder, train.tokens, vocabulary, config.start, config.seed)
    return encoder


class MaskedLMSegments(Segments):
    """Segments of a masked language model, which carries nothing but weights and optimizer.

    Introduced in the chapter *How to fine-tune BERT*.
    """

    bare_model: MaskedPositionsModel

    def measure(self) -> dict[str, float]:
        """Mean loss and accuracy of a masked held-out token; the masks are always the same."""
        score = score_masked_lm(self.bare_model, self.held_out)
        return {"valid_loss": score.loss, "valid_accuracy": score.accuracy}

    def describe(self, row: dict[str, float]) -> str:
        """Held-out loss and accuracy, for the report."""
        accuracy = 100 * row["valid_accuracy"]
        return f"held-out {row['valid_loss']:.4f} ({accuracy:.1f} % of masked tokens right)"
