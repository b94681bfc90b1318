"""RecAdam's study: arms that share everything but the method, and what they forget."""

from dataclasses import replace

import pytest

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.papers import recadam_experiment
from ulmfit_lib.papers.recadam import RecallTuning
from ulmfit_lib.papers.recadam_experiment import (
    GRID_TASK,
    RecallStudy,
    arms,
    fitting,
    general_sequences,
    sizes,
    study,
    tuning,
)
from ulmfit_lib.study.claims import load_claims
from ulmfit_lib.study.records import EVALUATION
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.text.corpus import Split
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.recadam import Annealing

SMOKE, LAPTOP = sizes(Scale.SMOKE), sizes(Scale.LAPTOP)
BASE = RecallTuning(updates=4, max_length=32, lr_max=1e-3)


def paired(task):
    splits = {
        name: Split(split.texts, split.labels, tuple(f"{t} again" for t in split.texts))
        for name, split in task.splits.items()
    }
    return replace(task, splits=splits)


def small_study(task):
    source = build_encoder(EncoderConfig(8192, 16, 1, 2, 32, max_length=64))
    return RecallStudy(task, SMOKE, BASE, source, load_tokenizer())


@pytest.fixture(scope="module")
def toy_study(task):
    return small_study(task)


@pytest.mark.parametrize("name", sorted(arms(SMOKE, grid=True)))
def test_a_cell_answers_every_test_example_and_says_what_it_forgot(toy_study, name):
    arm = arms(SMOKE, grid=True)[name]
    result = toy_study.run(arm, seed=0)
    assert len(result.predictions) == len(toy_study.test.labels)
    forgotten = {"mlm_loss", "squared_distance"} if arm.method != "tfidf" else set()
    assert set(result.metrics) == {"accuracy", "mcc"} | forgotten
    if forgotten:
        assert result.metrics["squared_distance"] == result.curves["squared_distance"][-1] > 0
        assert len(result.curves["step"]) == len(result.curves["squared_distance"])
        assert 5 < result.metrics["mlm_loss"] < 15  # of an encoder that knows nothing
    assert all(t.split == "train" for t in result.touched if t.stage != EVALUATION)


def test_pairs_are_tuned_and_counted(task):
    found = small_study(paired(task))
    assert set(found.arms) == set(arms(SMOKE, pairs=True))
    for name in ("tfidf/4", "recadam/4"):
        assert len(found.run(found.arms[name], seed=0).predictions) == len(found.test.labels)


def test_every_method_has_an_arm_where_labels_are_many():
    found = arms(LAPTOP)
    assert {arm.method for arm in found.values() if arm.per_class == 200} == {
        "tfidf",
        "fine-tuning",
        "head warm-up",
        "gradual unfreezing",
        "coupled",
        "replay",
        "l2-sp",
        "ewc",
        "recadam",
    }
    assert set(arms(LAPTOP, pairs=True)) < set(found) < set(arms(LAPTOP, grid=True))
    assert found["recadam random/200"].random_start
    grid = arms(LAPTOP, grid=True)
    assert {grid[f"t0={t}"].t0 for t in (10, 60)} == {10, 60} and grid["k=1"].k == 1.0


def test_the_pull_of_every_arm_is_stable():
    for arm in (a for a in arms(LAPTOP, grid=True).values() if a.method != "tfidf"):
        config = tuning(arm, RecallTuning())
        assert config.annealing == Annealing("sigmoid", arm.k, arm.t0)
        assert config.lr_max * config.gamma < 1


def test_label_counts_fit_the_classes(task):
    assert fitting(SMOKE, task) == SMOKE
    three = replace(task, label_names=("a", "b", "c"))
    assert fitting(SMOKE, three).per_class == (1, 1)
    assert fitting(replace(SMOKE, per_class=(4, 50)), task).per_class == (4,)
    with pytest.raises(ValueError, match="rarest class of toy has 12"):
        fitting(LAPTOP, task)


def test_the_study_reads_pairs_from_the_catalogue(task, monkeypatch):
    monkeypatch.setattr(recadam_experiment, "load", lambda name: paired(task))
    found = study("toy", Scale.SMOKE)
    assert found.test.texts_b is not None and found.source.config.hidden_size == 256


def test_general_text_is_masked_the_same_way_every_time():
    first, again = (general_sequences(load_tokenizer(), "measure", 64) for _ in range(2))
    assert all(bool((a == b).all()) for a, b in zip(first.masked, again.masked, strict=True))


def test_every_claim_names_arms_of_its_study():
    for claim in (c for c in load_claims() if c.paper == "recadam"):
        task_name = claim.record.removeprefix("recadam-").removesuffix("-laptop")
        many = task_name == "trec6"
        size = replace(LAPTOP, per_class=(12, 50)) if many else LAPTOP
        known = arms(size, pairs=task_name in ("mrpc", "rte"), grid=task_name == GRID_TASK)
        pairs = getattr(claim.rule, "pairs", None) or [claim.rule.arms]
        assert {arm for pair in pairs for arm in pair} <= set(known), claim.id
