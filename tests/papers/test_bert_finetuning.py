"""Fine-tuning an encoder: it learns, repeats itself, and answers in the documents' order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from tests.tiny_checkpoints import POSITIONS
from ulmfit_lib.models.encoder import EncoderConfig
from ulmfit_lib.models.encoder_classifier import EncoderClassifierConfig
from ulmfit_lib.models.hierarchical import HierarchicalConfig
from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.papers.bert_finetuning import (
    EncoderTuning,
    LabelledDocuments,
    as_read,
    classify,
    encoder_plan,
    fine_tune,
    new_classifier,
    rates_for,
    tune_encoder,
    tune_on_tasks,
    tuning_for,
    under_its_old_head,
    untrained_encoder,
)
from ulmfit_lib.training.further_pretraining import masked_lm_score
from ulmfit_lib.training.groups import layer_decay
from ulmfit_lib.training.schedules import linear_warmup, slanted_triangular, sun2019_warmup

CONFIG = EncoderConfig(40, 16, 2, 2, 32, max_length=12)
TUNING = EncoderTuning(lr_max=1e-2, updates=60, batch_size=8, max_length=12)


def task(n=40, seed=0):
    """The class is which of two tokens stands somewhere in the text."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).tolist()
    documents = [rng.integers(10, 38, rng.integers(2, 9)).tolist() for _ in range(n)]
    for document, label in zip(documents, labels, strict=True):
        document[rng.integers(len(document))] = 38 + label
    return documents, labels


@pytest.fixture(scope="module")
def tuned():
    return tune_encoder(untrained_encoder(CONFIG, 0), *task(80), 2, TUNING)


def test_the_loss_falls_and_new_texts_are_told_apart(tuned):
    model, rows = tuned
    assert rows[-1]["train_loss"] < 0.3 < rows[0]["train_loss"]
    documents, labels = task(seed=1)
    answers = classify(model, documents, 12).argmax(dim=1).tolist()
    assert np.mean(np.equal(answers, labels)) > 0.8


def test_answers_come_in_the_documents_order(tuned):
    documents, _ = task(seed=2)
    together = classify(tuned[0], documents, 12, batch_size=7)
    alone = torch.cat([classify(tuned[0], [d], 12) for d in documents])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_classifier():
    short = replace(TUNING, updates=5)
    first, again, other = (
        tune_encoder(untrained_encoder(CONFIG, 0), *task(), 2, short, seed)[0] for seed in (3, 3, 4)
    )
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_an_untrained_encoder_drops_as_a_loaded_one_does():
    found = untrained_encoder(CONFIG, 0).config
    assert found.hidden_dropout_prob == CONFIG.fine_tuning_dropout != CONFIG.dropout
    assert found.attention_probs_dropout_prob == CONFIG.fine_tuning_dropout


def test_more_tokens_than_positions_are_refused():
    with pytest.raises(ValueError, match="max_length=13, but the encoder has 12 places"):
        longer = replace(TUNING, max_length=13)
        tune_encoder(untrained_encoder(CONFIG, 0), [[10], [11]], [0, 1], 2, longer)


def test_a_label_outside_the_classes_is_refused():
    with pytest.raises(ValueError, match="label 2 is outside"):
        tune_encoder(untrained_encoder(CONFIG, 0), [[10], [11]], [0, 2], 2, TUNING)


def test_no_labelled_text_is_refused():
    with pytest.raises(ValueError, match="there is no labelled text to learn from"):
        tune_encoder(untrained_encoder(CONFIG, 0), [], [], 2, TUNING)


def long_task(n=60, seed=0):
    """The class is which of two tokens stands at the end of a text of five pieces."""
    documents, labels = task(n, seed)
    rng = np.random.default_rng(seed + 100)
    rest = [rng.integers(10, 38, 30).tolist() for _ in documents]
    return [[*r, 38 + y] for r, y in zip(rest, labels, strict=True)], labels


@pytest.mark.parametrize("how", ["head", "tail", "head+tail"])
def test_what_is_cut_off_cannot_be_learned(how):
    config = replace(TUNING, truncation=how)
    model, _ = tune_encoder(untrained_encoder(CONFIG, 0), *long_task(), 2, config)
    documents, labels = long_task(seed=1)
    answers = classify(model, documents, 12, truncation=how).argmax(dim=1).tolist()
    right = np.mean(np.equal(answers, labels))
    assert right < 0.7 if how == "head" else right > 0.85


@pytest.mark.parametrize("piece_pooling", ["mean", "max", "attention"])
def test_in_pieces_nothing_is_cut_off(piece_pooling):
    head = HierarchicalConfig(piece_pooling=piece_pooling, piece_length=12, group_size=24)
    config = replace(TUNING, head=head, updates=120)
    model, _ = tune_encoder(untrained_encoder(CONFIG, 0), *long_task(), 2, config)
    documents, labels = long_task(seed=1)
    answers = classify(model, documents).argmax(dim=1).tolist()
    assert np.mean(np.equal(answers, labels)) > 0.75


def test_classify_reads_pieces_as_training_did():
    head = HierarchicalConfig(piece_length=12, max_pieces=2)
    model = new_classifier(untrained_encoder(CONFIG, 0), 2, replace(TUNING, head=head))
    documents, _ = long_task(4)
    read = as_read(documents, None, replace(TUNING, head=head))
    assert read.lengths == [24] * 4
    torch.testing.assert_close(classify(model, documents), classify(model, documents, 3))


