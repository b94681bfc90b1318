"""Which size of encoder learns most, at which speed, and where it should start.

Every candidate is pre-trained in turn on the same batches, warm-up and decay to zero included;
printed are its speed, its held-out loss and the share of masked tokens that it gets right, and how
many documents of 64 tokens a second it is fine-tuned on. Losses do not depend on what else the
machine does, speeds do.

    python benchmarks/encoder_sizes.py train.txt.xz --valid valid.txt.xz --updates 300
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.text.masking import masking_vocabulary
from ulmfit_lib.text.packing import PackConfig
from ulmfit_lib.text.token_files import TokenFile, tokenize_files
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.encoder_start import StartConfig
from ulmfit_lib.training.mlm_pretraining import MLMPretrainConfig, pretrain_encoder

LENGTH, BATCH_SIZE = 128, 16  # tokens of a sequence, sequences of a batch


@dataclass(frozen=True)
class Candidate:
    """One way to make an encoder."""

    n_layers: int
    hidden_size: int
    lr: float = 1e-3
    counts: bool = True  # start from counts, or at random


COLUMNS = "{:>6}{:>7}{:>8}{:>8}{:>10}{:>7}{:>7}{:>8}"
HEADER = COLUMNS.format("size", "lr", "start", "params", "tokens/s", "loss", "right", "docs/s")
CANDIDATES = (
    Candidate(4, 256, counts=False),
    Candidate(4, 256),
    Candidate(4, 256, lr=2e-3),
    Candidate(6, 192),
    Candidate(2, 384),
)


def configuration(candidate: Candidate, updates: int) -> MLMPretrainConfig:
    """A whole run of ``updates``, warm-up and decay included."""
    return MLMPretrainConfig(
        updates=updates,
        segment=updates,
        horizon=updates,
        lr_max=candidate.lr,
        bfloat16=has_fast_bfloat16(),
        model=EncoderConfig.of_width(candidate.hidden_size, candidate.n_layers, LENGTH),
        packing=PackConfig(BATCH_SIZE, LENGTH),
        start=StartConfig() if candidate.counts else None,
    )


def trained(
    candidate: Candidate, updates: int, train: TokenFile, valid: TokenFile
) -> dict[str, float]:
    """The last row of a run's history."""
    vocabulary = masking_vocabulary(load_tokenizer())
    with tempfile.TemporaryDirectory() as folder:
        _, progress = pretrain_encoder(
            configuration(candidate, updates), train, valid, vocabulary, folder, lambda _: None
        )
    return progress.history[-1]


def fine_tuning_speed(candidate: Candidate, rounds: int = 5) -> float:
    """Documents of 64 tokens per second, training a classifier in batches of 32; best of many."""
    config = EncoderConfig.of_width(candidate.hidden_size, candidate.n_layers, LENGTH)
    model = EncoderClassifier(build_encoder(config).bert, 6)
    optimizer = torch.optim.AdamW(model.parameters())
    ids, labels = torch.randint(5, config.vocab_size, (32, 64)), torch.randint(0, 6, (32,))
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


def report(candidate: Candidate, updates: int, train: TokenFile, valid: TokenFile) -> str:
    """Pre-train ``candidate`` and say what came out."""
    row = trained(candidate, updates, train, valid)
    size = build_encoder(configuration(candidate, updates).model).num_parameters() / 1e6
    speed, right = row["tokens"] / row["seconds"], 100 * row["valid_accuracy"]
    return COLUMNS.format(
        f"{candidate.n_layers}x{candidate.hidden_size}",
        f"{candidate.lr:g}",
        "counts" if candidate.counts else "random",
        f"{size:.1f}M",
        f"{speed:,.0f}",
        f"{row['valid_loss']:.3f}",
        f"{right:.1f}%",
        f"{fine_tuning_speed(candidate):.0f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer()
    train, valid = (tokenize_files(f, tokenizer) for f in (options.files, [options.valid]))
    print(
        f"{options.updates} updates each, {options.threads} thread(s), batches of {BATCH_SIZE} x "
        f"{LENGTH} tokens, torch {torch.__version__}\n{HEADER}"
    )
    for candidate in CANDIDATES:
        print(report(candidate, options.updates, train, valid), flush=True)


if __name__ == "__main__":
    main()
