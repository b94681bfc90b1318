"""Which size of model learns most from the same text, at which speed, and where it should start.

Every candidate is pre-trained in turn on the same batches, warm-up and decay to zero included.
Printed are its speed, its held-out loss, the accuracy of logistic regression on its frozen states
(a probe: 50 labels of each class of a task, mean over seeds with the standard error) and how many
documents of 64 tokens a second a classifier of it is fine-tuned on. Losses and accuracies do not
depend on what else the machine does, speeds do.

    python benchmarks/model_sizes.py encoder train.txt.xz --valid valid.txt.xz --updates 800
    python benchmarks/model_sizes.py awd-lstm train.txt.xz --valid valid.txt.xz --updates 2000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ulmfit_lib.models.awd_lstm import AWDLSTMConfig, LanguageModel
from ulmfit_lib.models.classifier import TextClassifier
from ulmfit_lib.models.encoder import EncoderConfig
from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.papers.transfer_experiment import mean_states
from ulmfit_lib.study.baselines import linear_probe
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.seeds import few_labels
from ulmfit_lib.study.task_study import labelled
from ulmfit_lib.text.batches import TextDataset
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.text.masking import masking_vocabulary
from ulmfit_lib.text.packing import PackConfig
from ulmfit_lib.text.streams import StreamConfig
from ulmfit_lib.text.token_files import TokenFile, tokenize_files
from ulmfit_lib.text.tokenizer import PAD_ID, encode, load_tokenizer
from ulmfit_lib.training.encoder_start import StartConfig
from ulmfit_lib.training.mlm_pretraining import MLMPretrainConfig, pretrain_encoder
from ulmfit_lib.training.pretraining import PretrainConfig, pretrain

LENGTH, CLASSES = 128, 6  # tokens of an encoder's sequence; classes of the fine-tuned classifier
PER_CLASS, SEEDS, TEST = 50, 5, 1000  # labels of each class, draws of them, test texts at most
COLUMNS = "{:>12}{:>7}{:>8}{:>8}{:>10}{:>7}{:>13}{:>8}"
HEADER = COLUMNS.format("size", "lr", "start", "params", "tokens/s", "loss", "probe", "docs/s")

States = Callable[[Tensor], Tensor]  # ids (B, T) to hidden states (B, T, H)


@dataclass(frozen=True)
class Trained:
    """A candidate after its run."""

    n_parameters: int
    tokens_per_second: float
    loss: float  # held-out
    states: States
    classifier: nn.Module
    framed: bool  # whether it reads [CLS] and [SEP] around a text


@dataclass(frozen=True)
class Candidate:
    """One way to make a model; the sizes say which kind."""

    model: AWDLSTMConfig | EncoderConfig
    lr: float
    counts: bool = False  # start from counts, or at random

    def label(self) -> str:
        """The sizes."""
        m = self.model
        if isinstance(m, EncoderConfig):
            return f"{m.n_layers}x{m.hidden_size}"
        return f"{m.embedding_size}/{m.hidden_size}/{m.n_layers}"


def encoder(n_layers: int, width: int, lr: float = 1e-3, counts: bool = True) -> Candidate:
    """A BERT-style encoder."""
    return Candidate(EncoderConfig.of_width(width, n_layers, LENGTH), lr, counts)


CANDIDATES = {
    "encoder": (
        encoder(4, 256, counts=False),
        encoder(4, 256),
        encoder(6, 192),
        encoder(2, 384),
    ),
    "awd-lstm": (
        Candidate(AWDLSTMConfig(), 2e-3),  # as shipped
        Candidate(AWDLSTMConfig(n_layers=2), 2e-3),
        Candidate(AWDLSTMConfig(embedding_size=256, hidden_size=512, n_layers=2), 2e-3),
    ),
}


def trained(candidate: Candidate, updates: int, train: TokenFile, valid: TokenFile) -> Trained:
    """``candidate`` after ``updates`` batches."""
    run = {"updates": updates, "segment": updates, "horizon": updates, "lr_max": candidate.lr}
    make = _encoder if isinstance(candidate.model, EncoderConfig) else _awd_lstm
    with tempfile.TemporaryDirectory() as folder:
        return make(candidate, run, train, valid, folder)


def _encoder(
    candidate: Candidate, run: dict[str, Any], train: TokenFile, valid: TokenFile, folder: str
) -> Trained:
    config = MLMPretrainConfig(
        **run,
        bfloat16=has_fast_bfloat16(),
        model=candidate.model,
        packing=PackConfig(16, LENGTH),
        start=StartConfig() if candidate.counts else None,
    )
    vocabulary = masking_vocabulary(load_tokenizer())
    model, progress = pretrain_encoder(config, train, valid, vocabulary, folder, lambda _: None)
    bert, row = model.bert.eval(), progress.history[-1]

    def states(ids: Tensor) -> Tensor:
        """The last layer's."""
        return bert(ids, attention_mask=ids != PAD_ID).last_hidden_state

    size, speed = model.num_parameters(), row["tokens"] / row["seconds"]
    classifier = EncoderClassifier(bert, CLASSES)
    return Trained(size, speed, row["valid_loss"], states, classifier, framed=True)


