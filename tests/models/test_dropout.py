"""The AWD-LSTM's dropouts, and the ways in which others got them wrong."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ulmfit_lib.models import dropout
from ulmfit_lib.models.dropout import EmbeddingDropout, LockedDropout, WeightDropLSTM

V, E, H = 50, 6, 8


def assert_frequency(hits: Tensor, p: float) -> None:
    """The share of True in ``hits`` lies within 5 standard errors of ``p``."""
    n = hits.numel()
    assert abs(hits.float().mean().item() - p) < 5 * math.sqrt(p * (1 - p) / n)


def lstm(weight_p: float = 0.5) -> WeightDropLSTM:
    """A layer with recurrent weights large enough that dropping them shows."""
    layer = WeightDropLSTM(E, H, weight_p)
    nn.init.normal_(layer.weight_hh)
    return layer


def text(batch: int = 3, steps: int = 7) -> Tensor:
    return torch.randn(batch, steps, E, generator=torch.Generator().manual_seed(0))


# Locked dropout


def test_trap_wrong_axis_the_mask_is_shared_over_time_and_differs_between_examples() -> None:
    """The original code's mask was shared over the batch instead, and its results published."""
    out = LockedDropout(0.5).train()(torch.ones(16, 9, 100))
    for t in range(1, 9):
        assert out[:, t].equal(out[:, 0])
    rows = {tuple(row.tolist()) for row in out[:, 0]}
    assert len(rows) == 16
    assert (out[:, 0].std(dim=1) > 0).all()  # nor one draw for all features


@pytest.mark.parametrize("p", [0.1, 0.4, 0.9])
def test_locked_dropout_frequency_and_scale(p: float) -> None:
    out = LockedDropout(p).train()(torch.ones(200, 1, 200))
    assert_frequency(out == 0, p)
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 1 / (1 - p)))


def test_locked_dropout_draws_anew_for_each_batch() -> None:
    dropout, x = LockedDropout(0.5).train(), torch.ones(4, 3, 50)
    assert not dropout(x).equal(dropout(x))


def test_locked_dropout_passes_gradient_to_what_it_kept_only() -> None:
    x = torch.ones(4, 3, 50, requires_grad=True)
    out = LockedDropout(0.25).train()(x)
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, out.detach())


# Embedding dropout


def embed(p: float, ids: Tensor) -> tuple[nn.Embedding, Tensor]:
    table = nn.Embedding(V, E)
    return table, EmbeddingDropout(p).train()(ids, table)


def test_a_dropped_word_type_vanishes_everywhere_in_the_batch() -> None:
    ids = torch.randint(0, V, (20, 30))
    table, out = embed(0.5, ids)
    dropped = (out == 0).all(dim=-1)
    assert 0 < dropped.sum() < dropped.numel()
    for word in ids.unique():
        assert dropped[ids == word].unique().numel() == 1
    torch.testing.assert_close(out[~dropped], table(ids)[~dropped] / 0.5)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5])
def test_embedding_dropout_frequency(p: float) -> None:
    table = nn.Embedding(20_000, 1)
    nn.init.ones_(table.weight)
    out = EmbeddingDropout(p).train()(torch.arange(20_000).unsqueeze(0), table)
    assert_frequency(out == 0, p)
    torch.testing.assert_close(out.max(), torch.tensor(1 / (1 - p)))


def test_embedding_dropout_equals_masking_the_table() -> None:
    ids = torch.arange(V).repeat(2, 3)
    table, out = embed(0.5, ids)
    kept = (out[0, :V] != 0).any(dim=-1, keepdim=True)
    masked_table = table.weight * kept / 0.5
    torch.testing.assert_close(out, nn.functional.embedding(ids, masked_table))


def test_embedding_dropout_never_changes_the_table() -> None:
    ids = torch.arange(V).unsqueeze(0)
    table = nn.Embedding(V, E)
    before, dropout = table.weight.detach().clone(), EmbeddingDropout(0.5).train()
    outs = [dropout(ids, table) for _ in range(20)]
    assert table.weight.equal(before)
    assert not outs[0].equal(outs[1])


def test_a_dropped_word_type_gets_no_gradient() -> None:
    ids = torch.arange(V).unsqueeze(0)
    table, out = embed(0.5, ids)
    out.sum().backward()
    assert table.weight.grad is not None
    dropped = (out[0] == 0).all(dim=-1)
    assert (table.weight.grad[dropped] == 0).all()
    assert (table.weight.grad[~dropped] == 2).all()


# Weight drop


def kept_weights(layer: WeightDropLSTM) -> Tensor:
    """Which recurrent weights the last backward pass reached."""
    assert layer.weight_hh.grad is not None
    return layer.weight_hh.grad != 0


def test_trap_the_raw_weight_gets_a_gradient() -> None:
    """With a leaf tensor in the way, it is silently never trained (fastai #2591)."""
    layer = lstm().train()
    layer(text())[0].sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
        assert parameter.grad.isfinite().all(), name


def test_trap_no_parameter_appears_or_vanishes_when_modes_change() -> None:
    """In evaluation F.dropout returns the parameter itself: assigning it registers it again."""
    layer = lstm()
    keys, n = list(layer.state_dict()), len(list(layer.parameters()))
    assert keys == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    for mode in (True, False, True, False):
        layer.train(mode)
        layer(text())
        assert list(layer.state_dict()) == keys
        assert len(list(layer.parameters())) == n


