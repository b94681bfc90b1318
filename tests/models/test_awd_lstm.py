"""The AWD-LSTM: sizes, state, where each dropout acts, and that it learns."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ulmfit_lib.models.awd_lstm import (
    AWDLSTM,
    CLASSIFIER_DROPOUTS,
    FINE_TUNING_DROPOUTS,
    NO_DROPOUT,
    AWDLSTMConfig,
    Dropouts,
    LanguageModel,
    detach_state,
)

V = 30
SIZES = AWDLSTMConfig(vocab_size=V, embedding_size=4, hidden_size=6, n_layers=3)
CLOSE = {"atol": 1e-5, "rtol": 0.0}


def tiny_model(dropouts: Dropouts = NO_DROPOUT, config: AWDLSTMConfig = SIZES) -> LanguageModel:
    torch.manual_seed(0)
    model = LanguageModel(AWDLSTM(config, dropouts))
    nn.init.normal_(model.encoder.embedding.weight)
    return model


def tokens(batch: int = 3, steps: int = 8, seed: int = 0) -> Tensor:
    return torch.randint(5, V, (batch, steps), generator=torch.Generator().manual_seed(seed))


def only(**p: float) -> Dropouts:
    """One dropout switched on."""
    return replace(NO_DROPOUT, **p)


# Sizes


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("vocab_size", "total"), [(10_000, 24_221_600), (33_278, 33_556_078), (60_000, 44_271_600)]
)
def test_parameter_counts_of_the_papers_model(vocab_size: int, total: int) -> None:
    with torch.device("meta"):
        model = LanguageModel(AWDLSTM(AWDLSTMConfig(vocab_size, 400, 1150, 3)))
    assert sum(n_parameters(layer) for layer in model.encoder.layers) == 20_211_600
    assert n_parameters(model) == total


def test_tying_saves_one_embedding() -> None:
    model = tiny_model()
    untied = n_parameters(model.encoder) + n_parameters(nn.Linear(4, V))
    assert untied - n_parameters(model) == V * 4


def test_the_layers_run_from_embedding_size_to_embedding_size() -> None:
    assert AWDLSTMConfig(V, 4, 6, 1).layer_sizes == [(4, 4)]
    assert AWDLSTMConfig(V, 4, 6, 2).layer_sizes == [(4, 6), (6, 4)]
    assert AWDLSTMConfig(V, 4, 6, 4).layer_sizes == [(4, 6), (6, 6), (6, 6), (6, 4)]


def test_names_in_the_state_dict_stay_as_they_are() -> None:
    """Shipped weights, checkpoints and the converter know the tensors by these names."""
    layer = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    expected = [f"encoder.layers.{i}.{name}" for i in range(3) for name in layer]
    names = ["decoder_bias", "encoder.embedding.weight", *expected]
    model = tiny_model(CLASSIFIER_DROPOUTS)
    for mode in (True, False, True):
        model.train(mode)(tokens())
        assert sorted(model.state_dict()) == sorted(names)
        assert len(list(model.parameters())) == len(names)


def test_shapes() -> None:
    output = tiny_model()(tokens(batch=2, steps=5))
    assert output.logits.shape == (2, 5, V)
    assert output.raw.shape == output.dropped.shape == (2, 5, 4)
    state = tiny_model().encoder(tokens(batch=2)).state
    assert [h.shape for h, _ in state] == [(1, 2, 6), (1, 2, 6), (1, 2, 4)]
    assert [c.shape for _, c in state] == [(1, 2, 6), (1, 2, 6), (1, 2, 4)]


@pytest.mark.parametrize("name", ["vocab_size", "embedding_size", "hidden_size", "n_layers"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=0"):
        replace(SIZES, **{name: 0})


@pytest.mark.parametrize("pad_id", [-1, 20])
def test_a_padding_id_outside_the_vocabulary_is_refused(pad_id):
    with pytest.raises(ValueError, match=f"pad_id={pad_id}"):
        AWDLSTMConfig(vocab_size=20, pad_id=pad_id)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    model = LanguageModel(AWDLSTM(AWDLSTMConfig(1_000, 20, 20, 2)))
    embedding = model.encoder.embedding.weight
    assert embedding.abs().max() <= 0.1
    assert abs(embedding.std().item() - 0.1 / 3**0.5) < 0.002
    assert (embedding[model.encoder.config.pad_id] == 0).all()
    assert (model.decoder_bias == 0).all()


# Reading


def test_reading_in_parts_equals_reading_at_once() -> None:
    ids = tokens(steps=20)
    whole = tiny_model().eval()(ids)
    model = tiny_model().eval()
    parts = [model(part) for part in ids.split([7, 1, 12], dim=1)]
    torch.testing.assert_close(torch.cat([p.logits for p in parts], dim=1), whole.logits, **CLOSE)
    torch.testing.assert_close(torch.cat([p.raw for p in parts], dim=1), whole.raw, **CLOSE)


def test_the_state_is_carried_without_its_history() -> None:
    model = tiny_model()
    model(tokens()).logits.sum().backward()
    assert model.state is not None
    assert not any(t.requires_grad for pair in model.state for t in pair)
    first = [t.clone() for pair in model.state for t in pair]
    # A second backward pass would fail if it reached into the first batch's graph.
    model(tokens(seed=1)).logits.sum().backward()
    second = [t for pair in model.state for t in pair]
    assert not any(a.equal(b) for a, b in zip(first, second, strict=True))


def test_the_encoder_itself_hands_on_the_history() -> None:
    encoder = tiny_model().encoder
    state = encoder(tokens()).state
    assert all(t.requires_grad for pair in state for t in pair)
    assert not any(t.requires_grad for pair in detach_state(state) for t in pair)
    assert all(a[0].equal(b[0]) for a, b in zip(state, detach_state(state), strict=True))


def test_reset_starts_a_new_text() -> None:
    model = tiny_model().eval()
    first = model(tokens()).logits
    second = model(tokens()).logits
    assert not second.equal(first)
    model.reset()
    assert model(tokens()).logits.equal(first)


def test_another_batch_size_starts_a_new_text() -> None:
    model = tiny_model().eval()
    alone = model(tokens(batch=3)).logits
    model.reset()
    model(tokens(batch=5))
    assert model(tokens(batch=3)).logits.equal(alone)


def test_the_encoder_keeps_no_state() -> None:
    encoder = tiny_model().encoder.eval()
    first = encoder(tokens()).raw
    assert encoder(tokens()).raw.equal(first)


@given(st.integers(0, 7), st.integers(5, V - 1))
@settings(max_examples=25)
def test_a_token_changes_nothing_before_it_and_nothing_in_other_texts(t: int, token: int) -> None:
    encoder = tiny_model().encoder.eval()
    ids = tokens()
    changed = ids.clone()
    changed[1, t] = token
    before, after = encoder(ids).raw, encoder(changed).raw
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]], **CLOSE)
    torch.testing.assert_close(after[1, :t], before[1, :t], **CLOSE)
    if ids[1, t] != token:
        assert (after[1, t] - before[1, t]).abs().max() > 1e-5


def test_the_decoder_is_the_embedding_and_a_bias() -> None:
    model = tiny_model().eval()
    nn.init.normal_(model.decoder_bias)
    output = model(tokens())
    expected = output.dropped @ model.encoder.embedding.weight.T + model.decoder_bias
    torch.testing.assert_close(output.logits, expected)


def test_an_id_outside_the_vocabulary_is_an_error() -> None:
    with pytest.raises(IndexError):
        tiny_model()(torch.tensor([[V]]))


# Where each dropout acts


def test_raw_is_undropped_and_dropped_is_locked_dropout_of_it() -> None:
    """TAR looks at raw, AR and the decoder at dropped."""
    model = tiny_model(only(output=0.4), replace(SIZES, embedding_size=64)).train()
    output = model(tokens())
    whole = tiny_model(NO_DROPOUT, replace(SIZES, embedding_size=64)).train()(tokens())
    torch.testing.assert_close(output.raw, whole.raw)
    factor = output.dropped / output.raw
    assert factor.unique().numel() >= 2
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    kept = factor[factor != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.6))


def test_without_output_dropout_both_are_the_same() -> None:
    output = tiny_model(only(hidden=0.5)).train()(tokens())
    assert output.raw.equal(output.dropped)


def test_trap_embedding_dropout_does_not_drop_the_tied_decoder() -> None:
    model = tiny_model(only(embedding=0.9)).train()
    output = model(tokens())
    expected = output.dropped @ model.encoder.embedding.weight.T + model.decoder_bias
    torch.testing.assert_close(output.logits, expected)


def test_trap_a_dropped_word_is_dropped_in_all_texts_of_the_batch() -> None:
    """Two texts that are the same stay the same, whatever words are dropped."""
    model = tiny_model(only(embedding=0.5)).train()
    output = model(tokens(batch=1).repeat(2, 1))
    torch.testing.assert_close(output.raw[0], output.raw[1])


@pytest.mark.parametrize("name", ["input", "hidden", "output"])
def test_trap_locked_dropout_differs_between_the_texts_of_a_batch(name: str) -> None:
    model = tiny_model(only(**{name: 0.5}), replace(SIZES, embedding_size=32)).train()
    output = model(tokens(batch=1).repeat(2, 1))
    assert not output.dropped[0].equal(output.dropped[1])


@pytest.mark.parametrize("name", ["embedding", "input", "weight", "hidden", "output"])
def test_each_dropout_acts_in_training_and_none_in_evaluation(name: str) -> None:
    whole = tiny_model().eval()(tokens()).logits
    model = tiny_model(only(**{name: 0.5}))
    assert not model.train()(tokens()).logits.equal(whole)
    model.reset()
    assert model.eval()(tokens()).logits.equal(whole)


def test_trap_weight_drop_leaves_the_first_step_alone() -> None:
    model = tiny_model(only(weight=0.5)).train()
    outs = []
    for _ in range(2):
        model.reset()
        outs.append(model(tokens()).raw)
    assert outs[0][:, 0].equal(outs[1][:, 0])
    assert (outs[0][:, 1:] != outs[1][:, 1:]).any(dim=(0, 2)).all()


def test_trap_every_parameter_gets_a_gradient_under_all_dropouts() -> None:
    model = tiny_model(FINE_TUNING_DROPOUTS).train()
    model(tokens(batch=8, steps=20)).logits.logsumexp(-1).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_trap_forward_passes_do_not_change_the_weights() -> None:
    model = tiny_model(FINE_TUNING_DROPOUTS.scaled(2)).train()
    before = copy.deepcopy(model.state_dict())
    for _ in range(30):
        model(tokens())
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


def test_scaled_dropouts() -> None:
    assert Dropouts(0.1, 0.2, 0.3, 0.4, 0.5).scaled(0.5) == Dropouts(0.05, 0.1, 0.15, 0.2, 0.25)
    assert FINE_TUNING_DROPOUTS.scaled(0) == NO_DROPOUT
    with pytest.raises(ValueError, match="not a dropout probability"):
        AWDLSTM(SIZES, CLASSIFIER_DROPOUTS.scaled(2))


def test_the_dropouts_of_the_papers_and_their_code() -> None:
    """(embedding, input, weight, hidden, output)."""
    assert Dropouts() == Dropouts(0.1, 0.65, 0.5, 0.3, 0.4)
    assert FINE_TUNING_DROPOUTS == Dropouts(0.02, 0.25, 0.2, 0.15, 0.1)
    assert CLASSIFIER_DROPOUTS == Dropouts(0.05, 0.4, 0.5, 0.3, 0.4)


# Learning


def test_it_learns_a_text_by_heart_beyond_what_one_token_tells() -> None:
    """After 'a' comes 'b' or 'c' in turn: only a state can know which."""
    model = tiny_model(config=AWDLSTMConfig(V, 12, 16, 2)).train()
    text = torch.tensor([5, 6, 5, 7]).repeat(6).unsqueeze(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(80):
        model.reset()
        loss = nn.functional.cross_entropy(model(text[:, :-1]).logits[0], text[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 2
    assert losses[-1] < 0.15  # the best that one token can tell is half a bit: 0.35
