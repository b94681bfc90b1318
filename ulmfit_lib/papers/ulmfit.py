"""ULMFiT: Universal Language Model Fine-tuning for Text Classification (Howard and Ruder 2018).

The recipe of arXiv 1801.06146 v5 in its own terms, from pieces of the lower floors:

1. a language model pre-trained on general text (:mod:`ulmfit_lib.models.pretrained`),
2. tuned whole on the task's text, labelled or not: discriminative rates by
   1/2.6 and slanted triangular rates (:func:`tune_language_model`),
3. tuned into a classifier: concat pooling, BPT3C, gradual unfreezing with the
   same two kinds of rates (:func:`tune_classifier`).

Forward and backward models are averaged (:func:`fine_tune`). Every row of the
paper's ablations is a variant (:func:`lm_variant`, :func:`classifier_variant`),
and what paper and released scripts say differently is computed from two
recipes that can be run (:func:`differences`). Introduced in the chapter
*ULMFiT*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from fastai.callback.core import Callback
from torch import Tensor

from ulmfit_lib.models.awd_lstm import (
    AWDLSTM,
    CLASSIFIER_DROPOUTS,
    FINE_TUNING_DROPOUTS,
    Dropouts,
    LanguageModel,
)
from ulmfit_lib.models.classifier import (
    ClassifierConfig,
    TextClassifier,
    average_probabilities,
)
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.papers.fitlam import new_classifier
from ulmfit_lib.study.seeds import derive, seed_everything
from ulmfit_lib.text.batches import BatchConfig
from ulmfit_lib.text.streams import DIRECTIONS, StreamConfig, check_direction
from ulmfit_lib.training.fine_tuning import (
    CLASSIFIER_STEPS,
    LM_STEPS,
    Documents,
    StepConfig,
    check_labels,
    class_probabilities,
    free_order,
    tune_on_documents,
    tune_on_stream,
)
from ulmfit_lib.training.groups import ULMFIT_RATIO, Ratio, classifier_groups, lm_groups
from ulmfit_lib.training.schedules import Schedule, constant, cosine, slanted_triangular
from ulmfit_lib.training.unfreezing import Plan, chain_thaw, full, gradual, last_only

SCHEDULES = ("constant", "cosine", "stlr")
UNFREEZING = ("gradual", "two-stage", "full", "last", "chain-thaw")


def _check_name(argument: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{argument}={value!r} must be one of {', '.join(known)}")


@dataclass(frozen=True)
class Slant:
    """Shape of the slanted triangle. Introduced in the chapter *ULMFiT*."""

    cut_frac: float = 0.1  # share of the batches that rise
    ratio: float = 32.0  # largest rate over smallest


@dataclass(frozen=True)
class LMTuning:
    """Stage 2: the language model meets the task's text. Introduced in the chapter *ULMFiT*."""

    lr_max: float = 4e-3  # of the top group
    ratio: Ratio = ULMFIT_RATIO  # discriminative rates; or one factor per group, bottom to top
    schedule: str = "stlr"  # one of SCHEDULES
    slant: Slant = Slant()  # for "stlr"
    epochs: int = 15  # passes over the text
    max_tokens: int | None = None  # of the text, drawn at random, and a tenth to measure; None: all
    batch_size: int = 64  # rows of the stream, fewer where the text is short
    bptt: int = 70  # tokens per row and batch
    dropouts: Dropouts = CLASSIFIER_DROPOUTS  # the paper gives one set for both stages
    steps: StepConfig = LM_STEPS  # optimizer, AR and TAR, clipping

    def __post_init__(self) -> None:
        _check_name("schedule", self.schedule, SCHEDULES)


