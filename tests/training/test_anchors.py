"""Pre-trained values find their parameters by name, and stay where they are."""

import pytest
import torch
from torch import nn

from ulmfit_lib.training.anchors import match_by_name, squared_distance


class Tied(nn.Module):
    """An embedding whose matrix is the decoder's, too."""

    def __init__(self):
        super().__init__()
        self.embedding, self.decoder = nn.Embedding(5, 3), nn.Linear(3, 5)
        self.decoder.weight = self.embedding.weight


class WithHead(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(3, 2)


def test_an_encoder_is_found_inside_a_classifier_and_the_head_is_left_alone():
    encoder, pretrained = nn.Linear(4, 3), nn.Linear(4, 3)
    model = WithHead(encoder)
    anchors = match_by_name(model, pretrained, "encoder.")
    assert set(anchors) == set(encoder.parameters())
    assert torch.equal(anchors[encoder.weight], pretrained.weight)


def test_the_order_of_the_names_does_not_matter():
    model = nn.Linear(3, 3)
    values = {"bias": torch.ones(3), "weight": torch.zeros(3, 3)}
    anchors = match_by_name(model, values)
    assert torch.equal(anchors[model.bias], values["bias"])
    assert torch.equal(anchors[model.weight], values["weight"])


def test_an_anchor_shares_no_memory_with_its_model():
    model = nn.Linear(4, 3)
    anchors = match_by_name(model, model)  # the trap: the model itself as its own pre-trained twin
    before = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.add_(1.0)
    assert torch.equal(anchors[model.weight], before)
    assert not any(a.requires_grad for a in anchors.values())
    assert squared_distance(anchors) == pytest.approx(12.0)


def test_a_tied_parameter_is_anchored_once():
    model, other = Tied(), Tied()
    anchors = match_by_name(model, other)
    assert len(anchors) == 2  # the shared matrix and the decoder's bias
    state = match_by_name(model, other.state_dict())
    assert torch.equal(state[model.embedding.weight], other.embedding.weight)
    torn = dict(other.state_dict()) | {"decoder.weight": torch.zeros(5, 3)}
    with pytest.raises(ValueError, match="tied to another parameter"):
        match_by_name(model, torn)


def test_buffers_of_a_state_dict_are_no_parameters():
    model = nn.BatchNorm1d(3)
    assert set(match_by_name(model, model.state_dict())) == set(model.parameters())


@pytest.mark.parametrize(
    ("values", "prefix", "complaint"),
    [
        ({"wieght": torch.zeros(3, 4)}, "", r"no parameter 'wieght'; did you mean 'weight'\?"),
        ({"weight": torch.zeros(3, 4)}, "encoder.", "no parameter 'encoder.weight'"),
        ({"weight": torch.zeros(4, 3)}, "", r"weight has shape \(3, 4\).*\(4, 3\)"),
        ({}, "", "names no parameter"),
    ],
)
def test_names_and_shapes_that_do_not_fit_are_refused(values, prefix, complaint):
    with pytest.raises(ValueError, match=complaint):
        match_by_name(nn.Linear(4, 3), values, prefix)
