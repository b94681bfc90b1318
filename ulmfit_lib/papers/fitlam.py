"""FitLaM: Fine-tuned Language Models for Text Classification (Howard and Ruder 2018, v1).

The paper's recipe in its own terms, from pieces of the lower floors:

1. a language model pre-trained on general text (:mod:`ulmfit_lib.models.pretrained`),
2. tuned on the task's text: gradual unfreezing, each stage annealed by a
   cosine, the rate raised and lowered again once every layer trains,
   discriminative rates by 0.3 (:func:`tune_language_model`),
3. tuned into a classifier: concat pooling, BPT3C, a new head, discriminative
   rates (:func:`tune_classifier`); forward and backward are averaged.

Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from ulmfit_lib.models.awd_lstm import (
    AWDLSTM,
    CLASSIFIER_DROPOUTS,
    FINE_TUNING_DROPOUTS,
    AWDLSTMConfig,
    Dropouts,
    LanguageModel,
)
from ulmfit_lib.models.classifier import ClassifierConfig, TextClassifier, classifier_encoder
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.study.seeds import derive, seed_everything
from ulmfit_lib.text.batches import BatchConfig
from ulmfit_lib.text.streams import StreamConfig
from ulmfit_lib.training.fine_tuning import (
    CLASSIFIER_STEPS,
    LM_STEPS,
    Documents,
    check_labels,
    class_probabilities,
    free_order,
    tune_on_documents,
    tune_on_stream,
)
from ulmfit_lib.training.groups import FITLAM_RATIO, classifier_groups, lm_groups
from ulmfit_lib.training.schedules import (
    Schedule,
    cosine,
    slanted_triangular,
    warmup_reverse_annealing,
)
from ulmfit_lib.training.unfreezing import Plan, full, gradual, last_only

SCHEDULES: Mapping[str, Schedule] = {
    "cosine": cosine,
    "reverse": warmup_reverse_annealing,
    "stlr": slanted_triangular,
}


@dataclass(frozen=True)
class LMTuning:
    """Stage 2: the language model meets the task's text."""

    lr_max: float = 4e-3  # of the top group
    ratio: float = FITLAM_RATIO  # discriminative rates
    epochs: int = 2  # with every layer open, after one epoch per layer on the way there
    batch_size: int = 32  # rows of the stream
    bptt: int = 70  # tokens per row and batch
    dropouts: Dropouts = FINE_TUNING_DROPOUTS.scaled(0.5)  # small model, small text
    bfloat16: bool = False  # matrix products in bfloat16: faster where the processor has them


@dataclass(frozen=True)
class ClassifierTuning:
    """Stage 3: the encoder becomes a classifier."""

    lr_max: float = 2e-2  # of the head
    ratio: float = FITLAM_RATIO  # discriminative rates
    schedule: str = "reverse"  # with every layer open: a name in SCHEDULES
    updates: int = 200  # optimizer steps with every layer open, in whole epochs
    head_updates: int = 40  # optimizer steps of the head alone before that
    batch_size: int = 32  # documents
    dropouts: Dropouts = CLASSIFIER_DROPOUTS.scaled(0.3)  # small model, few labels
    head: ClassifierConfig = field(default_factory=ClassifierConfig)  # pooling, BPT3C, head
    bfloat16: bool = False  # matrix products in bfloat16: faster where the processor has them

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule={self.schedule!r} must be one of {sorted(SCHEDULES)}")


def without_transfer(config: ClassifierTuning) -> ClassifierTuning:
    """How the same network is trained from scratch: nothing in it is worth protecting.

    One rate for all layers, chosen on validation text. Introduced in the
    chapter *FitLaM*.

    Args:
        config: the recipe whose updates, batches and dropouts are kept.
    """
    return replace(config, ratio=1.0, lr_max=5e-3)


def one_rate(config: ClassifierTuning) -> ClassifierTuning:
    """The recipe without discriminative rates, at the rate that suits it.

    At the head's rate of :class:`ClassifierTuning` the lower layers would be
    trained a hundred times faster than with the ratio 0.3, which is a second
    change. This rate was chosen on validation text. Introduced in the chapter
    *FitLaM*.

    Args:
        config: the recipe whose updates, batches and dropouts are kept.
    """
    return replace(config, ratio=1.0, lr_max=3e-3)


def lm_plan(n_groups: int, config: LMTuning) -> Plan:
    """Gradual unfreezing of the language model, then warm-up reverse annealing.

    One more group opens per epoch, from the top, each epoch annealed by a
    cosine; the last stage has every group open and lets the rate rise for
    ``1 / (its epochs + 1)`` of its steps, so that some are left to fall.
    Source: FitLaM v1, "Target task LM fine-tuning". Introduced in the chapter
    *FitLaM*.

    Args:
        n_groups: layer groups of the language model.
        config: rates and epochs.
    """
    thaw = gradual(n_groups, n_groups - 1, 1, config.lr_max, cosine) if n_groups > 1 else ()

    def raise_then_lower(t: float, T: int, lr_max: float) -> float:
        """The rate rises during the first of the epochs, and falls to the end."""
        return warmup_reverse_annealing(t, T, lr_max, warmup=1 / (config.epochs + 1))

    return thaw + full(n_groups, config.epochs, config.lr_max, raise_then_lower)


