"""From a finished MLM run to the folder of an encoder with its card.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import BertForMaskedLM

from ulmfit_lib.models.encoder import (
    SHIPPED_ENCODER,
    MaskedPositionsModel,
    encoder_card,
    save_encoder,
)
from ulmfit_lib.text.masking import MaskingVocabulary, masking_vocabulary
from ulmfit_lib.text.packing import STANDARD_MASKING, HeldOutSequences
from ulmfit_lib.text.token_files import TokenFile, tokenize_files
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.masked_lm import score_masked_lm
from ulmfit_lib.training.mlm_pretraining import MLMPretrainConfig, pretrain_encoder
from ulmfit_lib.training.processes import first_process_first, is_first_process, wait_for_all
from ulmfit_lib.training.publication import check_finished, run_facts
from ulmfit_lib.training.segments import Progress

LIMITS = (
    "English encyclopaedia text only; no sentence pairs were seen, so the second segment means "
    "nothing before fine-tuning. It repeats the biases of its text."
)


def pretrain_and_publish_encoder(
    config: MLMPretrainConfig,
    files: Sequence[Path],
    held_out: Mapping[str, Path],
    licence: str,
    command: Sequence[str],
    folder: Path,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Pre-train on ``files`` with the shipped tokenizer and write the encoder's folder.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        config: the run.
        files: running text to learn from.
        held_out: running text to measure on, by name; "valid" is read at
            every checkpoint.
        licence: of the text.
        command: the command line that makes this model again, for the card.
        folder: gets the checkpoint (``bert.run``) and the encoder (``bert``).
        report: takes one line of progress at a time.

    Returns:
        The card.

    Raises:
        FileNotFoundError, DamagedFileError: a file is missing or not whole.
        ValueError: as
            :func:`ulmfit_lib.training.mlm_pretraining.pretrain_encoder`.
    """
    tokenizer = load_tokenizer()
    with first_process_first():
        texts = {name: tokenize_files([path], tokenizer) for name, path in held_out.items()}
        train = tokenize_files(files, tokenizer)
    vocabulary, target = masking_vocabulary(tokenizer), folder / SHIPPED_ENCODER.name
    checkpoints = folder / f"{SHIPPED_ENCODER.name}.run"
    model, progress = pretrain_encoder(
        config, train, texts["valid"], vocabulary, checkpoints, report
    )
    if is_first_process():
        texts = {"train": train, **texts}
        publish_encoder(model, config, progress, texts, tokenizer, licence, command, target)
    wait_for_all()
    return encoder_card(target)


def publish_encoder(
    model: BertForMaskedLM,
    config: MLMPretrainConfig,
    progress: Progress,
    texts: Mapping[str, TokenFile],
    tokenizer: Tokenizer,
    licence: str,
    command: Sequence[str],
    folder: str | Path = SHIPPED_ENCODER,
) -> Path:
    """Measure ``model`` on held-out text and write it, with its card, to ``folder``.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        model: the trained encoder.
        config: the run that made it.
        progress: how that run went.
        texts: "train" plus the held-out corpora to measure, by name.
        tokenizer: that made the texts.
        licence: of the training text.
        command: the command line that makes this model again.
        folder: of the encoder.

    Returns:
        ``folder``.

    Raises:
        ValueError: the run is not finished.
    """
    check_finished(config, progress)
    vocabulary = masking_vocabulary(tokenizer)
    held_out = {n: t for n, t in texts.items() if n != "train"}
    card = {
        **run_facts(config, progress, texts["train"], licence, command),
        "held_out": {n: _measure(model, t, config, vocabulary) for n, t in held_out.items()},
        "limits": LIMITS,
    }
    return save_encoder(model, config.model, tokenizer, card, folder)


def encoder_summary(card: Mapping[str, Any]) -> str:
    """One line a corpus: what an encoder's card says about held-out text."""
    return "\n".join(
        f"{name}: MLM loss {m['mlm_loss']:.3f}, {100 * m['mlm_accuracy']:.1f} % of "
        f"{m['masked_tokens']:,} masked tokens right"
        for name, m in card["held_out"].items()
    )


def _measure(
    model: BertForMaskedLM,
    text: TokenFile,
    config: MLMPretrainConfig,
    vocabulary: MaskingVocabulary,
) -> dict[str, float]:
    batches = HeldOutSequences(text.tokens, config.packing.length, vocabulary)
    score = score_masked_lm(MaskedPositionsModel(model), batches)
    return {
        "tokens": len(text.tokens),
        "mask_rate": STANDARD_MASKING.rate,
        "masked_tokens": score.n,
        "mlm_loss": score.loss,
        "mlm_accuracy": score.accuracy,
    }
