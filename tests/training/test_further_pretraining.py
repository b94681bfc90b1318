"""Reading on: the loss on held-out text falls, the start stays as it is, seeds decide."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tiny_checkpoints import POSITIONS
from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.text.packing import pack_sequences
from ulmfit_lib.text.tokenizer import BOS_ID, CLS_ID, SEP_ID
from ulmfit_lib.training.further_pretraining import (
    FurtherPretraining,
    further_pretrain,
    masked_batches,
    masked_lm_score,
)

CONFIG = FurtherPretraining(updates=100, lr_max=5e-3, batch_size=8, length=POSITIONS)
TEXTS = ["the old mill falls", "a new bridge rises", "the river falls", "a stone"] * 12


@pytest.fixture
def encoder(checkpoint):
    return load_pretrained_encoder(checkpoint)


def weights(encoder):
    return torch.cat([p.detach().flatten() for p in encoder.masked_lm.parameters()])


def test_held_out_loss_falls_and_the_start_stays(encoder):
    documents, before = encoder.encode(TEXTS), weights(encoder).clone()
    first = masked_lm_score(encoder, documents, POSITIONS)
    tuned, losses = further_pretrain(encoder, documents, CONFIG)
    assert masked_lm_score(tuned, documents, POSITIONS).loss < first.loss - 0.2
    assert len(losses) == CONFIG.updates and losses[-1] < losses[0]
    assert torch.equal(weights(encoder), before)
    assert not tuned.masked_lm.training


def test_the_same_seed_reads_the_same(encoder):
    documents, short = encoder.encode(TEXTS), replace(CONFIG, updates=2)
    first, again, other = (
        weights(further_pretrain(encoder, documents, short, seed)[0]) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_no_update_changes_nothing(encoder):
    found, losses = further_pretrain(encoder, [], replace(CONFIG, updates=0))
    assert losses == [] and torch.equal(weights(found), weights(encoder))
    assert found.masked_lm is not encoder.masked_lm


def test_batches_are_packed_with_the_checkpoint_s_own_tokens(encoder):
    batches = masked_batches(encoder, encoder.encode(TEXTS), CONFIG)
    ids = batches.batch(0).ids
    special = encoder.special
    assert len(batches) == CONFIG.updates and ids.shape == (8, POSITIONS)
    assert (ids[:, 0] == special.cls_id).all() and (ids[:, -1] == special.sep_id).all()
    assert not (ids == special.pad_id).any()


def test_short_text_makes_smaller_batches(encoder):
    large = replace(CONFIG, batch_size=100)
    batches = masked_batches(encoder, encoder.encode(TEXTS), large)
    assert 1 < len(batches.batch(0).ids) < 100


def test_the_book_s_streams_are_packed_as_before():
    tokens = np.array([BOS_ID, 10, 11, BOS_ID, 12, 13, 14], dtype=np.uint16)
    assert pack_sequences(tokens, np.array([1]), 8).tolist() == [
        [CLS_ID, 10, 11, SEP_ID, 12, 13, 14, SEP_ID]
    ]


def test_impossible_settings_are_refused(encoder):
    with pytest.raises(ValueError, match=r"updates=-1"):
        FurtherPretraining(updates=-1)
    with pytest.raises(ValueError, match=f"the encoder has {POSITIONS} places"):
        masked_batches(encoder, encoder.encode(TEXTS), replace(CONFIG, length=POSITIONS + 1))
    with pytest.raises(ValueError, match="too few"):
        masked_batches(encoder, [[5]], CONFIG)
