"""Peak memory of the text classifier by document length, each case in a process of its own.

    python benchmarks/classifier_memory.py
    python benchmarks/classifier_memory.py --lengths 1000 5000 --batch 2

Beyond the pooling window (1,400 tokens) it should not grow. A document of
1,000 tokens keeps fewer chunks in training than a longer one, whose window
spans up to 21.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch

from ulmfit_lib.models.awd_lstm import AWDLSTM, CLASSIFIER_DROPOUTS, AWDLSTMConfig
from ulmfit_lib.models.classifier import TextClassifier, classifier_encoder

MODES = ("import", "evaluate", "train")
MEBIBYTE = 2**20


def peak_mebibytes() -> float:
    """Greatest resident size of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEBIBYTE


def measure(mode: str, length: int, batch: int) -> None:
    """Read (and learn from) one batch of documents; print peak MiB and seconds."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = AWDLSTMConfig()
    encoder = classifier_encoder(AWDLSTM(config), CLASSIFIER_DROPOUTS)
    model = TextClassifier(encoder, n_classes=2).train(mode == "train")
    ids = torch.randint(5, config.vocab_size, (batch, length))
    start = time.perf_counter()
    if mode == "train":
        model(ids).square().sum().backward()
    elif mode == "evaluate":
        with torch.no_grad():
            model(ids)
    print(f"{peak_mebibytes():.1f} {time.perf_counter() - start:.2f}")


def measure_apart(mode: str, length: int, batch: int) -> tuple[float, float]:
    """:func:`measure` in a fresh process: (peak MiB, seconds)."""
    command = [sys.executable, __file__, "--case", mode, str(length), "--batch", str(batch)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, seconds = result.stdout.split()[-2:]
    return float(peak), float(seconds)


def main() -> None:
    """Print peak memory above that of the loaded model, by mode and length."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[1_000, 1_500, 10_000, 100_000])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        measure(args.case[0], int(args.case[1]), args.batch)
        return
    baseline, _ = measure_apart("import", 1, args.batch)
    print(f"libraries and model: {baseline:.0f} MiB; batch of {args.batch}, {AWDLSTMConfig()}")
    for mode in MODES[1:]:
        for length in args.lengths:
            peak, seconds = measure_apart(mode, length, args.batch)
            print(f"{mode:>9} {length:>7,} tokens: +{peak - baseline:6.0f} MiB  {seconds:6.1f} s")


if __name__ == "__main__":
    main()
