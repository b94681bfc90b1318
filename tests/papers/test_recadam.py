"""The recipe: every method learns, from the same steps at the same rates, with its own pull."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.papers.test_bert_finetuning import CONFIG, task
from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifierConfig
from ulmfit_lib.papers.recadam import (
    METHODS,
    Memory,
    RecallTuning,
    answer,
    encoder_fisher,
    framed,
    openings,
    plan,
    tune,
)
from ulmfit_lib.study.task_study import labelled
from ulmfit_lib.text.catalogue import find
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.masking import masking_vocabulary
from ulmfit_lib.text.packing import HeldOutSequences
from ulmfit_lib.text.tokenizer import BOS_ID, encode, load_tokenizer
from ulmfit_lib.training.anchors import squared_distance
from ulmfit_lib.training.forgetting import masked_lm_reader, measure_forgetting
from ulmfit_lib.training.masked_lm import score_masked_lm
from ulmfit_lib.training.recadam import Annealing
from ulmfit_lib.training.regression import pearson, regression_loss
from ulmfit_lib.training.schedules import linear_warmup

TUNING = RecallTuning(
    gamma=20.0,
    annealing=Annealing("sigmoid", 0.5, 10),
    lr_max=1e-2,
    updates=40,
    batch_size=8,
    max_length=12,
)


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(0)
    return build_encoder(CONFIG)


@pytest.fixture(scope="module")
def texts():
    documents, labels = task(40)
    return framed(documents, None, 12, labels)


def tuned(source, texts, seed=0, memory=None, **changes):
    config = replace(TUNING, **changes)
    return tune(source.bert, texts, 2, config, seed, memory or Memory())


@pytest.fixture(scope="module")
def memory():
    """A larger vocabulary, since masks need the book's."""
    torch.manual_seed(0)
    model = build_encoder(EncoderConfig(8192, 16, 2, 2, 32, max_length=16))
    tokens = np.array([BOS_ID, *range(300, 380)], dtype=np.uint16)
    vocabulary = masking_vocabulary(load_tokenizer())
    single = HeldOutSequences(tokens, 16, vocabulary, batch_size=1)
    return Memory(encoder_fisher(model, single), model, HeldOutSequences(tokens, 16, vocabulary))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_the_task(memory, texts, method):
    gamma = 0.01 if method in ("l2-sp", "ewc") else 20.0
    found = tuned(memory.source, texts, memory=memory, method=method, gamma=gamma, updates=60)
    assert found.epochs[-1]["train_loss"] < 0.95 * found.epochs[0]["train_loss"]
    assert found.log.taken == 60
    assert found.log.distances[-1] == pytest.approx(squared_distance(found.anchors))


def test_the_pre_trained_encoder_is_left_as_it_is(source, texts):
    before = {name: p.clone() for name, p in source.named_parameters()}
    tuned(source, texts, updates=10)
    assert all(torch.equal(p, before[name]) for name, p in source.named_parameters())


def test_the_same_seed_gives_the_same_classifier(source, texts):
    first, again, other = (tuned(source, texts, seed, updates=5).model for seed in (3, 3, 4))
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_a_pull_that_never_ends_brings_a_random_start_to_the_pre_trained_weights(source, texts):
    never = Annealing("sigmoid", 100.0, 10**6)
    found = tuned(source, texts, random_start=True, annealing=never, gamma=80.0)
    assert found.log.distances[0] > 1
    assert found.log.distances[-1] < 1e-3 * found.log.distances[0]
    assert found.model.head.weight.abs().max() > 0.05  # the head has learned meanwhile


def test_a_pull_that_is_never_there_is_fine_tuning(source, texts):
    always = Annealing("linear", t0=0)
    ours = tuned(source, texts, annealing=always, updates=20).model
    plain = tuned(source, texts, method="fine-tuning", updates=20).model
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


@pytest.mark.parametrize("t0", [7, 30])
def test_a_head_warm_up_keeps_the_encoder_for_exactly_t0_steps(source, texts, t0):
    late = Annealing("sigmoid", 1.0, t0)
    found = tuned(source, texts, method="head warm-up", annealing=late)
    steps = dict(zip(found.log.steps, found.log.distances, strict=True))
    assert all((distance == 0) == (step <= t0) for step, distance in steps.items())
    assert {4, 8, 28, 32} < set(steps)


def test_all_methods_have_the_same_rates():
    (stage,) = plan(TUNING, n_groups=4, n_batches=5)
    assert stage.epochs == 8 and stage.trainable == (0, 1, 2, 3)
    rates = [stage.schedule(t, 40, stage.lr_max) for t in range(40)]
    assert rates == pytest.approx([linear_warmup(t, 40, 1e-2) for t in range(40)])


def test_layers_open_from_the_top():
    config = replace(TUNING, method="head warm-up", annealing=Annealing("sigmoid", 1.0, 30))
    assert openings(config, 4) == {0: 1, 30: 4}
    gradual = replace(config, method="gradual unfreezing")
    assert openings(gradual, 4) == {0: 1, 10: 2, 20: 3, 30: 4}
    assert openings(gradual, 6) == {0: 1, 6: 2, 12: 3, 18: 4, 24: 5, 30: 6}
    with pytest.raises(ValueError, match="updates=30 with t0=30: head warm-up ends before"):
        openings(replace(config, updates=30), 4)


