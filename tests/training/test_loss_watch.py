"""A training that is watched is the same training, and what is seen is the model's own loss."""

from dataclasses import replace

import pytest
import torch

from tests.tiny_checkpoints import POSITIONS
from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.papers.dont_stop_pretraining import Adaptation, adapt
from ulmfit_lib.training.further_pretraining import (
    FurtherPretraining,
    further_pretrain,
    masked_lm_score,
)
from ulmfit_lib.training.loss_watch import LossWatch

CONFIG = FurtherPretraining(updates=9, lr_max=5e-3, batch_size=8, length=POSITIONS)
RIVERS = ["the old mill falls", "the river falls"] * 12
BRIDGES = ["a new bridge rises", "a stone"] * 12


@pytest.fixture
def encoder(checkpoint):
    return load_pretrained_encoder(checkpoint)


def weights(encoder):
    return torch.cat([p.detach().flatten() for p in encoder.masked_lm.parameters()])


def watch(encoder, every=4):
    texts = {"rivers": encoder.encode(RIVERS), "bridges": encoder.encode(BRIDGES)}
    return LossWatch(encoder, texts, every, POSITIONS)


def test_watching_changes_nothing_and_sees_the_loss(encoder):
    documents, eye = encoder.encode(RIVERS), watch(encoder)
    alone, _ = further_pretrain(encoder, documents, CONFIG, seed=3)
    watched, _ = further_pretrain(encoder, documents, CONFIG, seed=3, cbs=[eye])
    assert torch.equal(weights(alone), weights(watched))
    assert eye.updates == [0, 4, 8]
    before = masked_lm_score(encoder, documents, POSITIONS).loss
    assert eye.losses["rivers"][0] == pytest.approx(before, abs=1e-6)
    assert eye.losses["rivers"][-1] < before - 0.05


def test_the_last_measurement_is_that_of_the_encoder_that_comes_back(encoder):
    eye = watch(encoder, every=3)
    read, _ = further_pretrain(encoder, encoder.encode(RIVERS), CONFIG, seed=3, cbs=[eye])
    for kind, texts in (("rivers", RIVERS), ("bridges", BRIDGES)):
        found = masked_lm_score(read, encoder.encode(texts), POSITIONS).loss
        assert eye.losses[kind][-1] == pytest.approx(found, abs=1e-6)


def test_phases_are_counted_on(encoder):
    eye, both = watch(encoder, every=2), [encoder.encode(t) for t in (RIVERS, BRIDGES)]
    config = Adaptation(updates=8, reading=replace(CONFIG, updates=8))
    adapt(encoder, both, config, seed=3, cbs=[eye])
    assert eye.updates == [0, 2, 4, 6, 8]
    assert all(len(line) == 5 for line in eye.losses.values())


def test_bad_settings_are_named(encoder):
    with pytest.raises(ValueError, match="every=0"):
        watch(encoder, every=0)
    with pytest.raises(ValueError, match="no text"):
        LossWatch(encoder, {"nothing": []}, 1, POSITIONS)
