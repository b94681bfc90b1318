"""Which size of AWD-LSTM learns most from the same text, and at which speed.

Every candidate is pre-trained in turn on the same batches, warm-up and decay to zero included;
printed are its speed, its held-out loss, the weights' size in float16 and how many documents of 64
tokens a second a classifier of it is fine-tuned on. Losses do not depend on what else the machine
does, speeds do.

    python benchmarks/awd_lstm_sizes.py train.txt.xz --valid valid.txt.xz --updates 1500
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig
from ulmfit_lib.models.classifier import TextClassifier
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.text.token_files import TokenFile, tokenize_files
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.pretraining import PretrainConfig, pretrain

COLUMNS = "{:>13}{:>9}{:>8}{:>10}{:>7}{:>8}"
HEADER = COLUMNS.format("size", "params", "MB", "tokens/s", "loss", "docs/s")
CANDIDATES = (
    AWDLSTMConfig(),  # as shipped
    AWDLSTMConfig(n_layers=2),
    AWDLSTMConfig(n_layers=1),
    AWDLSTMConfig(embedding_size=256, hidden_size=512, n_layers=2),
    AWDLSTMConfig(embedding_size=256, hidden_size=512),
)


def pretrained(
    model: AWDLSTMConfig, updates: int, train: TokenFile, valid: TokenFile
) -> dict[str, float]:
    """The last row of the history of a whole run."""
    config = PretrainConfig(
        updates=updates,
        segment=updates,
        horizon=updates,
        bfloat16=has_fast_bfloat16(),
        model=model,
    )
    with tempfile.TemporaryDirectory() as folder:
        _, progress = pretrain(config, train, valid, folder, lambda _: None)
    return progress.history[-1]


def fine_tuning_speed(encoder: AWDLSTM, rounds: int = 5) -> float:
    """Documents of 64 tokens per second, training a classifier in batches of 32; best of many."""
    model = TextClassifier(encoder, 6)
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.randint(5, encoder.config.vocab_size, (32, 64))
    labels = torch.randint(0, 6, (32,))
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


def report(model: AWDLSTMConfig, updates: int, train: TokenFile, valid: TokenFile) -> str:
    """Pre-train an AWD-LSTM of the sizes ``model`` and say what came out."""
    row = pretrained(model, updates, train, valid)
    encoder = AWDLSTM(model)
    parameters = sum(p.numel() for p in encoder.parameters())
    return COLUMNS.format(
        f"{model.embedding_size}/{model.hidden_size}/{model.n_layers}",
        f"{parameters / 1e6:.1f}M",
        f"{2 * parameters / 1e6:.0f}",
        f"{row['tokens'] / row['seconds']:,.0f}",
        f"{row['valid_loss']:.3f}",
        f"{fine_tuning_speed(encoder):.0f}",
    )


def main() -> None:
    """One line for each candidate."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=1500)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer()
    train, valid = (tokenize_files(f, tokenizer) for f in (options.files, [options.valid]))
    print(
        f"{options.updates} updates each, {options.threads} thread(s), torch {torch.__version__}; "
        f"sizes are embedding/hidden/layers\n{HEADER}"
    )
    for model in CANDIDATES:
        print(report(model, options.updates, train, valid), flush=True)


if __name__ == "__main__":
    main()
