"""Adam in fastai's wrapper, and NT-ASGD with its traps."""

import copy

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from fastcore.basics import noop
from torch import nn

from ulmfit_lib.training.optimizers import (
    NTASGD,
    NonMonotonicTrigger,
    adam,
    is_non_monotonic,
    ntasgd,
)


def _weights(seed=0):
    torch.manual_seed(seed)
    return nn.Parameter(torch.randn(3, 2))


def _gradients(n, seed=1):
    torch.manual_seed(seed)
    return [torch.randn(3, 2) for _ in range(n)]


def _run(optimizer, p, gradients):
    """Step through ``gradients``; the weights after each step."""
    path = []
    for gradient in gradients:
        p.grad = gradient.clone()
        optimizer.step()
        path.append(p.detach().clone())
    return path


def test_adam_is_adamw_with_the_papers_betas():
    ours, theirs = _weights(), _weights()
    wrapped = adam(weight_decay=0.1)([[ours]], lr=0.01)
    plain = torch.optim.AdamW([theirs], lr=0.01, betas=(0.7, 0.99), weight_decay=0.1)
    _run(wrapped, ours, _gradients(20))
    _run(plain, theirs, _gradients(20))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    assert isinstance(wrapped, OptimWrapper) and isinstance(wrapped.opt, torch.optim.AdamW)
    hypers = wrapped.hypers[0]
    assert (hypers["mom"], hypers["sqr_mom"], hypers["wd"]) == (0.7, 0.99, 0.1)
    assert hypers["fused"] is True


def test_adam_takes_one_rate_per_group():
    first, second = _weights(1), _weights(2)
    optimizer = adam()([[first], [second]], lr=0.01)
    optimizer.set_hyper("lr", [0.0, 0.1])
    before = first.detach().clone()
    first.grad, second.grad = torch.ones(3, 2), torch.ones(3, 2)
    moved = second.detach() - 0.1  # Adam's first step is lr * sign(gradient)
    optimizer.step()
    assert torch.equal(first, before)
    torch.testing.assert_close(second.detach(), moved, rtol=1e-5, atol=1e-6)


def test_adam_refuses_bad_values_when_built():
    with pytest.raises(ValueError, match="beta"):
        adam(betas=(1.0, 0.9))([[_weights()]], lr=0.1)


def test_ntasgd_before_the_trigger_is_plain_sgd():
    ours, theirs = _weights(), _weights()
    _run(NTASGD([ours], lr=0.3, weight_decay=0.01), ours, _gradients(10))
    _run(torch.optim.SGD([theirs], lr=0.3, weight_decay=0.01), theirs, _gradients(10))
    torch.testing.assert_close(ours, theirs)


def test_the_average_is_the_mean_of_all_iterates_since_the_trigger():
    p = _weights()
    optimizer = NTASGD([p], lr=0.3, weight_decay=0.01)
    _run(optimizer, p, _gradients(4))
    iterates = [p.detach().clone()]
    assert not optimizer.averaging
    optimizer.start_averaging()
    assert optimizer.averaging
    iterates += _run(optimizer, p, _gradients(7, seed=2))
    with optimizer.averaged_weights():
        torch.testing.assert_close(p.detach(), torch.stack(iterates).mean(0))
    assert torch.equal(p, iterates[-1])


def test_torch_asgd_leaves_the_first_two_iterates_out():
    ours, theirs = _weights(), _weights()
    first = ours.detach().clone()
    optimizer = NTASGD([ours], lr=0.3, weight_decay=0.01)
    optimizer.start_averaging()
    asgd = torch.optim.ASGD([theirs], lr=0.3, lambd=0.0, t0=0, weight_decay=0.01)
    path = _run(optimizer, ours, _gradients(9))
    _run(asgd, theirs, _gradients(9))
    torch.testing.assert_close(ours, theirs)
    average = asgd.state[theirs]["ax"]
    torch.testing.assert_close(average, torch.stack(path[1:]).mean(0))
    optimizer.swap_averages()
    torch.testing.assert_close(10 * ours.detach() - first - path[0], 8 * average)


def test_a_changed_rate_acts_at_once_where_torch_asgd_is_a_step_late():
    ours, theirs = _weights(), _weights()
    start, gradients = ours.detach().clone(), _gradients(2)
    optimizer = NTASGD([ours], lr=1.0, weight_decay=0.0)
    asgd = torch.optim.ASGD([theirs], lr=1.0, lambd=0.0, t0=0)
    for run in ((optimizer, ours), (asgd, theirs)):
        _run(*run, gradients[:1])
        run[0].param_groups[0]["lr"] = 0.5
        _run(*run, gradients[1:])
    torch.testing.assert_close(ours.detach(), start - gradients[0] - 0.5 * gradients[1])
    torch.testing.assert_close(theirs.detach(), start - gradients[0] - gradients[1])


def test_swapping_twice_changes_no_bit():
    p = _weights()
    optimizer = NTASGD([p], lr=0.3)
    optimizer.start_averaging()
    weights = _run(optimizer, p, _gradients(5))[-1]
    optimizer.swap_averages()
    assert not torch.equal(p, weights)
    optimizer.swap_averages()
    assert torch.equal(p, weights)


def test_stepping_on_averaged_weights_is_refused():
    p = _weights()
    optimizer = NTASGD([p])
    optimizer.start_averaging()
    with optimizer.averaged_weights(), pytest.raises(RuntimeError, match="swap_averages"):
        optimizer.step()