def _awd_lstm(
    candidate: Candidate, run: dict[str, Any], train: TokenFile, valid: TokenFile, folder: str
) -> Trained:
    config = PretrainConfig(
        **run,
        warmup=0.1,  # a hundredth, as in a long run, is too few steps here: the loss gets stuck
        bfloat16=has_fast_bfloat16(),
        model=candidate.model,
        stream=StreamConfig(batch_size=16),
    )
    model, progress = pretrain(config, train, valid, folder, lambda _: None)
    lstm, row = model.encoder.eval(), progress.history[-1]

    def states(ids: Tensor) -> Tensor:
        """The last layer's."""
        return lstm(ids).raw

    size, speed = n_parameters(model), row["tokens"] / row["seconds"]
    classifier = TextClassifier(lstm, CLASSES)
    return Trained(size, speed, row["valid_loss"], states, classifier, framed=False)


def n_parameters(model: LanguageModel) -> int:
    """Of a language model, tied weights once."""
    return sum(p.numel() for p in model.parameters())


def probe(model: Trained, task_name: str) -> str:
    """Accuracy of logistic regression on frozen states: mean over draws, standard error."""
    task = load(task_name)
    train, test = labelled(task, "train"), labelled(task, "test", TEST)

    def read(texts: tuple[str, ...]) -> np.ndarray:
        """Mean state of each text."""
        documents = encode(load_tokenizer(), texts)
        framed = FramedDataset(documents, LENGTH)
        dataset = framed if model.framed else TextDataset(documents, max_tokens=LENGTH)
        return mean_states(model.states, dataset).numpy()

    tested, right = read(test.texts), []
    for seed in range(SEEDS):
        shown = train.take(few_labels(train.labels, PER_CLASS, seed))
        right.append(
            np.mean(np.equal(linear_probe(read(shown.texts), shown.labels, tested), test.labels))
        )
    error = np.std(right, ddof=1) / SEEDS**0.5
    return f"{100 * np.mean(right):.1f} +- {100 * error:.1f}"


def fine_tuning_speed(model: nn.Module, rounds: int = 5) -> float:
    """Documents of 64 tokens per second, training a classifier in batches of 32; best of many."""
    optimizer = torch.optim.AdamW(model.train().parameters())
    ids, labels = torch.randint(5, 8000, (32, 64)), torch.randint(0, CLASSES, (32,))
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16()):
            logits = model(ids)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        best = max(best, len(ids) / (time.perf_counter() - start))
    return best


def report(
    candidate: Candidate, updates: int, train: TokenFile, valid: TokenFile, task: str
) -> str:
    """Pre-train ``candidate`` and say what came out."""
    model = trained(candidate, updates, train, valid)
    return COLUMNS.format(
        candidate.label(),
        f"{candidate.lr:g}",
        "counts" if candidate.counts else "random",
        f"{model.n_parameters / 1e6:.1f}M",
        f"{model.tokens_per_second:,.0f}",
        f"{model.loss:.3f}",
        probe(model, task),
        f"{fine_tuning_speed(model.classifier):.0f}",
    )


def main() -> None:
    """One line for each candidate."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=sorted(CANDIDATES))
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=800)
    parser.add_argument("--task", default="pydocs-roles", help="of the probe")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer()
    train, valid = (tokenize_files(f, tokenizer) for f in (options.files, [options.valid]))
    print(
        f"{options.kind}, {options.updates} updates each, {options.threads} thread(s), probe on "
        f"{options.task}, torch {torch.__version__}\n{HEADER}"
    )
    for candidate in CANDIDATES[options.kind]:
        print(report(candidate, options.updates, train, valid, options.task), flush=True)


if __name__ == "__main__":
    main()
