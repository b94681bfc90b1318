"""A paper's study of one labelled task: arms that share data, seeds and test set, and its record.

:class:`TaskStudy` holds the data and scores the answers, :func:`record_study` writes the run
record. A paper's experiment module says its sizes, its arms, and how one of them answers the test
set. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from torch import Tensor

from ulmfit_lib.models.classifier import average_probabilities
from ulmfit_lib.models.pretrained import weight_hashes
from ulmfit_lib.study.experiments import Cell, Experiment, run_experiment
from ulmfit_lib.study.records import EVALUATION, CellResult, RunRecord, Touched
from ulmfit_lib.study.scale import Scale, current_scale
from ulmfit_lib.study.seeds import derive, few_labels
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.corpus import Corpus

DEFAULT_TASK = "pydocs-roles"  # a record of another task has its name in the file name

Curves = dict[str, list[float]]  # such as the error after every epoch


@dataclass(frozen=True)
class StudySizes:
    """How large a study is; the dial changes nothing else. Introduced in the chapter *FitLaM*."""

    seeds: int  # runs per arm
    per_class: tuple[int, ...]  # labelled examples of each class, ascending
    test_documents: int  # test examples, at most


@dataclass(frozen=True)
class StudyArm:
    """One way to get a classifier from so many labels. Introduced in the chapter *FitLaM*."""

    per_class: int  # labelled examples of each class


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with the class of each. Introduced in the chapter *FitLaM*."""

    texts: tuple[str, ...]  # length N
    labels: tuple[int, ...]  # length N
    texts_b: tuple[str, ...] | None = None  # second text of each pair, length N; None: no pairs

    def take(self, rows: Sequence[int]) -> LabelledTexts:
        """The examples at the positions ``rows``, in that order."""
        return LabelledTexts(
            tuple(self.texts[i] for i in rows),
            tuple(self.labels[i] for i in rows),
            None if self.texts_b is None else tuple(self.texts_b[i] for i in rows),
        )

    def in_one(self) -> list[str]:
        """Each example as one text, for a baseline that counts words: pairs one after the other."""
        if self.texts_b is None:
            return list(self.texts)
        return [f"{a} {b}" for a, b in zip(self.texts, self.texts_b, strict=True)]


Arm = TypeVar("Arm", bound=StudyArm)
T = TypeVar("T")


