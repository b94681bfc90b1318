"""A study scores what its arms answer, shares what it may, and is recorded whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from ulmfit_lib.study import task_study
from ulmfit_lib.study.records import EVALUATION, RunRecord, Touched, load_record
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.task_study import (
    Curves,
    LabelledTexts,
    StudyArm,
    StudySizes,
    TaskStudy,
    labelled,
    likeliest,
    measurable,
    record_study,
    sample_texts,
    unlabelled_texts,
)
from ulmfit_lib.text.corpus import Corpus, Split

TRAIN = Split(("a 0", "b 1", "c 0", "d 1", "e 0", "f 1"), (0, 1, 0, 1, 0, 1))
TEST = Split(("g 0", "h 1", "i 0", "j 1"), (0, 1, 0, 1))
TASK = Corpus(
    "toy", {"train": TRAIN, "test": TEST, "unsup": Split(("more",))}, ("even", "odd"), "", "", ""
)


@dataclass(frozen=True)
class Guess(StudyArm):
    """Always answers with one class."""

    label: int


@dataclass(frozen=True)
class Settings:
    temperature: float


class Guesses(TaskStudy[Guess]):
    """Keeps the examples that each run was shown."""

    def __init__(self, task: Corpus = TASK) -> None:
        arms = {"zero": Guess(1, 0), "one": Guess(2, 1)}
        super().__init__(task, StudySizes(2, (1, 2), 3), arms, {"how": Settings(0.5)})
        self.seen: list[LabelledTexts] = []

    def answer(self, arm: Guess, shown: LabelledTexts, seed: int) -> tuple[Sequence[int], Curves]:
        self.seen.append(shown)
        return [arm.label] * len(self.test.texts), {"seed": [seed]}

    def stages(self, arm: Guess) -> Sequence[Touched]:
        return [Touched("classifier", "train", True, True)]


def guesses(task_name: str, scale: Scale) -> Guesses:
    return Guesses(replace(TASK, name=task_name))


def test_a_run_is_shown_few_labels_and_scored_on_the_test_set() -> None:
    study = Guesses()
    result = study.run(study.arms["one"], seed=7)
    assert result.metrics["accuracy"] == pytest.approx(1 / 3)
    assert result.predictions == (1, 1, 1) and result.curves == {"seed": [7]}
    (shown,) = study.seen
    assert sorted(shown.labels) == [0, 0, 1, 1] and set(shown.texts) <= set(TRAIN.texts)
    assert [int(text[-1]) for text in shown.texts] == list(shown.labels)
    assert [t.stage for t in result.touched if t.split == "test"] == [EVALUATION]


def test_what_is_made_once_serves_one_seed() -> None:
    study, made = Guesses(), [object() for _ in range(3)]
    left = iter(made)
    assert study.once(0, "model", lambda: next(left)) is made[0]
    assert study.once(0, "model", lambda: next(left)) is made[0]
    assert study.once(0, "other", lambda: next(left)) is made[1]
    assert study.once(1, "model", lambda: next(left)) is made[2]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_study_is_recorded_and_taken_up_again(tmp_path: Path, workers: int) -> None:
    def record() -> RunRecord:
        return record_study("guess", guesses, "toy", tmp_path, workers, said.append)

    said: list[str] = []
    first = record()
    assert first.experiment == "guess-toy-smoke" and len(said) == 4
    assert {arm: list(first.cells(arm)) for arm in first.arms} == {"zero": [0, 1], "one": [0, 1]}
    assert first.gold == labelled(TASK, "test", 3).labels and first.data_hashes == {
        "toy": TASK.fingerprint
    }
    assert first.config == {
        "task": "toy",
        "sizes": {"seeds": 2, "per_class": [1, 2], "test_documents": 3},
        "how": {"temperature": 0.5},
        "arms": {"zero": {"per_class": 1, "label": 0}, "one": {"per_class": 2, "label": 1}},
    }
    assert record() == load_record("guess-toy-smoke", tmp_path) and len(said) == 4


class Uneven(Guesses):
    """Spends one seed only on the arm that nobody claims anything about."""

    def seeds_of(self, name: str) -> int:
        return 1 if name == "zero" else self.size.seeds


def uneven(task_name: str, scale: Scale) -> Uneven:
    return Uneven(replace(TASK, name=task_name))


def test_an_arm_may_get_fewer_seeds(tmp_path: Path) -> None:
    record = record_study("guess", uneven, "toy", tmp_path, report=lambda _: None)
    assert {arm: list(record.cells(arm)) for arm in record.arms} == {"zero": [0], "one": [0, 1]}


def from_elsewhere(task_name: str, scale: Scale) -> Guesses:
    study = guesses(task_name, scale)
    study.checkpoint = "hub/model-1.5"
    return study


def test_a_checkpoint_is_in_the_name_of_its_record(tmp_path: Path) -> None:
    record = record_study("guess", from_elsewhere, "toy", tmp_path, report=lambda _: None)
    assert record.experiment == "guess-toy-smoke-from-hub-model-1.5"
    assert (tmp_path / f"{record.experiment}.json").is_file()


def test_the_books_own_task_needs_no_name_in_the_record(tmp_path: Path) -> None:
    record = record_study("guess", guesses, folder=tmp_path, report=lambda _: None)
    assert record.experiment == "guess-smoke" and record.config["task"] == task_study.DEFAULT_TASK


@pytest.mark.parametrize("split", ["unsup", "valid"])
def test_a_task_without_labels_is_refused(split: str) -> None:
    with pytest.raises(ValueError, match=f"toy has no labelled split '{split}'"):
        labelled(TASK, split)


def test_language_models_read_no_test_text() -> None:
    assert unlabelled_texts(TASK) == (*TRAIN.texts, "more")


def test_texts_are_drawn_by_the_seed() -> None:
    texts = [str(i) for i in range(50)]
    assert sample_texts(texts, 5, 1) == sample_texts(texts, 50, 1)[:5]
    assert sorted(sample_texts(texts, 99, 1)) == sorted(texts)
    assert sample_texts(texts, 5, 1) != sample_texts(texts, 5, 2)


def test_two_models_are_averaged() -> None:
    forward, backward = torch.tensor([[0.6, 0.4]]), torch.tensor([[0.1, 0.9]])
    assert likeliest([forward]) == [0]
    assert likeliest([forward, backward]) == [1]


def test_a_part_of_a_split_is_a_sample_of_it():
    texts, labels = tuple(map(str, range(200))), (0,) * 100 + (1,) * 100
    task = Corpus("toy", {"test": Split(texts, labels)}, ("a", "b"), "", "", "")
    part = labelled(task, "test", 100)
    assert part == labelled(task, "test", 100)
    assert len(set(part.texts)) == 100 and 30 < sum(part.labels) < 70
    assert all(labels[int(t)] == y for t, y in zip(part.texts, part.labels, strict=True))
    assert labelled(task, "test", 200) == labelled(task, "test")


def test_pairs_are_read_where_a_study_takes_them():
    splits = {"train": Split(("a", "b"), (0, 1), ("c", "d"))}
    task = Corpus("twos", splits, ("same", "other"), "", "", "")
    with pytest.raises(ValueError, match="twos has pairs of texts.*single texts"):
        labelled(task, "train")
    found = labelled(task, "train", pairs=True)
    assert found.take([1]) == LabelledTexts(("b",), (1,), ("d",))
    assert found.in_one() == ["a c", "b d"]
    assert labelled(TASK, "train", pairs=True).in_one() == list(TRAIN.texts)


def test_scores_are_no_classes_with_pairs_either():
    splits = {"train": Split(("a", "b"), (0.5, 1.0), ("c", "d"))}
    with pytest.raises(ValueError, match="the study needs classes"):
        labelled(Corpus("scored", splits, (), "", "", ""), "train", pairs=True)


def test_a_test_split_without_labels_gives_way_to_the_validation_split():
    hidden = Split(("unlabelled",))
    task = replace(TASK, splits={"train": TRAIN, "valid": TEST, "test": hidden})
    found = measurable(task)
    assert found.splits["test"] == TEST and "valid" not in found.splits
    assert "validation split" in found.provenance
    assert measurable(found) is found
    only = replace(TASK, splits={"train": TRAIN, "test": hidden})
    assert measurable(only) is only
