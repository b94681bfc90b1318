"""Forgetting is measured through the encoder that was tuned, with masks that never change."""

import copy

import numpy as np
import pytest
import torch
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastcore.basics import noop
from torch import nn

from ulmfit_lib.models.encoder import EncoderConfig, MaskedPositionsModel, build_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.text.masking import masking_vocabulary
from ulmfit_lib.text.packing import HeldOutSequences
from ulmfit_lib.text.tokenizer import BOS_ID, load_tokenizer
from ulmfit_lib.training.anchors import match_by_name
from ulmfit_lib.training.forgetting import (
    DistanceLog,
    Replay,
    masked_lm_reader,
    measure_forgetting,
)
from ulmfit_lib.training.masked_lm import score_masked_lm
from ulmfit_lib.training.optimizers import adam
from ulmfit_lib.training.recadam import Annealing


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(0)
    return build_encoder(EncoderConfig(8192, 16, 1, 2, 32, max_length=16)).eval()


@pytest.fixture(scope="module")
def general():
    tokens = np.array([BOS_ID, *range(300, 420)], dtype=np.uint16)
    return HeldOutSequences(tokens, 16, masking_vocabulary(load_tokenizer()))


def test_an_untouched_encoder_has_forgotten_nothing(source, general):
    model = EncoderClassifier(source.bert, 2)
    anchors = match_by_name(model, source.bert, "encoder.")
    found = measure_forgetting(model.encoder, anchors, source, general)
    assert found.squared_distance == 0
    expected = score_masked_lm(MaskedPositionsModel(source), general).loss
    assert found.mlm_loss == pytest.approx(expected, rel=1e-6)


def test_a_moved_encoder_has(source, general):
    model = EncoderClassifier(source.bert, 2)
    anchors = match_by_name(model, source.bert, "encoder.")
    with torch.no_grad():
        model.encoder.embeddings.word_embeddings.weight[:, 0] += 0.5
    found = measure_forgetting(model.encoder, anchors, source, general)
    assert found.squared_distance == pytest.approx(0.25 * 8192, rel=1e-4)
    before = measure_forgetting(source.bert, anchors, source, general).mlm_loss
    assert found.mlm_loss != pytest.approx(before, abs=1e-4)


def test_the_reader_trains_the_encoder_and_nothing_else(source, general):
    before = copy.deepcopy(source.state_dict())
    model = EncoderClassifier(source.bert, 2)
    reader = masked_lm_reader(model.encoder, source)
    trainable = {p for p in reader.parameters() if p.requires_grad}
    assert trainable == set(model.encoder.parameters())
    assert reader.model.cls.predictions.decoder.weight is (
        model.encoder.embeddings.word_embeddings.weight
    )
    assert all(torch.equal(v, before[k]) for k, v in source.state_dict().items())
    assert all(p.requires_grad for p in source.parameters())


def fitted(source, make_callback, steps=6):
    torch.manual_seed(0)
    model = EncoderClassifier(source.bert, 2)
    batches = [(torch.randint(300, 420, (4, 8)), torch.randint(0, 2, (4,))) for _ in range(steps)]
    callback = make_callback(model)
    learn = Learner(
        DataLoaders(batches, batches[:1]),
        model,
        loss_func=nn.functional.cross_entropy,
        opt_func=adam(),
        lr=0.01,
        cbs=[callback],
    )
    learn.remove_cbs(ProgressCallback)
    learn.logger = noop
    learn.fit(1)
    return model, callback


def test_the_distance_is_logged_from_the_start(source):
    _, log = fitted(
        source, lambda m: DistanceLog(match_by_name(m, source.bert, "encoder."), every=2)
    )
    assert log.steps == [0, 2, 4, 6]
    assert log.distances[0] == 0 < log.distances[1] < log.distances[3]
    assert log.watched == {}
    with pytest.raises(ValueError, match="every=0"):
        DistanceLog({}, 0)


def test_what_is_watched_is_logged_with_the_distance_and_so_is_the_end(source):
    seen = iter(range(9))
    _, log = fitted(
        source,
        lambda m: DistanceLog(
            match_by_name(m, source.bert, "encoder."), 4, lambda: {"turn": float(next(seen))}
        ),
    )
    assert log.steps == [0, 4, 6] and log.watched == {"turn": [0.0, 1.0, 2.0]}
    assert len(log.distances) == 3


def test_replay_keeps_what_the_task_would_lose(source, general):
    nothing = Annealing("linear", t0=0)  # lambda = 1: the task alone
    losses = {}
    for name, annealing in (("task", nothing), ("both", Annealing("constant"))):
        model, _ = fitted(
            source,
            lambda m, a=annealing: Replay(masked_lm_reader(m.encoder, source), general, a),
            steps=20,
        )
        reader = masked_lm_reader(model.encoder, source)
        losses[name] = score_masked_lm(reader, general).loss
    assert losses["both"] < losses["task"] - 0.5


def test_replay_needs_text(source):
    with pytest.raises(ValueError, match="batches is empty"):
        fitted(source, lambda m: Replay(masked_lm_reader(m.encoder, source), []))