def test_a_plan_has_the_schedule_and_the_stages_asked_for():
    for name, function in (
        ("linear", linear_warmup),
        ("released", sun2019_warmup),
        ("stlr", slanted_triangular),
    ):
        (stage,) = encoder_plan(4, 10, replace(TUNING, schedule=name, updates=60))
        assert (stage.epochs, stage.trainable) == (6, (0, 1, 2, 3))
        assert stage.schedule(7, 100, 1.0) == function(7, 100, 1.0, 0.1)
    thawing = encoder_plan(4, 10, replace(TUNING, thaw_stages=2, updates=60))
    assert [stage.trainable for stage in thawing] == [(3,), (2, 3), (0, 1, 2, 3)]
    assert sum(stage.epochs for stage in thawing) == 6


def test_rates_of_the_layers_decide_how_far_they_move():
    start = untrained_encoder(CONFIG, 0)
    config = replace(TUNING, ratio=layer_decay(2, 0.01), updates=20, weight_decay=0.0)
    model, _ = tune_encoder(start, *task(), 2, config)
    lower, upper = (
        (a.attention.self.query.weight - b.attention.self.query.weight).abs().mean().item()
        for a, b in zip(model.encoder.encoder.layer, start.encoder.layer, strict=True)
    )
    assert 0 < lower < 0.1 * upper


def test_tasks_are_learned_together_and_a_head_goes_on():
    tasks = [LabelledDocuments(*task(60, seed), 2) for seed in (0, 5)]
    swapped = replace(tasks[1], labels=[1 - y for y in tasks[1].labels])
    start = untrained_encoder(CONFIG, 0)
    config = replace(TUNING, updates=120)
    model, rows = tune_on_tasks(start, [tasks[0], swapped], config)
    assert rows[-1]["train_loss"] < 0.4
    documents, labels = task(seed=2)
    for i, wanted in enumerate((labels, [1 - y for y in labels])):
        # No step at all: the tuned encoder under the head of its task.
        still = replace(TUNING, lr_max=0.0, updates=1)
        single, _ = tune_encoder(model.encoder, *task(), 2, still, head=model.head[i])
        answers = classify(single, documents, 12).argmax(dim=1).tolist()
        assert np.mean(np.equal(answers, wanted)) > 0.8


def test_heads_of_several_tasks_read_no_pieces():
    tasks = [LabelledDocuments(*task(8), 2)]
    in_pieces = replace(TUNING, head=HierarchicalConfig(piece_length=8))
    with pytest.raises(ValueError, match="config.head reads texts in pieces"):
        tune_on_tasks(untrained_encoder(CONFIG, 0), tasks, in_pieces)


@pytest.mark.parametrize("truncation", ["head", "head+tail"])
def test_any_checkpoint_is_fine_tuned_by_one_argument(checkpoint, truncation):
    texts = ["the old mill falls", "a new river rises"] * 20
    config = EncoderTuning(
        lr_max=5e-3, updates=60, batch_size=8, max_length=POSITIONS, truncation=truncation
    )
    tuned = fine_tune(texts, [0, 1] * 20, 2, checkpoint, config)
    assert tuned.probabilities(texts[:2]).argmax(dim=1).tolist() == [0, 1]
    alone = torch.cat([tuned.probabilities([text]) for text in texts[:2]])
    torch.testing.assert_close(tuned.probabilities(texts[:2]), alone, atol=1e-5, rtol=1e-4)


def test_without_a_recipe_the_checkpoint_decides(checkpoint):
    shipped = load_pretrained_encoder()
    assert tuning_for(shipped.model) == EncoderTuning()
    assert rates_for(shipped.model) == (5e-4, 5e-4)
    wide = BertConfig(hidden_size=768, num_hidden_layers=1, vocab_size=20)
    base = BertModel(wide)
    assert rates_for(base) == (2e-5, 5e-5)  # at 4e-4 it does not converge
    assert tuning_for(base).lr_max == 2e-5 and tuning_for(base).max_length == 128
    tuned = fine_tune(["the mill", "a river"] * 4, [0, 1] * 4, 2, checkpoint)
    assert tuned.config == tuning_for(load_pretrained_encoder(checkpoint).model)
    assert tuned.config.max_length == POSITIONS


def test_forgetting_is_measured_under_the_old_head(checkpoint):
    pretrained = load_pretrained_encoder(checkpoint)
    documents = pretrained.encode(["the old mill falls"] * 6)
    config = replace(TUNING, updates=20)
    model = new_classifier(pretrained.model, 2, config, pretrained.special)
    same = under_its_old_head(model, pretrained)
    before = masked_lm_score(pretrained, documents, 12)
    assert masked_lm_score(same, documents, 12) == before
    tuned = fine_tune(["the mill", "a river"] * 8, [0, 1] * 8, 2, pretrained, config).masked_lm()
    assert masked_lm_score(tuned, documents, 12) != before
    assert masked_lm_score(pretrained, documents, 12) == before


def test_layers_that_were_left_out_are_put_back(checkpoint):
    pretrained = load_pretrained_encoder(checkpoint)
    config = replace(TUNING, head=EncoderClassifierConfig(layers=(0,)))
    model = new_classifier(pretrained.model, 2, config, pretrained.special)
    whole = under_its_old_head(model, pretrained).masked_lm.state_dict()
    assert all(torch.equal(whole[k], v) for k, v in pretrained.masked_lm.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"truncation": "middle"}, "truncation='middle'"),
        ({"schedule": "cosine"}, "schedule='cosine'"),
        ({"thaw_stages": -1}, "thaw_stages=-1"),
    ],
)
def test_impossible_settings_are_refused(setting, complaint):
    with pytest.raises(ValueError, match=complaint):
        EncoderTuning(**setting)
