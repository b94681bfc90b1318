"""What a tuned encoder has forgotten: distance to its start, and masks it can no longer fill.

Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from fastai.callback.core import Callback
from transformers import BertForMaskedLM, BertModel

from ulmfit_lib.models.encoder import MaskedPositionsModel
from ulmfit_lib.text.packing import MaskedTargets
from ulmfit_lib.training.anchors import Anchors, squared_distance
from ulmfit_lib.training.masked_lm import masked_lm_loss, score_masked_lm
from ulmfit_lib.training.recadam import Annealing

HALF = Annealing("constant")  # both losses at all times, as in multi-task learning


@dataclass(frozen=True)
class Forgetting:
    """Two measures of one thing. Introduced in the chapter *RecAdam*."""

    squared_distance: float  # of the encoder's weights to the pre-trained ones
    mlm_loss: float  # at masked places of general text, in nats


def masked_lm_reader(encoder: BertModel, source: BertForMaskedLM) -> MaskedPositionsModel:
    """``encoder`` itself, filling masks through the pre-trained head of ``source``.

    The head's own layer and bias are copied and frozen. Its decoder is tied to
    the word embeddings, as in pre-training, so here it is tied to those of
    ``encoder``. Introduced in the chapter *RecAdam*.

    Args:
        encoder: read through, not copied: training the reader trains it.
        source: the pre-trained model; left as it is.
    """
    reader = copy.deepcopy(source)
    for p in reader.parameters():
        p.requires_grad_(False)
    reader.bert = encoder
    reader.cls.predictions.decoder.weight = encoder.get_input_embeddings().weight
    return MaskedPositionsModel(reader)


def measure_forgetting(
    encoder: BertModel,
    anchors: Anchors,
    source: BertForMaskedLM,
    general: Iterable[MaskedTargets],
) -> Forgetting:
    """How far ``encoder`` went, and what it lost on the way.

    Introduced in the chapter *RecAdam*.

    Args:
        encoder: after fine-tuning.
        anchors: of its parameters.
        source: the pre-trained model.
        general: text of no task, with masks that never change.
    """
    score = score_masked_lm(masked_lm_reader(encoder, source), general)
    return Forgetting(squared_distance(anchors), score.loss)


class DistanceLog(Callback):
    """Write down the squared distance to the anchors, once every so many steps.

    ``steps``, ``distances`` and the lists in ``watched`` grow together; the
    first entry is the start, the last one the end. Introduced in the chapter
    *RecAdam*.

    Args:
        anchors: of the learner's model.
        every: steps between two entries.
        watch: what else to measure at each of them, by name; it must leave
            model and random numbers as they are.
    """

    run_valid = False

    def __init__(
        self,
        anchors: Anchors,
        every: int = 1,
        watch: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        if every < 1:
            raise ValueError(f"every={every}: give 1 step or more")
        self.anchors, self.every, self.watch, self.taken = anchors, every, watch, 0
        self.steps: list[int] = []
        self.distances: list[float] = []
        self.watched: dict[str, list[float]] = {}

    def before_batch(self) -> None:
        """The start, before the first step."""
        if not self.steps:
            self._note()

    def after_batch(self) -> None:
        """Note where the step has led."""
        self.taken += 1
        if self.taken % self.every == 0:
            self._note()

    def after_fit(self) -> None:
        """The end, where the last step was not noted."""
        if self.steps and self.steps[-1] != self.taken:
            self._note()

    def _note(self) -> None:
        self.steps.append(self.taken)
        self.distances.append(squared_distance(self.anchors))
        for name, value in self.watch().items():
            self.watched.setdefault(name, []).append(value)


class Replay(Callback):
    r"""Multi-task learning: mix the task's loss with masked language modelling.

    What the quadratic penalty stands in for, where text like that of
    pre-training *is* at hand: :math:`\lambda L_T + (1 - \lambda) L_{MLM}`, the
    same encoder under both heads. Source: Chen et al. 2020, equation of
    multi-task learning. Introduced in the chapter *RecAdam*.

    Args:
        reader: the learner's encoder as it fills masks.
        batches: one batch of general text per step; taken in a circle.
        annealing: the weight of the task's loss.
    """

    run_valid = False

    def __init__(
        self,
        reader: MaskedPositionsModel,
        batches: Iterable[MaskedTargets],
        annealing: Annealing = HALF,
    ) -> None:
        self.reader, self.annealing, self.steps = reader, annealing, 0
        self.general = _endless(batches)

    def after_loss(self) -> None:
        """Read a batch of general text, and mix its loss in."""
        self.steps += 1
        ids, positions, targets = next(self.general)
        device = next(self.reader.parameters()).device
        ids, positions, targets = ids.to(device), positions.to(device), targets.to(device)
        output = self.reader(ids, positions, ids != self.reader.model.config.pad_token_id)
        weight = self.annealing(self.steps)
        recall = masked_lm_loss(output, targets)
        self.learn.loss_grad = weight * self.learn.loss_grad + (1 - weight) * recall


def _endless(batches: Iterable[MaskedTargets]) -> Iterator[MaskedTargets]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield MaskedTargets(*batch)
        if empty:
            raise ValueError("batches is empty: there is no general text to replay")
