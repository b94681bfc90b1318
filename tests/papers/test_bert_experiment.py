"""Arms change one thing each, label counts fit the task, and the audit tells who read what."""

from dataclasses import replace

import pytest
from transformers import BertConfig, BertForMaskedLM

from ulmfit_lib.models.pretrained_encoder import PretrainedEncoder, load_pretrained_encoder
from ulmfit_lib.papers import bert_experiment
from ulmfit_lib.papers.bert_experiment import (
    CLAIMED,
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
from ulmfit_lib.papers.bert_finetuning import tune_encoder, tune_on_tasks
from ulmfit_lib.study.claims import load_claims
from ulmfit_lib.study.records import EVALUATION, check_result
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.seeds import few_labels
from ulmfit_lib.text import domains
from ulmfit_lib.text.corpus import Corpus, Split
from ulmfit_lib.text.tokenizer import load_tokenizer

SMOKE = sizes(Scale.SMOKE)
TEXTS = {
    IN_DOMAIN: {"mills": ["A mill stands at the river. " * 30]},
    CROSS_DOMAIN: {"code": ["x = f(y) + 1\n" * 40]},
}
BASE = base_tuning(SMOKE, load_pretrained_encoder().model)
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


def named(claim):
    """The arms of a claim's rule."""
    pairs = getattr(claim.rule, "pairs", ())
    return {arm for pair in pairs for arm in pair} | set(getattr(claim.rule, "arms", ()))


def test_every_claim_names_arms_that_there_are():
    for claim in load_claims():
        if claim.paper != "bert_finetuning":
            continue
        arms_named = named(claim)
        assert arms_named <= set(FOUND), f"{claim.id}: no arm {arms_named - set(FOUND)}"
        assert arms_named <= CLAIMED, f"{claim.id}: too few seeds for {arms_named - CLAIMED}"


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
    texts = {IN_DOMAIN: {}, CROSS_DOMAIN: TEXTS[CROSS_DOMAIN]}
    study = BertStudy(task, SMOKE, load_pretrained_encoder(), texts, [])
    assert f"text={IN_DOMAIN}" not in study.arms and f"text={CROSS_DOMAIN}" in study.arms


def test_a_task_may_leave_arms_out_but_none_of_its_claims(task):
    many_classes = replace(task, name="arxiv-cs39")
    study = BertStudy(many_classes, SMOKE, load_pretrained_encoder(), TEXTS, [])
    left_out = set(FOUND) - set(study.arms)
    assert {name.split("=")[0] for name in left_out} == {
        *("layer", "layers", "decay", "schedule", "hierarchical"),
    }
    assert "hierarchical=attention" in study.arms
    claims = [claim for claim in load_claims() if claim.record == "bert-arxiv-cs39-laptop"]
    assert claims and all(named(claim) <= set(study.arms) for claim in claims)


@pytest.mark.parametrize(
    ("counts", "per_class", "in_all", "updates"),
    [
        ((900, 900), (50, 200), (100, 400), 100),
        ((900,) * 6, (16, 66), (96, 396), 100),
        # A rare class gives what it has, and does not cut the others down.
        ((20, *(900,) * 5), (16, 66), (96, 350), 88),
        # Of many classes there are more labels in all, for as many epochs.
        ((11, *(500,) * 38), (10, 40), (390, 1531), 384),
    ],
)
def test_label_counts_and_updates_follow_from_the_task(counts, per_class, in_all, updates):
    labels = [label for label, n in enumerate(counts) for _ in range(n)]
    size = fitting(sizes(Scale.LAPTOP), labels)
    assert size.per_class == per_class
    assert (size.few, size.labels) == in_all
    assert size.updates == updates
    shown = [len(few_labels(labels, n, seed=0, or_all=True)) for n in size.per_class]
    assert tuple(shown) == in_all


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

    for module in (bert_experiment, domains):
        monkeypatch.setattr(module, "load", load)
    found = bert_experiment.study("imdb", Scale.SMOKE)
    assert set(asked) == {"imdb", "yelp10k", "amazon-mds", "ag-news", "trec6"}
    assert len(found.others) == 2
    read = [found.texts[kind] for kind in (IN_DOMAIN, CROSS_DOMAIN)]
    assert [list(by_corpus) for by_corpus in read] == [["yelp10k", "amazon-mds"], ["ag-news"]]
    assert all("test" not in t for by_corpus in read for texts in by_corpus.values() for t in texts)
    assert set(found.data_hashes()) == {
        *("imdb", "ag-news", "trec6"),
        *("texts of yelp10k", "texts of amazon-mds", "texts of ag-news"),
    }


def test_long_documents_are_of_four_libraries_among_the_others(monkeypatch, task):
    names = ("numpy", *bert_experiment.LIBRARIES)
    splits = {
        split: Split(
            tuple(f"{split} {i} of {names[i % 5]}" for i in range(60)), (0, 1, 2, 3, 4) * 12
        )
        for split in ("train", "valid", "test")
    }
    topics = replace(task, name="pydocs", splits=splits, label_names=names)
    monkeypatch.setattr(bert_experiment.pydocs, "load", lambda: topics)
    monkeypatch.setattr(bert_experiment.pydocs, "other_docstrings", lambda: ("A mill.",))
    monkeypatch.setattr(bert_experiment.pydocs, "source_code", lambda: ("x = 1\n" * 40,))
    monkeypatch.setattr(bert_experiment, "load", lambda name: replace(task, name=name))
    found = bert_experiment.study(bert_experiment.LONG, Scale.SMOKE)
    assert found.texts[IN_DOMAIN] == {"other docstrings": ("A mill.",)}
    assert found.task.label_names == bert_experiment.LIBRARIES
    for name, split in found.task.splits.items():
        for text, label in zip(split.texts, split.labels, strict=True):
            parts = text.split("\n")
            assert all(part.startswith(f"{name} ") for part in parts) and len(parts) == 3
            own = [part for part in parts if "numpy" not in part]
            assert len(own) == 1 and own[0].endswith(bert_experiment.LIBRARIES[label])


def test_the_audit_names_every_corpus_that_an_arm_reads(toy_study, task):
    def stages(name):
        return {(t.stage, t.split, t.labels) for t in toy_study.stages(toy_study.arms[name])}

    own = {("classifier", "train", True), ("masks filled after the tuning", "valid", False)}
    assert stages("FiT") == own
    assert stages("text=in-domain") - own == {("further pre-training on mills", "train", False)}
    assert stages("text=cross-domain") - own == {("further pre-training on code", "train", False)}
    assert stages("text=within-task, half") - own == {
        ("further pre-training on toy", "train", False)
    }
    assert stages("text=within-task, transductive") - own == {
        (f"further pre-training on {task.name}", split, False) for split in ("train", "test")
    }
    assert stages(TASKS) - own == {(f"tuning on {task.name} along", "train", True)}
    assert stages("few labels, frozen encoder") == {("classifier", "train", True)}


def test_with_other_tasks_the_own_one_is_seen_as_often_as_alone(toy_study, monkeypatch):
    size = toy_study.size
    alone = toy_study.arms["FiT"].tuning.updates
    seen = []

    def shared(encoder, tasks, config, seed, special):
        batches = [-(-len(t.documents) // config.batch_size) for t in tasks]
        seen.append(config.updates / sum(batches) * batches[0])
        return tune_on_tasks(encoder, tasks, config, seed, special)

    def tuned(encoder, documents, labels, n_classes, config, *args, **more):
        seen.append(config.updates)
        return tune_encoder(encoder, documents, labels, n_classes, config, *args, **more)

    monkeypatch.setattr(bert_experiment, "tune_on_tasks", shared)
    monkeypatch.setattr(bert_experiment, "tune_encoder", tuned)
    toy_study.run(toy_study.arms[TASKS], seed=7)
    assert seen == [alone / 2, alone / 2] and sum(seen) == size.updates


def test_texts_are_encoded_once_a_seed(toy_study, monkeypatch):
    lists = []
    encoder = toy_study.encoder

    def encode(self, texts):
        lists.append(tuple(texts))
        return PretrainedEncoder.encode(encoder, texts)

    watched = type("Watched", (PretrainedEncoder,), {"encode": encode})
    copy = watched(encoder.masked_lm, encoder.tokenizer, encoder.special, encoder.mask)
    monkeypatch.setattr(toy_study, "encoder", copy)
    for name in ("FiT", "lr=5x", "text=within-task", "text=within-task, half"):
        toy_study.run(toy_study.arms[name], seed=11)
    assert len(lists) == len(set(lists)) == 2  # the labelled examples, and what is read


def test_arms_of_a_claim_have_every_seed(task):
    large = replace(sizes(Scale.LAPTOP), max_length=16)
    study = BertStudy(task, large, load_pretrained_encoder(), TEXTS, [])
    seeds = {name: study.seeds_of(name) for name in study.arms}
    assert seeds["FiT"] == seeds["layer=0"] == 5 and seeds["hierarchical=max"] == 3
    assert set(CLAIMED) <= set(seeds)  # no name that no arm has


def test_most_epochs_thaw_and_the_last_one_trains_everything():
    large = sizes(Scale.LAPTOP)
    found = arms(large, BASE, 4)["schedule=stlr, gradual"].tuning
    epochs = large.updates * large.batch_size // large.labels
    assert found.thaw_stages == epochs - 1 == 3


def test_another_checkpoint_brings_its_rates_and_its_length(task):
    config = BertConfig(
        vocab_size=len(load_tokenizer().get_vocab()),
        hidden_size=264,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    wide = replace(load_pretrained_encoder(), masked_lm=BertForMaskedLM(config))
    paper = replace(SMOKE, max_length=512)
    found = BertStudy(task, replace(paper, text_length=12), wide, TEXTS, [])
    assert found.base.lr_max == 2e-5 and found.reading.lr_max == 5e-5
    assert found.base.max_length == found.size.max_length == 12
    assert found.arms["hierarchical=mean"].tuning.head.piece_length == 12
    assert len(found.base.ratio) == 2 + 2