@dataclass(frozen=True)
class ClassifierTuning:
    """Stage 3: the encoder becomes a classifier. Introduced in the chapter *ULMFiT*."""

    lr_max: float = 0.01  # of the head
    lr_backward: float | None = None  # the same for the backward model, where it differs
    ratio: Ratio = ULMFIT_RATIO  # discriminative rates
    unfreezing: str = "gradual"  # one of UNFREEZING
    schedule: str = "stlr"  # one of SCHEDULES
    slant: Slant = Slant()  # for "stlr", while layers thaw
    final_slant: Slant = Slant()  # for "stlr", with every layer open
    epochs: int = 50  # passes over the labelled texts, all stages together
    updates: int | None = None  # optimizer steps instead, in whole epochs
    thaw_epochs: int = 1  # passes of each stage before the last
    thaw_updates: int | None = None  # optimizer steps instead, in whole epochs
    batch_size: int = 64  # documents
    max_batch_tokens: int | None = None  # padded tokens of a batch; None: no limit
    max_tokens: int | None = None  # last tokens of a document that are read; None: all
    dropouts: Dropouts = CLASSIFIER_DROPOUTS  # of the encoder
    head: ClassifierConfig = field(  # pooling, BPT3C, head; one output dropout is given
        default_factory=lambda: ClassifierConfig(head_dropouts=(0.4, 0.4))
    )
    steps: StepConfig = CLASSIFIER_STEPS  # optimizer, AR and TAR, clipping

    def __post_init__(self) -> None:
        _check_name("schedule", self.schedule, SCHEDULES)
        _check_name("unfreezing", self.unfreezing, UNFREEZING)


@dataclass(frozen=True)
class Recipe:
    """The whole of it. Introduced in the chapter *ULMFiT*."""

    lm: LMTuning = LMTuning()  # stage 2
    classifier: ClassifierTuning = field(default_factory=ClassifierTuning)  # stage 3
    directions: tuple[str, ...] = DIRECTIONS  # models whose probabilities are averaged

    def __post_init__(self) -> None:
        if not self.directions:
            raise ValueError(f"directions=() is no model: name one or both of {DIRECTIONS}")
        for direction in self.directions:
            check_direction(direction)


PAPER = Recipe()
RELEASED_SCRIPTS = Recipe(
    lm=LMTuning(
        ratio=(1 / 6, 1 / 3, 1.0, 1 / 2),
        epochs=50,
        dropouts=FINE_TUNING_DROPOUTS,
        steps=StepConfig(0.3, alpha=2.0, beta=1.0, betas=(0.8, 0.99), weight_decay=1e-7),
    ),
    classifier=ClassifierTuning(
        lr_backward=0.005,
        unfreezing="two-stage",
        slant=Slant(1 / 3, 8.0),
        final_slant=Slant(1 / 8, 8.0),
        batch_size=32,
        head=ClassifierConfig(return_outputs=True),
        steps=StepConfig(25.0, alpha=2.0, beta=1.0, betas=(0.8, 0.99), weight_decay=1e-6),
    ),
)

# Where paper and scripts say it: section of arXiv 1801.06146 v5, file of imdb_scripts.
SOURCES: Mapping[str, str] = {
    "lm.ratio": "section 3.2: each layer at 1/2.6 of the one above; finetune_lm.py: lr/6, lr/3, "
    "lr, lr/2 for LSTM 1 to 3 and embedding with decoder",
    "lm.epochs": "section 4.1: tuned on validation data, 15 on small sets, more on larger ones "
    "(footnote); imdb_scripts: 50 for IMDb, which need not disagree",
    "lm.dropouts": "section 4.1 gives one set of dropouts; finetune_lm.py has lower ones",
    "lm.steps.betas": "section 4.1: 0.7; finetune_lm.py: 0.8",
    "lm.steps.weight_decay": "the paper names none; finetune_lm.py: 1e-7",
    "classifier.lr_backward": "section 4.1: one rate; imdb_scripts: 0.005 for the backward model",
    "classifier.unfreezing": "section 3.3: one more layer an epoch until all train; train_clas.py: "
    "the head, the head and the last LSTM layer, then everything",
    "classifier.slant": "section 3.2: cut_frac 0.1, ratio 32; train_clas.py: use_clr=(8, 3)",
    "classifier.final_slant": "section 3.2: cut_frac 0.1, ratio 32; train_clas.py: use_clr=(8, 8)",
    "classifier.batch_size": "section 4.1: 64; train_clas.py: half of it for training",
    "classifier.head.head_dropouts": "section 4.1: 0.4; train_clas.py: 0.4, then 0.1",
    "classifier.head.return_outputs": "needed for AR and TAR, see there",
    "classifier.steps.alpha": "the paper names no AR here; train_clas.py: alpha 2",
    "classifier.steps.beta": "the paper names no TAR here; train_clas.py: beta 1",
    "classifier.steps.betas": "section 4.1: 0.7; train_clas.py: 0.8",
    "classifier.steps.weight_decay": "the paper names none; train_clas.py: 1e-6",
}
_WHOLE = (Dropouts, Slant)  # shown as one value

