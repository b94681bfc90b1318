"""The FitLaM chapter's experiment: what each part of the recipe is worth, by number of labels.

``python -m ulmfit_lib run fitlam`` writes its run record. Arms share seeds, labelled examples,
number of updates and test set, and differ in one thing each. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from torch import Tensor

from ulmfit_lib.models.awd_lstm import AWDLSTM, LanguageModel
from ulmfit_lib.models.classifier import average_probabilities
from ulmfit_lib.models.pretrained import load_language_model, weight_hashes
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
from ulmfit_lib.study.experiments import Cell, Experiment, run_experiment
from ulmfit_lib.study.records import EVALUATION, CellResult, RunRecord, Touched
from ulmfit_lib.study.scale import Scale, current_scale, pick
from ulmfit_lib.study.seeds import derive, few_labels
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.tokenizer import encode, load_tokenizer

STARTS = ("scratch", "pretrained", "pretrained+lm")
BOTH = ("forward", "backward")


@dataclass(frozen=True)
class StudySizes:
    """How large the study is; the dial changes nothing else."""

    seeds: int  # runs per arm
    per_class: tuple[int, ...]  # labelled examples of each class; the middle one for the variants
    lm_documents: int  # texts that the language model is tuned on
    lm_epochs: int  # epochs with every layer open
    updates: int  # optimizer steps of the classifier with every layer open
    head_updates: int  # optimizer steps of the head alone
    test_documents: int  # test examples, at most

    @property
    def middle(self) -> int:
        """Labels per class at which schedules, ratios and directions are compared."""
        return self.per_class[len(self.per_class) // 2]


@dataclass(frozen=True)
class Arm:
    """One way to train a classifier, with so many labels."""

    per_class: int  # labelled examples of each class
    start: str  # one of STARTS, or "tfidf"
    classifier: ClassifierTuning = ClassifierTuning()  # how it is tuned
    directions: tuple[str, ...] = ("forward",)  # models whose probabilities are averaged


def sizes(scale: Scale | None = None) -> StudySizes:
    """The study's sizes at ``scale``, by default the dial's."""
    return pick(
        smoke=StudySizes(1, (2, 4, 8), 20, 1, 4, 2, 60),
        laptop=StudySizes(6, (10, 50, 200), 3000, 1, 100, 30, 2000),
        paper=StudySizes(5, (10, 50, 200), 50_000, 10, 1500, 300, 25_000),
        scale=scale,
    )


def arms(size: StudySizes, bfloat16: bool = False) -> dict[str, Arm]:
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


class Study:
    """The study's data, and one function that runs a cell.

    A language model tuned for a seed and direction serves every arm of that
    seed; so do the probabilities of one and the same classifier. Introduced
    in the chapter *FitLaM*.

    Args:
        task: labelled texts with splits "train" and "test".
        unlabelled: texts that the language model is tuned on, none from the
            test split.
        size: how much of it to use.
        tokenizer: the models' vocabulary.
        lm: how the language model is tuned.
    """

    def __init__(
        self,
        task: Corpus,
        unlabelled: Sequence[str],
        size: StudySizes,
        tokenizer: Tokenizer,
        lm: LMTuning,
    ) -> None:
        train, test = task.splits["train"], task.splits["test"]
        if train.labels is None or test.labels is None:
            raise ValueError(f"{task.name} has no labels: the study needs a classification task")
        self.task, self.size, self.tokenizer = task, size, tokenizer
        self.train_texts, self.train_labels = train.texts, [int(y) for y in train.labels]
        self.test_texts = test.texts[: size.test_documents]
        self.gold = [int(y) for y in test.labels[: size.test_documents]]
        self.test_documents = encode(tokenizer, self.test_texts)
        self.unlabelled, self.lm = unlabelled, lm
        self._models: dict[tuple[str, int], LanguageModel] = {}
        self._probabilities: dict[tuple[Arm, int], Tensor] = {}

    def run(self, arm: Arm, seed: int) -> CellResult:
        """Train ``arm`` with ``seed`` and predict the test set."""
        rows = few_labels(self.train_labels, arm.per_class, seed)
        if arm.start == "tfidf":
            predictions = self._tfidf(rows)
        else:
            single = [self._classifier(arm, d, rows, seed) for d in arm.directions]
            mean = single[0] if len(single) == 1 else average_probabilities(*single)
            predictions = mean.argmax(dim=1).tolist()
        correct = np.mean(np.array(predictions) == np.array(self.gold))
        return CellResult(
            metrics={"accuracy": float(correct)},
            predictions=tuple(int(p) for p in predictions),
            touched=self._touched(arm),
        )

    def _tfidf(self, rows: Sequence[int]) -> Sequence[int]:
        texts = [self.train_texts[i] for i in rows]
        labels = [self.train_labels[i] for i in rows]
        return [int(p) for p in tfidf_logistic_regression(texts, labels, self.test_texts)]

    def _classifier(self, arm: Arm, direction: str, rows: Sequence[int], seed: int) -> Tensor:
        """Test probabilities (N, C) of one classifier, trained once per distinct arm and seed."""
        key = (replace(arm, directions=(direction,)), seed)
        if key not in self._probabilities:
            model, _ = tune_classifier(
                self.encoder(arm.start, direction, seed),
                encode(self.tokenizer, [self.train_texts[i] for i in rows]),
                [self.train_labels[i] for i in rows],
                len(self.task.label_names),
                arm.classifier,
                direction,
                seed,
            )
            self._probabilities[key] = classify(model, self.test_documents, direction)
        return self._probabilities[key]

    def encoder(self, start: str, direction: str, seed: int) -> AWDLSTM:
        """Where a classifier starts.

        Args:
            start: one of :data:`STARTS`.
            direction: "forward" or "backward".
            seed: the run's seed; the tuned model of each is kept.
        """
        if start == "scratch":
            return untrained_encoder(load_language_model(direction).encoder.config, seed)
        if start == "pretrained":
            return load_language_model(direction).encoder
        if (direction, seed) not in self._models:
            self._models[direction, seed] = self._tuned_model(direction, seed)
        return self._models[direction, seed].encoder

    def _tuned_model(self, direction: str, seed: int) -> LanguageModel:
        rng = np.random.default_rng(derive(seed, "unlabelled"))
        chosen = rng.permutation(len(self.unlabelled))[: self.size.lm_documents]
        documents = encode(self.tokenizer, [self.unlabelled[i] for i in chosen])
        n_valid = max(2, len(documents) // 20)
        model, _ = tune_language_model(
            documents[n_valid:], direction, self.lm, seed, documents[:n_valid]
        )
        return model

    def _touched(self, arm: Arm) -> tuple[Touched, ...]:
        stages = [
            Touched("classifier", "train", True, True),
            Touched("choice of learning rates", "valid", True, True),
            Touched(EVALUATION, "test", True, True),
        ]
        if arm.start == "pretrained+lm":
            stages.insert(0, Touched("LM fine-tuning", "train", True, False))
        return tuple(stages)


def unlabelled_texts(task: Corpus) -> tuple[str, ...]:
    """Text for the language model: the task's own, without labels, never its test split.

    For ``pydocs-roles`` the paragraphs of the same files' training part, of
    which its sentences are a sample.
    """
    source = load("pydocs") if task.name == "pydocs-roles" else task
    texts = source.splits["train"].texts
    return texts + (source.splits["unsup"].texts if "unsup" in source.splits else ())


@cache
def _study(task_name: str, scale: Scale) -> Study:
    """The study of a process: its data and tuned models serve all cells that run there."""
    task, size = load(task_name), sizes(scale)
    lm = LMTuning(epochs=size.lm_epochs, bfloat16=has_fast_bfloat16())
    return Study(task, unlabelled_texts(task), size, load_tokenizer(), lm)


@dataclass(frozen=True)
class _RunCell:
    """Runs a cell of the study, in whichever process it is called."""

    task_name: str
    scale: Scale

    def __call__(self, cell: Cell) -> CellResult:
        by_name = arms(sizes(self.scale), has_fast_bfloat16())
        return _study(self.task_name, self.scale).run(by_name[cell.arm], cell.seed)


def run(
    task_name: str = "pydocs-roles",
    folder: str | Path = "runs-local",
    workers: int = 1,
    report: Callable[[str], None] = print,
) -> RunRecord:
    """Run the study at the dial's scale and write ``folder/fitlam-SCALE.json``.

    Interrupted, it goes on where it stopped. Introduced in the chapter
    *FitLaM*.

    Args:
        task_name: a corpus with splits "train" and "test".
        folder: where the record goes.
        workers: processes that share the seeds.
        report: takes one line of progress per cell.
    """
    scale = current_scale()
    study = _study(task_name, scale)
    by_name = arms(study.size, has_fast_bfloat16())
    suffix = scale.value if task_name == "pydocs-roles" else f"{task_name}-{scale.value}"
    experiment = Experiment(
        paper="fitlam",
        name=f"fitlam-{suffix}",
        scale=scale,
        config={
            "task": task_name,
            "sizes": asdict(study.size),
            "lm": asdict(study.lm),
            "arms": {name: asdict(arm) for name, arm in by_name.items()},
        },
        cells=[Cell(name, seed) for seed in range(study.size.seeds) for name in by_name],
        gold=study.gold,
        label_names=study.task.label_names,
        data_hashes={study.task.name: study.task.fingerprint},
        weight_hashes={name: actual for name, (actual, _) in weight_hashes().items()},
    )
    return run_experiment(experiment, _RunCell(task_name, scale), folder, report, workers)
