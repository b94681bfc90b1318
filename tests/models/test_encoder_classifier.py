"""The encoder's classifier: transformers' states, pooled; padding and batch mates do not matter."""

import pytest
import torch

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.models.encoder_classifier import (
    EncoderClassifier,
    EncoderClassifierConfig,
)
from ulmfit_lib.training.groups import check_partition, classifier_groups, layerwise_groups

CONFIG = EncoderConfig(40, 16, 3, 2, 32, max_length=12)
IDS = torch.tensor([[1, 10, 11, 12, 2], [1, 13, 2, 0, 0]])


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(CONFIG).bert


def classifier(encoder, pooling="mean"):
    torch.manual_seed(1)
    return EncoderClassifier(encoder, 3, EncoderClassifierConfig(pooling)).eval()


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_padding_and_batch_mates_do_not_matter(encoder, pooling):
    model = classifier(encoder, pooling)
    together = model(IDS)
    torch.testing.assert_close(together[1:], model(IDS[1:, :3]))
    padded = torch.cat([IDS, torch.zeros(2, 4, dtype=torch.long)], dim=1)
    torch.testing.assert_close(together, model(padded))
    torch.testing.assert_close(together.flip(0), model(IDS.flip(0)))


def test_pooled_vectors_are_made_of_the_encoder_s_states(encoder):
    states = encoder.eval()(IDS[1:, :3]).last_hidden_state[0]
    torch.testing.assert_close(classifier(encoder, "cls").pooled(IDS)[1], states[0])
    torch.testing.assert_close(classifier(encoder, "mean").pooled(IDS)[1], states.mean(dim=0))


def test_groups_hold_every_parameter_once_and_rates_fall_downwards(encoder):
    model = classifier(encoder)
    groups = classifier_groups(model)
    assert len(groups) == 1 + CONFIG.n_layers + 1
    check_partition(model, groups)
    rates = [group["lr"] for group in layerwise_groups(model, 1e-3, 0.95)]
    assert rates == pytest.approx([1e-3 * 0.95**k for k in (4, 3, 2, 1, 0)])


def test_the_encoder_is_copied_and_every_parameter_gets_a_gradient(encoder):
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    model = classifier(encoder).train()
    torch.nn.functional.cross_entropy(model(IDS), torch.tensor([0, 2])).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert all(p.grad is None for p in encoder.parameters())
    assert all(torch.equal(before[name], p) for name, p in encoder.named_parameters())


def test_impossible_settings_are_refused(encoder):
    with pytest.raises(ValueError, match="pooling='max'"):
        EncoderClassifierConfig("max")
    with pytest.raises(ValueError, match="n_classes=0"):
        EncoderClassifier(encoder, 0)