LM_VARIANTS = ("full", "full+discr", "full+discr+stlr")
_CLASSIFIER_VARIANTS: Mapping[str, tuple[str, bool, str]] = {  # unfreezing, discriminative, rates
    "from scratch": ("full", False, "constant"),
    "full": ("full", False, "constant"),
    "full+discr": ("full", True, "constant"),
    "last": ("last", False, "constant"),
    "chain-thaw": ("chain-thaw", False, "constant"),
    "freez": ("gradual", False, "constant"),
    "freez+discr": ("gradual", True, "constant"),
    "freez+stlr": ("gradual", False, "stlr"),
    "freez+cos": ("gradual", False, "cosine"),
    "freez+discr+stlr": ("gradual", True, "stlr"),
    "freez+discr+cos": ("gradual", True, "cosine"),
}
CLASSIFIER_VARIANTS = tuple(_CLASSIFIER_VARIANTS)


def lm_variant(name: str, base: LMTuning = LMTuning()) -> LMTuning:
    """A row of the paper's table 6: how the language model is tuned.

    Without "discr" all layers share one rate, without "stlr" it is constant.
    The row without any tuning has no configuration: skip the stage.
    Introduced in the chapter *ULMFiT*.

    Args:
        name: one of :data:`LM_VARIANTS`.
        base: everything else.

    Raises:
        ValueError: no such variant.
    """
    _check_name("name", name, LM_VARIANTS)
    ratio = base.ratio if "discr" in name else 1.0
    return replace(base, ratio=ratio, schedule="stlr" if "stlr" in name else "constant")


def classifier_variant(name: str, base: ClassifierTuning = PAPER.classifier) -> ClassifierTuning:
    """A row of the paper's table 7: how the classifier is tuned.

    With discriminative rates the top group has ``base.lr_max`` (0.01 in the
    paper), without them all layers have a tenth of it (0.001), and chain-thaw
    a hundredth after its first stage. "from scratch" is "full" on an untrained
    encoder. Source: section 5 and, for the rates, its ablation set-up.
    Introduced in the chapter *ULMFiT*.

    Args:
        name: one of :data:`CLASSIFIER_VARIANTS`.
        base: everything else; by default the paper's.

    Raises:
        ValueError: no such variant.
    """
    _check_name("name", name, CLASSIFIER_VARIANTS)
    unfreezing, discriminative, schedule = _CLASSIFIER_VARIANTS[name]
    return replace(
        base,
        unfreezing=unfreezing,
        schedule=schedule,
        ratio=base.ratio if discriminative else 1.0,
        lr_max=base.lr_max if discriminative else base.lr_max / 10,
    )


def lm_plan(n_groups: int, config: LMTuning) -> Plan:
    """The language model is tuned whole, in one stage.

    Source: ULMFiT, section 3.2 (v1 thawed it layer by layer). Introduced in
    the chapter *ULMFiT*.

    Args:
        n_groups: layer groups of the language model.
        config: rates and epochs.
    """
    schedule = _schedule(config.schedule, config.slant)
    return full(n_groups, config.epochs, config.lr_max, schedule)


