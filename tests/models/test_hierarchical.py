"""Pieces through the encoder: exact, masked, the same in groups, and flat in memory."""

import pytest
import torch
from torch import nn

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.models.encoder_classifier import EncoderClassifier, EncoderClassifierConfig
from ulmfit_lib.models.hierarchical import (
    PIECE_POOLINGS,
    AttentionPool,
    HierarchicalClassifier,
    HierarchicalConfig,
)
from ulmfit_lib.text.batches import pad_batch
from ulmfit_lib.text.pieces import PiecesDataset
from ulmfit_lib.training.groups import check_partition, classifier_groups

CONFIG = EncoderConfig(60, 16, 2, 2, 32, max_length=8, fine_tuning_dropout=0.0)
DOCUMENTS = [list(range(10, 10 + n)) for n in (17, 3, 12, 0, 6)]


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(CONFIG).bert


def batch(documents=DOCUMENTS, special_length=8):
    dataset = PiecesDataset(documents, special_length)
    return pad_batch([dataset[i][0] for i in range(len(dataset))])


def classifier(encoder, piece_pooling="mean", **settings):
    torch.manual_seed(1)
    settings = {"piece_length": 8, "attention_size": 5, "dropout": 0.0} | settings
    config = HierarchicalConfig(piece_pooling=piece_pooling, **settings)
    return HierarchicalClassifier(encoder, 3, config).eval()


@pytest.mark.parametrize("piece_pooling", PIECE_POOLINGS)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_each_document_is_its_pieces_read_one_by_one(encoder, piece_pooling, pooling):
    model = classifier(encoder, piece_pooling, pooling=pooling)
    flat = EncoderClassifier(encoder, 3, EncoderClassifierConfig(pooling)).eval()
    found = model.pooled(batch())
    for row, ids in enumerate(DOCUMENTS):
        parts = [ids[i : i + 6] for i in range(0, max(1, len(ids)), 6)]
        vectors = torch.cat([flat.pooled(torch.tensor([[1, *part, 2]])) for part in parts])
        if piece_pooling == "attention":
            scores = torch.tanh(vectors @ model.attention.inner.weight.T)
            shares = (scores @ model.attention.outer.weight.T).softmax(dim=0)
            expected = (shares * vectors).sum(dim=0)
        else:
            expected = vectors.mean(dim=0) if piece_pooling == "mean" else vectors.amax(dim=0)
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("piece_pooling", PIECE_POOLINGS)
def test_batch_mates_padding_and_groups_do_not_matter(encoder, piece_pooling):
    model = classifier(encoder, piece_pooling)
    together = model(batch())
    alone = torch.cat([model(batch([ids])) for ids in DOCUMENTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    padded = nn.functional.pad(batch(), (0, 13))
    torch.testing.assert_close(together, model(padded), atol=1e-5, rtol=1e-5)
    small = classifier(encoder, piece_pooling, group_size=2)
    torch.testing.assert_close(together, small(batch()), atol=1e-5, rtol=1e-5)


def test_a_document_of_one_piece_is_that_piece(encoder):
    flat = EncoderClassifier(encoder, 3, EncoderClassifierConfig("cls", 0.0)).eval()
    ids = torch.tensor([[1, 20, 21, 2]])
    for piece_pooling in PIECE_POOLINGS:
        model = classifier(encoder, piece_pooling, pooling="cls")
        torch.testing.assert_close(model.pooled(ids), flat.pooled(ids))


def test_gradients_in_groups_are_those_of_one_pass(encoder):
    grads = []
    for group_size in (100, 2):
        model = classifier(encoder, "attention", group_size=group_size).train()
        model(batch()).square().sum().backward()
        grads.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], atol=1e-5, rtol=1e-4)


def test_dropout_is_drawn_alike_when_a_group_is_computed_again(encoder):
    """Otherwise the gradient would be that of another network than the one that answered."""
    for part in encoder.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.5
    model = classifier(encoder, group_size=2).train()
    seen = []
    hook = model.encoder.embeddings.dropout.register_forward_hook(
        lambda module, args, output: seen.append(output.detach().clone())
    )
    model(batch()).square().sum().backward()
    hook.remove()
    forward, again = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert len(forward) == len(again) == 4  # eight pieces in groups of two
    assert {tuple(t.flatten().tolist()) for t in forward} == {
        tuple(t.flatten().tolist()) for t in again
    }


def kept_for_backward(model, ids):
    """Numbers that autograd keeps between forward and backward, weights left out."""
    weights = {p.data_ptr() for p in model.parameters()}
    kept = {}

    def pack(tensor):
        if tensor.is_floating_point() and tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(ids).sum()
    loss.backward()
    return sum(kept.values())


def test_training_keeps_one_vector_a_piece_however_long_the_document(encoder):
    model = classifier(encoder, group_size=4).train()
    short, long = (kept_for_backward(model, batch([[10] * 6 * n])) for n in (8, 80))
    per_piece = (long - short) / 72
    assert per_piece < 8 * CONFIG.hidden_size  # a piece's inner states are hundreds of numbers
    everything = kept_for_backward(classifier(encoder, group_size=100).train(), batch([[10] * 480]))
    assert everything > 10 * long


def test_attention_weights_are_shares_of_the_pieces_there_are(encoder):
    model = classifier(encoder, "attention")
    weights = model.piece_weights(batch())
    assert weights.shape == (5, 3)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(5))
    assert (weights[1, 1:] == 0).all() and (weights[3, 1:] == 0).all()
    with pytest.raises(TypeError, match="gives no weights"):
        classifier(encoder).piece_weights(batch())


def test_attention_pool_is_its_formula():
    pool, h = AttentionPool(4, 3), torch.randn(2, 5, 4)
    mask = torch.arange(5) < torch.tensor([[5], [2]])
    scores = torch.tanh(h @ pool.inner.weight.T) @ pool.outer.weight[0]
    for row, n in enumerate((5, 2)):
        expected = scores[row, :n].softmax(0) @ h[row, :n]
        torch.testing.assert_close(pool(h, mask)[row], expected)


def test_every_parameter_is_in_one_group_and_learns(encoder):
    model = classifier(encoder, "attention", group_size=3).train()
    check_partition(model, classifier_groups(model))
    nn.functional.cross_entropy(model(batch()), torch.tensor([0, 1, 2, 0, 1])).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.attention.parameters())
    assert all(p.grad is not None for p in model.parameters())


def test_impossible_settings_are_refused(encoder):
    with pytest.raises(ValueError, match="piece_pooling='last'"):
        HierarchicalConfig(piece_pooling="last")
    with pytest.raises(ValueError, match="group_size=0"):
        HierarchicalConfig(group_size=0)
    with pytest.raises(ValueError, match="piece_length=9, but the encoder has 8 places"):
        classifier(encoder, piece_length=9)
