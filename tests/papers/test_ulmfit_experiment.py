"""The study compares what it says it compares, and nothing trains on the test text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig, LanguageModel
from ulmfit_lib.papers import ulmfit_experiment
from ulmfit_lib.papers.ulmfit import LM_VARIANTS, classifier_plan
from ulmfit_lib.papers.ulmfit_experiment import (
    BASELINES,
    SCRATCH,
    SERIES,
    TABLE_7,
    Arm,
    UlmfitStudy,
    arms,
    classifier_config,
    fitting,
    lm_config,
    recipe,
    sizes,
    untrained_language_model,
)
from ulmfit_lib.study.claims import load_claims
from ulmfit_lib.study.records import EVALUATION
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.task_study import DEFAULT_TASK, LabelledTexts
from ulmfit_lib.text.corpus import Corpus, Split
from ulmfit_lib.text.tokenizer import load_tokenizer

SMOKE, LAPTOP = sizes(Scale.SMOKE), sizes(Scale.LAPTOP)
FEW = LabelledTexts(("a list", "a number", "one list", "one number"), (0, 1, 0, 1))


def tiny_model(direction: str) -> LanguageModel:
    torch.manual_seed(len(direction))
    return LanguageModel(AWDLSTM(AWDLSTMConfig(embedding_size=8, hidden_size=8, n_layers=2)))


@pytest.fixture(scope="module")
def study(task: Corpus) -> UlmfitStudy:
    texts = task.splits["train"].texts * 3
    return UlmfitStudy(task, texts, SMOKE, load_tokenizer(), load_model=tiny_model)


# The arms


def test_every_table_and_curve_of_the_paper_has_its_arms() -> None:
    found = arms(LAPTOP)
    assert {f"{s}/{n}" for s in SERIES for n in (5, 20, 75)} <= set(found)
    assert {f"classifier={name}" for name in TABLE_7} <= set(found)
    assert {f"lm={name}" for name in ("none", *LM_VARIANTS)} <= set(found)
    assert {"direction=both", "bpt3c=carried"} <= set(found)


def test_the_ablations_differ_from_the_full_recipe_in_one_thing_each() -> None:
    found = arms(LAPTOP)
    base = found["semi-supervised/20"]
    same = ("classifier=freez+discr+stlr", "lm=full+discr+stlr", "direction=forward")
    assert all(found[name] == base for name in (*same, "bpt3c=detached"))
    assert found["lm=none"] == replace(base, start="pre-trained")
    assert found["lm=full"] == replace(base, lm="full")
    assert found["classifier=last"] == replace(base, classifier="last")
    assert found["bpt3c=carried"] == replace(base, carry_gradient=True)
    assert found["supervised/20"] == replace(base, start="supervised")


@pytest.mark.parametrize("batches_per_epoch", [1, 4, 16])
def test_all_classifiers_get_the_same_number_of_steps(batches_per_epoch: int) -> None:
    base = recipe(LAPTOP).classifier
    lengths = set()
    for arm in arms(LAPTOP).values():
        if arm.start not in BASELINES:
            plan = classifier_plan(5, batches_per_epoch, classifier_config(arm, base))
            lengths.add(sum(stage.epochs for stage in plan))
    assert lengths == {100 // batches_per_epoch}


def test_from_scratch_is_trained_at_one_rate() -> None:
    config = classifier_config(Arm(5, "scratch", classifier=SCRATCH), recipe(LAPTOP).classifier)
    assert (config.unfreezing, config.ratio, config.lr_max) == ("full", 1.0, 5e-3)
    carried = classifier_config(Arm(5, "scratch", carry_gradient=True), recipe(LAPTOP).classifier)
    assert carried.head.carry_gradient


def test_a_study_fits_its_task() -> None:
    six = [label for label in range(6) for _ in range(90)]
    assert fitting(LAPTOP, six, 20) == LAPTOP
    few = fitting(LAPTOP, [*six, *[6] * 19], 20)
    assert (few.per_class, few.middle) == ((5,), 5)
    assert fitting(LAPTOP, six, 300).batch_size == 16
    assert fitting(LAPTOP, six, 300).per_class == (5, 20), "75 x 6 texts, 16 at a time: 5 epochs?"
    two = fitting(LAPTOP, [0, 1] * 500, 20)
    assert (two.per_class, two.middle) == ((10, 40, 150), 40)
    with pytest.raises(ValueError, match="smallest of 2 classes has 2 examples, and 2 of each"):
        fitting(LAPTOP, [0] * 90 + [1] * 2, 20)


def test_every_arm_of_a_claim_gets_all_seeds() -> None:
    study = UlmfitStudy.__new__(UlmfitStudy)
    study.size = LAPTOP
    runs = {name: study.seeds_of(name) for name in arms(LAPTOP)}
    claims = [claim for claim in load_claims() if claim.paper == "ulmfit"]
    needed = {arm for claim in claims for arm in runs if repr(arm) in repr(claim.rule)}
    assert {"bpt3c=carried", "bpt3c=detached"} <= needed and len(needed) >= 12
    needed |= {"classifier=from scratch", *(f"supervised/{n}" for n in LAPTOP.per_class)}
    assert {runs[arm] for arm in needed} == {LAPTOP.seeds}
    assert {runs["classifier=freez"], runs["lm=full"]} == {LAPTOP.ablation_seeds}


def test_short_text_is_read_more_often() -> None:
    config = replace(recipe(LAPTOP).lm, max_tokens=None)
    one_epoch = [[7] * (config.batch_size * config.bptt - 1)]
    assert lm_config(one_epoch * 50, config, 150).epochs == 3
    assert lm_config(one_epoch * 900, config, 150).epochs == 1
    assert lm_config([[7] * 9], config, 150).epochs == 20
    capped = replace(config, max_tokens=50 * config.batch_size * config.bptt)
    assert lm_config(one_epoch * 900, capped, 150).epochs == 3


# The cells


@pytest.mark.parametrize("name", [f"{series}/8" for series in SERIES])
def test_a_cell_predicts_every_test_example(study: UlmfitStudy, name: str) -> None:
    arm = arms(study.size)[name]
    result = study.run(arm, seed=0)
    assert len(result.predictions) == len(study.test.labels) == 20
    right = np.equal(result.predictions, study.test.labels)
    assert result.metrics["accuracy"] == pytest.approx(right.mean())
    has_epochs = arm.start == "semi-supervised"
    assert bool(result.curves) == has_epochs
    if has_epochs:
        assert len(result.curves["valid_error"]) == len(result.curves["stage"]) >= 5
        assert study.run(replace(arm, classifier="full"), seed=0).curves
        assert not study.run(replace(arm, classifier="freez"), seed=0).curves
    assert not study.run(replace(arm, per_class=4), seed=0).curves


def test_tuned_models_serve_the_arms_of_a_seed_and_are_then_forgotten(study: UlmfitStudy) -> None:
    arm = Arm(2, "semi-supervised")
    study.run(arm, seed=0)
    one = study.encoder(arm, "forward", FEW, 0)
    assert study.encoder(replace(arm, classifier="last"), "forward", FEW, 0) is one
    assert study.encoder(replace(arm, lm="full"), "forward", FEW, 0) is not one
    assert study.encoder(arm, "forward", FEW, 1) is not one


def test_only_the_labelled_texts_reach_a_supervised_language_model(
    study: UlmfitStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def tune(documents: list[list[int]], *_: object, **given: object) -> tuple[LanguageModel, None]:
        seen.append((len(documents), given["start"]))
        return tiny_model("forward"), None

    monkeypatch.setattr(ulmfit_experiment, "tune_language_model", tune)
    for start in ("supervised", "semi-supervised", "task text only"):
        study.encoder(Arm(2, start), "forward", FEW, 5)
    assert [n for n, _ in seen] == [4, SMOKE.lm_documents, SMOKE.lm_documents]
    pretrained = tiny_model("forward").decoder_bias.shape
    weights = [start.encoder.layers[0].weight_ih for _, start in seen]  # type: ignore[attr-defined]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert seen[2][1].decoder_bias.shape == pretrained  # type: ignore[attr-defined]


def test_only_the_evaluation_touches_the_test_split(study: UlmfitStudy) -> None:
    for arm in arms(study.size).values():
        touched = study.touched(arm)
        assert {t.stage for t in touched if t.split == "test"} == {EVALUATION}
        tuned = [t for t in touched if t.stage == "LM fine-tuning"]
        assert all(not t.labels for t in tuned)
        assert bool(tuned) == (arm.start in ("task text only", "supervised", "semi-supervised"))


def test_learning_rates_were_chosen_on_the_default_task_alone(task: Corpus) -> None:
    for name, chosen in ((DEFAULT_TASK, True), ("trec6", False)):
        named = replace(task, name=name)
        study = UlmfitStudy(named, ["a text"], SMOKE, load_tokenizer(), load_model=tiny_model)
        stages = {touched.stage for touched in study.stages(Arm(2, "semi-supervised"))}
        assert ("choice of learning rates" in stages) == chosen


def test_a_task_without_labels_is_refused(task: Corpus) -> None:
    task = replace(task, splits={"train": Split(("a",))})
    with pytest.raises(ValueError, match="toy has no labelled split 'train'"):
        UlmfitStudy(task, ["a"], SMOKE, load_tokenizer(), load_model=tiny_model)


def test_an_untrained_language_model_follows_its_seed() -> None:
    like = tiny_model("forward")
    one, two, other = (untrained_language_model(like, seed) for seed in (1, 1, 2))
    weights = [m.encoder.layers[0].weight_ih for m in (one, two, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
