"""From text files over a finished pre-training run to weights with their card.

The way is the same for every kind of model; what differs between them is in
:class:`ModelKind`. Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import platform
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from ulmfit_lib.text.token_files import TokenFile, tokenize_files
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.held_out import check_held_out
from ulmfit_lib.training.processes import (
    first_process_first,
    is_first_process,
    process_count,
    training_device,
    wait_for_all,
)
from ulmfit_lib.training.run_cost import run_cost
from ulmfit_lib.training.segments import Progress, RunConfig

INTENDED_USE = (
    "Starting point for the book's experiments and exercises. Not a text generator for readers "
    "other than those who study it."
)
Model = TypeVar("Model", bound=nn.Module)


class ModelKind(ABC, Generic[Model]):
    """What a kind of model does in its own way.

    Introduced in the chapter *Text and language models*.
    """

    config: RunConfig  # the run
    name: str  # of the weights, and of the checkpoint's folder before ".run"
    facts: dict[str, Any]  # what the card says of this kind of model

    @abstractmethod
    def check(self, train: TokenFile) -> None:
        """Raise ValueError where ``train`` does not fill a batch."""

    @abstractmethod
    def train(
        self, train: TokenFile, valid: TokenFile, folder: Path, report: Callable[[str], None]
    ) -> tuple[Model, Progress]:
        """Run the pre-training, or what is left of it.

        Args:
            train: text to learn from.
            valid: held-out text.
            folder: of the checkpoint.
            report: takes one line of progress at a time.

        Returns:
            The trained model and the record of the run.
        """

    @abstractmethod
    def measure(self, model: Model, text: TokenFile) -> dict[str, Any]:
        """How good ``model`` is on a held-out ``text``, as a card holds it."""

    def multiplied(self, model: Model) -> float:
        """Parameters of ``model`` that a token is multiplied with, on average over the run."""
        return sum(p.numel() for p in model.parameters())

    @abstractmethod
    def save(self, model: Model, card: dict[str, Any], folder: Path) -> Path:
        """Write ``model`` and its ``card`` to ``folder``; returns the path of the weights."""

    @abstractmethod
    def card(self, folder: Path) -> dict[str, Any]:
        """The card that :meth:`save` wrote to ``folder``."""


def pretrain_and_publish(
    kind: ModelKind[Model],
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
        kind: of model, with the run.
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
        ValueError: a text is too small, or as
            :func:`ulmfit_lib.training.segments.run_segments`.
    """
    texts = read_texts(kind, files, held_out)
    model, progress = kind.train(
        texts["train"], texts["valid"], folder / f"{kind.name}.run", report
    )
    if is_first_process():
        publish(kind, model, progress, texts, licence, command, folder)
    wait_for_all()
    return kind.card(folder)


def read_texts(
    kind: ModelKind[Model], files: Sequence[Path], held_out: Mapping[str, Path]
) -> dict[str, TokenFile]:
    """Token ids of all texts of a run, found large enough before it begins.

    Args:
        kind: of model, with the run.
        files: running text to learn from.
        held_out: running text to measure on, by name.

    Returns:
        "train" and the held-out texts, by name.

    Raises:
        FileNotFoundError, DamagedFileError: a file is missing or not whole.
        ValueError: a text is too small; the message names its files.
    """
    tokenizer = load_tokenizer()
    with first_process_first():
        texts = {name: tokenize_files([path], tokenizer) for name, path in held_out.items()}
        train = tokenize_files(files, tokenizer)
    for name, path in held_out.items():
        check_held_out(texts[name], f"--{name} {path}")
    try:
        kind.check(train)
    except ValueError as error:
        raise ValueError(f"training text {', '.join(map(str, files))}: {error}") from error
    return {"train": train, **texts}


def publish(
    kind: ModelKind[Model],
    model: Model,
    progress: Progress,
    texts: Mapping[str, TokenFile],
    licence: str,
    command: Sequence[str],
    folder: Path,
) -> Path:
    """Measure ``model`` on held-out text and write it, with its card, to ``folder``.

    Introduced in the chapter *Text and language models*.

    Args:
        kind: of model, with the run that made it.
        model: the trained model.
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
    check_finished(kind.config, progress)
    held_out = {
        name: {**kind.measure(model, text), "corpus": text.fingerprint, "words": text.n_words}
        for name, text in texts.items()
        if name != "train"
    }
    card = {
        **run_facts(kind.config, progress, texts["train"], licence, command),
        **run_cost(progress, kind.multiplied(model), kind.config.bfloat16),
        "held_out": held_out,
        **kind.facts,
    }
    return kind.save(model, card, folder)


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
        "passes": round(progress.tokens / len(train.tokens), 2),
        "training_seconds": round(progress.seconds),
        "history": progress.history,
        "hardware": _hardware(),
        "torch": torch.__version__,
        "intended_use": INTENDED_USE,
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
