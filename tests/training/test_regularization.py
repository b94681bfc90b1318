"""AR, TAR and the learning rate of short batches."""

from types import SimpleNamespace

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.rnn import RNNCallback, RNNRegularizer
from fastai.data.core import DataLoaders

from ulmfit_lib.models.awd_lstm import LMOutput
from ulmfit_lib.training.evaluation import language_model_loss
from ulmfit_lib.training.learner import language_model_learner
from ulmfit_lib.training.optimizers import adam
from ulmfit_lib.training.regularization import (
    ActivationRegularizer,
    RescaleLearningRate,
    activation_penalty,
    temporal_penalty,
)


def _outputs(batch=3, steps=7, size=4):
    torch.manual_seed(0)
    return torch.randn(batch, steps, size), torch.randn(batch, steps, size)


def _ours(raw, dropped, alpha, beta):
    callback = ActivationRegularizer(alpha, beta)
    output = LMOutput(torch.zeros(1), raw, dropped)
    callback.learn = SimpleNamespace(pred=output, loss_grad=torch.tensor(0.5), training=True)
    callback("after_loss")
    return callback.learn.loss_grad


def _fastais(raw, dropped, alpha, beta):
    saved, callback = RNNCallback(), RNNRegularizer(alpha, beta)
    learn = SimpleNamespace(pred=(None, [raw], [dropped]), loss_grad=torch.tensor(0.5))
    learn.training, learn.rnn = True, saved
    saved.learn = callback.learn = learn
    saved("after_pred")
    callback("after_loss")
    return learn.loss_grad


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 1.0), (2.0, 0.0), (0.0, 1.0), (0.3, 7.0)])
def test_equal_to_fastai_on_the_same_outputs(alpha, beta):
    raw, dropped = _outputs()
    ours, theirs = _ours(raw, dropped, alpha, beta), _fastais(raw, dropped, alpha, beta)
    torch.testing.assert_close(ours, theirs)
    assert ours > 0.5


def test_one_row_is_regularised_although_fastai_leaves_it_out():
    raw, dropped = _outputs(batch=1)
    assert _fastais(raw, dropped, 0.0, 1.0) == 0.5
    assert _ours(raw, dropped, 0.0, 1.0) > 0.5


def test_one_step_costs_nothing_where_fastai_gives_nan():
    raw, dropped = _outputs(steps=1)
    assert _fastais(raw, dropped, 0.0, 1.0).isnan()
    assert _ours(raw, dropped, 0.0, 1.0) == 0.5


def test_penalties_by_hand():
    h = torch.tensor([[[1.0, 2.0], [1.0, 4.0], [4.0, 4.0]]])
    assert activation_penalty(h, 2.0).item() == pytest.approx(2 * (1 + 4 + 1 + 16 + 16 + 16) / 6)
    assert temporal_penalty(h, 3.0).item() == pytest.approx(3 * (0 + 4 + 9 + 0) / 4)


def test_ar_takes_the_dropped_output_and_tar_the_raw_one():
    raw, dropped = _outputs()
    torch.testing.assert_close(_ours(raw, dropped, 2.0, 0.0), 0.5 + activation_penalty(dropped))
    torch.testing.assert_close(_ours(raw, dropped, 0.0, 1.0), 0.5 + temporal_penalty(raw))


def test_tar_does_not_cross_a_chunk_boundary():
    """A constant added to all of a later chunk must not change its penalty."""
    raw, _ = _outputs(steps=10)
    jump = raw.clone()
    jump[:, 5:] += 100.0
    torch.testing.assert_close(
        temporal_penalty(jump[:, 5:]), temporal_penalty(raw[:, 5:]), rtol=1e-3, atol=0
    )
    assert temporal_penalty(jump) > 100 * temporal_penalty(raw)


def test_masked_steps_do_not_count():
    raw, _ = _outputs(batch=2, steps=6)
    mask = torch.ones(2, 6, dtype=torch.bool)
    torch.testing.assert_close(activation_penalty(raw, 2.0, mask), activation_penalty(raw, 2.0))
    torch.testing.assert_close(temporal_penalty(raw, 2.0, mask), temporal_penalty(raw, 2.0))
    mask[1] = torch.tensor([False, True, True, True, False, False])
    noise = raw.masked_fill(~mask.unsqueeze(-1), 1e6)
    kept = torch.cat([raw[0], raw[1, 1:4]])
    torch.testing.assert_close(activation_penalty(noise, 1.0, mask), kept.pow(2).mean())
    steps = torch.cat([raw[0].diff(dim=0), raw[1, 1:4].diff(dim=0)])
    torch.testing.assert_close(temporal_penalty(noise, 1.0, mask), steps.pow(2).mean())
    nothing = torch.zeros(2, 6, dtype=torch.bool)
    assert activation_penalty(raw, 1.0, nothing) == temporal_penalty(raw, 1.0, nothing) == 0


