"""Shared layers, private heads: a batch moves the encoder and the head of its own task alone."""

import pytest
import torch

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifierConfig
from ulmfit_lib.models.multi_task import MultiTaskClassifier
from ulmfit_lib.training.groups import check_partition, classifier_groups

IDS = torch.tensor([[1, 10, 11, 2], [1, 13, 2, 0]])


@pytest.fixture
def model():
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(40, 16, 2, 2, 32, max_length=12)).bert
    return MultiTaskClassifier(encoder, (2, 5), EncoderClassifierConfig("cls", 0.0))


def test_each_task_has_its_own_classes(model):
    assert model(IDS, 0).shape == (2, 2)
    assert model(IDS, torch.tensor(1)).shape == (2, 5)


def test_a_batch_trains_the_encoder_and_its_own_head(model):
    model(IDS, 1).square().sum().backward()
    assert all(p.grad is not None for p in model.encoder.parameters())
    assert model.head[0].weight.grad is None
    assert model.head[1].weight.grad.abs().sum() > 0


def test_groups_hold_all_heads(model):
    groups = classifier_groups(model)
    check_partition(model, groups)
    assert len(groups[-1]) == 4


def test_no_task_is_refused(model):
    with pytest.raises(ValueError, match="names no task"):
        MultiTaskClassifier(model.encoder, ())
