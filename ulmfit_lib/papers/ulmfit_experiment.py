"""The ULMFiT chapter's experiment: the paper's ablations, and its low-shot curves.

``python -m ulmfit_lib run ulmfit`` writes its run record. Arms share seeds,
labelled examples, number of updates and test set. Introduced in the chapter
*ULMFiT*.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from ulmfit_lib.models.awd_lstm import AWDLSTM, NO_DROPOUT, LanguageModel
from ulmfit_lib.models.classifier import TextClassifier, classifier_encoder
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.papers.fitlam import untrained_encoder
from ulmfit_lib.papers.ulmfit import (
    CLASSIFIER_VARIANTS,
    LM_VARIANTS,
    PAPER,
    ClassifierTuning,
    LMTuning,
    Recipe,
    at_size,
    classifier_variant,
    lm_variant,
    tune_classifier,
    tune_language_model,
)
from ulmfit_lib.study.baselines import linear_probe, tfidf_logistic_regression
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.records import Touched
from ulmfit_lib.study.scale import Scale, pick
from ulmfit_lib.study.seeds import derive, seed_everything
from ulmfit_lib.study.task_study import (
    Curves,
    LabelledTexts,
    StudyArm,
    StudySizes,
    TaskStudy,
    labelled,
    likeliest,
    sample_texts,
    unlabelled_texts,
)
from ulmfit_lib.text.batches import BatchConfig, TextDataset, TextLoader
from ulmfit_lib.text.corpora import load, with_validation
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.streams import DIRECTIONS
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.training.fine_tuning import Documents, class_probabilities
from ulmfit_lib.training.learner import evaluation_mode

# Where a classifier starts, and what it is compared with. "task text only" tunes a language model
# that was never pre-trained, "supervised" and "semi-supervised" one that was: the first on the
# labelled texts alone, the second on all of the task's text.
STARTS = ("scratch", "task text only", "pre-trained", "supervised", "semi-supervised")
BASELINES = ("TF-IDF", "frozen encoder")
SERIES = ("scratch", "task text only", "supervised", "semi-supervised", *BASELINES)
FULL_RECIPE = "freez+discr+stlr"
SCRATCH = "one rate"  # the strongest training from scratch, beside the paper's "from scratch"
MOST_LM_EPOCHS = 20  # however short the text


@dataclass(frozen=True)
class UlmfitSizes(StudySizes):
    """How large this study is. Introduced in the chapter *ULMFiT*."""

    middle: int  # labelled examples of each class where the ablations are run
    lm_documents: int  # texts that a semi-supervised language model is tuned on
    lm_updates: int  # optimizer steps of the language model, at least, in whole epochs
    updates: int  # optimizer steps of the classifier, all stages, in whole epochs
    thaw_updates: int  # of each stage in which layers thaw
    valid_documents: int  # held-out examples of the error by epoch, at most


@dataclass(frozen=True)
class Arm(StudyArm):
    """One way to get a classifier. Introduced in the chapter *ULMFiT*."""

    start: str  # one of STARTS or BASELINES
    lm: str = LM_VARIANTS[-1]  # how the language model is tuned: one of LM_VARIANTS
    classifier: str = FULL_RECIPE  # one of CLASSIFIER_VARIANTS, or SCRATCH
    carry_gradient: bool = False  # BPT3C with gradient through the carried state
    directions: tuple[str, ...] = DIRECTIONS[:1]  # models whose probabilities are averaged


def sizes(scale: Scale | None = None) -> UlmfitSizes:
    """The study's sizes at ``scale``, by default the dial's."""
    many = (5, 10, 25, 50, 100, 250, 500, 1000, 2500)
    return pick(
        smoke=UlmfitSizes(1, (2, 4), 60, 4, 20, 2, 8, 1, 20),
        laptop=UlmfitSizes(5, (5, 10, 20, 50, 100, 200), 2000, 50, 3000, 150, 200, 20, 300),
        paper=UlmfitSizes(5, many, 25_000, 250, 50_000, 3000, 2000, 200, 2500),
        scale=scale,
    )


def fitting(size: UlmfitSizes, labels: Sequence[int]) -> UlmfitSizes:
    """``size`` without the numbers of labels that the smallest class has not.

    Introduced in the chapter *ULMFiT*.

    Args:
        size: of the study.
        labels: class of each training example.

    Raises:
        ValueError: the smallest class has too few examples for any of them.
    """
    smallest = min(Counter(labels).values())
    kept = tuple(n for n in size.per_class if n <= smallest)
    if not kept:
        raise ValueError(f"the smallest class has {smallest} examples, fewer than {size.per_class}")
    return replace(size, per_class=kept, middle=min(size.middle, kept[-1]))


def recipe(size: UlmfitSizes, bfloat16: bool = False) -> Recipe:
    """The paper's recipe for the shipped models: the base of every variant.

    The head's rate is twice the paper's and the dropouts are smaller, as in
    the FitLaM study, where both were chosen on validation text. Introduced in
    the chapter *ULMFiT*.

    Args:
        size: steps.
        bfloat16: compute products in bfloat16.
    """
    small = at_size(PAPER, 1, size.updates, size.thaw_updates, 32, 0.3)
    lm, classifier = small.lm, small.classifier
    return replace(
        small,
        lm=replace(lm, steps=replace(lm.steps, bfloat16=bfloat16)),
        classifier=replace(
            classifier, lr_max=0.02, steps=replace(classifier.steps, bfloat16=bfloat16)
        ),
    )


def classifier_config(arm: Arm, base: ClassifierTuning) -> ClassifierTuning:
    """How the classifier of ``arm`` is tuned.

    From scratch ("one rate") all layers train from the start at the one rate
    that the FitLaM study chose on validation text. Introduced in the chapter
    *ULMFiT*.

    Args:
        arm: names the variant.
        base: everything else.
    """
    base = replace(base, head=replace(base.head, carry_gradient=arm.carry_gradient))
    if arm.classifier == SCRATCH:
        return replace(base, unfreezing="full", ratio=1.0, lr_max=5e-3)
    return classifier_variant(arm.classifier, base)


def arms(size: UlmfitSizes) -> dict[str, Arm]:
    """Every arm of the study by name: learning curves, then one group per table of the paper.

    Introduced in the chapter *ULMFiT*.
    """
    found = {}
    for n in size.per_class:
        for series in SERIES:
            classifier = SCRATCH if series == "scratch" else FULL_RECIPE
            found[f"{series}/{n}"] = Arm(n, series, classifier=classifier)
    base = Arm(size.middle, "semi-supervised")
    found["lm=none"] = replace(base, start="pre-trained")
    found |= {f"lm={name}": replace(base, lm=name) for name in LM_VARIANTS}
    for name in CLASSIFIER_VARIANTS:
        start = "scratch" if name == "from scratch" else base.start
        found[f"classifier={name}"] = replace(base, start=start, classifier=name)
    found["bpt3c=detached"] = base
    found["bpt3c=carried"] = replace(base, carry_gradient=True)
    for direction in DIRECTIONS:
        found[f"direction={direction}"] = replace(base, directions=(direction,))
    found["direction=both"] = replace(base, directions=DIRECTIONS)
    return found


class UlmfitStudy(TaskStudy[Arm]):
    """The study's data, and how an arm is trained.

    A language model tuned for a direction and variant serves every arm of its
    seed; so do the answers of one and the same classifier. Introduced in the
    chapter *ULMFiT*.

    Args:
        task: labelled texts with splits "train", "valid" and "test".
        unlabelled: texts of the task for the language model, none from the
            validation or test split.
        size: how much of it to use.
        tokenizer: the models' vocabulary.
        base: the recipe that the variants start from.
        load_model: a pre-trained language model by direction.
    """

    size: UlmfitSizes

    def __init__(
        self,
        task: Corpus,
        unlabelled: Sequence[str],
        size: UlmfitSizes,
        tokenizer: Tokenizer,
        base: Recipe,
        load_model: Callable[[str], LanguageModel] = load_language_model,
    ) -> None:
        size = fitting(size, labelled(task, "train").labels)
        super().__init__(task, size, arms(size), {"recipe": base})
        self.unlabelled, self.tokenizer, self.base = unlabelled, tokenizer, base
        self.load_model = load_model
        self.test_documents = encode(tokenizer, self.test.texts)
        held_out = labelled(task, "valid", size.valid_documents)
        self.valid = encode(tokenizer, held_out.texts), held_out.labels

    def answer(self, arm: Arm, shown: LabelledTexts, seed: int) -> tuple[Sequence[int], Curves]:
        """Train ``arm`` and classify the test set.

        Args:
            arm: one of :func:`arms`.
            shown: the labelled examples.
            seed: the run's seed.
        """
        if arm.start == "TF-IDF":
            return tfidf_logistic_regression(shown.texts, shown.labels, self.test.texts), {}
        if arm.start == "frozen encoder":
            return self._linear_probe(shown), {}
        answers = [self._classifier(arm, d, shown, seed) for d in arm.directions]
        curves = _curves(answers[0][1]) if self._has_curve(arm) else {}
        return likeliest([p for p, _ in answers]), curves

    def stages(self, arm: Arm) -> tuple[Touched, ...]:
        """What each training stage of ``arm`` is shown."""
        tuned = arm.start in ("task text only", "supervised", "semi-supervised")
        stages = [Touched("LM fine-tuning", "train", True, False)] if tuned else []
        stages.append(Touched("classifier", "train", True, True))
        if arm.start not in BASELINES:
            stages.append(Touched("choice of learning rates", "valid", True, True))
            if self._has_curve(arm):
                stages.append(Touched("error by epoch", "valid", True, True))
        return tuple(stages)

    def encoder(self, arm: Arm, direction: str, shown: LabelledTexts, seed: int) -> AWDLSTM:
        """Where the classifier of ``arm`` starts.

        Args:
            arm: names the start.
            direction: "forward" or "backward".
            shown: the labelled examples.
            seed: the run's seed; its tuned models are kept.
        """
        if arm.start == "scratch":
            return untrained_encoder(self.load_model(direction).encoder.config, seed)
        if arm.start == "pre-trained":
            return self.load_model(direction).encoder
        own_text = arm.start == "supervised"
        key = (arm.start, arm.lm, arm.per_class if own_text else 0, direction)
        return self.once(seed, key, lambda: self._tuned(arm, direction, shown, seed)).encoder

    def _has_curve(self, arm: Arm) -> bool:
        """Where the ablations are run, the error on held-out text is measured after every epoch."""
        return arm.per_class == self.size.middle

    def _linear_probe(self, shown: LabelledTexts) -> list[int]:
        encoder = self.load_model(DIRECTIONS[0]).encoder
        features = pooled_features(encoder, encode(self.tokenizer, shown.texts))
        return linear_probe(features, shown.labels, pooled_features(encoder, self.test_documents))

    def _classifier(
        self, arm: Arm, direction: str, shown: LabelledTexts, seed: int
    ) -> tuple[Tensor, list[dict[str, float]]]:
        """Test probabilities (N, C) and epochs, trained once per distinct arm of a seed."""

        def train() -> tuple[Tensor, list[dict[str, float]]]:
            """A new classifier, tuned and asked."""
            model, history = tune_classifier(
                self.encoder(arm, direction, shown, seed),
                encode(self.tokenizer, shown.texts),
                shown.labels,
                len(self.task.label_names),
                classifier_config(arm, self.base.classifier),
                direction,
                seed,
                self.valid if self._has_curve(arm) else None,
            )
            return class_probabilities(model, self.test_documents, direction), history

        return self.once(seed, replace(arm, directions=(direction,)), train)

    def _tuned(self, arm: Arm, direction: str, shown: LabelledTexts, seed: int) -> LanguageModel:
        """A language model tuned on the texts of ``shown``, or on the unlabelled ones."""
        few = arm.start == "supervised"
        texts = shown.texts if few else sample_texts(self.unlabelled, self.size.lm_documents, seed)
        documents = encode(self.tokenizer, texts)
        start = self.load_model(direction)
        if arm.start == "task text only":
            start = untrained_language_model(start, seed)
        config = lm_config(documents, lm_variant(arm.lm, self.base.lm), self.size.lm_updates)
        return tune_language_model(documents, direction, config, seed, start=start)[0]


def _curves(history: Sequence[dict[str, float]]) -> Curves:
    """The epochs of a classifier, as the record keeps them."""
    return {
        "stage": [row["stage"] for row in history],
        "train_loss": [row["train_loss"] for row in history],
        "valid_loss": [row["valid_loss"] for row in history],
        "valid_error": [1 - row["accuracy"] for row in history],
    }


def lm_config(documents: Documents, config: LMTuning, updates: int) -> LMTuning:
    """``config`` with as many epochs as make ``updates`` optimizer steps, at most 20.

    Introduced in the chapter *ULMFiT*.

    Args:
        documents: token ids of the text.
        config: everything else.
        updates: optimizer steps, at least.
    """
    n_tokens = sum(len(ids) + 1 for ids in documents)
    steps = max(1, n_tokens // (config.batch_size * config.bptt))
    return replace(config, epochs=min(MOST_LM_EPOCHS, max(1, math.ceil(updates / steps))))


def untrained_language_model(like: LanguageModel, seed: int) -> LanguageModel:
    """A language model with random weights, of the sizes of ``like``.

    Introduced in the chapter *ULMFiT*.

    Args:
        like: whose sizes to take.
        seed: the run's seed.
    """
    seed_everything(derive(seed, "untrained language model"))
    return LanguageModel(AWDLSTM(like.encoder.config))


def pooled_features(encoder: AWDLSTM, documents: Documents) -> NDArray[np.float32]:
    """What a frozen encoder says of each document: its pooled vector, (N, 3E).

    Introduced in the chapter *ULMFiT*.

    Args:
        encoder: stays as it is.
        documents: token ids of each text.
    """
    model = TextClassifier(classifier_encoder(encoder, NO_DROPOUT), 1)
    model.head = nn.Sequential()  # the pooled vector as it is
    loader = TextLoader(TextDataset(documents), BatchConfig(128))
    with evaluation_mode(model):
        rows = torch.cat([model(ids) for (ids,) in loader])
    return loader.in_dataset_order(rows).numpy()


def study(task_name: str, scale: Scale) -> UlmfitStudy:
    """The study of a task; without a validation split a tenth of the training set becomes one.

    Introduced in the chapter *ULMFiT*.

    Args:
        task_name: a corpus with splits "train" and "test".
        scale: sets the sizes.
    """
    task, size = load(task_name), sizes(scale)
    if "valid" not in task.splits:
        task = with_validation(task, 0.1, seed=0)
    base = recipe(size, has_fast_bfloat16())
    return UlmfitStudy(task, unlabelled_texts(task), size, load_tokenizer(), base)
