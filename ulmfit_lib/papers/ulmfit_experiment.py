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
from functools import partial

import numpy as np
from tokenizers import Tokenizer
from torch import Tensor

from ulmfit_lib.models.awd_lstm import AWDLSTM, LanguageModel
from ulmfit_lib.models.pooling import masked_concat_pool
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
    DEFAULT_TASK,
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
from ulmfit_lib.text.batches import TextDataset
from ulmfit_lib.text.corpora import load, with_validation
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.streams import DIRECTIONS
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.training.document_vectors import document_vectors
from ulmfit_lib.training.fine_tuning import Documents, class_probabilities

# Where a classifier starts, and what it is compared with. "task text only" tunes a language model
# that was never pre-trained, "supervised" and "semi-supervised" one that was: the first on the
# labelled texts alone, the second on all of the task's text.
STARTS = ("scratch", "task text only", "pre-trained", "supervised", "semi-supervised")
BASELINES = ("TF-IDF", "frozen encoder")
SERIES = ("scratch", "task text only", "supervised", "semi-supervised", *BASELINES)
FULL_RECIPE = "freez+discr+stlr"
TABLE_7 = tuple(name for name in CLASSIFIER_VARIANTS if name != "freez+discr+cos")  # its rows
SCRATCH = "one rate"  # the strongest training from scratch, beside the paper's "from scratch"
MOST_LM_EPOCHS = 20  # however short the text
LONG_TEXT = 40  # tokens, on average: more than a sentence
N_STAGES = 5  # of gradual unfreezing, one per layer group
BY_EPOCH = ("full", FULL_RECIPE)  # whose error on held-out text is kept after every epoch
# Rows of the paper's Table 7 with all seeds: those of a claim, and training from scratch.
CLAIMED = frozenset(
    f"classifier={name}" for name in (*BY_EPOCH, "last", "chain-thaw", "from scratch")
)


@dataclass(frozen=True)
class UlmfitSizes(StudySizes):
    """How large this study is. Introduced in the chapter *ULMFiT*."""

    middle: int  # labelled examples of each class where the ablations are run
    ablation_seeds: int  # runs of the arms that no claim needs
    lm_documents: int  # texts that a semi-supervised language model is tuned on, at most
    lm_tokens: int | None  # of those texts, at most; None: all
    lm_updates: int  # optimizer steps of the language model, at least, in whole epochs
    updates: int  # optimizer steps of the classifier, all stages, in whole epochs
    thaw_updates: int  # of each stage in which layers thaw
    batch_size: int  # labelled examples of a batch
    max_tokens: int | None  # last tokens of a document that a classifier reads; None: all
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
        smoke=UlmfitSizes(1, (2, 4), 60, 4, 1, 20, 2000, 2, 10, 1, 8, 60, 20),
        laptop=UlmfitSizes(5, (5, 20, 75), 1000, 20, 3, 2000, 90_000, 40, 100, 10, 32, 200, 300),
        paper=UlmfitSizes(5, many, 25_000, 250, 5, 50_000, None, 3000, 2000, 200, 32, None, 2500),
        scale=scale,
    )