def test_weights_without_a_gradient_stay_and_their_average_too():
    p, frozen = _weights(0), _weights(1)
    before = frozen.detach().clone()
    optimizer = NTASGD([p, frozen], lr=0.3, weight_decay=0.5)
    optimizer.start_averaging()
    _run(optimizer, p, _gradients(5))
    assert torch.equal(frozen, before)
    with optimizer.averaged_weights():
        torch.testing.assert_close(frozen.detach(), before, rtol=0, atol=0)


def test_state_dict_carries_the_average():
    p, q = _weights(), _weights()
    one, other = NTASGD([p], lr=0.3), NTASGD([q], lr=0.3)
    one.start_averaging()
    _run(one, p, _gradients(3))
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    with torch.no_grad():
        q.copy_(p)
    _run(one, p, _gradients(3, seed=5))
    _run(other, q, _gradients(3, seed=5))
    assert other.averaging
    with one.averaged_weights(), other.averaged_weights():
        assert torch.equal(p, q)


def test_the_closure_is_called_with_gradients():
    p = _weights()
    before = p.detach().clone()
    optimizer = NTASGD([p], lr=0.5, weight_decay=0.0)

    def closure():
        optimizer.zero_grad()
        loss = p.sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == pytest.approx(before.sum().item())
    torch.testing.assert_close(p.detach(), before - 0.5)


def test_ntasgd_refuses_negative_values():
    with pytest.raises(ValueError, match="lr=-1"):
        NTASGD([_weights()], lr=-1)


@pytest.mark.parametrize(
    ("history", "loss", "expected"),
    [
        ([], 9.0, False),
        ([5, 4, 3, 2, 1], 9.0, False),  # five values: none older than the last five
        ([5, 4, 3, 2, 1, 1], 5.5, True),  # compared with 5 alone
        ([5, 4, 3, 2, 1, 1], 5.0, False),  # not worse, only equal
        ([3, 5, 5, 5, 5, 5], 2.9, False),
        ([3, 5, 5, 5, 5, 5, 5], 3.1, True),
        ([5, 4, 3, 3, 3, 3, 3], 3.5, False),  # the best, 3, is among the last five: 4 counts
    ],
)
def test_the_trigger_compares_with_the_best_before_the_last_n(history, loss, expected):
    assert is_non_monotonic(history, loss, n=5) is expected


def test_the_trigger_refuses_an_empty_interval():
    with pytest.raises(ValueError, match="n=0"):
        is_non_monotonic([1.0], 2.0, n=0)
    with pytest.raises(ValueError, match="n=0"):
        NonMonotonicTrigger(n=0)


class Watch(Callback):
    """The weights that training and validation see, epoch by epoch."""

    def __init__(self):
        self.trained, self.validated, self.averaging = [], [], []

    def after_batch(self):
        (self.trained if self.training else self.validated).append(self.model.weight.clone())

    def after_validate(self):
        self.averaging.append(self.opt.opt.averaging)


def _learner(opt_func, lr, *cbs):
    torch.manual_seed(3)
    batches = [(torch.randn(4, 2), torch.randn(4, 1)) for _ in range(2)]
    learn = Learner(
        DataLoaders(batches, [(torch.randn(8, 2), torch.randn(8, 1))]),
        nn.Linear(2, 1),
        loss_func=nn.functional.mse_loss,
        opt_func=opt_func,
        lr=lr,
        cbs=cbs,
    )
    learn.remove_cbs(ProgressCallback)
    learn.logger = noop
    return learn


def test_validation_sees_the_average_and_training_goes_on_from_the_weights():
    watch, trigger = Watch(), NonMonotonicTrigger(n=1)
    learn = _learner(ntasgd(0.0), 0.9, watch, trigger)  # a rate at which the loss rises
    learn.fit(6)
    start = watch.averaging.index(True)
    assert 2 <= start < 5 and all(watch.averaging[start:])
    assert is_non_monotonic(trigger.history[: start - 1], trigger.history[start - 1], 1)
    steps = torch.stack(watch.trained)
    for epoch in range(6):
        seen = watch.validated[epoch]
        if epoch < start:
            assert torch.equal(seen, steps[2 * epoch + 1])
        else:
            torch.testing.assert_close(seen, steps[2 * start - 1 : 2 * epoch + 2].mean(0))
    assert torch.equal(learn.model.weight, steps[-1])
    plain = _learner(ntasgd(0.0), 0.9)
    plain.fit(6)
    assert torch.equal(plain.model.weight, learn.model.weight)  # bit for bit: swaps leave no trace


def test_an_interrupted_validation_leaves_no_averages_behind():
    class Interrupt(Callback):
        def before_validate(self):
            if self.opt.opt.swapped:
                raise KeyboardInterrupt

        order = 90

    learn = _learner(ntasgd(0.0), 0.1, NonMonotonicTrigger())
    learn.fit(1)
    learn.opt.opt.start_averaging()
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=Interrupt())
    assert learn.opt.opt.swapped
    learn.fit(1)
    assert not learn.opt.opt.swapped


def test_the_trigger_wants_ntasgd():
    with pytest.raises(TypeError, match="AdamW.*ntasgd"):
        _learner(adam(), 0.1, NonMonotonicTrigger()).fit(1)
