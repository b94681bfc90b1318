"""Arms read what their names say, never held-out text; shared reading is done once."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from transformers import BertConfig, BertForMaskedLM

from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.papers import dont_stop_experiment
from ulmfit_lib.papers.bert_experiment import load_task
from ulmfit_lib.papers.bert_finetuning import classify
from ulmfit_lib.papers.dont_stop_experiment import (
    CURATED,
    DOMAIN,
    IRRELEVANT,
    OTHER_TASK,
    SETTINGS,
    TFIDF,
    DontStopStudy,
    arms,
    fitting,
    sizes,
    study,
    without_copies,
    without_rare_classes,
)
from ulmfit_lib.papers.dont_stop_pretraining import ARMS
from ulmfit_lib.study.claims import load_claims
from ulmfit_lib.study.records import EVALUATION, check_result, load_record
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.task_study import labelled
from ulmfit_lib.text.catalogue import find
from ulmfit_lib.text.corpora import EMBEDDED
from ulmfit_lib.text.corpus import Split
from ulmfit_lib.text.general_text import general_documents
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.text.vocabulary_overlap import general_words, top_words
from ulmfit_lib.training.further_pretraining import masked_lm_score

SMOKE = sizes(Scale.SMOKE)
THINGS = "axis tensor matrix column value key index shape frame path list number mask row".split()
RNG = np.random.default_rng(0)
TEXTS = {
    DOMAIN: [" ".join(RNG.choice(THINGS, 10)) for _ in range(100)],
    IRRELEVANT: [f"x_{i} = f({i}) + {i}" for i in range(60)],
    OTHER_TASK: [f"Raises an error if the {a} is empty." for a in THINGS] * 5,
}


@pytest.fixture(scope="module")
def toy_study(task):
    return DontStopStudy(task, SMOKE, load_pretrained_encoder(), TEXTS)


def test_every_arm_runs_at_the_middle_and_four_at_every_number_of_labels():
    found = arms(sizes(Scale.LAPTOP))
    assert {name for name in found if name.endswith("/20")} == {f"{a}/20" for a in (*ARMS, TFIDF)}
    assert sum(name.endswith("/5") for name in found) == 4
    ranked = [f"kNN-TAPT{k}/20" for k in ("", ", 150 each", ", 500 each")]
    paper = arms(sizes(Scale.PAPER))
    assert [paper[name].neighbours for name in ranked] == [50, 150, 500]
    assert paper["random TAPT/20"].neighbours == 50
    assert fitting(sizes(Scale.LAPTOP), [0] * 30 + [1] * 10).middle == 5
    with pytest.raises(ValueError, match="rarest class has 1"):
        fitting(SMOKE, [0, 0, 1])


@pytest.mark.parametrize("name", sorted(arms(SMOKE)))
def test_a_cell_predicts_every_test_example(toy_study, name):
    result = toy_study.run(toy_study.arms[name], seed=0)
    check_result("here", name, result, toy_study.test.labels)
    assert all(t.split == "train" for t in result.touched if t.stage != EVALUATION)
    own = any(word in name for word in ("TAPT", "random")) and "transfer" not in name
    assert own == any(t.stage == "reading on" for t in result.touched)
    if TFIDF not in name:
        assert {"macro_f1", "mlm loss, domain", "mlm loss, irrelevant"} <= set(result.metrics)


def test_test_texts_are_framed_as_the_labelled_ones(toy_study, monkeypatch):
    framed = []

    def noted(*arguments, **settings):
        framed.append(settings["special"])
        return classify(*arguments, **settings)

    monkeypatch.setattr(dont_stop_experiment, "classify", noted)
    other = replace(toy_study.encoder.special, cls_id=9)
    monkeypatch.setattr(toy_study, "encoder", replace(toy_study.encoder, special=other))
    toy_study.run(toy_study.arms["base/4"], seed=3)
    assert framed == [other]


def test_the_shipped_encoder_keeps_the_settings_of_the_records(task):
    config = load_record("dont_stop-acl-arc-laptop").config
    fast = config["tuning"]["bfloat16"]
    study = DontStopStudy(task, sizes(Scale.LAPTOP), load_pretrained_encoder(), TEXTS, fast)
    for name, settings in study.settings.items():
        assert json.loads(json.dumps(asdict(settings))) == config[name]


def test_a_wider_encoder_brings_its_own_rates(task):
    config = BertConfig(
        vocab_size=len(load_tokenizer().get_vocab()),
        hidden_size=264,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    wide = replace(load_pretrained_encoder(), masked_lm=BertForMaskedLM(config))
    study = DontStopStudy(task, SMOKE, wide, TEXTS)
    assert study.tuning.lr_max == 2e-5 and study.adaptation.reading.lr_max == 5e-5


def test_what_does_not_follow_from_the_labels_is_read_once_a_seed(toy_study):
    few, more = (toy_study.train.take(range(n)) for n in (4, 8))
    first = toy_study.adapted(("domain",), few, 0)
    assert first is toy_study.adapted(("domain",), more, 0)
    task = toy_study.adapted(("task",), few, 0)
    assert task is toy_study.adapted(("task",), few, 0)
    assert task is not toy_study.adapted(("task",), more, 0)
    assert first is not toy_study.adapted(("domain",), few, 1)
    assert toy_study.adapted((), few, 0) is toy_study.encoder


def test_what_is_forgotten_of_general_text_is_measured(toy_study):
    base, read = (toy_study.run(toy_study.arms[f"{a}/4"], 0).metrics for a in ("base", "DAPT"))
    general = toy_study.encoder.encode(general_documents("measure"))
    loss = masked_lm_score(toy_study.encoder, general, SMOKE.length).loss
    assert base["mlm loss, general"] == pytest.approx(loss, abs=1e-6)
    assert read["mlm loss, general"] != base["mlm loss, general"]
    shared = set(top_words(toy_study.texts[DOMAIN])) & set(general_words()[: len(THINGS)])
    assert base["overlap"] == read["overlap"] == pytest.approx(len(shared) / len(THINGS))


def test_rare_classes_are_left_out_and_named(task):
    assert without_rare_classes(task, 12) is task
    splits = {
        name: replace(split, labels=tuple(int(y) + 1 for y in split.labels))
        for name, split in task.splits.items()
    }
    train = splits["train"]
    splits["train"] = replace(train, labels=(0, *train.labels[1:]))
    odd = replace(task, splits=splits, label_names=("rare", *task.label_names))
    found = without_rare_classes(odd, 2)
    assert found.label_names == task.label_names
    assert found.splits["train"].texts == train.texts[1:]
    assert found.splits["test"] == task.splits["test"]
    assert found.provenance.endswith("without the class 'rare'")


def test_copies_of_held_out_texts_are_left_out(task):
    texts = ["one two three", "four five six", "seven eight nine", "ten eleven twelve"]
    clean = {
        name: Split((text,), (0,)) for name, text in zip(("valid", "test"), texts, strict=False)
    }
    clean |= {"train": Split(tuple(texts[2:]), (1, 0)), "unsup": Split(tuple(texts[2:]))}
    assert without_copies(found := replace(task, splits=clean)) is found
    copied = (texts[1] + "!", texts[0], *texts[2:])
    split = {"train": Split(copied, (1, 1, 1, 0)), "unsup": Split(copied)}
    found = without_copies(replace(task, splits={**clean, **split}))
    assert found.splits == clean
    assert found.provenance.endswith("without 4 copies of held-out texts")


def test_no_text_that_is_read_is_a_copy_of_a_held_out_one(task):
    held_out = task.splits["test"].texts[0]
    texts = {kind: [*found, f"{held_out} !"] for kind, found in TEXTS.items()}
    study = DontStopStudy(task, replace(SMOKE, texts=200), load_pretrained_encoder(), texts)
    for kind, found in TEXTS.items():
        assert len(study.texts[kind]) == len(found) - SMOKE.held_out
        assert set(study.texts[kind]) <= set(found)


def test_curated_text_is_told_apart_from_the_labelled(toy_study, task):
    splits = {**task.splits, "unsup": replace(task.splits["train"], labels=None)}
    study = DontStopStudy(replace(task, splits=splits), SMOKE, load_pretrained_encoder(), TEXTS)
    read = [t.split for t in study.stages(study.arms["curated TAPT/4"])]
    assert read == ["train", "unsup", "train"]
    hashes = study.data_hashes()
    assert set(hashes) == {task.name, *TEXTS, CURATED}
    assert hashes[DOMAIN] == toy_study.data_hashes()[DOMAIN] != hashes[CURATED]


def test_a_text_is_encoded_once(task, monkeypatch):
    study = DontStopStudy(task, SMOKE, load_pretrained_encoder(), TEXTS)
    asked, encode = [], type(study.encoder).encode

    def counted(encoder, texts):
        asked.extend(texts)
        return encode(encoder, texts)

    monkeypatch.setattr(type(study.encoder), "encode", counted)
    for seed in (0, 1):
        study.adapted(("domain",), study.train, seed)
    assert sorted(asked) == sorted(set(study.texts[DOMAIN]))


def test_every_claim_names_arms_and_metrics_of_its_study(toy_study):
    known = arms(sizes(Scale.LAPTOP))
    metrics = set(toy_study.run(toy_study.arms["DAPT/4"], 0).metrics)
    claims = [claim for claim in load_claims() if claim.paper == "dont_stop_pretraining"]
    asked = {claim.id.partition("-")[0] for claim in claims}
    assert {f"D{i}" for i in range(1, 8)} <= asked
    for claim in claims:
        rule = claim.rule
        pairs = rule.pairs if hasattr(rule, "pairs") else [rule.pair]
        assert {arm for pair in pairs for arm in pair} <= set(known), claim.id
        assert {rule.score, rule.predictor} if hasattr(rule, "score") else {rule.metric} <= metrics
        for record in claim.records:
            task_name = record.removeprefix("dont_stop-").removesuffix("-laptop")
            assert task_name in SETTINGS, claim.id


def test_held_out_text_is_never_read(toy_study, task):
    shown = toy_study.train.take([0, 1, 2, 3])
    for phase in ("domain", "irrelevant", "other task", "curated", "task", "neighbours", "random"):
        read = set(toy_study.phase_texts(phase, shown, 0))
        assert read and not read & {*task.splits["test"].texts, *task.splits["valid"].texts}
        documents = {tuple(ids) for ids in toy_study.encoder.encode(list(read))}
        for kind in (DOMAIN, IRRELEVANT):
            assert not documents & {tuple(ids) for ids in toy_study.held_out[kind]}
    near, drawn = (toy_study.phase_texts(p, shown, 0) for p in ("neighbours", "random"))
    assert len(near) == len(drawn) and near != drawn
    assert set(toy_study.texts[CURATED]) <= set(task.splits["train"].texts)


def test_every_task_s_texts_are_in_the_catalogue():
    for name, setting in SETTINGS.items():
        for corpus in (name, setting.other, *setting.domain, *setting.irrelevant):
            if corpus not in ("other docstrings", "source code"):
                assert find(corpus).name == corpus
    with pytest.raises(ValueError, match="has no domain here"):
        study("trec6", Scale.SMOKE)


@pytest.mark.needs_data
@pytest.mark.parametrize("name", sorted(set(SETTINGS) - set(EMBEDDED)))
def test_every_task_keeps_two_classes_or_more_at_the_paper_s_scale(name):
    folder = find(name).folder.name or name
    if not (Path(os.environ["ULMFIT_LIB_DATA"]) / folder).is_dir():
        pytest.skip(f"the data folder has no {folder}")
    task, size = load_task(name), sizes(Scale.PAPER)
    if len(task.splits["train"]) < 10_000:  # comparing more takes minutes, and loses as few
        task = without_copies(task)
    task = without_rare_classes(task, size.middle)
    assert len(task.label_names) >= 2
    assert fitting(size, labelled(task, "train").labels).middle == size.middle
