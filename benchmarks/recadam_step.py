"""The optimizer's step: RecAdam against AdamW, and against the published per-parameter loop.

All three step the same tensors with the same gradients (so the published loop pays for no more
than its own operations), and take turns in one process; who goes first alternates. Printed are the
medians of a step and the ratios of medians.

    python benchmarks/recadam_step.py
    python benchmarks/recadam_step.py --rounds 5 --steps 3 --threads 1
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.training.anchors import Anchors
from ulmfit_lib.training.recadam import Annealing, RecAdam

Turn = Callable[[], float]  # takes some steps; returns seconds per step
SETTINGS = {"lr": 2e-5, "betas": (0.9, 0.999), "eps": 1e-6}
ANNEALING, GAMMA = Annealing("sigmoid", 0.5, 250), 5000.0


class PublishedLoop(torch.optim.Optimizer):
    """Algorithm 1 as the released code runs it: one parameter at a time, a tensor an operation.

    ``keep`` is how it does not run: it keeps the two tensors that each
    parameter's step makes, to tell what making them costs.
    """

    def __init__(self, params: list[Tensor], anchors: Anchors, keep: bool = False) -> None:
        super().__init__(params, dict(SETTINGS))
        self.anchors, self.keep = anchors, keep

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            (beta1, beta2), lr = group["betas"], group["lr"]
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state |= {"step": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
                    state["kept"] = [torch.empty_like(p) if self.keep else None for _ in "vp"]
                state["step"] += 1
                m, v, t = state["m"], state["v"], state["step"]
                m.mul_(beta1).add_(p.grad, alpha=1 - beta1)
                v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                root = torch.sqrt(v, out=state["kept"][0]).add_(group["eps"])
                size = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
                weight = 1 / (1 + math.exp(-ANNEALING.k * (t - ANNEALING.t0)))
                p.addcdiv_(m, root, value=-size * weight)
                away = torch.sub(p, self.anchors[p], out=state["kept"][1])
                p.add_(away, alpha=-lr * (1 - weight) * GAMMA)


def shapes() -> dict[str, list[torch.Size]]:
    """Parameter shapes of the shipped encoder and of BERT-base."""
    with torch.device("meta"):
        models = {
            "shipped encoder": build_encoder(EncoderConfig()).bert,
            "BERT-base": BertModel(BertConfig()),
        }
    return {name: [p.shape for p in model.parameters()] for name, model in models.items()}


def tensors(sizes: list[torch.Size]) -> tuple[list[Tensor], Anchors]:
    """Parameters with gradients, and their anchors."""
    torch.manual_seed(0)
    params = [nn.Parameter(0.02 * torch.randn(size)) for size in sizes]
    for p in params:
        p.grad = 1e-3 * torch.randn_like(p)
    return list(params), {p: 0.02 * torch.randn_like(p) for p in params}


def turns(sizes: list[torch.Size], steps: int) -> dict[str, Turn]:
    """A turn of each optimizer; they share weights, gradients and anchors, not moments."""
    params, anchors = tensors(sizes)

    def timed(optimizer: torch.optim.Optimizer) -> Turn:

        def turn() -> float:
            start = time.perf_counter()
            for _ in range(steps):
                optimizer.step()
            return (time.perf_counter() - start) / steps

        return turn

    def recadam(implementation: str) -> RecAdam:
        settings = {"gamma": GAMMA, "annealing": ANNEALING, **SETTINGS}
        return RecAdam(params, anchors, implementation=implementation, **settings)

    return {
        "RecAdam": timed(recadam("fused")),
        "RecAdam, foreach": timed(recadam("foreach")),
        "AdamW, foreach": timed(torch.optim.AdamW(params, foreach=True, **SETTINGS)),
        "published loop": timed(PublishedLoop(params, anchors)),
        "loop that keeps": timed(PublishedLoop(params, anchors, keep=True)),
    }


def alternate(taking: dict[str, Turn], rounds: int) -> dict[str, list[float]]:
    """Seconds per step of every turn, after one warm-up turn each."""
    seconds: dict[str, list[float]] = {name: [] for name in taking}
    for turn in taking.values():
        turn()
    for i in range(rounds):
        for name in sorted(taking, reverse=bool(i % 2)):
            seconds[name].append(taking[name]())
    return seconds


def report(seconds: dict[str, list[float]]) -> None:
    """Print medians with quartiles, and RecAdam's median over each of the others'."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        spread = f"(quartiles {1e3 * low:.2f} to {1e3 * high:.2f})"
        print(f"{name:>16}: {1e3 * medians[name]:8.2f} ms a step {spread}")
    for name in list(medians)[1:]:
        print(f"  RecAdam / {name}: {medians['RecAdam'] / medians[name]:.2f}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=5, help="steps of a turn")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each optimizer")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def main() -> None:
    """Let the optimizers take turns on both models' shapes."""
    args = arguments()
    torch.set_num_threads(args.threads)
    print(f"{args.rounds} turns of {args.steps} steps, {args.threads} threads, {torch.__version__}")
    for name, sizes in shapes().items():
        count = sum(math.prod(size) for size in sizes)
        print(f"{name}: {len(sizes)} tensors, {count:,} parameters")
        report(alternate(turns(sizes, args.steps), args.rounds))


if __name__ == "__main__":
    main()
