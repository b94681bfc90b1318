"""The ULMFiT chapter's experiment: the paper's ablations, and its low-shot curves.

``python -m ulmfit_lib run ulmfit`` writes its run record. Arms share seeds,
labelled examples, number of updates and test set. Introduced in the chapter
*ULMFiT*.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from ulmfit_lib.models.awd_lstm import AWDLSTM, NO_DROPOUT, LanguageModel
from ulmfit_lib.models.classifier import (
    TextClassifier,
    average_probabilities,
    classifier_encoder,
)
from ulmfit_lib.models.pretrained import load_language_model, weight_hashes
from ulmfit_lib.papers.fitlam import untrained_encoder
from ulmfit_lib.papers.fitlam_experiment import unlabelled_texts
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
from ulmfit_lib.study.experiments import Cell, Experiment, run_experiment
from ulmfit_lib.study.records import EVALUATION, CellResult, RunRecord, Touched
from ulmfit_lib.study.scale import Scale, current_scale, pick
from ulmfit_lib.study.seeds import derive, few_labels, seed_everything
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
class StudySizes:
    """How large the study is; the dial changes nothing else. Introduced in the chapter *ULMFiT*."""

    seeds: int  # runs per arm
    per_class: tuple[int, ...]  # labelled examples of each class, ascending
    middle: int  # of each class, where the ablations are run
    lm_documents: int  # texts that a semi-supervised language model is tuned on
    lm_updates: int  # optimizer steps of the language model, at least, in whole epochs
    updates: int  # optimizer steps of the classifier, all stages, in whole epochs
    thaw_updates: int  # of each stage in which layers thaw
    test_documents: int  # test examples, at most
    valid_documents: int  # held-out examples of the error by epoch, at most


@dataclass(frozen=True)
class Arm:
    """One way to get a classifier from so many labels. Introduced in the chapter *ULMFiT*."""

    per_class: int  # labelled examples of each class
    start: str  # one of STARTS or BASELINES
    lm: str = LM_VARIANTS[-1]  # how the language model is tuned: one of LM_VARIANTS
    classifier: str = FULL_RECIPE  # one of CLASSIFIER_VARIANTS, or SCRATCH
    carry_gradient: bool = False  # BPT3C with gradient through the carried state
    directions: tuple[str, ...] = DIRECTIONS[:1]  # models whose probabilities are averaged


def sizes(scale: Scale | None = None) -> StudySizes:
    """The study's sizes at ``scale``, by default the dial's."""
    return pick(
        smoke=StudySizes(1, (2, 4), 4, 20, 2, 8, 1, 60, 20),
        laptop=StudySizes(5, (5, 10, 20, 50, 100, 200), 50, 3000, 150, 200, 20, 2000, 300),
        paper=StudySizes(
            5,
            (5, 10, 25, 50, 100, 250, 500, 1000, 2500),
            250,
            50_000,
            3000,
            2000,
            200,
            25_000,
            2500,
        ),
        scale=scale,
    )


def fitting(size: StudySizes, labels: Sequence[int]) -> StudySizes:
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


def recipe(size: StudySizes, bfloat16: bool = False) -> Recipe:
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


def arms(size: StudySizes) -> dict[str, Arm]:
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


class UlmfitStudy:
    """The study's data, and one function that runs a cell.

    A language model tuned for a direction and variant serves every arm of its
    seed; so do the answers of one and the same classifier. When another seed
    comes they are forgotten. Introduced in the chapter *ULMFiT*.

    Args:
        task: labelled texts with splits "train", "valid" and "test".
        unlabelled: texts of the task for the language model, none from the
            validation or test split.
        size: how much of it to use.
        tokenizer: the models' vocabulary.
        base: the recipe that the variants start from.
        load_model: a pre-trained language model by direction.
    """

    def __init__(
        self,
        task: Corpus,
        unlabelled: Sequence[str],
        size: StudySizes,
        tokenizer: Tokenizer,
        base: Recipe,
        load_model: Callable[[str], LanguageModel] = load_language_model,
    ) -> None:
        self.task, self.tokenizer, self.base, self.load_model = task, tokenizer, base, load_model
        self.train_texts, self.train_labels = labelled(task, "train")
        test_texts, test_labels = labelled(task, "test")
        valid_texts, valid_labels = labelled(task, "valid")
        self.size = fitting(size, self.train_labels)
        self.test_texts = test_texts[: size.test_documents]
        self.gold = test_labels[: size.test_documents]
        self.test_documents = encode(tokenizer, self.test_texts)
        few = slice(size.valid_documents)
        self.valid = encode(tokenizer, valid_texts[few]), valid_labels[few]
        self.unlabelled = unlabelled
        self._seed = 0
        self._models: dict[tuple[str, str, int, str], LanguageModel] = {}
        self._answers: dict[Arm, tuple[Tensor, list[dict[str, float]]]] = {}

    def run(self, arm: Arm, seed: int) -> CellResult:
        """Train ``arm`` with ``seed`` and predict the test set."""
        if seed != self._seed:  # cells come seed by seed: what an earlier one made is done with
            self._seed, self._models, self._answers = seed, {}, {}
        rows = few_labels(self.train_labels, arm.per_class, seed)
        curves: dict[str, list[float]] = {}
        if arm.start in BASELINES:
            predictions = self._baseline(arm.start, rows)
        else:
            answers = [self._classifier(arm, d, rows, seed) for d in arm.directions]
            single = [p for p, _ in answers]
            mean = single[0] if len(single) == 1 else average_probabilities(*single)
            predictions = [int(i) for i in mean.argmax(dim=1)]
            curves = self._curves(arm, answers[0][1])
        accuracy = float(np.mean(np.equal(predictions, self.gold)))
        return CellResult({"accuracy": accuracy}, tuple(predictions), curves, self.touched(arm))

    def encoder(self, arm: Arm, direction: str, rows: Sequence[int], seed: int) -> AWDLSTM:
        """Where the classifier of ``arm`` starts.

        Args:
            arm: names the start.
            direction: "forward" or "backward".
            rows: positions of the labelled examples.
            seed: the run's seed.
        """
        if arm.start == "scratch":
            return untrained_encoder(self.load_model(direction).encoder.config, seed)
        if arm.start == "pre-trained":
            return self.load_model(direction).encoder
        own_text = arm.start == "supervised"
        key = (arm.start, arm.lm, arm.per_class if own_text else 0, direction)
        if key not in self._models:
            self._models[key] = self._tuned(arm, direction, rows if own_text else None, seed)
        return self._models[key].encoder

    def touched(self, arm: Arm) -> tuple[Touched, ...]:
        """What each stage of ``arm`` is shown."""
        tuned = arm.start in ("task text only", "supervised", "semi-supervised")
        stages = [Touched("LM fine-tuning", "train", True, False)] if tuned else []
        stages.append(Touched("classifier", "train", True, True))
        if arm.start not in BASELINES:
            stages.append(Touched("choice of learning rates", "valid", True, True))
            if self._has_curve(arm):
                stages.append(Touched("error by epoch", "valid", True, True))
        return (*stages, Touched(EVALUATION, "test", True, True))

    def _has_curve(self, arm: Arm) -> bool:
        """Where the ablations are run, the error on held-out text is measured after every epoch."""
        return arm.per_class == self.size.middle

    def _curves(self, arm: Arm, history: list[dict[str, float]]) -> dict[str, list[float]]:
        if not self._has_curve(arm):
            return {}
        return {
            "stage": [row["stage"] for row in history],
            "train_loss": [row["train_loss"] for row in history],
            "valid_loss": [row["valid_loss"] for row in history],
            "valid_error": [1 - row["accuracy"] for row in history],
        }

    def _baseline(self, name: str, rows: Sequence[int]) -> list[int]:
        texts = [self.train_texts[i] for i in rows]
        labels = [self.train_labels[i] for i in rows]
        if name == "TF-IDF":
            return tfidf_logistic_regression(texts, labels, self.test_texts)
        encoder = self.load_model(DIRECTIONS[0]).encoder
        documents = encode(self.tokenizer, texts)
        features = [pooled_features(encoder, d) for d in (documents, self.test_documents)]
        return linear_probe(features[0], labels, features[1])

    def _classifier(
        self, arm: Arm, direction: str, rows: Sequence[int], seed: int
    ) -> tuple[Tensor, list[dict[str, float]]]:
        """Test probabilities (N, C) and epochs, trained once per distinct arm of a seed."""
        key = replace(arm, directions=(direction,))
        if key not in self._answers:
            model, history = tune_classifier(
                self.encoder(arm, direction, rows, seed),
                encode(self.tokenizer, [self.train_texts[i] for i in rows]),
                [self.train_labels[i] for i in rows],
                len(self.task.label_names),
                classifier_config(arm, self.base.classifier),
                direction,
                seed,
                self.valid if self._has_curve(arm) else None,
            )
            answers = class_probabilities(model, self.test_documents, direction)
            self._answers[key] = answers, history
        return self._answers[key]

    def _tuned(
        self, arm: Arm, direction: str, rows: Sequence[int] | None, seed: int
    ) -> LanguageModel:
        """A language model tuned on the texts in ``rows``, or on the unlabelled ones."""
        if rows is None:
            rng = np.random.default_rng(derive(seed, "unlabelled"))
            chosen = rng.permutation(len(self.unlabelled))[: self.size.lm_documents]
            texts = [self.unlabelled[i] for i in chosen]
        else:
            texts = [self.train_texts[i] for i in rows]
        documents = encode(self.tokenizer, texts)
        start = self.load_model(direction)
        if arm.start == "task text only":
            start = untrained_language_model(start, seed)
        config = lm_config(documents, lm_variant(arm.lm, self.base.lm), self.size.lm_updates)
        return tune_language_model(documents, direction, config, seed, start=start)[0]


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


def labelled(task: Corpus, split: str) -> tuple[tuple[str, ...], list[int]]:
    """Texts and classes of a split.

    Introduced in the chapter *ULMFiT*.

    Args:
        task: a classification task.
        split: name of one of its splits.

    Raises:
        ValueError: there is no such split, or it has no labels.
    """
    found = task.splits.get(split)
    if found is None or found.labels is None:
        raise ValueError(f"{task.name} has no labelled split {split!r}: the study needs one")
    return found.texts, [int(y) for y in found.labels]


@cache
def _study(task_name: str, scale: Scale) -> UlmfitStudy:
    """The study of a process: its data and tuned models serve all cells that run there."""
    task, size = load(task_name), sizes(scale)
    if "valid" not in task.splits:
        task = with_validation(task, 0.1, seed=0)
    base = recipe(size, has_fast_bfloat16())
    return UlmfitStudy(task, unlabelled_texts(task), size, load_tokenizer(), base)


@dataclass(frozen=True)
class _RunCell:
    """Runs a cell of the study, in whichever process it is called."""

    task_name: str
    scale: Scale

    def __call__(self, cell: Cell) -> CellResult:
        study = _study(self.task_name, self.scale)
        return study.run(arms(study.size)[cell.arm], cell.seed)


def run(
    task_name: str = "pydocs-roles",
    folder: str | Path = "runs-local",
    workers: int = 1,
    report: Callable[[str], None] = print,
) -> RunRecord:
    """Run the study at the dial's scale and write ``folder/ulmfit-SCALE.json``.

    Interrupted, it goes on where it stopped. Introduced in the chapter
    *ULMFiT*.

    Args:
        task_name: a corpus with splits "train" and "test".
        folder: where the record goes.
        workers: processes that share the seeds.
        report: takes one line of progress per cell.
    """
    scale = current_scale()
    study = _study(task_name, scale)
    by_name = arms(study.size)
    suffix = scale.value if task_name == "pydocs-roles" else f"{task_name}-{scale.value}"
    experiment = Experiment(
        paper="ulmfit",
        name=f"ulmfit-{suffix}",
        scale=scale,
        config={
            "task": task_name,
            "sizes": asdict(study.size),
            "recipe": asdict(study.base),
            "arms": {name: asdict(arm) for name, arm in by_name.items()},
        },
        cells=[Cell(name, seed) for seed in range(study.size.seeds) for name in by_name],
        gold=study.gold,
        label_names=study.task.label_names,
        data_hashes={study.task.name: study.task.fingerprint},
        weight_hashes={name: actual for name, (actual, _) in weight_hashes().items()},
    )
    return run_experiment(experiment, _RunCell(task_name, scale), folder, report, workers)
