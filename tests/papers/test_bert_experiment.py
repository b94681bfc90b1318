"""Arms change one thing each, label counts fit the task, and the audit tells who read what."""

from dataclasses import replace

import pytest

from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.papers import bert_experiment
from ulmfit_lib.papers.bert_experiment import (
    CROSS_DOMAIN,
    IN_DOMAIN,
    TASKS,
    BertStudy,
    arms,
    base_tuning,
    fitting,
    joined_pairs,
    sizes,
)
from ulmfit_lib.study.claims import load_claims
from ulmfit_lib.study.records import EVALUATION, check_result
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.text.corpus import Corpus, Split

SMOKE = sizes(Scale.SMOKE)
TEXTS = {IN_DOMAIN: ["A mill stands at the river. " * 30], CROSS_DOMAIN: ["x = f(y) + 1\n" * 40]}
BASE = base_tuning(SMOKE, 4)
FOUND = arms(SMOKE, BASE, 4)


@pytest.fixture(scope="module")
def toy_study(task):
    long = {
        name: Split(tuple(f"{t} " + "and so on " * 20 for t in split.texts), split.labels)
        for name, split in task.splits.items()
    }
    encoder = load_pretrained_encoder()
    return BertStudy(replace(task, splits=long), SMOKE, encoder, TEXTS, [task])


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_cell_predicts_every_test_example(toy_study, name):
    arm = toy_study.arms[name]
    result = toy_study.run(arm, seed=0)
    check_result("here", name, result, toy_study.test.labels)
    seen = {(t.split, t.labels) for t in result.touched if t.stage != EVALUATION}
    assert ("test", True) not in seen
    assert (("test", False) in seen) == ("transductive" in name)
    if arm.method in ("FiT", TASKS):
        assert result.metrics["train_loss"] > 0 and result.metrics["mlm_loss"] > 0


def test_the_names_of_one_training_are_trained_once():
    same = ("FiT", "truncation=head+tail", "lr=1x", "decay=0.95", "layer=last")
    assert len({FOUND[name] for name in same}) == 1


def test_every_claim_names_arms_that_there_are():
    for claim in load_claims():
        if claim.paper != "bert_finetuning":
            continue
        rule = claim.rule
        named = [arm for pair in getattr(rule, "pairs", ()) for arm in pair]
        missing = {*named, *getattr(rule, "arms", ())} - set(FOUND)
        assert not missing, f"{claim.id}: {missing}"


def test_each_arm_changes_one_thing():
    base = FOUND["FiT"]
    for name, arm in FOUND.items():
        changed = {
            field
            for field in vars(base.tuning)
            if getattr(arm.tuning, field) != getattr(base.tuning, field)
        }
        # Left-out layers have no rate, and gradual unfreezing comes with its schedule.
        alone = "gradual" not in name and not name.startswith("layer")
        assert len(changed) <= (1 if alone else 2), (name, changed)


def test_a_kind_of_text_that_is_missing_has_no_arm(task):
    texts = {IN_DOMAIN: (), CROSS_DOMAIN: TEXTS[CROSS_DOMAIN]}
    study = BertStudy(task, SMOKE, load_pretrained_encoder(), texts, [])
    assert f"text={IN_DOMAIN}" not in study.arms and f"text={CROSS_DOMAIN}" in study.arms


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((900, 900), (50, 200)), ((900,) * 6, (16, 66)), ((11, *(500,) * 38), (2, 10))],
)
def test_label_counts_follow_from_the_task(counts, expected):
    labels = [label for label, n in enumerate(counts) for _ in range(n)]
    assert fitting(sizes(Scale.LAPTOP), labels).per_class == expected


def test_titles_and_abstracts_are_one_text():
    split = Split(("Title",), (0,), ("Abstract of it.",))
    task = Corpus("toy", {"train": split}, ("x",), "none", "none", "here")
    assert joined_pairs(task).splits["train"].texts == ("Title. Abstract of it.",)
    alone = Corpus("toy", {"train": Split(("Text",), (0,))}, ("x",), "none", "none", "here")
    assert joined_pairs(alone).splits["train"].texts == ("Text",)


def test_every_task_finds_its_texts_and_companions(monkeypatch, task):
    asked = []

    def load(name):
        asked.append(name)
        return replace(task, name=name)

    monkeypatch.setattr(bert_experiment, "load", load)
    found = bert_experiment.study("imdb", Scale.SMOKE)
    assert set(asked) == {"imdb", "yelp10k", "amazon-mds", "ag-news", "trec6"}
    assert len(found.others) == 2
    assert all(
        "test" not in text for kind in (IN_DOMAIN, CROSS_DOMAIN) for text in found.texts[kind]
    )