def test_trap_masks_differ_in_every_step_but_the_first() -> None:
    """From a zero state the recurrent matrix has no say yet."""
    layer = lstm().train()
    one, other = layer(text())[0], layer(text())[0]
    assert one[:, 0].equal(other[:, 0])
    assert (one[:, 1:] != other[:, 1:]).any(dim=(0, 2)).all()


def test_trap_weights_do_not_decay_however_often_they_are_dropped() -> None:
    """A published re-implementation drops in place, until all weights are zero."""
    layer = lstm().train()
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    with torch.no_grad():
        for _ in range(50):
            layer(text())
    assert all(tensor.equal(before[name]) for name, tensor in layer.state_dict().items())


def test_trap_the_input_matrix_is_not_dropped() -> None:
    layer = lstm(weight_p=0.9)
    layer.train()(text())[0].sum().backward()
    assert layer.weight_ih.grad is not None
    assert (layer.weight_ih.grad != 0).all()
    dropped, whole = layer.train()(text())[0], layer.eval()(text())[0]
    torch.testing.assert_close(dropped[:, 0], whole[:, 0])


def test_trap_one_mask_serves_all_time_steps_and_the_rest_is_scaled() -> None:
    """The output equals that of torch's LSTM with the mask over 1 - p in its matrix."""
    p = 0.3
    layer = lstm(p).train()
    out, (h, c) = layer(text(steps=12))
    out.square().sum().backward()
    kept = kept_weights(layer)
    torch_lstm = _torch_lstm(layer, layer.weight_hh * kept / (1 - p))
    expected, (h_n, c_n) = torch_lstm(text(steps=12))
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(h, h_n)
    torch.testing.assert_close(c, c_n)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_weight_drop_frequency_is_element_by_element(p: float) -> None:
    layer = WeightDropLSTM(E, 64, p).train()
    # One output unit would not do: the gradient must not be zero for any other reason.
    layer(text(batch=8))[0].square().sum().backward()
    kept = kept_weights(layer)
    assert_frequency(~kept, p)
    shares = kept.float().mean(dim=1)  # 64 draws a row: neither rows nor columns go as a whole
    assert (shares - (1 - p)).abs().max() < 6 * math.sqrt(p * (1 - p) / 64)
    shares = kept.float().mean(dim=0)
    assert (shares - (1 - p)).abs().max() < 6 * math.sqrt(p * (1 - p) / 256)


def test_in_evaluation_it_is_torchs_lstm() -> None:
    layer = lstm().eval()
    state = torch.randn(1, 3, H), torch.randn(1, 3, H)
    out, new_state = layer(text(), state)
    expected, expected_state = _torch_lstm(layer, layer.weight_hh)(text(), state)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(new_state, expected_state)


def test_a_text_read_in_two_parts_gives_the_same_states() -> None:
    layer, x = lstm().eval(), text(steps=9)
    whole, last = layer(x)
    first, state = layer(x[:, :4])
    second, state = layer(x[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(state, last)


def test_the_zero_state_is_what_no_state_means() -> None:
    layer = lstm().eval()
    h, c = layer.zero_state(3)
    assert h.shape == c.shape == (1, 3, H)
    assert layer(text(), (h, c))[0].equal(layer(text())[0])


def _torch_lstm(layer: WeightDropLSTM, weight_hh: Tensor) -> nn.LSTM:
    """torch's own LSTM with this layer's weights and the given recurrent matrix."""
    module = nn.LSTM(E, layer.hidden_size, batch_first=True)
    with torch.no_grad():
        module.weight_ih_l0.copy_(layer.weight_ih)
        module.weight_hh_l0.copy_(weight_hh)
        module.bias_ih_l0.copy_(layer.bias_ih)
        module.bias_hh_l0.copy_(layer.bias_hh)
    return module


# All of them


def test_nothing_is_dropped_in_evaluation_or_with_probability_zero() -> None:
    x, ids, table = text(), torch.arange(6).view(2, 3), nn.Embedding(V, E)
    assert LockedDropout(0.9).eval()(x).equal(x)
    assert LockedDropout(0.0).train()(x).equal(x)
    assert EmbeddingDropout(0.9).eval()(ids, table).equal(table(ids))
    assert EmbeddingDropout(0.0).train()(ids, table).equal(table(ids))
    layer = lstm(0.0)
    assert layer.train()(x)[0].equal(layer.eval()(x)[0])


def test_the_same_seed_draws_the_same_masks() -> None:
    layer = lstm().train()
    outs = []
    for _ in range(2):
        torch.manual_seed(3)
        outs.append(layer(LockedDropout(0.5).train()(text()))[0])
    assert outs[0].equal(outs[1])


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, math.nan])
def test_what_is_no_probability_is_refused(p: float) -> None:
    for build in (LockedDropout, EmbeddingDropout, lambda p: WeightDropLSTM(E, H, p)):
        with pytest.raises(ValueError, match="is not a dropout probability"):
            build(p)


def test_where_autocast_would_mean_float16_the_lstm_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, x = lstm(0.0), text()
    expected, state = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x)[0].dtype == torch.bfloat16
        monkeypatch.setattr(dropout, "FLOAT32_ON", ("cpu",))
        assert torch.equal(layer(x)[0], expected)
        assert layer(x.bfloat16(), state)[0].dtype == torch.float32
