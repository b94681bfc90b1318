"""From a finished pre-training run to a weight file with its card.

Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ulmfit_lib.models.awd_lstm import LanguageModel
from ulmfit_lib.models.pretrained import (
    SHIPPED_WEIGHTS,
    model_card,
    model_name,
    save_language_model,
)
from ulmfit_lib.text.streams import LMStream, StreamConfig
from ulmfit_lib.text.token_files import TokenFile, tokenize_files
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.perplexity import stream_perplexity
from ulmfit_lib.training.pretraining import PretrainConfig, pretrain
from ulmfit_lib.training.processes import (
    first_process_first,
    is_first_process,
    process_count,
    training_device,
    wait_for_all,
)
from ulmfit_lib.training.segments import Progress, RunConfig

INTENDED_USE = (
    "Starting point for the book's experiments and exercises: small enough to tune on two "
    "processor cores. Not a text generator for readers other than those who study it."
)
LIMITS = (
    "English encyclopaedia text only, read for less than one pass; facts it seems to state are "
    "not reliable, and it repeats the biases of its text."
)


def pretrain_and_publish(
    config: PretrainConfig,
    files: Sequence[Path],
    held_out: Mapping[str, Path],
    licence: str,
    command: Sequence[str],
    folder: Path,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Pre-train on ``files`` with the shipped tokenizer and write weights and card.

    Introduced in the chapter *Text and language models*.

    Args:
        config: the run.
        files: running text to learn from.
        held_out: running text to measure on, by name; "valid" is read at
            every checkpoint.
        licence: of the text.
        command: the command line that makes this model again, for the card.
        folder: of the checkpoint, the weights and the card.
        report: takes one line of progress at a time.

    Returns:
        The card.

    Raises:
        FileNotFoundError, DamagedFileError: a file is missing or not whole.
        ValueError: as :func:`ulmfit_lib.training.pretraining.pretrain`.
    """
    tokenizer = load_tokenizer()
    with first_process_first():
        texts = {name: tokenize_files([path], tokenizer) for name, path in held_out.items()}
        train = tokenize_files(files, tokenizer)
    name = model_name(config.stream.direction)
    checkpoints = folder / f"{name}.run"
    model, progress = pretrain(config, train, texts["valid"], checkpoints, report)
    if is_first_process():
        publish(model, config, progress, {"train": train, **texts}, licence, command, folder)
    wait_for_all()
    return model_card(name, folder)


def publish(
    model: LanguageModel,
    config: PretrainConfig,
    progress: Progress,
    texts: dict[str, TokenFile],
    licence: str,
    command: Sequence[str],
    folder: str | Path = SHIPPED_WEIGHTS,
) -> Path:
    """Measure ``model`` on held-out text and write it, with its card, to ``folder``.

    Args:
        model: the trained language model.
        config: the run that made it.
        progress: how that run went.
        texts: "train" plus the held-out corpora to measure, by name.
        licence: of the training text.
        command: the command line that makes this model again.
        folder: where weights and card go.

    Returns:
        The path of the weights.

    Raises:
        ValueError: the run is not finished.
    """
    check_finished(config, progress)
    direction = config.stream.direction
    held_out = {n: t for n, t in texts.items() if n != "train"}
    card = {
        "direction": direction,
        **run_facts(config, progress, texts["train"], licence, command),
        "held_out": {n: _measure(model, t, config) for n, t in held_out.items()},
        "limits": LIMITS,
    }
    return save_language_model(model.cpu(), card, model_name(direction), folder)


def check_finished(config: RunConfig, progress: Progress) -> None:
    """Refuse to publish a run that has not come to its end.

    Args:
        config: the run.
        progress: how far it has come.

    Raises:
        ValueError: segments are missing.
    """
    if progress.segments < config.segments:
        raise ValueError(
            f"the run has finished {progress.segments} of {config.segments} segments: "
            "run the same command again to go on"
        )


def run_facts(
    config: RunConfig,
    progress: Progress,
    train: TokenFile,
    licence: str,
    command: Sequence[str],
) -> dict[str, Any]:
    """What the card of every pre-trained model says about its making.

    Args:
        config: the run.
        progress: how it went.
        train: the text that it read.
        licence: of that text.
        command: the command line that makes the model again.
    """
    return {
        "corpus": train.fingerprint,
        "corpus_tokens": len(train.tokens),
        "corpus_words": train.n_words,
        "licence_of_text": licence,
        "command": list(command),
        "commit": _commit(),
        "config": asdict(config),
        "tokens_seen": progress.tokens,
        "training_seconds": round(progress.seconds),
        "history": progress.history,
        "hardware": _hardware(),
        "torch": torch.__version__,
        "intended_use": INTENDED_USE,
    }


def _measure(model: LanguageModel, text: TokenFile, config: PretrainConfig) -> dict[str, float]:
    stream = LMStream(
        text.tokens, StreamConfig(16, config.stream.bptt, False, config.stream.direction)
    )
    result = stream_perplexity(model, stream, text.n_words / len(text.tokens))
    return {
        "tokens": result.n_tokens,
        "loss_per_token": result.loss,
        "perplexity_per_token": result.per_token,
        "perplexity_per_word": result.per_word,
    }


def _hardware() -> str:
    """Processor and threads, or the GPU, of each process."""
    device, count = training_device(), process_count()
    own = f"{platform.machine()}, {torch.get_num_threads()} thread(s)"
    if device.type == "cuda":
        own = torch.cuda.get_device_name(device)
    return own if count == 1 else f"{count} processes, each: {own}"


def _commit() -> str:
    """The commit of the code that runs, marked if the tree has changes; "" outside git."""
    try:
        where = Path(__file__).parent
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=where,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def held_out_summary(card: dict[str, Any]) -> str:
    """One line a corpus: what a card says about held-out text."""
    return "\n".join(
        f"{name}: loss {m['loss_per_token']:.3f}, perplexity {m['perplexity_per_token']:.1f} "
        f"a token, {m['perplexity_per_word']:.0f} a word"
        for name, m in card["held_out"].items()
    )