class TaskStudy(ABC, Generic[Arm]):
    """A labelled task, and the arms that a paper compares on it.

    A paper's study says in :meth:`answer` how an arm gets its answers, and in
    :meth:`stages` what training was shown. Introduced in the chapter *FitLaM*.

    Args:
        task: labelled texts with splits "train" and "test".
        size: how much of it to use.
        arms: every arm by name.
        settings: the study's other settings for the record, each a dataclass.

    Raises:
        ValueError: a split is missing or has no labels.
    """

    reads_pairs: ClassVar[bool] = False  # whether its arms take pairs of texts, too
    rare_classes: ClassVar[bool] = False  # whether a class may have fewer labels than an arm asks
    checkpoint = ""  # name of one that is not shipped, where arms start from it

    def __init__(
        self, task: Corpus, size: StudySizes, arms: Mapping[str, Arm], settings: Mapping[str, Any]
    ) -> None:
        self.task, self.size, self.arms, self.settings = task, size, arms, settings
        self.train = labelled(task, "train", pairs=self.reads_pairs)
        self.test = labelled(task, "test", size.test_documents, self.reads_pairs)
        self._seed, self._made = -1, dict[Hashable, Any]()

    @abstractmethod
    def answer(self, arm: Arm, shown: LabelledTexts, seed: int) -> tuple[Sequence[int], Curves]:
        """Train ``arm``, then classify ``self.test``.

        Args:
            arm: one of ``self.arms``.
            shown: the labelled examples that it may train on.
            seed: of everything random.

        Returns:
            The class of each test example, and curves for the record.
        """

    @abstractmethod
    def stages(self, arm: Arm) -> Sequence[Touched]:
        """What each training stage of ``arm`` is shown."""

    def seeds_of(self, name: str) -> int:
        """Runs of the arm ``name``: all seeds, unless a study spends fewer on what no claim needs.

        Args:
            name: one of ``self.arms``.
        """
        return self.size.seeds

    def run(self, arm: Arm, seed: int) -> CellResult:
        """Train ``arm`` with ``seed`` on its few labels, and score it on the test set."""
        rows = few_labels(self.train.labels, arm.per_class, seed, or_all=self.rare_classes)
        shown = self.train.take(rows)
        predictions, curves = self.answer(arm, shown, seed)
        accuracy = float(np.mean(np.equal(predictions, self.test.labels)))
        return CellResult({"accuracy": accuracy}, tuple(predictions), curves, self.touched(arm))

    def data_hashes(self) -> dict[str, str]:
        """Fingerprint of the task, by its name; with those of every other corpus that arms read."""
        return {self.task.name: self.task.fingerprint}

    def weight_hashes(self) -> dict[str, str]:
        """SHA-256 of the shipped weights by name, and of any others that arms start from."""
        return {name: actual for name, (actual, _) in weight_hashes().items()}

    def touched(self, arm: Arm) -> tuple[Touched, ...]:
        """What each stage of ``arm`` is shown; the evaluation alone sees the test split."""
        return (*self.stages(arm), Touched(EVALUATION, "test", True, True))

    def once(self, seed: int, key: Hashable, make: Callable[[], T]) -> T:
        """What arms of one seed share: made at the first call, forgotten when the seed changes.

        Args:
            seed: the run's seed.
            key: tells apart what is shared.
            make: makes it.
        """
        if seed != self._seed:  # cells come seed by seed: what an earlier one made is done with
            self._seed, self._made = seed, {}
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def labelled(
    task: Corpus, split: str, most: int | None = None, pairs: bool = False
) -> LabelledTexts:
    """Texts and classes of a split.

    Introduced in the chapter *FitLaM*.

    Args:
        task: a classification task.
        split: name of one of its splits.
        most: a random sample of so many, always the same; None: all.
        pairs: take pairs of texts, too.

    Raises:
        ValueError: there is no such split, it has no classes, or its texts are
            pairs and those were not asked for.
    """
    found = task.splits.get(split)
    if found is None or found.labels is None:
        raise ValueError(f"{task.name} has no labelled split {split!r}: the study needs one")
    if (found.texts_b is not None and not pairs) or not task.label_names:
        wanted = "classes" if pairs else "single texts with classes"
        raise ValueError(f"{task.name} has pairs of texts, or scores: the study needs {wanted}")
    every = LabelledTexts(found.texts, tuple(int(y) for y in found.labels), found.texts_b)
    if most is None or most >= len(found):
        return every
    # Not the first so many: the rows of a split are in an order, and classes may be too.
    order = np.random.default_rng(derive(0, "sample of a split")).permutation(len(found))
    return every.take(sorted(int(i) for i in order[:most]))


def measurable(task: Corpus) -> Corpus:
    """``task`` with its validation split in the place of a test split without labels.

    For tasks whose test labels were never published, such as GLUE's.
    Introduced in the chapter *RecAdam*.

    Args:
        task: any task; one without a validation split stays as it is.
    """
    test = task.splits.get("test")
    if (test is not None and test.labels is not None) or "valid" not in task.splits:
        return task
    kept = dict(task.splits)
    kept["test"] = kept.pop("valid")
    note = "measured on its validation split: its test labels are not published"
    return replace(task, splits=kept, provenance=f"{task.provenance}; {note}")


def unlabelled_texts(task: Corpus) -> tuple[str, ...]:
    """Text for a language model: the task's own, without labels, and no row of its test split.

    Some sets hold copies of test texts among their training texts; those stay
    in. For ``pydocs-roles`` the paragraphs of the same files' training part,
    of which its sentences are a sample. Introduced in the chapter *FitLaM*.
    """
    source = load("pydocs") if task.name == "pydocs-roles" else task
    texts = source.splits["train"].texts
    return texts + (source.splits["unsup"].texts if "unsup" in source.splits else ())


