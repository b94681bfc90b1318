"""The study compares what it says it compares, and nothing sees the test text."""

from dataclasses import replace

import pytest

from ulmfit_lib.papers.fitlam import LMTuning
from ulmfit_lib.papers.fitlam_experiment import BOTH, FitlamStudy, arms, sizes
from ulmfit_lib.study.records import EVALUATION
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.task_study import unlabelled_texts
from ulmfit_lib.text.tokenizer import load_tokenizer

SMOKE = sizes(Scale.SMOKE)


@pytest.fixture(scope="module")
def study(task):
    texts = unlabelled_texts(task) * 20
    return FitlamStudy(task, texts, SMOKE, load_tokenizer(), LMTuning(epochs=1))


def test_the_arms_differ_in_one_thing_each():
    found = arms(sizes(Scale.LAPTOP))
    base = found["pretrained+lm/50"]
    assert found["ratio=0.3"] == found["schedule=reverse"] == found["direction=forward"] == base
    assert found["ratio=1"] == replace(base, classifier=replace(base.classifier, ratio=1.0))
    assert found["direction=both"] == replace(base, directions=BOTH)
    assert found["pretrained/50"] == replace(base, start="pretrained")
    assert found["scratch/10/both"] == replace(found["scratch/10"], directions=BOTH)
    assert found["ratio=1, own rate"].classifier.ratio == 1.0
    updates = {(a.classifier.updates, a.classifier.head_updates) for a in found.values()}
    assert len(updates) == 1
    assert {a.per_class for a in found.values()} == {10, 50, 200}


@pytest.mark.parametrize("name", ["scratch/4", "tfidf/4", "direction=both"])
def test_a_cell_predicts_every_test_example(study, name):
    result = study.run(arms(SMOKE)[name], seed=0)
    assert len(result.predictions) == len(study.test.labels) == 20
    share = sum(p == g for p, g in zip(result.predictions, study.test.labels, strict=True)) / 20
    assert result.metrics["accuracy"] == pytest.approx(share)


def test_one_language_model_serves_all_arms_of_a_seed(study):
    one = study.encoder("pretrained+lm", "forward", 0)
    assert study.encoder("pretrained+lm", "forward", 0) is one


def test_only_the_evaluation_touches_the_test_split(study):
    for arm in arms(SMOKE).values():
        stages = {t.stage for t in study.touched(arm) if t.split == "test"}
        assert stages == {EVALUATION}
        labelled = [t for t in study.touched(arm) if t.stage == "LM fine-tuning"]
        assert all(not t.labels for t in labelled)
        assert bool(labelled) == (arm.start == "pretrained+lm")
