"""How to Fine-Tune BERT for Text Classification? (Sun, Qiu, Xu and Huang 2019).

The paper in its own terms, from pieces of the lower floors:

1. further pre-training on unlabelled text
   (:mod:`ulmfit_lib.training.further_pretraining`),
2. multi-task fine-tuning with a head for each task (:func:`tune_on_tasks`),
3. fine-tuning (:func:`tune_encoder`): long texts cut or read in pieces,
   features of any layers, rates that fall from layer to layer, a linear
   warm-up and decay; or ULMFiT's schedule and unfreezing.

:func:`fine_tune` does the last for texts and any checkpoint by name.
Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from fastai.data.core import DataLoaders
from torch import Tensor, nn
from transformers import PreTrainedModel

from ulmfit_lib.models.encoder import SHIPPED_ENCODER, EncoderConfig, build_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier, EncoderClassifierConfig
from ulmfit_lib.models.hierarchical import HierarchicalClassifier, HierarchicalConfig
from ulmfit_lib.models.multi_task import MultiTaskClassifier
from ulmfit_lib.models.pretrained_encoder import (
    PretrainedEncoder,
    load_pretrained_encoder,
    n_positions,
)
from ulmfit_lib.study.seeds import derive, seed_everything
from ulmfit_lib.text.batches import BatchConfig, TextLoader, TokenDataset
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.text.pieces import PiecesDataset
from ulmfit_lib.text.special_tokens import BOOK_TOKENS, SpecialTokens
from ulmfit_lib.text.task_batches import TaskBatches
from ulmfit_lib.text.truncation import check_truncation
from ulmfit_lib.training.evaluation import predict_probabilities
from ulmfit_lib.training.fine_tuning import (
    Documents,
    StepConfig,
    check_labels,
    free_order,
    tune_on_dataset,
)
from ulmfit_lib.training.groups import Ratio, classifier_groups
from ulmfit_lib.training.learner import BFloat16, classifier_learner, fit_stages
from ulmfit_lib.training.schedules import (
    Schedule,
    linear_warmup,
    slanted_triangular,
    sun2019_warmup,
)
from ulmfit_lib.training.unfreezing import Plan, full, gradual

SCHEDULES: Mapping[str, str] = {  # name to what its share of rising steps is called
    "linear": "warmup",
    "released": "warmup",
    "stlr": "cut_frac",
}
_FUNCTIONS: Mapping[str, Schedule] = {
    "linear": linear_warmup,
    "released": sun2019_warmup,
    "stlr": slanted_triangular,
}
N_HELD_OUT = 8  # documents that are measured after every epoch, where none are given


@dataclass(frozen=True)
class EncoderTuning:
    """How an encoder becomes a classifier. Introduced in the chapter *How to fine-tune BERT*."""

    lr_max: float = 5e-4  # of the head
    # rate of a group over that of the group above (section 5.3.4), or a factor for each group
    ratio: Ratio = 0.95
    warmup: float = 0.1  # share of the updates during which the rate rises
    updates: int = 200  # optimizer steps, in whole epochs
    batch_size: int = 32  # documents
    max_length: int = 128  # tokens of a document, [CLS] and [SEP] included
    weight_decay: float = 0.01  # decoupled, per unit of learning rate
    # layers and pooling; a HierarchicalConfig reads long documents in pieces
    head: EncoderClassifierConfig = field(default_factory=EncoderClassifierConfig)
    bfloat16: bool = False  # matrix products in bfloat16: faster where the processor has them
    truncation: str = "head"  # what is kept of a longer document
    schedule: str = "linear"  # one of SCHEDULES
    thaw_stages: int = 0  # epochs of gradual unfreezing before every layer is open

    def __post_init__(self) -> None:
        check_truncation(self.truncation)
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule={self.schedule!r} must be one of {sorted(SCHEDULES)}")
        if self.thaw_stages < 0:
            raise ValueError(f"thaw_stages={self.thaw_stages} must be 0 or more")


class Rates(NamedTuple):
    """Highest learning rates of an encoder. Introduced in the chapter *How to fine-tune BERT*."""

    tuning: float  # of the classifier
    reading: float  # of further pre-training


PAPER_RATES = Rates(2e-5, 5e-5)  # BERT-base, 768 numbers a token; at 4e-4 it does not converge
SMALL_RATES = Rates(5e-4, 5e-4)  # the shipped encoder's


def rates_for(encoder: PreTrainedModel) -> Rates:
    """The paper's rates; larger ones for an encoder no wider than the shipped one.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        encoder: of BERT's, RoBERTa's or DistilBERT's kind.
    """
    small = encoder.config.hidden_size <= EncoderConfig.hidden_size
    return SMALL_RATES if small else PAPER_RATES


def tuning_for(encoder: PreTrainedModel) -> EncoderTuning:
    """The recipe at the rate that fits ``encoder``, and no longer texts than it has places for.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        encoder: of BERT's, RoBERTa's or DistilBERT's kind.
    """
    length = min(EncoderTuning.max_length, n_positions(encoder))
    return EncoderTuning(lr_max=rates_for(encoder).tuning, max_length=length)


def without_transfer(config: EncoderTuning) -> EncoderTuning:
    """How the same network is trained from scratch: one rate for all layers.

    Args:
        config: the recipe whose updates and batches are kept.
    """
    return replace(config, ratio=1.0)


def encoder_plan(n_groups: int, batches_per_epoch: int, config: EncoderTuning) -> Plan:
    """The stages of a fine-tuning: everything at once, or thawed from the top as in ULMFiT.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        n_groups: layer groups of the classifier.
        batches_per_epoch: to turn updates into whole epochs.
        config: rates and stages.

    Raises:
        ValueError: more thawing stages than there are groups.
    """
    epochs = max(1, round(config.updates / batches_per_epoch))
    share = {SCHEDULES[config.schedule]: config.warmup}
    schedule: Schedule = partial(_FUNCTIONS[config.schedule], **share)
    stages = config.thaw_stages
    thawing = gradual(n_groups, stages, 1, config.lr_max, schedule) if stages else ()
    return thawing + full(n_groups, max(1, epochs - stages), config.lr_max, schedule)


def tune_encoder(
    encoder: PreTrainedModel,
    documents: Documents,
    labels: Sequence[int],
    n_classes: int,
    config: EncoderTuning | None = None,
    seed: int = 0,
    valid: tuple[Documents, Sequence[int]] | None = None,
    quiet: bool = True,
    special: SpecialTokens = BOOK_TOKENS,
    head: nn.Linear | None = None,
) -> tuple[EncoderClassifier, list[dict[str, float]]]:
    """An encoder, tuned into a classifier. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        encoder: of BERT's, RoBERTa's or DistilBERT's kind; its weights are copied.
        documents: token ids of the labelled texts, without special tokens.
        labels: class of each, in ``0 .. n_classes - 1``.
        n_classes: number of classes.
        config: rates, updates, pooling; None: :func:`tuning_for` this encoder.
        seed: of the head, the order of the documents and dropout.
        valid: documents and labels to measure after every epoch.
        quiet: show nothing.
        special: ids of the encoder's special tokens.
        head: begin with a copy of it, tuned before, instead of a new one.

    Returns:
        The classifier and one row per epoch.

    Raises:
        ValueError: no labels, no such class, or more tokens than the encoder has positions.
    """
    check_labels(labels, n_classes)
    config = config if config is not None else tuning_for(encoder)
    seed_everything(derive(seed, "encoder classifier"))
    model = new_classifier(encoder, n_classes, config, special)
    if head is not None:
        model.head.load_state_dict(head.state_dict())
    held_out = valid or (documents[:N_HELD_OUT], labels[:N_HELD_OUT])
    train, measured = (as_read(*part, config, special) for part in ((documents, labels), held_out))
    return model, _fitted(model, train, measured, config, seed, quiet)


def _fitted(
    model: EncoderClassifier,
    train: TokenDataset,
    valid: TokenDataset,
    config: EncoderTuning,
    seed: int,
    quiet: bool,
) -> list[dict[str, float]]:
    """Train ``model`` in place; one row per epoch."""
    return tune_on_dataset(
        model,
        train,
        partial(encoder_plan, len(classifier_groups(model)), config=config),
        config.ratio,
        free_order(len(train), config.batch_size, derive(seed, "batches")),
        valid=valid,
        steps=_steps(config),
        quiet=quiet,
    )


def new_classifier(
    encoder: PreTrainedModel,
    n_classes: int,
    config: EncoderTuning = EncoderTuning(),
    special: SpecialTokens = BOOK_TOKENS,
) -> EncoderClassifier:
    """A classifier with an untrained head, as ``config.head`` describes it.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        encoder: copied.
        n_classes: number of classes.
        config: its head and its longest document.
        special: ids of the encoder's special tokens.

    Raises:
        ValueError: more tokens than the encoder has positions.
    """
    head = replace(config.head, pad_id=special.pad_id, sep_id=special.sep_id)
    if isinstance(head, HierarchicalConfig):
        return HierarchicalClassifier(encoder, n_classes, head)
    _check_length(config.max_length, encoder)
    return EncoderClassifier(encoder, n_classes, head)


def as_read(
    documents: Documents,
    labels: Sequence[int] | None,
    config: EncoderTuning,
    special: SpecialTokens = BOOK_TOKENS,
) -> TokenDataset:
    """``documents`` in the form that the classifier of ``config`` reads: framed, or in pieces.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        documents: token ids of each text, without special tokens.
        labels: class of each, or None.
        config: lengths and truncation.
        special: ids of the special tokens.
    """
    head = config.head
    if isinstance(head, HierarchicalConfig):
        return PiecesDataset(documents, head.piece_length, labels, special, head.max_pieces)
    return FramedDataset(documents, config.max_length, labels, config.truncation, special)


def classify(
    model: EncoderClassifier,
    documents: Documents,
    max_length: int = 128,
    batch_size: int = 128,
    truncation: str = "head",
    special: SpecialTokens = BOOK_TOKENS,
    bfloat16: bool = False,
) -> Tensor:
    """Class probabilities (N, C) of ``documents``, in their order.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        model: the tuned classifier.
        documents: token ids of each text, without special tokens.
        max_length: tokens of a document, ``[CLS]`` and ``[SEP]`` included; a
            hierarchical classifier has pieces of its own length instead.
        batch_size: documents at once.
        truncation: what is kept of a longer document.
        special: ids of the special tokens.
        bfloat16: compute matrix products in bfloat16.
    """
    config = EncoderTuning(max_length=max_length, truncation=truncation, head=model.config)
    loader = TextLoader(as_read(documents, None, config, special), BatchConfig(batch_size))
    device = next(model.parameters()).device.type
    with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
        return predict_probabilities(model, loader)


@dataclass(frozen=True)
class LabelledDocuments:
    """The training set of one task. Introduced in the chapter *How to fine-tune BERT*."""

    documents: Documents  # token ids of the labelled texts, without special tokens
    labels: Sequence[int]  # class of each
    n_classes: int  # number of classes


def tune_on_tasks(
    encoder: PreTrainedModel,
    tasks: Sequence[LabelledDocuments],
    config: EncoderTuning | None = None,
    seed: int = 0,
    special: SpecialTokens = BOOK_TOKENS,
    quiet: bool = True,
) -> tuple[MultiTaskClassifier, list[dict[str, float]]]:
    """One encoder, tuned on several tasks at once, with a head for each.

    Tune it on one of them afterwards, at a lower rate: ``tune_encoder(
    model.encoder, ..., head=model.head[i])``. Source: Sun et al. 2019,
    sections 4.3 and 5.5. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        encoder: copied, and shared by all tasks.
        tasks: the training set of each.
        config: rates, updates, pooling; None: :func:`tuning_for` this encoder.
        seed: of the heads, the order of the batches and dropout.
        special: ids of the encoder's special tokens.
        quiet: show nothing.

    Returns:
        The model and one row per epoch.

    Raises:
        ValueError: as :func:`tune_encoder`, no task, or a head that reads in pieces.
    """
    for task in tasks:
        check_labels(task.labels, task.n_classes)
    config = config if config is not None else tuning_for(encoder)
    _check_reads_whole(config.head)
    _check_length(config.max_length, encoder)
    seed_everything(derive(seed, "multi-task classifier"))
    head = replace(config.head, pad_id=special.pad_id, sep_id=special.sep_id)
    model = MultiTaskClassifier(encoder, [task.n_classes for task in tasks], head)
    sets = [as_read(task.documents, task.labels, config, special) for task in tasks]
    order = BatchConfig(config.batch_size, pool_batches=1, seed=derive(seed, "batches"))
    train = TaskBatches(sets, order, shuffle=True)
    few = [as_read(t.documents[:2], t.labels[:2], config, special) for t in tasks]
    dls = DataLoaders(train, TaskBatches(few), device=next(model.parameters()).device)
    learn = classifier_learner(model, dls, quiet=quiet, **_steps(config).settings())
    learn.add_cbs([BFloat16()] if config.bfloat16 else [])
    plan = encoder_plan(len(classifier_groups(model)), len(train), config)
    return model, fit_stages(learn, plan, config.ratio)


@dataclass(frozen=True, eq=False)
class TunedText:
    """A classifier with what it needs to read a text.

    Introduced in the chapter *How to fine-tune BERT*.
    """

    classifier: EncoderClassifier  # tuned
    pretrained: PretrainedEncoder  # where it began; gives the tokenizer
    config: EncoderTuning  # how it was tuned

    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Class probabilities (N, C) of ``texts``."""
        return classify(
            self.classifier,
            self.pretrained.encode(texts),
            self.config.max_length,
            truncation=self.config.truncation,
            special=self.pretrained.special,
        )

    def masked_lm(self) -> PretrainedEncoder:
        """The tuned encoder under the masked-language-model head of before.

        What it can no longer fill in, it has forgotten
        (:func:`ulmfit_lib.training.further_pretraining.masked_lm_score`).
        """
        return under_its_old_head(self.classifier, self.pretrained)


