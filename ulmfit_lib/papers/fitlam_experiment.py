"""The FitLaM chapter's experiment: what each part of the recipe is worth, by number of labels.

``python -m ulmfit_lib run fitlam`` writes its run record. Arms share seeds, labelled examples,
number of updates and test set, and differ in one thing each. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tokenizers import Tokenizer
from torch import Tensor

from ulmfit_lib.models.awd_lstm import AWDLSTM, LanguageModel
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.papers.fitlam import (
    ClassifierTuning,
    LMTuning,
    classify,
    one_rate,
    tune_classifier,
    tune_language_model,
    untrained_encoder,
    without_transfer,
)
from ulmfit_lib.study.baselines import tfidf_logistic_regression
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.records import Touched
from ulmfit_lib.study.scale import Scale, pick
from ulmfit_lib.study.task_study import (
    Curves,
    LabelledTexts,
    StudyArm,
    StudySizes,
    TaskStudy,
    likeliest,
    sample_texts,
    unlabelled_texts,
)
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.tokenizer import encode, load_tokenizer

STARTS = ("scratch", "pretrained", "pretrained+lm")
BOTH = ("forward", "backward")


@dataclass(frozen=True)
class FitlamSizes(StudySizes):
    """How large this study is. Introduced in the chapter *FitLaM*."""

    lm_documents: int  # texts that the language model is tuned on
    lm_epochs: int  # epochs with every layer open
    updates: int  # optimizer steps of the classifier with every layer open
    head_updates: int  # optimizer steps of the head alone

    @property
    def middle(self) -> int:
        """Labels per class at which schedules, ratios and directions are compared."""
        return self.per_class[len(self.per_class) // 2]


@dataclass(frozen=True)
class Arm(StudyArm):
    """One way to train a classifier. Introduced in the chapter *FitLaM*."""

    start: str  # one of STARTS, or "tfidf"
    classifier: ClassifierTuning = ClassifierTuning()  # how it is tuned
    directions: tuple[str, ...] = ("forward",)  # models whose probabilities are averaged


def sizes(scale: Scale | None = None) -> FitlamSizes:
    """The study's sizes at ``scale``, by default the dial's."""
    return pick(
        smoke=FitlamSizes(1, (2, 4, 8), 60, 20, 1, 4, 2),
        laptop=FitlamSizes(6, (10, 50, 200), 2000, 3000, 1, 100, 30),
        paper=FitlamSizes(5, (10, 50, 200), 25_000, 50_000, 10, 1500, 300),
        scale=scale,
    )


def arms(size: FitlamSizes, bfloat16: bool = False) -> dict[str, Arm]:
    """Every arm of the study by name.

    Introduced in the chapter *FitLaM*.

    Args:
        size: gives the label counts and the updates.
        bfloat16: as in :class:`ulmfit_lib.papers.fitlam.ClassifierTuning`.
    """
    tuned = ClassifierTuning(
        updates=size.updates, head_updates=size.head_updates, bfloat16=bfloat16
    )
    scratch = without_transfer(tuned)
    found = {
        f"{start}/{n}": Arm(n, start, scratch if start == "scratch" else tuned)
        for n in size.per_class
        for start in (*STARTS, "tfidf")
    }
    for n in size.per_class[:2]:
        for start in ("scratch", "pretrained+lm"):
            found[f"{start}/{n}/both"] = replace(found[f"{start}/{n}"], directions=BOTH)
    base = Arm(size.middle, "pretrained+lm", tuned)
    for name in ("cosine", "reverse", "stlr"):
        found[f"schedule={name}"] = replace(base, classifier=replace(tuned, schedule=name))
    for label, ratio in (("1", 1.0), ("0.3", 0.3), ("0.385", 1 / 2.6)):
        found[f"ratio={label}"] = replace(base, classifier=replace(tuned, ratio=ratio))
    found["ratio=1, own rate"] = replace(base, classifier=one_rate(tuned))
    for name, directions in (("forward", BOTH[:1]), ("backward", BOTH[1:]), ("both", BOTH)):
        found[f"direction={name}"] = replace(base, directions=directions)
    return found


class FitlamStudy(TaskStudy[Arm]):
    """The study's data, and how an arm is trained.

    A language model tuned for a direction serves every arm of its seed; so do
    the probabilities of one and the same classifier. Introduced in the chapter
    *FitLaM*.

    Args:
        task: labelled texts with splits "train" and "test".
        unlabelled: texts that the language model is tuned on, none from the
            test split.
        size: how much of it to use.
        tokenizer: the models' vocabulary.
        lm: how the language model is tuned.
    """

    size: FitlamSizes

    def __init__(
        self,
        task: Corpus,
        unlabelled: Sequence[str],
        size: FitlamSizes,
        tokenizer: Tokenizer,
        lm: LMTuning,
    ) -> None:
        super().__init__(task, size, arms(size, lm.bfloat16), {"lm": lm})
        self.unlabelled, self.tokenizer, self.lm = unlabelled, tokenizer, lm
        self.test_documents = encode(tokenizer, self.test.texts)

    def answer(self, arm: Arm, shown: LabelledTexts, seed: int) -> tuple[Sequence[int], Curves]:
        """Train ``arm`` and classify the test set.

        Args:
            arm: one of :func:`arms`.
            shown: the labelled examples.
            seed: the run's seed.
        """
        if arm.start == "tfidf":
            return tfidf_logistic_regression(shown.texts, shown.labels, self.test.texts), {}
        return likeliest([self._classifier(arm, d, shown, seed) for d in arm.directions]), {}

    def stages(self, arm: Arm) -> tuple[Touched, ...]:
        """What each training stage of ``arm`` is shown."""
        stages = [Touched("classifier", "train", True, True)]
        if arm.start == "pretrained+lm":
            stages.insert(0, Touched("LM fine-tuning", "train", True, False))
        if arm.start != "tfidf":
            stages.append(Touched("choice of learning rates", "valid", True, True))
        return tuple(stages)

    def encoder(self, start: str, direction: str, seed: int) -> AWDLSTM:
        """Where a classifier starts.

        Args:
            start: one of :data:`STARTS`.
            direction: "forward" or "backward".
            seed: the run's seed; its tuned models are kept.
        """
        if start == "scratch":
            return untrained_encoder(load_language_model(direction).encoder.config, seed)
        if start == "pretrained":
            return load_language_model(direction).encoder
        return self.once(seed, direction, lambda: self._tuned_model(direction, seed)).encoder

    def _classifier(self, arm: Arm, direction: str, shown: LabelledTexts, seed: int) -> Tensor:
        """Test probabilities (N, C) of one classifier, trained once per distinct arm of a seed."""

        def train() -> Tensor:
            """A new classifier, tuned and asked."""
            model, _ = tune_classifier(
                self.encoder(arm.start, direction, seed),
                encode(self.tokenizer, shown.texts),
                shown.labels,
                len(self.task.label_names),
                arm.classifier,
                direction,
                seed,
            )
            return classify(model, self.test_documents, direction)

        return self.once(seed, replace(arm, directions=(direction,)), train)

    def _tuned_model(self, direction: str, seed: int) -> LanguageModel:
        chosen = sample_texts(self.unlabelled, self.size.lm_documents, seed)
        documents = encode(self.tokenizer, chosen)
        n_valid = max(2, len(documents) // 20)
        return tune_language_model(
            documents[n_valid:], direction, self.lm, seed, documents[:n_valid]
        )[0]


def study(task_name: str, scale: Scale) -> FitlamStudy:
    """The study of a task.

    Introduced in the chapter *FitLaM*.

    Args:
        task_name: a corpus with splits "train" and "test".
        scale: sets the sizes.
    """
    task, size = load(task_name), sizes(scale)
    lm = LMTuning(epochs=size.lm_epochs, bfloat16=has_fast_bfloat16())
    return FitlamStudy(task, unlabelled_texts(task), size, load_tokenizer(), lm)