def classifier_plan(n_groups: int, batches_per_epoch: int, config: ClassifierTuning) -> Plan:
    """The head alone first, annealed by a cosine; then every layer, by the schedule.

    Introduced in the chapter *FitLaM*.

    Args:
        n_groups: layer groups of the classifier.
        batches_per_epoch: to turn updates into whole epochs, at least one each.
        config: rates and updates.
    """
    head_epochs = max(1, round(config.head_updates / batches_per_epoch))
    epochs = max(1, round(config.updates / batches_per_epoch))
    head = last_only(n_groups, head_epochs, config.lr_max, cosine)
    return head + full(n_groups, epochs, config.lr_max, SCHEDULES[config.schedule])


def tune_language_model(
    documents: Documents,
    direction: str = "forward",
    config: LMTuning = LMTuning(),
    seed: int = 0,
    valid: Documents = (),
    quiet: bool = True,
) -> tuple[LanguageModel, list[dict[str, float]]]:
    """Stage 2: the pre-trained language model, tuned on the task's text.

    Introduced in the chapter *FitLaM*.

    Args:
        documents: token ids of the task's texts; no label is looked at.
        direction: "forward" or "backward".
        config: rates, epochs, dropouts.
        seed: of the order of the documents, of BPTT lengths and dropout.
        valid: held-out texts; empty repeats the training text, whose loss
            then says nothing about new text.
        quiet: show nothing.

    Returns:
        The tuned model and one row per epoch (stage, epoch, train_loss, valid_loss).
    """
    seed_everything(derive(seed, "lm", direction))
    model = load_language_model(direction, config.dropouts)
    rows = tune_on_stream(
        model,
        documents,
        lm_plan(len(lm_groups(model)), config),
        config.ratio,
        StreamConfig(config.batch_size, config.bptt, True, direction, derive(seed, "bptt")),
        order_seed=derive(seed, "documents"),
        valid=valid,
        steps=replace(LM_STEPS, bfloat16=config.bfloat16),
        quiet=quiet,
    )
    return model, rows


def tune_classifier(
    encoder: AWDLSTM,
    documents: Documents,
    labels: Sequence[int],
    n_classes: int,
    config: ClassifierTuning = ClassifierTuning(),
    direction: str = "forward",
    seed: int = 0,
    valid: tuple[Documents, Sequence[int]] | None = None,
    quiet: bool = True,
) -> tuple[TextClassifier, list[dict[str, float]]]:
    """Stage 3: an encoder, tuned into a classifier. Introduced in the chapter *FitLaM*.

    Args:
        encoder: its weights are copied; the original stays as it is.
        documents: token ids of the labelled texts.
        labels: class of each, in ``0 .. n_classes - 1``.
        n_classes: number of classes.
        config: rates, schedule, updates, dropouts.
        direction: how ``encoder`` reads; "backward" reverses the documents.
        seed: of the head, the order of the documents and dropout.
        valid: documents and labels to measure after every epoch.
        quiet: show nothing.

    Returns:
        The classifier and one row per epoch.

    Raises:
        ValueError: a label outside ``0 .. n_classes - 1``.
    """
    check_labels(labels, n_classes)
    model = new_classifier(encoder, n_classes, config.dropouts, config.head, seed, direction)
    return model, tune_on_documents(
        model,
        documents,
        labels,
        partial(classifier_plan, len(classifier_groups(model)), config=config),
        config.ratio,
        free_order(len(documents), config.batch_size, derive(seed, "batches")),
        direction=direction,
        valid=valid,
        steps=replace(CLASSIFIER_STEPS, bfloat16=config.bfloat16),
        quiet=quiet,
    )


def new_classifier(
    encoder: AWDLSTM,
    n_classes: int,
    dropouts: Dropouts,
    head: ClassifierConfig,
    seed: int,
    direction: str,
) -> TextClassifier:
    """A copy of an encoder under a new head, on the encoder's device.

    Seeds everything: the head, and the dropout of the training that follows.
    Introduced in the chapter *FitLaM*.

    Args:
        encoder: its weights are copied; the original stays as it is.
        n_classes: number of classes.
        dropouts: of the copy.
        head: pooling, BPT3C, head.
        seed: the run's seed.
        direction: how ``encoder`` reads; each direction has a head of its own.
    """
    seed_everything(derive(seed, "classifier", direction))
    model = TextClassifier(classifier_encoder(encoder, dropouts), n_classes, head)
    return model.to(encoder.embedding.weight.device)


def classify(
    model: TextClassifier, documents: Documents, direction: str = "forward", batch_size: int = 128
) -> Tensor:
    """Class probabilities (N, C) of ``documents``, in their order.

    Introduced in the chapter *FitLaM*.

    Args:
        model: a classifier that reads ``direction``.
        documents: token ids of each text.
        direction: "forward" or "backward".
        batch_size: documents at once.
    """
    return class_probabilities(model, documents, direction, BatchConfig(batch_size))


def untrained_encoder(config: AWDLSTMConfig, seed: int) -> AWDLSTM:
    """An encoder with random weights: where "from scratch" starts.

    Word vectors are drawn from N(0, 1), torch's default for embeddings. The
    language model's own start, U(-0.1, 0.1), suits a tied softmax; a
    classifier's BatchNorm would meet outputs of variance 1e-5, as small as the
    epsilon it divides by, and the baseline would be weaker than it has to be.
    Introduced in the chapter *FitLaM*.

    Args:
        config: sizes.
        seed: the run's seed.
    """
    seed_everything(derive(seed, "from scratch"))
    encoder = AWDLSTM(config)
    encoder.embedding.reset_parameters()
    return encoder