def classifier_plan(
    n_groups: int,
    batches_per_epoch: int,
    config: ClassifierTuning,
    direction: str = "forward",
) -> Plan:
    """The stages of ``config.unfreezing``, together ``config.epochs`` (or updates) long.

    Each stage has a slant of its own, as in the released scripts; the paper
    does not say whether one spans them all. Every stage lasts an epoch at
    least, so with very few epochs a plan of many stages is longer than asked.
    Source: ULMFiT, section 3.3. Introduced in the chapter *ULMFiT*.

    Args:
        n_groups: layer groups of the classifier.
        batches_per_epoch: to turn updates into whole epochs.
        config: rates, stages and their length.
        direction: of the model; the backward one may have a rate of its own.
    """
    backward = direction == "backward" and config.lr_backward is not None
    lr = config.lr_backward if backward and config.lr_backward else config.lr_max
    total = _epochs(config.epochs, config.updates, batches_per_epoch)
    thaw = _epochs(config.thaw_epochs, config.thaw_updates, batches_per_epoch)
    early = _schedule(config.schedule, config.slant)
    late = _schedule(config.schedule, config.final_slant)
    if config.unfreezing == "last":
        return last_only(n_groups, total, lr, late)
    if config.unfreezing == "chain-thaw":
        each = max(1, total // (n_groups + 1))
        *alone, together = chain_thaw(n_groups, each, lr, lr / 10, late)
        return (*alone, replace(together, epochs=max(1, total - each * n_groups)))
    n_stages = {"gradual": n_groups - 1, "two-stage": min(2, n_groups - 1), "full": 0}
    stages = n_stages[config.unfreezing]
    thawing = gradual(n_groups, stages, thaw, lr, early) if stages else ()
    return thawing + full(n_groups, max(1, total - thaw * stages), lr, late)


def tune_language_model(
    documents: Documents,
    direction: str = "forward",
    config: LMTuning = LMTuning(),
    seed: int = 0,
    valid: Documents = (),
    start: LanguageModel | None = None,
    quiet: bool = True,
    cbs: Sequence[Callback] = (),
) -> tuple[LanguageModel, list[dict[str, float]]]:
    """Stage 2: a pre-trained language model, tuned on the task's text.

    Introduced in the chapter *ULMFiT*.

    Args:
        documents: token ids of the task's texts; no label is looked at.
        direction: "forward" or "backward".
        config: rates, epochs, dropouts.
        seed: of the order of the documents, of BPTT lengths and dropout.
        valid: held-out texts; empty repeats the training text.
        start: whose weights to begin with (copied); by default the shipped model's.
        quiet: show nothing.
        cbs: further fastai callbacks.

    Returns:
        The tuned model and one row per epoch (stage, epoch, train_loss, valid_loss).

    Raises:
        ValueError: an unknown direction, or no text.
    """
    seed_everything(derive(seed, "lm", direction))
    model = _starting_model(start, direction, config.dropouts)
    documents, valid = _text_to_read(documents, valid, config, seed)
    return model, tune_on_stream(
        model,
        documents,
        lm_plan(len(lm_groups(model)), config),
        config.ratio,
        _stream(documents, direction, config, seed),
        order_seed=derive(seed, "documents"),
        valid=valid,
        steps=config.steps,
        quiet=quiet,
        cbs=cbs,
    )


def tune_classifier(
    encoder: AWDLSTM,
    documents: Documents,
    labels: Sequence[int],
    n_classes: int,
    config: ClassifierTuning = PAPER.classifier,
    direction: str = "forward",
    seed: int = 0,
    valid: tuple[Documents, Sequence[int]] | None = None,
    quiet: bool = True,
    cbs: Sequence[Callback] = (),
) -> tuple[TextClassifier, list[dict[str, float]]]:
    """Stage 3: an encoder, tuned into a classifier.

    Introduced in the chapter *ULMFiT*.

    Args:
        encoder: its weights are copied; the original stays as it is.
        documents: token ids of the labelled texts.
        labels: class of each, in ``0 .. n_classes - 1``.
        n_classes: number of classes.
        config: rates, unfreezing, epochs, dropouts; by default the paper's.
        direction: how ``encoder`` reads; "backward" reverses the documents.
        seed: of the head, the order of the documents and dropout.
        valid: documents and labels to measure after every epoch.
        quiet: show nothing.
        cbs: further fastai callbacks.

    Returns:
        The classifier and one row per epoch (stage, epoch, train_loss, valid_loss, accuracy).

    Raises:
        ValueError: a label outside ``0 .. n_classes - 1``, or fewer than two documents.
    """
    check_labels(labels, n_classes)
    model = new_classifier(encoder, n_classes, config.dropouts, config.head, seed, direction)
    batches = free_order(len(documents), config.batch_size, derive(seed, "batches"))
    fit = {"valid": valid, "quiet": quiet, "cbs": cbs}
    return model, _tune(model, documents, labels, batches, config, direction, fit)


@dataclass(frozen=True)
class FineTuned:
    """Classifiers that read in one or both directions. Introduced in the chapter *ULMFiT*."""

    classifiers: Mapping[str, TextClassifier]  # by direction
    history: Mapping[str, list[dict[str, float]]]  # "lm forward", "classifier forward", ...: epochs


def fine_tune(
    documents: Documents,
    labels: Sequence[int],
    n_classes: int,
    recipe: Recipe = PAPER,
    unlabelled: Documents = (),
    seed: int = 0,
    valid: tuple[Documents, Sequence[int]] | None = None,
    starts: Mapping[str, LanguageModel] | None = None,
    cbs: Callable[[str], Sequence[Callback]] = lambda stage: (),
) -> FineTuned:
    """The whole recipe, for every direction it names.

    The language model reads the labelled texts, and the unlabelled ones where
    there are any: then the recipe is the paper's "semi-supervised" one (section
    5, low-shot learning). Introduced in the chapter *ULMFiT*.

    Args:
        documents: token ids of the labelled texts.
        labels: class of each.
        n_classes: number of classes.
        recipe: :data:`PAPER`, :data:`RELEASED_SCRIPTS` or your own.
        unlabelled: token ids of further texts of the task.
        seed: of everything random.
        valid: documents and labels to measure the classifier on.
        starts: a pre-trained model per direction; by default the shipped ones.
        cbs: from a stage's name ("lm forward") to fastai callbacks for it.

    Raises:
        ValueError: as :func:`tune_classifier` and :func:`tune_language_model`.
    """
    check_labels(labels, n_classes)
    text, held_out = [*documents, *unlabelled], valid[0] if valid else ()
    examples = documents, labels, n_classes
    classifiers, history = {}, {}
    for direction in recipe.directions:
        lm, classifier = f"lm {direction}", f"classifier {direction}"
        model, history[lm] = tune_language_model(
            text, direction, recipe.lm, seed, held_out, (starts or {}).get(direction), cbs=cbs(lm)
        )
        classifiers[direction], history[classifier] = tune_classifier(
            model.encoder, *examples, recipe.classifier, direction, seed, valid, cbs=cbs(classifier)
        )
    return FineTuned(classifiers, history)


def probabilities(
    classifiers: Mapping[str, TextClassifier],
    documents: Documents,
    max_tokens: int | None = None,
) -> Tensor:
    """Class probabilities (N, C), averaged over the directions. Source: section 3.4.

    Introduced in the chapter *ULMFiT*.

    Args:
        classifiers: one or two, by direction.
        documents: token ids of each text.
        max_tokens: last tokens of a document that are read; None: all.
    """
    single = [
        class_probabilities(model, documents, direction, max_tokens=max_tokens)
        for direction, model in classifiers.items()
    ]
    return single[0] if len(single) == 1 else average_probabilities(*single)


def at_size(
    recipe: Recipe,
    lm_epochs: int,
    updates: int,
    thaw_updates: int,
    batch_size: int = 32,
    drop_mult: float = 1.0,
) -> Recipe:
    """``recipe`` for a small model and few texts: shorter, in smaller batches, dropping less.

    Everything that makes the recipe what it is stays. Introduced in the
    chapter *ULMFiT*.

    Args:
        recipe: such as :data:`PAPER`.
        lm_epochs: passes of the language model over its text.
        updates: optimizer steps of the classifier, all stages together.
        thaw_updates: optimizer steps of each stage before the last.
        batch_size: rows of the stream, and documents.
        drop_mult: factor of the dropouts of both encoders.
    """
    lm, classifier = recipe.lm, recipe.classifier
    return replace(
        recipe,
        lm=replace(
            lm,
            epochs=lm_epochs,
            batch_size=batch_size,
            dropouts=lm.dropouts.scaled(drop_mult),
        ),
        classifier=replace(
            classifier,
            updates=updates,
            thaw_updates=thaw_updates,
            batch_size=batch_size,
            dropouts=classifier.dropouts.scaled(drop_mult),
        ),
    )


@dataclass(frozen=True)
class Difference:
    """A setting on which two recipes disagree. Introduced in the chapter *ULMFiT*."""

    setting: str  # "classifier.batch_size"
    first: Any  # its value in the first recipe
    second: Any  # its value in the second
    source: str  # where both say it; empty for a setting that is not in SOURCES


def differences(first: Recipe = PAPER, second: Recipe = RELEASED_SCRIPTS) -> tuple[Difference, ...]:
    """Every setting on which two recipes disagree, with its source.

    Introduced in the chapter *ULMFiT*.

    Args:
        first: by default what the paper says.
        second: by default what its released scripts do.
    """
    ours, theirs = _settings(first), _settings(second)
    return tuple(
        Difference(name, ours[name], theirs[name], SOURCES.get(name, ""))
        for name in ours
        if ours[name] != theirs[name]
    )


def _settings(config: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted name to value of every setting of a configuration."""
    found: dict[str, Any] = {}
    for entry in fields(config):
        name, value = f"{prefix}{entry.name}", getattr(config, entry.name)
        nested = is_dataclass(value) and not isinstance(value, _WHOLE)
        found |= _settings(value, f"{name}.") if nested else {name: value}
    return found


def _schedule(name: str, slant: Slant) -> Schedule:
    if name == "stlr":
        return partial(slanted_triangular, cut_frac=slant.cut_frac, ratio=slant.ratio)
    return {"constant": constant, "cosine": cosine}[name]


def _epochs(epochs: int, updates: int | None, batches_per_epoch: int) -> int:
    return epochs if updates is None else max(1, math.floor(updates / batches_per_epoch + 0.5))


def _drawn(documents: Documents, n_tokens: int | None, seed: int) -> Documents:
    """Documents in a random order until they hold ``n_tokens``, the last one cut off there."""
    if n_tokens is None or sum(len(ids) + 1 for ids in documents) <= n_tokens:
        return documents
    drawn: list[Sequence[int]] = []
    left = n_tokens
    for i in np.random.default_rng(seed).permutation(len(documents)):
        if left < 2:  # a document takes its BOS and one token at least
            break
        drawn.append(documents[i][: left - 1])
        left -= len(drawn[-1]) + 1
    return drawn


def _text_to_read(
    documents: Documents, valid: Documents, config: LMTuning, seed: int
) -> tuple[Documents, Documents]:
    """As much of the training and of the held-out text as ``config.max_tokens`` allows."""
    most = config.max_tokens
    held_out = max(most // 10, 2 * config.bptt) if most else None
    texts = _drawn(documents, most, derive(seed, "text"))
    return texts, _drawn(valid, held_out, derive(seed, "held-out text"))


def _stream(documents: Documents, direction: str, config: LMTuning, seed: int) -> StreamConfig:
    """Rows that are two batches long at least, as far as the text allows."""
    n_tokens = sum(len(ids) + 1 for ids in documents)
    rows = max(1, min(config.batch_size, n_tokens // (2 * config.bptt)))
    return StreamConfig(rows, config.bptt, True, direction, derive(seed, "bptt"))


def _starting_model(
    start: LanguageModel | None, direction: str, dropouts: Dropouts
) -> LanguageModel:
    """A copy of ``start`` with other dropouts, on the same device; without one, as shipped."""
    if start is None:
        return load_language_model(direction, dropouts)
    copy = LanguageModel(AWDLSTM(start.encoder.config, dropouts))
    copy.load_state_dict(start.state_dict())
    return copy.to(start.decoder_bias.device)


def _tune(
    model: TextClassifier,
    documents: Documents,
    labels: Sequence[int],
    batches: BatchConfig,
    config: ClassifierTuning,
    direction: str,
    fit: Mapping[str, Any],
) -> list[dict[str, float]]:
    """Tune ``model`` as ``config`` says; ``fit`` goes on to :func:`tune_on_documents`."""
    n_groups = len(classifier_groups(model))
    return tune_on_documents(
        model,
        documents,
        labels,
        partial(classifier_plan, n_groups, config=config, direction=direction),
        config.ratio,
        replace(batches, max_tokens=config.max_batch_tokens),
        direction=direction,
        max_tokens=config.max_tokens,
        steps=config.steps,
        **fit,
    )