def sample_texts(texts: Sequence[str], most: int, seed: int) -> list[str]:
    """At most ``most`` of ``texts``, drawn at random, in random order.

    Introduced in the chapter *FitLaM*.

    Args:
        texts: such as :func:`unlabelled_texts`.
        most: texts to draw.
        seed: the run's seed.
    """
    order = np.random.default_rng(derive(seed, "unlabelled")).permutation(len(texts))
    return [texts[i] for i in order[:most]]


def likeliest(probabilities: Sequence[Tensor]) -> list[int]:
    """The likeliest class of each document by one model, or by a forward and a backward one.

    Introduced in the chapter *FitLaM*.

    Args:
        probabilities: of each model, (N, C).
    """
    one = len(probabilities) == 1
    mean = probabilities[0] if one else average_probabilities(*probabilities)
    return [int(i) for i in mean.argmax(dim=1)]


BuildStudy = Callable[[str, Scale], TaskStudy[Any]]  # (task, scale) -> study


def record_study(
    paper: str,
    build: BuildStudy,
    task_name: str = DEFAULT_TASK,
    folder: str | Path = "runs-local",
    workers: int = 1,
    report: Callable[[str], None] = print,
) -> RunRecord:
    """Run every arm with every seed at the dial's scale; write ``folder/PAPER-SCALE.json``.

    A study from another checkpoint has that in its record's name, too.

    Interrupted, it goes on where it stopped. Introduced in the chapter
    *FitLaM*.

    Args:
        paper: name of the paper's module, "fitlam".
        build: makes the study of a task at a scale, once per process; a
            module's function, so that other processes find it.
        task_name: a corpus with splits "train" and "test".
        folder: where the record goes.
        workers: processes that share the seeds.
        report: takes one line of progress per cell.
    """
    scale = current_scale()
    experiment = _experiment(paper, task_name, scale, _built(build, task_name, scale))
    return run_experiment(experiment, _RunCell(build, task_name, scale), folder, report, workers)


def _experiment(paper: str, task_name: str, scale: Scale, study: TaskStudy[Any]) -> Experiment:
    suffix = scale.value if task_name == DEFAULT_TASK else f"{task_name}-{scale.value}"
    if study.checkpoint:
        suffix += "-from-" + re.sub(r"[^\w.]+", "-", study.checkpoint)
    settings = {"sizes": study.size, **study.settings}
    return Experiment(
        paper=paper,
        name=f"{paper}-{suffix}",
        scale=scale,
        config={
            "task": task_name,
            **{name: asdict(value) for name, value in settings.items()},
            "arms": {name: asdict(arm) for name, arm in study.arms.items()},
        },
        cells=_cells(study),
        gold=study.test.labels,
        label_names=study.task.label_names,
        data_hashes=study.data_hashes(),
        weight_hashes=study.weight_hashes(),
    )


def _cells(study: TaskStudy[Any]) -> list[Cell]:
    """Seed by seed, so that what the arms of a seed share is made once."""
    seeds = {name: study.seeds_of(name) for name in study.arms}
    rounds = range(max(seeds.values()))
    return [Cell(name, seed) for seed in rounds for name in seeds if seed < seeds[name]]


@cache
def _built(build: BuildStudy, task_name: str, scale: Scale) -> TaskStudy[Any]:
    """The study of a process: its data and tuned models serve all cells that run there."""
    return build(task_name, scale)


@dataclass(frozen=True)
class _RunCell:
    """Runs a cell of the study, in whichever process it is called."""

    build: BuildStudy
    task_name: str
    scale: Scale

    def __call__(self, cell: Cell) -> CellResult:
        study = _built(self.build, self.task_name, self.scale)
        return study.run(study.arms[cell.arm], cell.seed)
