r"""Recall and Learn: fine-tuning with less forgetting (Chen et al. 2020), and its relatives.

Every way of tuning here is the same loop with the same steps and rates; they differ in what pulls
the encoder back to its pre-trained weights, and when. Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from fastai.callback.core import Callback
from torch import Tensor, nn
from transformers import BertForMaskedLM, PreTrainedModel

from ulmfit_lib.models.encoder import MaskedPositionsModel
from ulmfit_lib.models.encoder_classifier import EncoderClassifier, EncoderClassifierConfig
from ulmfit_lib.study.seeds import derive, seed_everything
from ulmfit_lib.text.batches import BatchConfig, TextLoader, TokenDataset
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.text.packing import HeldOutSequences, MaskedTargets
from ulmfit_lib.text.pairs import PairDataset
from ulmfit_lib.text.special_tokens import BOOK_TOKENS, SpecialTokens
from ulmfit_lib.training.anchors import Anchors, match_by_name
from ulmfit_lib.training.evaluation import evaluation_mode, predict_probabilities
from ulmfit_lib.training.fine_tuning import Documents, StepConfig, free_order, tune_on_dataset
from ulmfit_lib.training.fisher import diagonal_fisher, masked_lm_answers, relative
from ulmfit_lib.training.forgetting import DistanceLog, Replay, masked_lm_reader
from ulmfit_lib.training.groups import classifier_groups
from ulmfit_lib.training.optimizers import OptFunc, adam
from ulmfit_lib.training.penalties import QuadraticPenalty
from ulmfit_lib.training.recadam import Annealing, recadam
from ulmfit_lib.training.regression import predict_scores, regression_loss
from ulmfit_lib.training.schedules import linear_warmup
from ulmfit_lib.training.unfreezing import Plan, ThawByStep, full

BETAS, EPS = (0.9, 0.999), 1e-6  # the released code's
METHODS = (
    "fine-tuning",  # AdamW, every layer from the start
    "head warm-up",  # the head alone for t0 steps, then every layer
    "gradual unfreezing",  # one more layer at a time, at even steps until t0
    "l2-sp",  # loss + gamma * penalty
    "ewc",  # the same with the Fisher information
    "coupled",  # RecAdam's loss, its penalty inside Adam
    "recadam",  # RecAdam
    "replay",  # RecAdam's loss, masked language modelling in the penalty's place
)


@dataclass(frozen=True)
class RecallTuning:
    """How an encoder becomes a classifier, and what pulls it back meanwhile."""

    method: str = "recadam"  # one of METHODS
    random_start: bool = False  # the encoder starts from random weights, not from its anchors
    gamma: float = 400.0  # strength of the pull; lr_max * gamma below 2
    annealing: Annealing = field(default_factory=lambda: Annealing("sigmoid", 0.2, 60))
    lr_max: float = 5e-4  # of every layer
    warmup: float = 0.1  # share of the updates during which the rate rises; then it falls
    updates: int = 200  # optimizer steps, in whole epochs
    batch_size: int = 32  # texts
    max_length: int = 128  # tokens of a text or pair, special ones included
    clip: float = 1.0  # largest gradient norm
    weight_decay: float = 0.0  # the released code's default
    head: EncoderClassifierConfig = field(default_factory=EncoderClassifierConfig)
    bfloat16: bool = False  # matrix products in bfloat16: faster where the processor has them

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method={self.method!r}: choose one of {', '.join(METHODS)}")


@dataclass(frozen=True)
class Memory:
    """What is at hand of pre-training, beside the weights. Introduced in the chapter *RecAdam*."""

    fisher: dict[str, Tensor] | None = None  # importance of the encoder's weights, for "ewc"
    source: BertForMaskedLM | None = None  # the pre-trained model with its MLM head, for "replay"
    general: Iterable[MaskedTargets] = ()  # masked text like that of pre-training, for "replay"


RECALL, NO_MEMORY = RecallTuning(), Memory()
NOTED = 10  # entries of a run's log, beside its start
Watch = Callable[[EncoderClassifier], Mapping[str, float]]  # measures of a model, by name


def _nothing(model: EncoderClassifier) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True)
class Tuned:
    """A tuned classifier and how it got there. Introduced in the chapter *RecAdam*."""

    model: EncoderClassifier
    anchors: Anchors  # pre-trained values of its encoder's parameters
    epochs: list[dict[str, float]]  # one row per epoch: losses and accuracy
    log: DistanceLog  # squared distance to the anchors by step, and what was watched


def tune(
    encoder: PreTrainedModel,
    train: TokenDataset,
    n_classes: int | None,
    config: RecallTuning = RECALL,
    seed: int = 0,
    memory: Memory = NO_MEMORY,
    valid: TokenDataset | None = None,
    watch: Watch = _nothing,
) -> Tuned:
    """Tune an encoder into a classifier, or into a head that gives scores; the last step counts.

    All take the same steps, rates and batches. Introduced in the chapter *RecAdam*.

    Args:
        encoder: the pre-trained one; left as it is.
        train: framed texts or pairs, with labels or scores.
        n_classes: number of classes; None for scores.
        config: the method and its numbers.
        seed: of the head, the order of the texts and dropout.
        memory: what the method needs of pre-training.
        valid: texts to measure on after every epoch, with labels.
        watch: what else to measure along the way, without dropout.

    Raises:
        ValueError: the method lacks memory or steps, the pull is unstable, or the padding another.
    """
    _check_padding(train, config.head)
    seed_everything(derive(seed, "recall"))
    start = random_encoder(encoder, seed) if config.random_start else encoder
    model = EncoderClassifier(start, n_classes or 1, config.head)
    anchors = match_by_name(model, _used_by(model, _parameters(encoder)), "encoder.")
    log = DistanceLog(anchors, max(1, config.updates // NOTED), partial(_at_rest, model, watch))
    epochs = tune_on_dataset(
        model,
        train,
        lambda n: plan(config, len(classifier_groups(model)), n),
        1.0,
        free_order(len(train), config.batch_size, derive(seed, "batches")),
        valid=valid or _first(train, 8),
        steps=StepConfig(config.clip, bfloat16=config.bfloat16),
        cbs=[*_callbacks(_in_whole_epochs(config, len(train)), model, anchors, memory), log],
        **_settings(config, anchors, scores=n_classes is None),
    )
    return Tuned(model, anchors, epochs, log)


def plan(config: RecallTuning, n_groups: int, n_batches: int) -> Plan:
    """One stage in which everything may learn, under the schedule that all methods share.

    Introduced in the chapter *RecAdam*.

    Args:
        config: updates, the largest rate and its warm-up.
        n_groups: layer groups, the head on top.
        n_batches: of an epoch.
    """
    epochs = _epochs(config, n_batches)
    schedule = partial(linear_warmup, warmup=config.warmup)
    return full(n_groups, epochs, config.lr_max, schedule)


def _epochs(config: RecallTuning, n_batches: int) -> int:
    return max(1, round(config.updates / n_batches))


def _in_whole_epochs(config: RecallTuning, n_texts: int) -> RecallTuning:
    """``config`` with as many updates as the run has, which ends with an epoch."""
    n_batches = math.ceil(n_texts / config.batch_size)
    return replace(config, updates=_epochs(config, n_batches) * n_batches)


def openings(config: RecallTuning, n_groups: int) -> dict[int, int]:
    """How many groups learn, from the top, by the step from which on they do.

    A head warm-up has the head alone until ``t0``; gradual unfreezing opens
    one more group at even steps until then. The rates are those of every other
    method. Introduced in the chapter *RecAdam*.

    Args:
        config: one of those two methods, updates, ``t0``.
        n_groups: layer groups, the head on top.

    Raises:
        ValueError: the run ends before everything is open.
    """
    stages = 1 if config.method == "head warm-up" else n_groups - 1
    t0 = round(config.annealing.t0)
    if config.updates <= t0:
        raise ValueError(
            f"updates={config.updates} with t0={t0}: {config.method} ends before everything is "
            "open; take more updates or a smaller t0"
        )
    return {round(t0 * i / stages): i + 1 for i in range(stages)} | {t0: n_groups}


def random_encoder(encoder: PreTrainedModel, seed: int) -> PreTrainedModel:
    """An encoder of the same architecture with random weights.

    Introduced in the chapter *RecAdam*.

    Args:
        encoder: gives the sizes.
        seed: the run's seed.
    """
    seed_everything(derive(seed, "random encoder"))
    return type(encoder)(encoder.config)


def encoder_fisher(
    source: BertForMaskedLM, general: HeldOutSequences, seed: int = 0
) -> dict[str, Tensor]:
    """How much each weight of the encoder matters for filling masks; the mean is 1.

    The true Fisher information: at each masked place a token is drawn from the
    model itself. Introduced in the chapter *RecAdam*.

    Args:
        source: the pre-trained model with its MLM head.
        general: masked text, one sequence a batch.
        seed: of the drawn tokens.
    """
    prefix = "model.bert."
    found = diagonal_fisher(MaskedPositionsModel(source), general, masked_lm_answers, seed=seed)
    inside = {n.removeprefix(prefix): f for n, f in found.items() if n.startswith(prefix)}
    return relative(inside)


def framed(
    documents: Documents,
    seconds: Documents | None,
    max_length: int,
    labels: Sequence[int] | Sequence[float] | None = None,
    special: SpecialTokens = BOOK_TOKENS,
) -> TokenDataset:
    """Texts, or pairs where there are second ones, as the encoder reads them.

    Introduced in the chapter *RecAdam*.

    Args:
        documents: token ids of each text.
        seconds: token ids of the second text of each pair, or None.
        max_length: tokens to keep of each.
        labels: classes or scores.
        special: ids of the encoder's special tokens.
    """
    if seconds is not None:
        return PairDataset(documents, seconds, max_length, labels, special)
    return FramedDataset(documents, max_length, labels, special=special)  # type: ignore[arg-type]


def answer(model: EncoderClassifier, dataset: TokenDataset, scores: bool = False) -> Tensor:
    """Class probabilities (N, C), or scores (N,), in the data set's order.

    Introduced in the chapter *RecAdam*.

    Args:
        model: after :func:`tune`.
        dataset: framed texts or pairs.
        scores: the head gives scores.
    """
    loader = TextLoader(dataset, BatchConfig(32))  # sorted by length: little padding
    return predict_scores(model, loader) if scores else predict_probabilities(model, loader)


def _at_rest(model: EncoderClassifier, watch: Watch) -> Mapping[str, float]:
    """``watch`` of ``model``, without dropout or gradients."""
    with evaluation_mode(model):
        return watch(model)


def _callbacks(
    config: RecallTuning, model: EncoderClassifier, anchors: Anchors, memory: Memory
) -> list[Callback]:
    if config.method in ("head warm-up", "gradual unfreezing"):
        return [ThawByStep(openings(config, len(classifier_groups(model))))]
    if config.method == "l2-sp":
        return [QuadraticPenalty(anchors, config.gamma)]
    if config.method == "coupled":
        return [QuadraticPenalty(anchors, config.gamma, annealing=config.annealing)]
    if config.method == "ewc":
        if memory.fisher is None:
            raise ValueError("method='ewc' needs memory.fisher: encoder_fisher() computes it")
        importance = match_by_name(model, _used_by(model, memory.fisher), "encoder.")
        return [QuadraticPenalty(anchors, config.gamma, importance)]
    if config.method == "replay":
        if memory.source is None:
            raise ValueError("method='replay' needs memory.source and memory.general")
        reader = masked_lm_reader(model.encoder, memory.source)
        return [Replay(reader, memory.general, config.annealing)]
    return []


def _optimizer(config: RecallTuning, anchors: Anchors) -> OptFunc:
    if config.method != "recadam":
        return adam(BETAS, config.weight_decay, EPS)
    return recadam(
        anchors,
        gamma=config.gamma,
        annealing=config.annealing,
        betas=BETAS,
        eps=EPS,
        weight_decay=config.weight_decay,
        convention="torch",  # as AdamW in the other arms, so that they differ in the pull alone
    )


def _settings(config: RecallTuning, anchors: Anchors, scores: bool) -> dict[str, Any]:
    """Rate and optimizer of the learner; for scores, what stands for cross-entropy and accuracy."""
    found: dict[str, Any] = {"lr": config.lr_max, "opt_func": _optimizer(config, anchors)}
    return found | ({"loss_func": regression_loss, "metrics": []} if scores else {})


def _check_padding(texts: TokenDataset, head: EncoderClassifierConfig) -> None:
    if texts.pad_id != head.pad_id:
        raise ValueError(
            f"the texts are padded with {texts.pad_id}, and config.head.pad_id is {head.pad_id}: "
            "give the head pad_id and sep_id of the encoder's tokenizer"
        )


def _parameters(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters(remove_duplicate=False))


def _used_by(model: EncoderClassifier, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``values`` of the encoder without its pooler and the layers that ``model`` does not read."""
    used = _parameters(model.encoder)
    return {name: value for name, value in values.items() if name in used}


def _first(dataset: TokenDataset, n: int) -> TokenDataset:
    """The first ``n`` documents: fastai measures after every epoch, on a few where none is held."""
    labels = None if dataset.labels is None else dataset.labels[:n]
    first = TokenDataset(dataset.documents[:n], labels)
    first.pad_id = dataset.pad_id
    return first
