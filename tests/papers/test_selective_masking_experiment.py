"""Arms differ in the choice of masks alone; the control has as many; no held-out text is read."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tiny_checkpoints import POSITIONS
from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder, n_positions
from ulmfit_lib.papers.selective_masking import selective_choice
from ulmfit_lib.papers.selective_masking_experiment import (
    CHECK,
    DOMAINS,
    TFIDF,
    MaskingStudy,
    arms,
    fitting,
    masking_task,
    sizes,
    study,
)
from ulmfit_lib.papers.three_stages import LEXICON, NONE, POLICIES, RANDOM, SELECTIVE
from ulmfit_lib.study.records import EVALUATION, check_result
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.text import corpora
from ulmfit_lib.text.catalogue import find
from ulmfit_lib.text.corpus import Corpus, Split

SMOKE = sizes(Scale.SMOKE)
WORDS = "axis tensor list number returns matrix value".split()
RNG = np.random.default_rng(0)
TEXTS = {"other": [" ".join(RNG.choice(WORDS, 12)) for _ in range(30)]}


@pytest.fixture(scope="module")
def toy_study(task):
    return MaskingStudy(task, SMOKE, load_pretrained_encoder(), TEXTS)


def test_arms_are_policies_by_domain():
    found = arms(sizes(Scale.LAPTOP), ("a", "b"))
    every = {f"{policy}, a" for policy in POLICIES} | {"random, b", "selective, b"}
    assert set(found) == {TFIDF, NONE} | every
    assert {arm.per_class for arm in found.values()} == {200}


@pytest.mark.parametrize("name", sorted(arms(SMOKE, ("other",))))
def test_a_cell_predicts_every_test_example(toy_study, name):
    result = toy_study.run(toy_study.arms[name], seed=0)
    check_result("here", name, result, toy_study.test.labels)
    assert all(t.split == "train" for t in result.touched if t.stage not in (EVALUATION, CHECK))
    if name.startswith(SELECTIVE):
        assert {"labeller precision", "labeller recall", "masked"} <= set(result.metrics)


def test_texts_at_the_paper_s_size_fit_the_encoder(task, monkeypatch):
    encoder, size = load_pretrained_encoder(), sizes(Scale.PAPER)
    fitted = fitting(size, task, encoder)
    assert size.length > n_positions(encoder.model) == fitted.length
    assert fitted.per_class[0] < size.per_class[0]  # as many as the rarest class has
    fitted = replace(fitted, per_class=(4,), updates=2, label_updates=2, text_updates=2)
    long = {"other": [" ".join(RNG.choice(WORDS, 300)) for _ in range(4)]}
    found = MaskingStudy(task, replace(fitted, test_documents=10), encoder, long)
    assert max(map(len, found.domains["other"])) == fitted.length - 2
    name = "ulmfit_lib.papers.selective_masking_experiment.selective_choice"

    def everything(labeller, texts, *rest, **options):
        """All tokens, after the labeller was asked; untrained, it may call none important."""
        return [[True] * len(c) for c in selective_choice(labeller, texts, *rest, **options)]

    monkeypatch.setattr(name, everything)
    result = found.run(found.arms["random, other"], seed=0)
    check_result("here", "random", result, found.test.labels)


def test_another_checkpoint_s_tokens_reach_every_question(task, checkpoint, monkeypatch):
    module = "ulmfit_lib.papers.selective_masking_experiment"
    encoder, told = load_pretrained_encoder(checkpoint), []
    found = MaskingStudy(task, replace(SMOKE, length=POSITIONS), encoder, TEXTS)

    def noted(*args, special, **kwargs):
        """The class of every test text, whatever is asked."""
        told.append(special)
        return torch.eye(len(task.label_names))[[0] * len(args[1])]

    monkeypatch.setattr(f"{module}.classify", noted)
    monkeypatch.setattr(found, "_plain_classifier", lambda *_: None)
    found.answer(found.arms[NONE], found.train.take(range(4)), 0)

    def judged(*args):
        """Nothing, but what was told."""
        told.append(args[-1])
        return [], []

    monkeypatch.setattr(f"{module}.judge_texts", judged)
    found._judged(None, found.train.take(range(4)))
    assert told == [encoder.special] * 2


def test_the_control_has_as_many_masks_in_every_text(toy_study):
    shown = toy_study.train.take(range(8))
    chosen, control, words = (
        toy_study.choice(policy, "other", shown, 0) for policy in (SELECTIVE, RANDOM, LEXICON)
    )
    assert [sum(row) for row in control] == [sum(row) for row in chosen]
    lengths = [len(ids) for ids in toy_study.domains["other"]]
    for choice in (chosen, control, words):
        assert [len(row) for row in choice] == lengths
        assert all(sum(row) <= max(1, 0.15 * len(row)) for row in choice)


def test_the_judge_is_the_arm_without_the_middle_stage(toy_study, monkeypatch):
    tuned = []
    real = toy_study._classifier

    def counted(start, shown, seed):
        """As the study's, noting where it starts."""
        tuned.append(start is toy_study.encoder)
        return real(start, shown, seed)

    monkeypatch.setattr(toy_study, "_classifier", counted)
    for name in (NONE, "selective, other", "random, other"):
        toy_study.run(toy_study.arms[name], seed=5)
    assert tuned == [True, False, False]  # the general encoder is tuned once


@pytest.fixture(scope="module")
def aspects():
    """Sentences with opinions on two aspects each, in three classes."""
    rows = [
        (f"food {i} good, staff bad", a, y)
        for i in range(6)
        for a, y in (("food", 0), ("staff", 1))
    ]
    rows += [(f"menu {i}", "food", 2) for i in range(6)]
    texts, texts_b, labels = zip(*rows, strict=True)
    splits = {name: Split(texts, labels, texts_b) for name in ("train", "test")}
    return Corpus("opinions", splits, ("good", "bad", "conflict"), "none", "none", "made here")


def test_an_aspect_is_given_and_not_judged(aspects):
    task = corpora.with_validation(corpora.without_class(aspects, "conflict"), 0.2, seed=0)
    found = MaskingStudy(task, SMOKE, load_pretrained_encoder(), TEXTS)
    sep = found.encoder.special.sep_id
    read = found.as_read(found.train)
    assert {ids[-1] for ids in read.given} == {sep}
    assert read.whole[0] == [*read.given[0], *read.texts[0]]
    assert found.encoder.encode(["food", "staff"]) == [ids[:-1] for ids in read.given[:2]]
    texts, important = found._judged(found._plain_classifier(found.train, 0), found.train)
    assert len(set(map(tuple, texts))) == len(texts)  # each sentence once, over its aspects
    assert [len(row) for row in important] == [len(ids) for ids in texts]
    result = found.run(found.arms["selective, other"], seed=0)
    check_result("here", "selective", result, found.test.labels)


def test_opinions_both_ways_are_left_out(aspects, monkeypatch):
    monkeypatch.setattr("ulmfit_lib.papers.selective_masking_experiment.load", lambda _: aspects)
    task = masking_task("opinions")
    assert task.label_names == ("good", "bad")
    assert all(set(split.labels) == {0, 1} for split in task.splits.values())
    assert set(task.splits) == {"train", "valid", "test"}
    assert not set(task.splits["valid"].texts) & set(task.splits["train"].texts)


def test_every_task_s_texts_are_in_the_catalogue():
    for name in (*DOMAINS, "amazon-mds", "yelp10k"):
        assert find(name).name == name
    with pytest.raises(ValueError, match="has no domain here"):
        study("trec6", Scale.SMOKE)
