"""Arms differ in the choice of masks alone; the control has as many; no held-out text is read."""

import numpy as np
import pytest

from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.papers.selective_masking_experiment import (
    CHECK,
    DOMAINS,
    LEXICON,
    NONE,
    POLICIES,
    RANDOM,
    SELECTIVE,
    TFIDF,
    MaskingStudy,
    arms,
    sizes,
    stop_ids,
    study,
)
from ulmfit_lib.study.records import EVALUATION, check_result
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.text.catalogue import find

SMOKE = sizes(Scale.SMOKE)
WORDS = "axis tensor list number returns matrix value".split()
RNG = np.random.default_rng(0)
TEXTS = {"other": [" ".join(RNG.choice(WORDS, 12)) for _ in range(30)]}


@pytest.fixture(scope="module")
def toy_study(task):
    return MaskingStudy(task, SMOKE, load_pretrained_encoder(), TEXTS)


def test_arms_are_policies_by_domain():
    found = arms(sizes(Scale.LAPTOP), ("a", "b"))
    assert set(found) == {TFIDF, NONE} | {f"{p}, {d}" for p in POLICIES for d in "ab"}
    assert {arm.per_class for arm in found.values()} == {50}


@pytest.mark.parametrize("name", sorted(arms(SMOKE, ("other",))))
def test_a_cell_predicts_every_test_example(toy_study, name):
    result = toy_study.run(toy_study.arms[name], seed=0)
    check_result("here", name, result, toy_study.test.labels)
    assert all(t.split == "train" for t in result.touched if t.stage not in (EVALUATION, CHECK))
    if name.startswith(SELECTIVE):
        assert {"labeller precision", "labeller recall", "masked"} <= set(result.metrics)


def test_the_control_has_as_many_masks_in_every_text(toy_study):
    shown = toy_study.train.take(range(8))
    documents = toy_study.encoder.encode(shown.texts)
    chosen, control, words = (
        toy_study.choice(policy, "other", documents, shown.labels, 0)
        for policy in (SELECTIVE, RANDOM, LEXICON)
    )
    assert [sum(row) for row in control] == [sum(row) for row in chosen]
    lengths = [len(ids) for ids in toy_study.domains["other"]]
    for choice in (chosen, control, words):
        assert [len(row) for row in choice] == lengths
        assert all(sum(row) <= max(1, 0.15 * len(row)) for row in choice)


def test_stop_words_are_known_with_and_without_a_blank(toy_study):
    found = stop_ids(toy_study.encoder)
    for form in ("the", " the", "The", " The"):
        assert toy_study.encoder.encode([form])[0][0] in found
    assert toy_study.encoder.encode([" tensor"])[0][0] not in found


def test_every_task_s_texts_are_in_the_catalogue():
    for name in (*DOMAINS, "amazon-mds", "yelp10k"):
        assert find(name).name == name
    with pytest.raises(ValueError, match="has no domain here"):
        study("trec6", Scale.SMOKE)