def fine_tune(
    texts: Sequence[str],
    labels: Sequence[int],
    n_classes: int,
    checkpoint: str | Path | PretrainedEncoder = SHIPPED_ENCODER,
    config: EncoderTuning | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> TunedText:
    """From texts to a classifier, with any checkpoint of BERT's kind.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        texts: labelled texts.
        labels: class of each, in ``0 .. n_classes - 1``.
        n_classes: number of classes.
        checkpoint: ``"bert-base-uncased"``, a folder, or a loaded encoder; its
            tokenizer comes with it. By default the shipped one.
        config: rates, updates, pooling; None: :func:`tuning_for` this checkpoint.
        seed: of everything random.
        quiet: show nothing.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: as :func:`tune_encoder`.
    """
    if not isinstance(checkpoint, PretrainedEncoder):
        checkpoint = load_pretrained_encoder(checkpoint)
    config = config if config is not None else tuning_for(checkpoint.model)
    model, _ = tune_encoder(
        checkpoint.model,
        checkpoint.encode(texts),
        labels,
        n_classes,
        config,
        seed,
        quiet=quiet,
        special=checkpoint.special,
    )
    return TunedText(model, checkpoint, config)


def under_its_old_head(
    classifier: EncoderClassifier, pretrained: PretrainedEncoder
) -> PretrainedEncoder:
    """The encoder of ``classifier`` with the head that filled masks before the tuning.

    Layers that the classifier left out are those of ``pretrained``. Introduced
    in the chapter *How to fine-tune BERT*.

    Args:
        classifier: tuned from ``pretrained``.
        pretrained: left as it is.
    """
    model = copy.deepcopy(pretrained.masked_lm)
    base = model.base_model
    base.load_state_dict(base.state_dict() | classifier.encoder.state_dict(), strict=False)
    return replace(pretrained, masked_lm=model)


def untrained_encoder(config: EncoderConfig, seed: int) -> PreTrainedModel:
    """An encoder with random weights: where "from scratch" starts.

    It has the dropout of fine-tuning, as a loaded encoder has.

    Args:
        config: sizes.
        seed: the run's seed.
    """
    seed_everything(derive(seed, "from scratch"))
    return build_encoder(replace(config, dropout=config.fine_tuning_dropout)).bert


def _check_reads_whole(head: EncoderClassifierConfig) -> None:
    if isinstance(head, HierarchicalConfig):
        raise ValueError(
            "config.head reads texts in pieces, which heads of several tasks do not: give an "
            "EncoderClassifierConfig"
        )


def _check_length(max_length: int, encoder: PreTrainedModel) -> None:
    positions = n_positions(encoder)
    if max_length > positions:
        raise ValueError(
            f"max_length={max_length}, but the encoder has {positions} places: cut texts shorter"
        )


def _steps(config: EncoderTuning) -> StepConfig:
    return StepConfig(1.0, 0.0, 0.0, (0.9, 0.999), config.weight_decay, config.bfloat16)