def fitting(size: UlmfitSizes, labels: Sequence[int], mean_tokens: float) -> UlmfitSizes:
    """``size`` for a task: its number of classes, its smallest class, its length of texts.

    Of two classes each gets twice the labels; long texts come in batches of
    half the size. Numbers of labels are left out that the smallest class has
    not, or of which the steps make no epoch for every stage. Introduced in the
    chapter *ULMFiT*.

    Args:
        size: of the study.
        labels: class of each training example.
        mean_tokens: length of the training texts.

    Raises:
        ValueError: the smallest class has too few examples for any of them.
    """
    counts = Counter(labels)
    smallest, more = min(counts.values()), 2 if len(counts) == 2 else 1
    batch_size = max(2, size.batch_size // 2) if mean_tokens > LONG_TEXT else size.batch_size
    most = min(smallest, batch_size * (size.updates // N_STAGES) // len(counts))
    kept = tuple(more * n for n in size.per_class if more * n <= most)
    if not kept:
        raise ValueError(
            f"the smallest of {len(counts)} classes has {smallest} examples, and {most} of each "
            f"class can be used: fewer than {more * size.per_class[0]}; choose another task"
        )
    middle = min(more * size.middle, kept[-1])
    return replace(size, per_class=kept, middle=middle, batch_size=batch_size)


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
        lm=replace(lm, max_tokens=size.lm_tokens, steps=replace(lm.steps, bfloat16=bfloat16)),
        classifier=replace(
            classifier,
            lr_max=0.02,
            batch_size=size.batch_size,
            max_tokens=size.max_tokens,
            steps=replace(classifier.steps, bfloat16=bfloat16),
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
    for name in TABLE_7:
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
        base: from the sizes to the recipe that the variants start from.
        load_model: a pre-trained language model by direction.
    """

    size: UlmfitSizes

    def __init__(
        self,
        task: Corpus,
        unlabelled: Sequence[str],
        size: UlmfitSizes,
        tokenizer: Tokenizer,
        base: Callable[[UlmfitSizes], Recipe] = recipe,
        load_model: Callable[[str], LanguageModel] = load_language_model,
    ) -> None:
        every = labelled(task, "train")
        some = encode(tokenizer, sample_texts(every.texts, 200, seed=0))
        size = fitting(size, every.labels, float(np.mean([len(ids) for ids in some])))
        self.base, self.load_model = base(size), load_model
        super().__init__(task, size, arms(size), {"recipe": self.base})
        self.unlabelled, self.tokenizer = unlabelled, tokenizer
        self.test_documents = encode(tokenizer, self.test.texts)
        held_out = labelled(task, "valid", size.valid_documents)
        self.valid = encode(tokenizer, held_out.texts), held_out.labels

    def seeds_of(self, name: str) -> int:
        """All seeds, but fewer for the language model's ablations and Table 7's unclaimed rows.

        Args:
            name: one of :func:`arms`.
        """
        ablation = name.startswith(("lm=", "classifier=")) and name not in CLAIMED
        return self.size.ablation_seeds if ablation else self.size.seeds

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
            if self.task.name == DEFAULT_TASK:  # elsewhere they are taken over as they are
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
        """Whether the error on held-out text is measured after every epoch."""
        base = Arm(self.size.middle, "semi-supervised")
        return arm in [replace(base, classifier=name) for name in BY_EPOCH]

    def _linear_probe(self, shown: LabelledTexts) -> list[int]:
        """The answers of a linear probe on the concat pool of the encoder as it is shipped."""
        encoder = self.load_model(DIRECTIONS[0]).encoder.eval()
        train, test = (
            document_vectors(
                lambda ids: encoder(ids).raw,
                TextDataset(documents, max_tokens=self.size.max_tokens),
                masked_concat_pool,
            ).numpy()
            for documents in (encode(self.tokenizer, shown.texts), self.test_documents)
        )
        return linear_probe(train, shown.labels, test)

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
            answers = class_probabilities(
                model, self.test_documents, direction, max_tokens=self.size.max_tokens
            )
            return answers, history

        return self.once(seed, replace(arm, directions=(direction,)), train)

    def _tuned(self, arm: Arm, direction: str, shown: LabelledTexts, seed: int) -> LanguageModel:
        """A language model tuned on the texts of ``shown``, or on the unlabelled ones."""
        own_text = arm.start == "supervised"
        texts = (
            shown.texts if own_text else sample_texts(self.unlabelled, self.size.lm_documents, seed)
        )
        documents = encode(self.tokenizer, texts)
        start = self.load_model(direction)
        if arm.start == "task text only":
            start = untrained_language_model(start, seed)
        config = lm_config(documents, lm_variant(arm.lm, self.base.lm), self.size.lm_updates)
        some = documents[:4]  # fastai measures after every epoch: nobody looks, so on a little
        return tune_language_model(documents, direction, config, seed, some, start=start)[0]


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
    read = min(n_tokens, config.max_tokens or n_tokens)
    steps = max(1, read // (config.batch_size * config.bptt))
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
    base = partial(recipe, bfloat16=has_fast_bfloat16())
    return UlmfitStudy(task, unlabelled_texts(task), size, load_tokenizer(), base)
