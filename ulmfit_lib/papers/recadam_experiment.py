"""RecAdam's recorded study: what each way of tuning learns of a task, and what it forgets.

``python -m ulmfit_lib run recadam --task trec6`` writes its run record. All arms of a seed share
labels, rates and batches, those without a number of steps in their name share their number, too,
and the last step counts. Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import ClassVar

import numpy as np
from sklearn.metrics import matthews_corrcoef
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertForMaskedLM

from ulmfit_lib.models.encoder import load_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.papers.recadam import (
    Memory,
    RecallTuning,
    answer,
    encoder_fisher,
    framed,
    tune,
)
from ulmfit_lib.study.baselines import tfidf_logistic_regression
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.records import CellResult, Touched
from ulmfit_lib.study.scale import Scale, pick
from ulmfit_lib.study.seeds import derive, few_labels
from ulmfit_lib.study.task_study import (
    Curves,
    LabelledTexts,
    StudyArm,
    StudySizes,
    TaskStudy,
    labelled,
    likeliest,
    measurable,
)
from ulmfit_lib.text.batches import TokenDataset
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.general_text import general_documents, recall_text
from ulmfit_lib.text.masking import masking_vocabulary
from ulmfit_lib.text.packing import HeldOutSequences, MaskedSequences, PackConfig
from ulmfit_lib.text.streams import join_documents
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.text.truncation import FRAME
from ulmfit_lib.training.forgetting import DistanceLog, masked_lm_reader
from ulmfit_lib.training.masked_lm import score_masked_lm
from ulmfit_lib.training.recadam import Annealing

TFIDF = "tfidf"
GRID_TASK = "trec6"  # the one task on which k, t0, rate, length and strengths are varied
RANDOM_K_TASK = "cola"  # where k is varied from the random start, as in the paper's Figure 2
LENGTH = 64  # tokens of a sequence of general text
WATCHED = 100  # labelled examples that no arm of a seed trains on, measured along the way
LONG = 4  # the longer arms take so many times the updates
LONGER = ("fine-tuning", "head warm-up", "recadam", "l2-sp", "ewc")  # the longer arms
MAIN = ("fine-tuning", "head warm-up", "recadam")  # the paper's question and its control
_STAY = ("l2-sp", "ewc")  # penalties that stay to the end
PENALTY = 0.1  # gamma of L2-SP and EWC, whose penalty goes through Adam
COUPLED = 1.0  # gamma of the coupled penalty, which goes through Adam and the norm's clip


@dataclass(frozen=True)
class RecallSizes(StudySizes):
    """How large this study is. Introduced in the chapter *RecAdam*."""

    updates: int  # optimizer steps of an arm, in whole epochs
    t0: int  # of the annealing, and of the warm-ups
    max_length: int  # tokens of a text or pair
    recalled: int  # sequences of general text that the Fisher information comes from, at most


@dataclass(frozen=True)
class RecallSource:
    """What stands for the pre-training text. Introduced in the chapter *RecAdam*."""

    source: str  # whose text it is
    length: int  # tokens of a sequence
    fisher_sequences: int  # that the Fisher information comes from
    replay_batch: int  # sequences of a step of replay, freshly masked


@dataclass(frozen=True)
class RecallArm(StudyArm):
    """One way to tune the encoder. Introduced in the chapter *RecAdam*."""

    method: str  # of RecallTuning, or TFIDF
    updates: int = 100  # optimizer steps, in whole epochs
    random_start: bool = False  # the encoder begins with random weights
    shape: str = "sigmoid"  # of the annealing
    k: float = 0.2  # of the annealing
    t0: int = 30  # of the annealing, and of the warm-ups
    gamma: float = 800.0  # strength of the pull; lr_max * gamma = 0.4
    lr_max: float = 5e-4  # of every layer
    fewer_seeds: bool = False  # half the seeds: no claim needs more of it


def sizes(scale: Scale | None = None) -> RecallSizes:
    """The study's sizes at ``scale``, by default the dial's; label counts are for two classes."""
    return pick(
        smoke=RecallSizes(1, (2, 4), 20, 4, 2, 32, 4),
        laptop=RecallSizes(10, (50, 200, 800), 2000, 100, 30, 64, 500),
        paper=RecallSizes(5, (50, 500, 1000), 2000, 2000, 250, 128, 1000),
        scale=scale,
    )


def arms(size: RecallSizes, task: str = "", pairs: bool = False) -> dict[str, RecallArm]:
    """Every arm of the study of a task by name, such as ``"recadam random/200"``.

    Pairs of texts are long, so they have fewer. Introduced in the chapter
    *RecAdam*.

    Args:
        size: gives label counts, updates and ``t0``.
        task: :data:`GRID_TASK` and :data:`RANDOM_K_TASK` have arms of their own.
        pairs: the task has pairs of texts.
    """
    base = RecallArm(size.per_class[:2][-1], "recadam", size.updates, t0=size.t0)
    many, found = base.per_class, dict[str, RecallArm]()
    for n in size.per_class[:2] if pairs else size.per_class:
        for method in (TFIDF, *MAIN):
            found[f"{method}/{n}"] = replace(base, per_class=n, method=method)
    found[f"recadam random/{many}"] = replace(base, random_start=True)
    for method in _STAY:
        found[f"{method}/{many}"] = replace(base, method=method, gamma=PENALTY)
    if not pairs:
        replay = replace(base, method="replay", fewer_seeds=True)
        found[f"gradual unfreezing/{many}"] = replace(base, method="gradual unfreezing")
        found[f"coupled/{many}"] = replace(base, method="coupled", gamma=COUPLED)
        found[f"replay/{many}"] = replay
        found[f"replay, constant/{many}"] = replace(replay, shape="constant")
    if task == RANDOM_K_TASK:
        start = replace(base, random_start=True, fewer_seeds=True)
        found |= {f"k={k:g} random": replace(start, k=k) for k in (0.05, 0.1, 0.5, 1.0)}
    return found | (_grid(base) if task == GRID_TASK else {})


def _grid(base: RecallArm) -> dict[str, RecallArm]:
    """What is varied on one task; claims rest on the arms that have all seeds."""
    side = replace(base, fewer_seeds=True)
    varied = {f"k={k:g}": replace(base, k=k) for k in (0.05, 1.0)}
    varied |= {f"k={k:g}": replace(side, k=k) for k in (0.1, 0.5)}
    varied |= {f"t0={t0}": replace(side, t0=t0) for t0 in (base.t0 // 3, 2 * base.t0)}
    for lr in (2e-4, 1e-3):
        varied[f"fine-tuning, lr={lr:g}"] = replace(side, method="fine-tuning", lr_max=lr)
    for method, middle, arm in (("coupled", COUPLED, base), *((m, PENALTY, side) for m in _STAY)):
        for gamma in (middle / 10, 10 * middle):
            name = f"{method}, gamma={gamma:g}"
            varied[name] = replace(arm, method=method, gamma=gamma)
    for method in LONGER:
        gamma = PENALTY if method in _STAY else base.gamma
        longer = replace(side, method=method, gamma=gamma, updates=LONG * base.updates)
        varied[f"{method}, {longer.updates} steps"] = longer
    return varied


class RecallStudy(TaskStudy[RecallArm]):
    """The study's data, what is at hand of pre-training, and how an arm answers.

    Introduced in the chapter *RecAdam*.

    Args:
        task: labelled texts or pairs with splits "train" and "test".
        size: how much of it to use.
        base: the recipe that the arms start from.
        source: the pre-trained encoder with its MLM head.
        tokenizer: its vocabulary.
    """

    reads_pairs: ClassVar[bool] = True
    size: RecallSizes

    def __init__(
        self,
        task: Corpus,
        size: RecallSizes,
        base: RecallTuning,
        source: BertForMaskedLM,
        tokenizer: Tokenizer,
    ) -> None:
        self.base, self.source, self.tokenizer = base, source, tokenizer
        self.measured = general_sequences(tokenizer, "measure", LENGTH)
        recalled = recall_text()
        self.recalled = join_documents(encode(tokenizer, recalled.documents))
        most = (len(self.recalled) - LENGTH) // (LENGTH - FRAME)  # sequences, at any offset
        text = RecallSource(recalled.source, LENGTH, min(size.recalled, most), min(8, most))
        chosen = arms(size, task.name, _has_pairs(task))
        super().__init__(task, size, chosen, {"recipe": base, "recalled": text})
        self.text, self.test_set = text, self._framed(self.test)

    def seeds_of(self, name: str) -> int:
        """All seeds, but half of them for what no claim needs.

        Args:
            name: one of ``self.arms``.
        """
        return (self.size.seeds + 1) // 2 if self.arms[name].fewer_seeds else self.size.seeds

    def run(self, arm: RecallArm, seed: int) -> CellResult:
        """As every study, with Matthews' correlation, and what the encoder has forgotten.

        Args:
            arm: one of ``self.arms``.
            seed: of everything random.
        """
        result = super().run(arm, seed)
        matthews = float(matthews_corrcoef(self.test.labels, result.predictions))
        last = {k: v[-1] for k, v in result.curves.items() if k in ("mlm_loss", "squared_distance")}
        return replace(result, metrics={**result.metrics, "mcc": matthews, **last})

    def answer(
        self, arm: RecallArm, shown: LabelledTexts, seed: int
    ) -> tuple[Sequence[int], Curves]:
        """Tune ``arm`` and classify the test set.

        Args:
            arm: one of :func:`arms`.
            shown: the labelled examples.
            seed: the run's seed.
        """
        if arm.method == TFIDF:
            words = tfidf_logistic_regression(shown.in_one(), shown.labels, self.test.in_one())
            return words, {}
        watched = self.once(seed, "watched", lambda: self._watched(seed))
        log_of = partial(self._measures, watched, self._framed(watched) if watched.labels else None)
        tuned = tune(
            self.source.bert,
            self._framed(shown, labelled=True),
            len(self.task.label_names),
            tuning(arm, self.base),
            seed,
            self._memory(arm, seed),
            watch=log_of,
        )
        return likeliest([answer(tuned.model, self.test_set)]), _curves(tuned.log)

    @cached_property
    def fisher(self) -> dict[str, Tensor]:
        """How much each weight of the encoder matters to what it says of general text."""
        tokens = self.recalled[: 1 + self.text.fisher_sequences * (LENGTH - FRAME)]
        vocabulary = masking_vocabulary(self.tokenizer)
        return encoder_fisher(self.source, HeldOutSequences(tokens, LENGTH, vocabulary, 1))

    def stages(self, arm: RecallArm) -> tuple[Touched, ...]:
        """The labelled examples, and others that are only watched: no arm learns from those."""
        seen = (Touched("classifier", "train", True, True),)
        return seen if arm.method == TFIDF else (*seen, Touched("curves", "train", True, True))

    def _watched(self, seed: int) -> LabelledTexts:
        """Examples of the training split whose texts no arm of ``seed`` is shown."""
        most = max(arm.per_class for arm in self.arms.values())
        shown = self.train.take(few_labels(self.train.labels, most, seed)).in_one()
        texts, known = self.train.in_one(), set(shown)
        others = [i for i, text in enumerate(texts) if text not in known]
        order = np.random.default_rng(derive(seed, "watched")).permutation(len(others))
        return self.train.take([others[i] for i in order[:WATCHED]])

    def _measures(
        self, watched: LabelledTexts, framed: TokenDataset | None, model: EncoderClassifier
    ) -> dict[str, float]:
        """Masks that it can no longer fill, and what it has learned, where examples are left."""
        reader = masked_lm_reader(model.encoder, self.source)
        kept = {"mlm_loss": score_masked_lm(reader, self.measured).loss}
        if framed is None:
            return kept
        guesses = likeliest([answer(model, framed)])
        return {**kept, "valid_error": float(np.mean(np.not_equal(guesses, watched.labels)))}

    def _memory(self, arm: RecallArm, seed: int) -> Memory:
        if arm.method == "ewc":
            return Memory(fisher=self.fisher)
        if arm.method != "replay":
            return Memory()
        cut = PackConfig(self.text.replay_batch, LENGTH, derive(seed, "replay"))
        general = MaskedSequences(self.recalled, cut, masking_vocabulary(self.tokenizer))
        return Memory(source=self.source, general=general)

    def _framed(self, examples: LabelledTexts, labelled: bool = False) -> TokenDataset:
        first = encode(self.tokenizer, examples.texts)
        second = encode(self.tokenizer, examples.texts_b) if examples.texts_b is not None else None
        labels = examples.labels if labelled else None
        return framed(first, second, self.base.max_length, labels)


def _curves(log: DistanceLog) -> Curves:
    steps = [float(step) for step in log.steps]
    return {"step": steps, "squared_distance": log.distances, **log.watched}


def tuning(arm: RecallArm, base: RecallTuning) -> RecallTuning:
    """How the encoder of ``arm`` is tuned.

    Introduced in the chapter *RecAdam*.

    Args:
        arm: method, start, annealing, strength, rate and length.
        base: everything else.
    """
    return replace(
        base,
        method=arm.method,
        random_start=arm.random_start,
        gamma=arm.gamma,
        annealing=Annealing(arm.shape, arm.k, arm.t0),
        lr_max=arm.lr_max,
        updates=arm.updates,
    )


def general_sequences(
    tokenizer: Tokenizer, part: str, length: int, batch_size: int = 32
) -> HeldOutSequences:
    """The book's own general text, packed, with masks that never change.

    Introduced in the chapter *RecAdam*.

    Args:
        tokenizer: the vocabulary.
        part: "measure" or "recall".
        length: tokens of a sequence.
        batch_size: sequences read at once.
    """
    tokens = join_documents(encode(tokenizer, general_documents(part)))
    return HeldOutSequences(tokens, length, masking_vocabulary(tokenizer), batch_size)


def study(task_name: str, scale: Scale) -> RecallStudy:
    """The study of a task.

    A task whose test labels were never published is measured on its validation split.
    Introduced in the chapter *RecAdam*.

    Args:
        task_name: a corpus of single texts or pairs with classes.
        scale: sets the sizes.

    Raises:
        ValueError: not such a corpus, or it has too few labels.
    """
    task = measurable(load(task_name))
    size = fitting(sizes(scale), task)
    base = RecallTuning(max_length=size.max_length, bfloat16=has_fast_bfloat16())
    return RecallStudy(task, size, base, load_encoder(), load_tokenizer())


def fitting(size: RecallSizes, task: Corpus) -> RecallSizes:
    """``size`` with label counts that the classes of ``task`` can fill; the others are left out.

    With more than two classes each count is a quarter of that for two. Introduced in the
    chapter *RecAdam*.

    Args:
        size: label counts for two classes.
        task: its training split is counted.

    Raises:
        ValueError: the rarest class has too few examples.
    """
    rarest = min(Counter(labelled(task, "train", pairs=True).labels).values())
    many = len(task.label_names) > 2
    counts = tuple(max(1, n // 4 if many else n) for n in size.per_class)
    kept = tuple(n for n in counts if n <= rarest)
    if not kept:
        raise ValueError(
            f"the rarest class of {task.name} has {rarest} labelled examples, and the study takes "
            f"{counts[0]} of each class or more: choose another task"
        )
    return replace(size, per_class=kept)


def _has_pairs(task: Corpus) -> bool:
    return task.splits["train"].texts_b is not None
