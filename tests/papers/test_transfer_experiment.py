"""Every model meets the same labels and the same rivals, and nothing sees the test text."""

from dataclasses import replace

import pytest

from ulmfit_lib.papers import transfer_experiment
from ulmfit_lib.papers.bert_finetuning import EncoderTuning
from ulmfit_lib.papers.fitlam import ClassifierTuning
from ulmfit_lib.papers.transfer_experiment import (
    MODELS,
    PROBE,
    TFIDF,
    TUNED,
    TransferStudy,
    arms,
    mean_states,
    sizes,
    study,
)
from ulmfit_lib.study.records import EVALUATION
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.text.batches import TokenDataset
from ulmfit_lib.text.corpus import Split

SMOKE = sizes(Scale.SMOKE)


@pytest.fixture(scope="module")
def toy_study(task):
    awd = ClassifierTuning(updates=2, head_updates=1)
    return TransferStudy(task, SMOKE, awd, EncoderTuning(updates=2))


def test_every_model_is_read_both_ways_and_has_its_rivals():
    found = arms(sizes(Scale.LAPTOP))
    assert {arm.per_class for arm in found.values()} == {10, 50, 200}
    for n in (10, 50, 200):
        assert found[f"{TFIDF}/{n}"].method == TFIDF
        for method in (PROBE, TUNED):
            assert {f"{model}/{method}/{n}" for model in MODELS} <= set(found)
            for model in ("forward", "encoder"):
                scratch = found[f"{model} scratch/{method}/{n}"]
                assert scratch == replace(found[f"{model}/{method}/{n}"], pretrained=False)


@pytest.mark.parametrize("name", sorted(name for name in arms(SMOKE) if name.endswith("/4")))
def test_a_cell_predicts_every_test_example(toy_study, name):
    result = toy_study.run(toy_study.arms[name], seed=0)
    assert len(result.predictions) == len(toy_study.test.labels)
    assert set(result.metrics) == {"accuracy", "mcc"}
    assert all(t.split == "train" for t in result.touched if t.stage != EVALUATION)


def test_mean_states_come_in_the_documents_order():
    documents = [[1, 10, 10, 2], [1, 20, 2], [1, 30, 30, 30, 2]]
    means = mean_states(lambda ids: ids.unsqueeze(-1).float(), TokenDataset(documents))
    expected = [sum(d) / len(d) for d in documents]
    assert means.squeeze(1).tolist() == pytest.approx(expected)


@pytest.fixture
def loaded(task, monkeypatch):
    def use(names=task.label_names, **splits):
        changed = replace(task, splits={**task.splits, **splits}, label_names=names)
        monkeypatch.setattr(transfer_experiment, "load", lambda name: changed)
        return study("toy", Scale.SMOKE)

    return use


def test_label_counts_that_a_class_cannot_fill_are_left_out(loaded):
    texts = ("a", "b", "c", "d", "e", "f", "g")
    found = loaded(train=Split(texts, (0, 0, 0, 1, 1, 2, 2)), names=("x", "y", "z"))
    assert found.size.per_class == (2,)
    assert {arm.per_class for arm in found.arms.values()} == {2}


def test_two_classes_are_not_learned_from_the_fewest_labels(loaded):
    assert loaded().size.per_class == SMOKE.per_class[-1:]


def test_a_test_split_without_labels_gives_way_to_the_validation_split(loaded):
    found = loaded(test=Split(("unlabelled",)))
    assert found.test.texts == found.task.splits["test"].texts
    assert "valid" not in found.task.splits
    assert "not published" in found.task.provenance


@pytest.mark.parametrize(
    ("splits", "complaint"),
    [
        ({"train": Split(("a", "b"), (0, 1))}, "rarest class of toy has 1 labelled examples"),
        ({"train": Split(("a", "b"))}, "no labelled split 'train'"),
        ({"train": Split(("a",) * 8, (0, 1) * 4, ("b",) * 8)}, "pairs of texts"),
    ],
)
def test_a_task_that_cannot_be_studied_is_refused(loaded, splits, complaint):
    with pytest.raises(ValueError, match=complaint):
        loaded(**splits)