def test_penalties_shrink_what_they_penalise():
    h = torch.nn.Parameter(_outputs()[0])
    size, roughness = activation_penalty(h.detach()), temporal_penalty(h.detach())
    optimizer = torch.optim.SGD([h], lr=1.0)
    for _ in range(5):
        optimizer.zero_grad()
        (activation_penalty(h) + temporal_penalty(h)).backward()
        optimizer.step()
    assert activation_penalty(h.detach()) < size
    assert temporal_penalty(h.detach()) < roughness


def test_negative_strengths_are_refused():
    with pytest.raises(ValueError, match="alpha=-1"):
        ActivationRegularizer(alpha=-1)


class Losses(Callback):
    """The loss reported and the loss differentiated, per pass."""

    order, run_valid = 50, True

    def __init__(self):
        self.training_pairs, self.valid_pairs = [], []

    def after_loss(self):
        pairs = self.training_pairs if self.training else self.valid_pairs
        pairs.append((self.learn.loss.item(), self.learn.loss_grad.item(), self.learn.pred))


def test_the_penalty_is_differentiated_but_not_reported(language_model, lm_dls):
    losses = Losses()
    learn = language_model_learner(language_model, lm_dls, cbs=[losses], quiet=True)
    learn.fit(1)
    for reported, differentiated, output in losses.training_pairs:
        penalty = activation_penalty(output.dropped) + temporal_penalty(output.raw)
        assert differentiated == pytest.approx(reported + penalty.item())
    for reported, differentiated, _ in losses.valid_pairs:
        assert differentiated == reported


class Rates(Callback):
    """Learning rates while a batch is stepped, and after it."""

    order, run_valid = 90, False

    def __init__(self):
        self.stepped, self.lengths = [], []

    def before_step(self):
        self.stepped.append([h["lr"] for h in self.opt.hypers])
        self.lengths.append(self.xb[0].shape[1])

    def after_batch(self):
        assert [h["lr"] for h in self.opt.hypers] == [0.1, 0.2]


def test_the_rate_of_a_batch_follows_its_length_and_is_restored(language_model, make_stream):
    stream = make_stream(2000, random_lengths=True, bptt=20)
    rates = Rates()
    learn = language_model_learner(
        language_model,
        DataLoaders(stream, make_stream(200), device=torch.device("cpu")),
        splitter=lambda m: [list(m.encoder.parameters()), [m.decoder_bias]],
        cbs=[rates, RescaleLearningRate(20)],
        quiet=True,
    )
    learn.fit(1, lr=[0.1, 0.2])
    assert len(set(rates.lengths)) > 3
    for stepped, length in zip(rates.stepped, rates.lengths, strict=True):
        assert stepped == pytest.approx([0.1 * length / 20, 0.2 * length / 20])


def test_the_rescaled_rate_reaches_the_weights(language_model, make_stream):
    """Adam's first step is lr * sign(gradient): its size shows the rate."""
    dls = DataLoaders(make_stream(44, bptt=10), make_stream(200), device=torch.device("cpu"))
    learn = language_model_learner(
        language_model, dls, bptt=20, opt_func=adam(eps=0.0), quiet=True, alpha=0.0, beta=0.0
    )
    before = language_model.decoder_bias.detach().clone()
    assert [x.shape[1] for x, _ in dls.train] == [10]
    learn.fit(1, lr=0.01)
    moved = (language_model.decoder_bias.detach() - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.005), rtol=1e-3, atol=0)


def test_a_length_below_one_is_refused():
    with pytest.raises(ValueError, match="bptt=0"):
        RescaleLearningRate(0)


def test_the_loss_is_that_of_the_logits(language_model):
    ids = torch.randint(5, 20, (2, 6))
    output = language_model(ids)
    nll = -output.logits.log_softmax(-1).gather(2, ids.unsqueeze(-1)).mean()
    torch.testing.assert_close(language_model_loss(output, ids), nll)
