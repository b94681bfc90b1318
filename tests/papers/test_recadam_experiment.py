"""RecAdam's study: arms that share everything but the method, and what they forget."""

from dataclasses import replace

import pytest
import torch

from ulmfit_lib.models.encoder import EncoderConfig, MaskedPositionsModel, build_encoder
from ulmfit_lib.papers import recadam_experiment
from ulmfit_lib.papers.recadam import METHODS, RecallTuning
from ulmfit_lib.papers.recadam_experiment import (
    GRID_TASK,
    LONGER,
    MAIN,
    RANDOM_K_TASK,
    TFIDF,
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
from ulmfit_lib.study.rules import Equivalence, Interaction
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.seeds import few_labels
from ulmfit_lib.text.corpus import Split
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.masked_lm import score_masked_lm
from ulmfit_lib.training.recadam import Annealing
from ulmfit_lib.training.schedules import linear_warmup

SMOKE, LAPTOP = sizes(Scale.SMOKE), sizes(Scale.LAPTOP)
BASE = RecallTuning(updates=4, max_length=32, lr_max=1e-3)


def paired(task):
    splits = {
        name: Split(split.texts, split.labels, tuple(f"{t} again" for t in split.texts))
        for name, split in task.splits.items()
    }
    return replace(task, splits=splits)


def small_study(task):
    torch.manual_seed(0)
    source = build_encoder(EncoderConfig(8192, 16, 1, 2, 32, max_length=64))
    return RecallStudy(task, SMOKE, BASE, source, load_tokenizer())


@pytest.fixture(scope="module")
def toy_study(task):
    return small_study(task)


ALL = arms(SMOKE, GRID_TASK) | arms(SMOKE, RANDOM_K_TASK)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_cell_answers_every_test_example_and_says_what_it_forgot(toy_study, name):
    arm = ALL[name]
    result = toy_study.run(arm, seed=0)
    assert len(result.predictions) == len(toy_study.test.labels)
    forgotten = {"mlm_loss", "squared_distance"} if arm.method != "tfidf" else set()
    assert set(result.metrics) == {"accuracy", "mcc"} | forgotten
    if forgotten:
        assert set(result.curves) == forgotten | {"step", "valid_error"}
        assert len({len(curve) for curve in result.curves.values()}) == 1
        assert result.metrics["squared_distance"] == result.curves["squared_distance"][-1] > 0
        assert result.curves["step"][-1] == arm.updates
        assert 5 < result.metrics["mlm_loss"] < 15  # of an encoder that knows nothing
        assert all(0 <= wrong <= 1 for wrong in result.curves["valid_error"])
    assert all(t.split == "train" for t in result.touched if t.stage != EVALUATION)


def test_what_is_measured_at_the_end_is_the_encoder_that_answers(toy_study):
    """The last entries of the curves are those of the tuned model, measured afterwards."""
    arm = ALL["recadam/4"]
    result = toy_study.run(arm, seed=1)
    again = toy_study.run(arm, seed=1)
    assert result.curves == again.curves and result.predictions == again.predictions
    start = score_masked_lm(MaskedPositionsModel(toy_study.source), toy_study.measured).loss
    assert result.curves["mlm_loss"][0] == pytest.approx(start, rel=1e-5)


def test_a_cell_does_not_depend_on_the_cells_before_it(task):
    """Fresh masks of replay come from the cell's seed alone, so that a record can be resumed."""
    arm = ALL["replay, constant/4"]
    alone = small_study(task).run(arm, 1)
    later = small_study(task)
    later.run(arm, 0)
    assert later.run(arm, 1).curves == alone.curves


def test_what_is_watched_is_shown_to_no_arm_of_its_seed(toy_study):
    for seed in range(3):
        watched = set(toy_study._watched(seed).texts)
        rows = few_labels(toy_study.train.labels, max(SMOKE.per_class), seed)
        shown = set(toy_study.train.take(rows).texts)
        assert watched and not watched & shown
        assert watched | shown == set(toy_study.train.texts)


def test_a_task_whose_every_example_is_shown_has_nothing_to_watch_but_masks(task):
    train = task.splits["train"]
    rows = few_labels(train.labels, max(SMOKE.per_class), 0)
    study = small_study(replace(task, splits={**task.splits, "train": train.take(sorted(rows))}))
    result = study.run(study.arms["recadam/4"], 0)
    assert len(result.curves["mlm_loss"]) == len(result.curves["step"])
    assert "valid_error" not in result.curves


def test_pairs_are_tuned_and_counted(task):
    found = small_study(paired(task))
    assert set(found.arms) == set(arms(SMOKE, pairs=True))
    for name in ("tfidf/4", "recadam/4"):
        assert len(found.run(found.arms[name], seed=0).predictions) == len(found.test.labels)


def test_every_method_has_an_arm_where_labels_are_many():
    found = arms(LAPTOP)
    assert {arm.method for arm in found.values() if arm.per_class == 200} == {TFIDF, *METHODS}
    assert {arm.method for arm in found.values() if arm.per_class == 800} == {TFIDF, *MAIN}
    pairs = arms(LAPTOP, pairs=True)
    assert set(pairs) < set(found) and max(arm.per_class for arm in pairs.values()) == 200
    assert {"l2-sp/200", "ewc/200", "recadam random/200"} < set(pairs)
    assert found["recadam random/200"].random_start
    assert found["replay/200"].shape == "sigmoid"
    assert found["replay, constant/200"].shape == "constant"


def test_one_task_varies_the_settings():
    grid = arms(LAPTOP, GRID_TASK)
    assert {grid[f"t0={t}"].t0 for t in (10, 60)} == {10, 60}
    assert [grid[f"k={k}"].k for k in (0.05, 0.1, 0.5, 1)] == [0.05, 0.1, 0.5, 1]
    for method, middle in (("l2-sp", 0.1), ("ewc", 0.1), ("coupled", 1.0)):
        found = {arm.gamma for arm in grid.values() if arm.method == method}
        assert sorted(found) == pytest.approx([middle / 10, middle, 10 * middle])
    assert {a.lr_max for a in grid.values() if a.method == "fine-tuning"} == {2e-4, 5e-4, 1e-3}
    longer = [arm for name, arm in grid.items() if name.endswith(", 400 steps")]
    assert [arm.method for arm in longer] == list(LONGER)
    assert all((arm.updates, arm.t0) == (400, 30) for arm in longer)
    starts = arms(LAPTOP, RANDOM_K_TASK)
    assert all(starts[f"k={k} random"].random_start for k in (0.05, 0.1, 0.5, 1))


def test_claims_rest_on_all_seeds_but_for_the_long_runs(toy_study, monkeypatch):
    grid = arms(replace(LAPTOP, per_class=(12, 50)), GRID_TASK)
    for claim in (c for c in load_claims() if c.record == f"recadam-{GRID_TASK}-laptop"):
        for arm in _arms_of(claim):
            steps = arm.endswith("steps") or claim.id == "E2"
            assert steps or not grid[arm].fewer_seeds, (claim.id, arm)
    half = replace(toy_study.size, seeds=10)
    monkeypatch.setattr(toy_study, "size", half)
    assert toy_study.seeds_of("recadam/4") == 10 and toy_study.seeds_of("replay/4") == 5


def test_the_pull_of_every_arm_is_stable():
    recalled = [a for a in (*arms(LAPTOP, GRID_TASK).values(),) if a.method == "recadam"]
    for arm in recalled:
        config = tuning(arm, RecallTuning())
        assert config.annealing == Annealing("sigmoid", arm.k, arm.t0)
        assert config.lr_max * config.gamma < 1


def test_the_random_start_is_back_at_the_pre_trained_weights_at_t0():
    """What its claim supposes: less than a thousandth of the distance is left."""
    arm = arms(LAPTOP)["recadam random/200"]
    config, left = tuning(arm, RecallTuning()), 1.0
    for t in range(arm.t0):
        rate = linear_warmup(t, arm.updates, config.lr_max, config.warmup)
        left *= 1 - (1 - config.annealing(t + 1)) * rate * config.gamma
    assert 0 < left < 1e-3


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
        size = replace(LAPTOP, per_class=(12, 50)) if task_name == "trec6" else LAPTOP
        known = arms(size, task_name, pairs=task_name in ("mrpc", "rte"))
        assert set(_arms_of(claim)) <= set(known), claim.id


def _arms_of(claim):
    rule = claim.rule
    if isinstance(rule, Interaction):
        return [*rule.larger, *rule.smaller]
    if isinstance(rule, Equivalence):
        return list(rule.arms)
    return [arm for pair in rule.pairs for arm in pair]
