"""Fine-tuning and inference of the encoder's classifier against Hugging Face's ``Trainer``.

Both have the same model, weights, batches, optimizer and clipping, and take turns in one process,
so what else the machine does falls on both. Then the same documents in three layouts: padded to
the limit, to the longest of a random batch (dynamic padding), and to the longest of a batch of
like lengths (bucketing, the library's default).

    python benchmarks/encoder_tuning.py
    python benchmarks/encoder_tuning.py --documents 384 --rounds 9 --threads 2
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fastai.data.core import DataLoaders
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from ulmfit_lib.models.encoder import load_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.text import pydocs
from ulmfit_lib.text.batches import BatchConfig, TextLoader, TokenDataset
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.text.tokenizer import PAD_ID, encode, load_tokenizer
from ulmfit_lib.training.evaluation import predict_probabilities
from ulmfit_lib.training.learner import classifier_learner
from ulmfit_lib.training.optimizers import adam

LIMIT, BATCH_SIZE, RATE, DECAY, CLIP = 128, 16, 1e-4, 0.01, 1.0
Batches = Sequence[tuple[Tensor, Tensor]]


class AsTrainerWants(nn.Module):
    """The same classifier with the signature of a model of ``transformers``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.model(input_ids)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class OnGivenBatches(Trainer):
    """A ``Trainer`` that takes its batches as they are."""

    def __init__(self, batches: Batches, **settings: object) -> None:
        self.rows = [{"input_ids": ids, "labels": labels} for ids, labels in batches]
        super().__init__(train_dataset=self.rows, eval_dataset=self.rows, **settings)

    def get_train_dataloader(self) -> DataLoader:
        return DataLoader(self.rows, batch_size=None)

    def get_test_dataloader(self, test_dataset: object) -> DataLoader:
        return DataLoader(self.rows, batch_size=None)


@dataclass(frozen=True)
class Turn:
    """Documents per second."""

    training: float
    inference: float


def new_model() -> EncoderClassifier:
    torch.manual_seed(0)
    return EncoderClassifier(load_encoder().bert, len(pydocs.load().label_names))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ours(batches: Batches, n: int) -> Turn:
    """One epoch and one reading by the library."""
    model = new_model()
    dls = DataLoaders(list(batches), list(batches[:1]), device=torch.device("cpu"))
    opt = adam((0.9, 0.999), DECAY)
    learn = classifier_learner(model, dls, clip=CLIP, opt_func=opt, quiet=True, lr=RATE)
    learn._do_epoch_validate = lambda *_, **__: None
    training = seconds(lambda: learn.fit(1))
    return Turn(n / training, n / seconds(lambda: predict_probabilities(model, batches)))


def theirs(batches: Batches, n: int) -> Turn:
    """The same by ``Trainer``."""
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            max_steps=len(batches),
            learning_rate=RATE,
            lr_scheduler_type="constant",
            weight_decay=DECAY,
            max_grad_norm=CLIP,
            optim="adamw_torch_fused",
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=0,
        )
        trainer = OnGivenBatches(batches, model=AsTrainerWants(new_model()), args=settings)
        trainer.remove_callback(PrinterCallback)
        training = seconds(trainer.train)
        return Turn(n / training, n / seconds(lambda: trainer.predict(trainer.rows)))


def compare(batches: Batches, n: int, rounds: int) -> list[str]:
    """Both in turns, the first of a round changing; medians and quartiles of the ratios."""
    found: dict[str, list[Turn]] = {"ours": [], "Trainer": []}
    ways = [("ours", ours), ("Trainer", theirs)]
    for way in ways:
        way[1](batches[:2], 2 * BATCH_SIZE)  # warms up what is made once
    for turn in range(rounds):
        for name, run in ways if turn % 2 else ways[::-1]:
            found[name].append(run(batches, n))
    lines = []
    for kind in ("training", "inference"):
        speeds = {name: [getattr(t, kind) for t in turns] for name, turns in found.items()}
        ratios = [a / b for a, b in zip(*speeds.values(), strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        medians = ", ".join(f"{k} {statistics.median(v):.0f}" for k, v in speeds.items())
        lines.append(
            f"{kind:>10}: {medians} documents/s; ours / Trainer {middle:.2f} "
            f"(quartiles {low:.2f} to {high:.2f}, {rounds} pairs of turns)"
        )
    return lines


def layouts(dataset: TokenDataset, rounds: int) -> list[str]:
    """Training speed by how documents are laid out in batches."""
    order = np.random.default_rng(0).permutation(len(dataset)).tolist()
    config = BatchConfig(BATCH_SIZE)
    found = {
        "padded to the limit": [
            (F.pad(ids, (0, LIMIT - ids.shape[1]), value=PAD_ID), labels)
            for ids, labels in TextLoader(dataset, config, order=order)
        ],
        "dynamic padding": list(TextLoader(dataset, config, order=order)),
        "length bucketing": list(TextLoader(dataset, config, shuffle=True)),
    }
    speeds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, batches in found.items():
            speeds[name].append(ours(batches, len(dataset)).training)
    real = sum(dataset.lengths)
    return [
        f"{name:>20}: {statistics.median(speeds[name]):5.0f} documents/s, "
        f"{100 * (1 - real / sum(ids.numel() for ids, _ in batches)):.0f} % padding"
        for name, batches in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    split = pydocs.load().splits["train"]
    rows = np.random.default_rng(0).permutation(len(split))[: options.documents]
    documents = encode(load_tokenizer(), [split.texts[i] for i in rows])
    dataset = FramedDataset(documents, LIMIT, [int((split.labels or ())[i]) for i in rows])
    batches = list(TextLoader(dataset, BatchConfig(BATCH_SIZE), shuffle=True))
    print(
        f"{len(dataset)} paragraphs, {np.mean(dataset.lengths):.0f} tokens on average, at most "
        f"{LIMIT}; batches of {BATCH_SIZE}, {options.threads} thread(s), torch {torch.__version__}"
    )
    print(*compare(batches, len(dataset), options.rounds), sep="\n")
    print(*layouts(dataset, max(2, options.rounds // 2)), sep="\n")


if __name__ == "__main__":
    main()
