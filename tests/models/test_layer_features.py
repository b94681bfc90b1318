"""Features of chosen layers are transformers' hidden states, and what is not read is not there."""

import pytest
import torch

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier, EncoderClassifierConfig
from ulmfit_lib.models.layer_features import combine_layers, layer_by_layer, layer_numbers
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.training.groups import check_partition, classifier_groups

CONFIG = EncoderConfig(40, 16, 4, 2, 32, max_length=12, fine_tuning_dropout=0.0)
IDS = torch.tensor([[1, 10, 11, 12, 2], [1, 13, 2, 0, 0]])


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(CONFIG).bert.eval()


def states(encoder):
    """transformers' own: embeddings, then each layer."""
    return encoder(IDS, attention_mask=IDS != 0, output_hidden_states=True).hidden_states


def features(encoder, layers, combination="concat"):
    config = EncoderClassifierConfig("cls", layers=layers, combination=combination)
    return EncoderClassifier(encoder, 3, config).eval()


@pytest.mark.parametrize("layer", range(4))
def test_layer_i_is_hidden_state_i_plus_1(encoder, layer):
    model = features(encoder, (layer,))
    torch.testing.assert_close(model.pooled(IDS), states(encoder)[layer + 1][:, 0])


@pytest.mark.parametrize("layers", [(0, 1), (-2, -1), (0, 1, 2, 3), (3, 1)])
def test_layers_are_combined_in_the_order_given(encoder, layers):
    found = [states(encoder)[1:][i][:, 0] for i in layers]
    wanted = {
        "concat": torch.cat(found, dim=1),
        "mean": torch.stack(found).mean(0),
        "max": torch.stack(found).amax(0),
    }
    for combination, expected in wanted.items():
        model = features(encoder, layers, combination)
        torch.testing.assert_close(model.pooled(IDS), expected)
        assert model.head.in_features == expected.shape[1]


@pytest.mark.parametrize("layers", [(0,), (1, 2), (-1,)])
def test_no_layer_is_carried_along_untrained(encoder, layers):
    model = features(encoder, layers).train()
    assert len(model.encoder.encoder.layer) == max(i % 4 for i in layers) + 1
    check_partition(model, classifier_groups(model))
    torch.nn.functional.cross_entropy(model(IDS), torch.tensor([0, 2])).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert len(encoder.encoder.layer) == 4


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_probe_features_come_layer_by_layer_in_the_documents_order(encoder, pooling):
    documents = [[10], [11, 12, 13, 14], [15, 16]]
    encoder.train()
    found = layer_by_layer(encoder, FramedDataset(documents, 12), pooling)
    assert encoder.training
    encoder.eval()
    assert found.shape == (5, 3, 16)
    for row, ids in enumerate(documents):
        alone = encoder(torch.tensor([[1, *ids, 2]]), output_hidden_states=True).hidden_states
        for layer, state in enumerate(alone):
            expected = state[0, 0] if pooling == "cls" else state[0].mean(0)
            torch.testing.assert_close(found[layer, row], expected, atol=1e-5, rtol=1e-5)


def test_layers_that_are_not_there_are_refused(encoder):
    assert layer_numbers((-1, 0), 4) == (3, 0)
    for layers in ((), (4,), (-5,), (3, -1)):
        with pytest.raises(ValueError, match="give different ones"):
            layer_numbers(layers, 4)
    with pytest.raises(ValueError, match="combination='sum'"):
        combine_layers([torch.zeros(1)], "sum")
    with pytest.raises(ValueError, match="combination='sum'"):
        EncoderClassifierConfig(combination="sum")
    with pytest.raises(ValueError, match="pooling='max'"):
        layer_by_layer(encoder, FramedDataset([[10]], 12), "max")
    with pytest.raises(ValueError, match="reads the last layer alone"):
        EncoderClassifierConfig("pooler", layers=(0,))
