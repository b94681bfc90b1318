"""What the papers' fine-tuning has in common: a plan, run on a stream or on documents.

A paper decides which layers train when and at which rates (a
:data:`~ulmfit_lib.training.unfreezing.Plan`); here the texts become batches,
the learner is set up, and the plan is run. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from torch import Tensor, nn

from ulmfit_lib.models.awd_lstm import LanguageModel
from ulmfit_lib.models.classifier import TextClassifier
from ulmfit_lib.text.batches import BatchConfig, TextDataset, TextLoader, TokenDataset
from ulmfit_lib.text.streams import LMStream, StreamConfig, check_direction, join_documents
from ulmfit_lib.training.evaluation import predict_probabilities
from ulmfit_lib.training.groups import Classifier, Ratio
from ulmfit_lib.training.learner import (
    BFloat16,
    classifier_learner,
    fit_stages,
    language_model_learner,
)
from ulmfit_lib.training.optimizers import adam
from ulmfit_lib.training.unfreezing import Plan

Documents = Sequence[Sequence[int]]  # token ids of each text, without special tokens


@dataclass(frozen=True)
class StepConfig:
    """How each optimizer step is taken, whatever the plan. Introduced in the chapter *FitLaM*."""

    clip: float  # largest gradient norm
    alpha: float = 0.0  # strength of AR
    beta: float = 0.0  # strength of TAR
    betas: tuple[float, float] = (0.7, 0.99)  # of Adam
    weight_decay: float = 0.0  # decoupled, per unit of learning rate
    bfloat16: bool = False  # matrix products in bfloat16: faster where the processor has them

    def settings(self) -> dict[str, Any]:
        """The arguments of the learners that say it."""
        opt_func = adam(self.betas, self.weight_decay)
        return {"alpha": self.alpha, "beta": self.beta, "clip": self.clip, "opt_func": opt_func}


LM_STEPS = StepConfig(clip=0.3, alpha=2.0, beta=1.0)  # as language_model_learner
CLASSIFIER_STEPS = StepConfig(clip=25.0)  # as classifier_learner


def tune_on_stream(
    model: LanguageModel,
    documents: Documents,
    plan: Plan,
    ratio: Ratio,
    cut: StreamConfig,
    *,
    order_seed: int,
    valid: Documents = (),
    steps: StepConfig = LM_STEPS,
    quiet: bool = True,
    cbs: Sequence[Callback] = (),
) -> list[dict[str, float]]:
    """Tune a language model on the stream of ``documents``, by a plan.

    Batches go where the model is. Introduced in the chapter *FitLaM*.

    Args:
        model: tuned in place.
        documents: token ids of the texts.
        plan: stages over the model's layer groups.
        ratio, steps, quiet, cbs: as :func:`tune_on_dataset` takes them.
        cut: rows, lengths and direction of the stream.
        order_seed: of the order of the documents.
        valid: held-out texts; empty repeats the training text.

    Returns:
        One row per epoch (stage, epoch, train_loss, valid_loss).

    Raises:
        ValueError: too little text for the rows of the stream.
    """
    order = np.random.default_rng(order_seed).permutation(len(documents))
    shuffled = [documents[i] for i in order]
    streams = LMStream(join_documents(shuffled), cut), _held_out_stream(valid or shuffled, cut)
    dls = DataLoaders(*streams, device=_device_of(model))
    learn = language_model_learner(model, dls, bptt=cut.bptt, quiet=quiet, **steps.settings())
    learn.add_cbs([BFloat16()] if steps.bfloat16 else [])
    rows = fit_stages(learn, plan, ratio, cbs)
    model.reset()
    return rows


def tune_on_documents(
    model: TextClassifier,
    documents: Documents,
    labels: Sequence[int],
    plan: Callable[[int], Plan],
    ratio: Ratio,
    batches: BatchConfig,
    *,
    direction: str = "forward",
    valid: tuple[Documents, Sequence[int]] | None = None,
    max_tokens: int | None = None,
    steps: StepConfig = CLASSIFIER_STEPS,
    quiet: bool = True,
    cbs: Sequence[Callback] = (),
) -> list[dict[str, float]]:
    """Tune an AWD-LSTM classifier on labelled documents, by a plan.

    Introduced in the chapter *FitLaM*.

    Args:
        model: tuned in place.
        documents: token ids of the labelled texts.
        labels: class of each.
        plan, ratio, batches, steps, quiet, cbs: as :func:`tune_on_dataset`
            takes them.
        direction: how the model reads; "backward" reverses the documents.
        valid: documents and labels to measure after every epoch; by default
            16 of the training set, whose loss says nothing about new text.
        max_tokens: keep at most the last so many tokens of a document.
    """
    return tune_on_dataset(
        model,
        _dataset(documents, labels, direction, max_tokens),
        plan,
        ratio,
        batches,
        # fastai measures after every epoch: without held-out documents, on a few of these.
        valid=_dataset(*(valid or (documents[:16], labels[:16])), direction, max_tokens),
        steps=steps,
        quiet=quiet,
        cbs=cbs,
    )


def tune_on_dataset(
    model: Classifier,
    train: TokenDataset,
    plan: Callable[[int], Plan],
    ratio: Ratio,
    batches: BatchConfig,
    *,
    valid: TokenDataset,
    steps: StepConfig = CLASSIFIER_STEPS,
    quiet: bool = True,
    cbs: Sequence[Callback] = (),
    **settings: Any,
) -> list[dict[str, float]]:
    """Tune a classifier on documents in the form that it reads, by a plan.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        model: tuned in place.
        train: documents to learn from, with labels.
        plan: from the batches of an epoch to stages over the model's groups.
        ratio: as :func:`ulmfit_lib.training.groups.discriminative_lrs` takes it.
        batches: batch size, token budget, seed of the order.
        valid: documents to measure after every epoch.
        steps: optimizer, penalties, clipping.
        quiet: show nothing.
        cbs: further fastai callbacks.
        **settings: what else the learner takes, such as ``opt_func`` for
            another optimizer than ``steps`` makes, ``lr`` or ``loss_func``.

    Returns:
        One row per epoch (stage, epoch, train_loss, valid_loss, accuracy).

    Raises:
        ValueError: fewer than two documents.
    """
    loader = TextLoader(train, batches, shuffle=True)
    held_out = TextLoader(valid, BatchConfig(128, max_tokens=batches.max_tokens))
    dls = DataLoaders(loader, held_out, device=_device_of(model))
    learn = classifier_learner(model, dls, quiet=quiet, **(steps.settings() | settings))
    learn.add_cbs([BFloat16()] if steps.bfloat16 else [])
    return fit_stages(learn, plan(len(loader)), ratio, cbs)


def check_labels(labels: Sequence[int], n_classes: int) -> None:
    """Make sure that there are labels, and that every one is a class.

    Introduced in the chapter *FitLaM*.

    Args:
        labels: class of each text.
        n_classes: number of classes.

    Raises:
        ValueError: no label, or one outside ``0 .. n_classes - 1``.
    """
    if not len(labels):
        raise ValueError("there is no labelled text to learn from: give some of every class")
    wrong = [label for label in labels if not 0 <= label < n_classes]
    if wrong:
        raise ValueError(f"label {wrong[0]} is outside 0 .. {n_classes - 1}")


def free_order(n_documents: int, batch_size: int, seed: int) -> BatchConfig:
    """Batches that are sorted by length only within an eighth of the training set.

    With few batches a longer stretch would give every epoch the same ones.
    Introduced in the chapter *FitLaM*.

    Args:
        n_documents: size of the training set.
        batch_size: documents of a batch.
        seed: of the order.
    """
    pool = max(1, n_documents // batch_size // 8)
    return BatchConfig(batch_size, pool_batches=pool, seed=seed)


def class_probabilities(
    model: nn.Module,
    documents: Documents,
    direction: str = "forward",
    batches: BatchConfig | None = None,
    max_tokens: int | None = None,
) -> Tensor:
    """Class probabilities (N, C) of ``documents``, in their order, on the CPU.

    Introduced in the chapter *FitLaM*.

    Args:
        model: a classifier that reads ``direction``.
        documents: token ids of each text.
        direction: "forward" or "backward".
        batches: documents and padded tokens at once; by default 128 documents.
        max_tokens: keep at most the last so many tokens of a document.

    Raises:
        ValueError: unknown ``direction``.
    """
    loader = TextLoader(
        _dataset(documents, None, direction, max_tokens), batches or BatchConfig(128)
    )
    return predict_probabilities(model, loader)


def _held_out_stream(documents: Documents, cut: StreamConfig) -> LMStream:
    """Rows of one length, as many as the text fills."""
    tokens = join_documents(documents)
    rows = max(1, min(cut.batch_size, len(tokens) // cut.bptt))
    return LMStream(tokens, replace(cut, random_lengths=False, batch_size=rows))


def _dataset(
    documents: Documents,
    labels: Sequence[int] | None,
    direction: str,
    max_tokens: int | None,
) -> TextDataset:
    backward = check_direction(direction) == "backward"
    return TextDataset(documents, labels, backward, max_tokens)


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