def test_watching_changes_nothing(memory, texts):
    """Dropout, order and weights are as without; the model is at rest while it is watched."""
    modes = []

    def watch(model):
        reader = masked_lm_reader(model.encoder, memory.source)
        modes.append(any(module.training for module in model.modules()))
        wrong = float((answer(model, texts).argmax(dim=1) == 0).float().mean())
        return {"mlm_loss": score_masked_lm(reader, memory.general).loss, "zeros": wrong}

    config = replace(TUNING, updates=25)
    plain = tune(memory.source.bert, texts, 2, config)
    found = tune(memory.source.bert, texts, 2, config, watch=watch)
    assert all(map(torch.equal, plain.model.parameters(), found.model.parameters()))
    assert modes == [False] * len(found.log.steps) and found.log.steps[-1] == 25
    end = measure_forgetting(found.model.encoder, found.anchors, memory.source, memory.general)
    assert found.log.watched["mlm_loss"][-1] == pytest.approx(end.mlm_loss, rel=1e-6)
    assert len(found.log.watched["zeros"]) == len(found.log.steps)


@pytest.mark.parametrize("method", ["ewc", "replay"])
def test_a_method_without_its_memory_is_refused(source, texts, method):
    with pytest.raises(ValueError, match=f"method='{method}' needs memory"):
        tuned(source, texts, method=method)


def test_what_cannot_be_is_refused(source, texts):
    with pytest.raises(ValueError, match="method='adam'"):
        RecallTuning("adam")
    with pytest.raises(ValueError, match=r"lr \* gamma"):
        tuned(source, texts, gamma=200.0)
    with pytest.raises(ValueError, match="padded with 0, and config.head.pad_id is 1"):
        tuned(source, texts, head=EncoderClassifierConfig(pad_id=1))


def test_a_warm_up_ends_before_the_run_which_ends_with_an_epoch(source, texts):
    """Forty texts are five batches, and 7 updates one epoch of 5."""
    late = Annealing("sigmoid", 1.0, 6)
    with pytest.raises(ValueError, match="updates=5 with t0=6"):
        tuned(source, texts, method="head warm-up", annealing=late, updates=7)


def test_layers_that_the_classifier_does_not_read_need_no_anchor(source, memory, texts):
    head = EncoderClassifierConfig(layers=(0,))
    found = tuned(source, texts, head=head, updates=5)
    assert len(found.model.encoder.encoder.layer) == 1
    assert squared_distance(found.anchors) > 0
    config = replace(TUNING, method="ewc", head=head, updates=5, gamma=0.1)
    assert squared_distance(tune(memory.source.bert, texts, 2, config, 0, memory).anchors) > 0


def write_stsb(folder, rows=24):
    """Scored pairs as a data folder has them: high where the second text repeats the first."""
    words = "the cat sat on a mat while rain fell over old grey roofs and quiet roads".split()
    rng = np.random.default_rng(0)
    for split in ("train", "dev"):
        lines = []
        for i in range(rows):
            first = [words[j] for j in rng.integers(0, len(words), 4)]
            alike = i % 2
            second = first if alike else [words[j] for j in rng.integers(0, len(words), 4)]
            row = {"text": " ".join(first), "text_b": " ".join(second), "label": 4.5 * alike + 0.25}
            lines.append(json.dumps(row))
        (folder / "stsb").mkdir(exist_ok=True)
        (folder / "stsb" / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def test_scores_of_pairs_are_learned_from_a_folder_of_stsb(tmp_path, monkeypatch):
    from ulmfit_lib.text import local_corpora

    write_stsb(tmp_path)
    monkeypatch.setattr(local_corpora, "_check_rows", lambda *_: None)  # ours is small
    corpus = load("stsb", tmp_path)
    assert find("stsb").hub.text_b == "sentence2" and corpus.label_names == ()
    train, tokenizer = corpus.splits["train"], load_tokenizer()
    first, second = encode(tokenizer, train.texts), encode(tokenizer, train.texts_b)
    pairs = framed(first, second, 16, train.labels)
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(8192, 16, 1, 2, 32, max_length=16)).bert
    config = replace(TUNING, max_length=16, updates=90, gamma=5.0)
    found = tune(encoder, pairs, None, config)
    scores = answer(found.model, framed(first, second, 16), scores=True)
    assert scores.shape == (24,)
    assert pearson(train.labels, scores) > 0.5
    with pytest.raises(ValueError, match="needs classes"):
        labelled(corpus, "train", pairs=True)


def test_pearson_and_the_loss_of_scores():
    assert pearson([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert pearson([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert pearson([1, 2, 3], [5, 5, 5]) == 0
    with pytest.raises(ValueError, match="two or more"):
        pearson([1], [1])
    loss = regression_loss(torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0]))
    assert loss.item() == pytest.approx(2.5)
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        regression_loss(torch.zeros(2, 2), torch.zeros(2))
