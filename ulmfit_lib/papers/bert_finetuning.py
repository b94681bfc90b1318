"""How to Fine-Tune BERT for Text Classification? (Sun, Qiu, Xu and Huang 2019).

The encoder, tuned into a classifier: a new linear layer, AdamW, a linear
warm-up and decay, and rates that fall from layer to layer (section 5.3.4).
Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor
from transformers import PreTrainedModel

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier, EncoderClassifierConfig
from ulmfit_lib.study.seeds import derive, seed_everything
from ulmfit_lib.text.batches import BatchConfig, TextLoader
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.training.fine_tuning import (
    Documents,
    StepConfig,
    check_labels,
    free_order,
    tune_on_dataset,
)
from ulmfit_lib.training.groups import classifier_groups
from ulmfit_lib.training.learner import predict_probabilities
from ulmfit_lib.training.schedules import linear_warmup
from ulmfit_lib.training.unfreezing import full


@dataclass(frozen=True)
class EncoderTuning:
    """How an encoder becomes a classifier."""

    lr_max: float = 5e-4  # of the head
    ratio: float = 0.95  # rate of a layer over that of the layer above: section 5.3.4
    warmup: float = 0.1  # share of the updates during which the rate rises
    updates: int = 200  # optimizer steps, in whole epochs
    batch_size: int = 32  # documents
    max_length: int = 128  # tokens of a document, [CLS] and [SEP] included
    weight_decay: float = 0.01  # decoupled, per unit of learning rate
    head: EncoderClassifierConfig = field(default_factory=EncoderClassifierConfig)
    bfloat16: bool = False  # matrix products in bfloat16: faster where the processor has them


def without_transfer(config: EncoderTuning) -> EncoderTuning:
    """How the same network is trained from scratch: one rate for all layers.

    Args:
        config: the recipe whose updates and batches are kept.
    """
    return replace(config, ratio=1.0)


def tune_encoder(
    encoder: PreTrainedModel,
    documents: Documents,
    labels: Sequence[int],
    n_classes: int,
    config: EncoderTuning = EncoderTuning(),
    seed: int = 0,
    valid: tuple[Documents, Sequence[int]] | None = None,
    quiet: bool = True,
) -> tuple[EncoderClassifier, list[dict[str, float]]]:
    """An encoder, tuned into a classifier.

    Args:
        encoder: a ``BertModel``; its weights are copied.
        documents: token ids of the labelled texts, without special tokens.
        labels: class of each, in ``0 .. n_classes - 1``.
        n_classes: number of classes.
        config: rates, updates, pooling.
        seed: of the head, the order of the documents and dropout.
        valid: documents and labels to measure after every epoch.
        quiet: show nothing.

    Returns:
        The classifier and one row per epoch.

    Raises:
        ValueError: no such class, or more tokens than the encoder has positions.
    """
    check_labels(labels, n_classes)
    _check_length(config.max_length, encoder.config.max_position_embeddings)
    seed_everything(derive(seed, "encoder classifier"))
    model = EncoderClassifier(encoder, n_classes, config.head)
    n_groups = len(classifier_groups(model))
    schedule = partial(linear_warmup, warmup=config.warmup)
    rows = tune_on_dataset(
        model,
        FramedDataset(documents, config.max_length, labels),
        lambda n: full(n_groups, max(1, round(config.updates / n)), config.lr_max, schedule),
        config.ratio,
        free_order(len(documents), config.batch_size, derive(seed, "batches")),
        valid=_held_out(valid or (documents[:8], labels[:8]), config),
        steps=StepConfig(1.0, 0.0, 0.0, (0.9, 0.999), config.weight_decay, config.bfloat16),
        quiet=quiet,
    )
    return model, rows


def classify(
    model: EncoderClassifier, documents: Documents, max_length: int = 128, batch_size: int = 128
) -> Tensor:
    """Class probabilities (N, C) of ``documents``, in their order.

    Args:
        model: the tuned classifier.
        documents: token ids of each text, without special tokens.
        max_length: tokens of a document, ``[CLS]`` and ``[SEP]`` included.
        batch_size: documents at once.
    """
    framed = FramedDataset(documents, max_length)
    return predict_probabilities(model, TextLoader(framed, BatchConfig(batch_size)))


def untrained_encoder(config: EncoderConfig, seed: int) -> PreTrainedModel:
    """An encoder with random weights: where "from scratch" starts.

    It has the dropout of fine-tuning, as a loaded encoder has.

    Args:
        config: sizes.
        seed: the run's seed.
    """
    seed_everything(derive(seed, "from scratch"))
    return build_encoder(replace(config, dropout=config.fine_tuning_dropout)).bert


def _check_length(max_length: int, positions: int) -> None:
    if max_length > positions:
        raise ValueError(
            f"max_length={max_length}, but the encoder has {positions} places: cut texts shorter"
        )


def _held_out(valid: tuple[Documents, Sequence[int]], config: EncoderTuning) -> FramedDataset:
    documents, labels = valid
    return FramedDataset(documents, config.max_length, labels)
