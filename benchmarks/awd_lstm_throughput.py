"""Training throughput of our language model against fastai's, side by side.

Both models have the same sizes, dropouts and starting weights, read the same
batches with the same optimizer (torch's AdamW) and take turns in one process;
who goes first alternates too. Printed are the medians, the ratio of each pair
of turns with its spread, and how near both come to what the machine's matrix
product can do.

    python benchmarks/awd_lstm_throughput.py
    python benchmarks/awd_lstm_throughput.py --rounds 3 --steps 2 --threads 1
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from fastai.text.models.awdlstm import AWD_LSTM
from fastai.text.models.core import get_language_model
from torch import Tensor, nn

from ulmfit_lib.models.awd_lstm import FINE_TUNING_DROPOUTS, AWDLSTMConfig, Dropouts, LanguageModel
from ulmfit_lib.models.fastai_weights import language_model_from_fastai

Turn = Callable[[], float]  # trains for some steps; returns tokens per second


def fastai_language_model(config: AWDLSTMConfig, dropouts: Dropouts) -> nn.Module:
    """fastai's own AWD-LSTM language model with our sizes and dropouts."""
    settings = {
        "emb_sz": config.embedding_size,
        "n_hid": config.hidden_size,
        "n_layers": config.n_layers,
        "pad_token": config.pad_id,
        "bidir": False,
        "tie_weights": True,
        "out_bias": True,
        **{
            f"{name}_p": getattr(dropouts, name) for name in ("input", "hidden", "output", "weight")
        },
        "embed_p": dropouts.embedding,
    }
    return get_language_model(AWD_LSTM, config.vocab_size, settings)


def flops_per_token(model: LanguageModel) -> float:
    """Floating-point operations of a training step per token: forward once, backward twice."""
    encoder = model.encoder
    weights = sum(layer.weight_ih.numel() + layer.weight_hh.numel() for layer in encoder.layers)
    return 3 * 2 * (weights + encoder.embedding.weight.numel())


def matrix_product_limit(size: int = 1024, seconds: float = 1.0) -> float:
    """GFLOP/s of float32 products of (size, size) matrices, best of many."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * size**3 / (time.perf_counter() - start) / 1e9)
    return best


def training_turn(model: nn.Module, batches: list[Tensor]) -> Turn:
    """A function that trains ``model`` on ``batches`` (B, T + 1) and returns tokens per second."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()

    def turn() -> float:
        start = time.perf_counter()
        for batch in batches:
            logits = model(batch[:, :-1])[0]
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return sum(batch[:, 1:].numel() for batch in batches) / (time.perf_counter() - start)

    return turn


def alternate(turns: dict[str, Turn], rounds: int) -> dict[str, list[float]]:
    """Tokens per second of every turn, after one warm-up turn each."""
    speeds: dict[str, list[float]] = {name: [] for name in turns}
    for turn in turns.values():
        turn()
    for i in range(rounds):
        for name in sorted(turns, reverse=bool(i % 2)):
            speeds[name].append(turns[name]())
    return speeds


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, statistics.median(values), high


def report(speeds: dict[str, list[float]], flops: float, limit: float) -> None:
    """Print medians, utilisation and the ratio of paired turns."""
    print(f"matrix product limit: {limit:.1f} GFLOP/s; {flops / 1e6:.2f} MFLOP per token")
    for name, values in speeds.items():
        low, median, high = quartiles(values)
        share = median * flops / 1e9 / limit
        print(
            f"{name:>10}: {median:8,.0f} tokens/s (quartiles {low:,.0f} to {high:,.0f}), "
            f"{share:.0%} of the limit"
        )
    ratios = [ours / theirs for ours, theirs in zip(*speeds.values(), strict=True)]
    low, median, high = quartiles(ratios)
    print(
        f"     ratio: {median:.2f} (quartiles {low:.2f} to {high:.2f}, "
        f"range {min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} pairs of turns)"
    )


def arguments() -> argparse.Namespace:
    """The command line; sizes default to those of the shipped model."""
    sizes, parser = AWDLSTMConfig(), argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--embedding", type=int, default=sizes.embedding_size)
    parser.add_argument("--hidden", type=int, default=sizes.hidden_size)
    parser.add_argument("--layers", type=int, default=sizes.n_layers)
    parser.add_argument("--vocab", type=int, default=sizes.vocab_size)
    parser.add_argument("--batch", type=int, default=20, help="texts side by side")
    parser.add_argument("--bptt", type=int, default=70, help="tokens of a text per batch")
    parser.add_argument("--steps", type=int, default=5, help="batches of a turn")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each model")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def main() -> None:
    """Build both models, let them take turns, print the comparison."""
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config = AWDLSTMConfig(args.vocab, args.embedding, args.hidden, args.layers)
    theirs = fastai_language_model(config, FINE_TUNING_DROPOUTS)
    ours = language_model_from_fastai(theirs.state_dict(), FINE_TUNING_DROPOUTS, config.pad_id)
    batches = [torch.randint(5, args.vocab, (args.batch, args.bptt + 1)) for _ in range(args.steps)]
    print(
        f"{config}, {FINE_TUNING_DROPOUTS}, batch {args.batch} x {args.bptt}, AdamW, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    limit = matrix_product_limit()
    turns = {"ours": training_turn(ours, batches), "fastai": training_turn(theirs, batches)}
    speeds = alternate(turns, args.rounds)
    report(speeds, flops_per_token(ours), max(limit, matrix_product_limit()))


if __name__ == "__main__":
    main()
