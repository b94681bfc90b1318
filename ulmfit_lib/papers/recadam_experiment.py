"""RecAdam's recorded study: what each way of tuning learns of a task, and what it forgets.

``python -m ulmfit_lib run recadam --task trec6`` writes its run record. All arms of a seed share
labels, steps, rates and batches, and the last step counts. Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from sklearn.metrics import matthews_corrcoef
from tokenizers import Tokenizer
from transformers import BertForMaskedLM

from ulmfit_lib.models.encoder import load_encoder
from ulmfit_lib.papers.recadam import (
    Memory,
    RecallTuning,
    Tuned,
    answer,
    encoder_fisher,
    framed,
    tune,
)
from ulmfit_lib.study.baselines import tfidf_logistic_regression
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.records import CellResult, Touched
from ulmfit_lib.study.scale import Scale, pick
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
from ulmfit_lib.text.general_text import general_documents
from ulmfit_lib.text.masking import masking_vocabulary
from ulmfit_lib.text.packing import HeldOutSequences
from ulmfit_lib.text.streams import join_documents
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.training.forgetting import measure_forgetting
from ulmfit_lib.training.recadam import Annealing

TFIDF = "tfidf"
GRID_TASK = "trec6"  # the one task on which k, t0 and the penalties' strength are varied
MEASURED_LENGTH, RECALLED_LENGTH = 64, 32  # tokens of a sequence of general text
PENALTY = 0.01  # gamma of L2-SP and EWC, whose penalty goes through Adam


@dataclass(frozen=True)
class RecallSizes(StudySizes):
    """How large this study is. Introduced in the chapter *RecAdam*."""

    updates: int  # optimizer steps of every arm, in whole epochs
    t0: int  # of the annealing, and of the warm-ups
    max_length: int  # tokens of a text or pair


@dataclass(frozen=True)
class RecallArm(StudyArm):
    """One way to tune the encoder. Introduced in the chapter *RecAdam*."""

    method: str  # of RecallTuning, or TFIDF
    random_start: bool = False  # the encoder begins with random weights
    k: float = 0.2  # of the annealing
    t0: int = 30  # of the annealing
    gamma: float = 400.0  # strength of the pull


def sizes(scale: Scale | None = None) -> RecallSizes:
    """The study's sizes at ``scale``, by default the dial's; label counts are for two classes."""
    return pick(
        smoke=RecallSizes(1, (2, 4), 20, 4, 2, 32),
        laptop=RecallSizes(10, (50, 200), 500, 100, 30, 64),
        paper=RecallSizes(5, (50, 500), 2000, 2000, 250, 128),
        scale=scale,
    )


def arms(size: RecallSizes, pairs: bool = False, grid: bool = False) -> dict[str, RecallArm]:
    """Every arm of the study by name, such as ``"recadam random/200"``.

    Pairs of texts are long, so they have the arms of the paper's main question
    alone. Introduced in the chapter *RecAdam*.

    Args:
        size: gives label counts and ``t0``.
        pairs: the task has pairs of texts.
        grid: vary ``k``, ``t0`` and the strength of the penalties as well.
    """
    many, found = size.per_class[-1], dict[str, RecallArm]()
    for n in size.per_class[-1:] if pairs else size.per_class:
        plain = RecallArm(n, "fine-tuning", t0=size.t0)
        found[f"{TFIDF}/{n}"] = replace(plain, method=TFIDF)
        for method in ("fine-tuning", "head warm-up", "recadam"):
            found[f"{method}/{n}"] = replace(plain, method=method)
    base = RecallArm(many, "recadam", t0=size.t0)
    found[f"recadam random/{many}"] = replace(base, random_start=True)
    if not pairs:
        for method in ("gradual unfreezing", "coupled", "replay"):
            found[f"{method}/{many}"] = replace(base, method=method)
        for method in ("l2-sp", "ewc"):
            found[f"{method}/{many}"] = replace(base, method=method, gamma=PENALTY)
    return found | (_grid(base) if grid else {})


def _grid(base: RecallArm) -> dict[str, RecallArm]:
    varied = {f"k={k:g}": replace(base, k=k) for k in (0.05, 1.0)}
    varied |= {f"t0={t0}": replace(base, t0=t0) for t0 in (base.t0 // 3, 2 * base.t0)}
    for method in ("l2-sp", "ewc"):
        stronger = replace(base, method=method, gamma=10 * PENALTY)
        varied[f"{method}, gamma={stronger.gamma:g}"] = stronger
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
        chosen = arms(size, _has_pairs(task), task.name == GRID_TASK)
        super().__init__(task, size, chosen, {"recipe": base})
        self.base, self.source, self.tokenizer = base, source, tokenizer
        self.measured = general_sequences(tokenizer, "measure", MEASURED_LENGTH)
        recalled = general_sequences(tokenizer, "recall", RECALLED_LENGTH, batch_size=1)
        fisher = encoder_fisher(source, recalled)
        replayed = general_sequences(tokenizer, "recall", RECALLED_LENGTH)
        self.memory = Memory(fisher, source, replayed)
        self.test_set = self._framed(self.test)

    def run(self, arm: RecallArm, seed: int) -> CellResult:
        """As every study, with Matthews' correlation, and what the encoder has forgotten.

        Args:
            arm: one of ``self.arms``.
            seed: of everything random.
        """
        result = super().run(arm, seed)
        matthews = float(matthews_corrcoef(self.test.labels, result.predictions))
        metrics = {**result.metrics, "mcc": matthews}
        if "mlm_loss" in result.curves:  # measured at the end, a number rather than a curve
            curves = dict(result.curves)
            metrics["mlm_loss"] = curves.pop("mlm_loss")[-1]
            metrics["squared_distance"] = curves["squared_distance"][-1]
            result = replace(result, curves=curves)
        return replace(result, metrics=metrics)

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
        tuned = tune(
            self.source.bert,
            self._framed(shown, labelled=True),
            len(self.task.label_names),
            tuning(arm, self.base),
            seed,
            self.memory,
        )
        return likeliest([answer(tuned.model, self.test_set)]), self._curves(tuned)

    def stages(self, arm: RecallArm) -> tuple[Touched, ...]:
        """What training is shown: the labelled examples alone."""
        return (Touched("classifier", "train", True, True),)

    def _framed(self, examples: LabelledTexts, labelled: bool = False) -> TokenDataset:
        first = encode(self.tokenizer, examples.texts)
        second = encode(self.tokenizer, examples.texts_b) if examples.texts_b is not None else None
        labels = examples.labels if labelled else None
        return framed(first, second, self.base.max_length, labels)

    def _curves(self, tuned: Tuned) -> Curves:
        found = measure_forgetting(tuned.model.encoder, tuned.anchors, self.source, self.measured)
        return {
            "step": [float(step) for step in tuned.log.steps],
            "squared_distance": [*tuned.log.distances[:-1], found.squared_distance],
            "mlm_loss": [found.mlm_loss],
        }


def tuning(arm: RecallArm, base: RecallTuning) -> RecallTuning:
    """How the encoder of ``arm`` is tuned.

    Introduced in the chapter *RecAdam*.

    Args:
        arm: method, start, annealing and strength.
        base: everything else.
    """
    return replace(
        base,
        method=arm.method,
        random_start=arm.random_start,
        gamma=arm.gamma,
        annealing=Annealing("sigmoid", arm.k, arm.t0),
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
    base = RecallTuning(
        updates=size.updates, max_length=size.max_length, bfloat16=has_fast_bfloat16()
    )
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
