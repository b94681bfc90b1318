"""Unfreezing plans as golden tables, and proof that frozen weights do not move."""

import copy
import math
from functools import partial

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from fastcore.basics import noop
from torch import nn

from ulmfit_lib.training.optimizers import adam, ntasgd
from ulmfit_lib.training.schedules import constant, cosine
from ulmfit_lib.training.unfreezing import (
    Stage,
    ThawByStep,
    chain_thaw,
    full,
    gradual,
    last_only,
    rates_by_step,
    train_only,
)


def _table(plan):
    return [stage.trainable for stage in plan]


def test_gradual_unfreezing_trains_the_last_e_groups_in_stage_e():
    groups = ["embedding", "lstm1", "lstm2", "lstm3", "head"]
    plan = gradual(5)
    assert _table(plan) == [(4,), (3, 4), (2, 3, 4), (1, 2, 3, 4), (0, 1, 2, 3, 4)]
    for e, stage in enumerate(plan, start=1):
        assert [groups[i] for i in stage.trainable] == groups[-e:]


def test_the_released_scripts_plan_is_two_stages_then_everything():
    plan = gradual(5, n_stages=2) + full(5, epochs=14)
    assert _table(plan) == [(4,), (3, 4), (0, 1, 2, 3, 4)]
    assert [stage.epochs for stage in plan] == [1, 1, 14]


def test_chain_thaw_trains_the_new_group_then_each_alone_then_all():
    plan = chain_thaw(5)
    assert _table(plan) == [(4,), (0,), (1,), (2,), (3,), (0, 1, 2, 3, 4)]
    assert [stage.lr_max for stage in plan] == [1e-3, 1e-4, 1e-4, 1e-4, 1e-4, 1e-4]


def test_last_only_and_full_are_one_stage():
    assert _table(last_only(5)) == [(4,)]
    assert _table(full(5)) == [(0, 1, 2, 3, 4)]


def test_the_rates_of_each_step_are_the_schedules_of_its_stage():
    plan = gradual(3, 1, lr_max=1.0, schedule=constant) + full(3, 2, 1.0, cosine)
    rates = rates_by_step(plan, 3, 0.5, batches_per_epoch=2)
    assert len(rates) == 2 + 4
    assert all(math.isnan(rate) for step in rates[:2] for rate in step[:2])
    assert [step[2] for step in rates[:2]] == [1.0, 1.0]
    tops = [cosine(t, 4, 1.0) for t in range(4)]
    assert rates[2:] == [pytest.approx([top / 4, top / 2, top]) for top in tops]
    with pytest.raises(ValueError, match="batches_per_epoch=0"):
        rates_by_step(plan, 3, 0.5, 0)


@pytest.mark.parametrize("make", [gradual, chain_thaw, last_only, full])
def test_every_plan_carries_its_settings(make):
    plan = make(3, epochs=2, schedule=cosine)
    assert {(stage.epochs, stage.schedule) for stage in plan} == {(2, cosine)}
    assert _table(make(1))[0] == (0,)


@pytest.mark.parametrize("make", [gradual, chain_thaw, last_only, full])
def test_a_model_without_groups_is_refused(make):
    with pytest.raises(ValueError, match="n_groups=0"):
        make(0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"trainable": ()}, r"trainable=\(\)"),
        ({"trainable": (-1,)}, r"trainable=\(-1,\)"),
        ({"trainable": (1, 1)}, r"trainable=\(1, 1\)"),
        ({"trainable": (0,), "epochs": 0}, "epochs=0"),
        ({"trainable": (0,), "lr_max": -0.1}, "lr_max=-0.1"),
    ],
)
def test_a_bad_stage_is_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        Stage(**arguments)


@pytest.mark.parametrize("n_stages", [0, 6])
def test_gradual_refuses_an_impossible_number_of_stages(n_stages):
    with pytest.raises(ValueError, match=f"n_stages={n_stages}"):
        gradual(5, n_stages)


class Blocks(nn.Sequential):
    """Three groups, each with its own normalisation."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(*(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(3)))


def _learner(opt_func):
    torch.manual_seed(2)
    batches = [(torch.randn(6, 4), torch.randn(6, 4)) for _ in range(3)]
    learn = Learner(
        DataLoaders(batches, batches[:1]),
        Blocks(),
        loss_func=nn.functional.mse_loss,
        opt_func=opt_func,
        lr=0.05,
        splitter=lambda model: [list(block.parameters()) for block in model],
    )
    learn.remove_cbs(ProgressCallback)
    learn.logger = noop
    return learn


def _moved(before, learn):
    """Indices of the groups of which any / all parameters have changed."""
    pairs = [
        [not torch.equal(old, new) for old, new in zip(b.parameters(), a.parameters(), strict=True)]
        for b, a in zip(before, learn.model, strict=True)
    ]
    return (
        tuple(i for i, moved in enumerate(pairs) if any(moved)),
        tuple(i for i, moved in enumerate(pairs) if all(moved)),
    )


HEAVY = {
    "adamw": adam(weight_decay=0.1),
    "sgd with momentum": partial(OptimWrapper, opt=torch.optim.SGD, momentum=0.9, weight_decay=0.1),
    "ntasgd": ntasgd(weight_decay=0.1),
}


@pytest.mark.parametrize("opt_func", HEAVY.values(), ids=HEAVY)
@pytest.mark.parametrize("trainable", [(2,), (0,), (1,), (0, 2), (1, 2)])
def test_frozen_groups_stay_although_momentum_and_decay_are_carried(opt_func, trainable):
    learn = _learner(opt_func)
    learn.fit(1)  # everything trains: momentum builds up in every group
    train_only(learn, trainable)
    before = copy.deepcopy(learn.model)
    learn.fit(2)
    assert _moved(before, learn) == (trainable, trainable)


def test_frozen_normalisation_keeps_its_weights_but_follows_the_data():
    learn = _learner(adam())
    train_only(learn, (2,))
    before = copy.deepcopy(learn.model)
    learn.fit(1)
    norm, old = learn.model[0][1], before[0][1]
    assert torch.equal(norm.weight, old.weight) and torch.equal(norm.bias, old.bias)
    assert not torch.equal(norm.running_mean, old.running_mean)


def test_gradients_left_over_from_an_interrupted_batch_are_dropped():
    learn = _learner(adam(weight_decay=0.1))
    learn.create_opt()
    learn.model(torch.randn(6, 4)).sum().backward()
    train_only(learn, (2,))
    before = copy.deepcopy(learn.model)
    learn.opt.step()
    assert _moved(before, learn)[0] == (2,)


def test_a_frozen_group_keeps_its_optimizer_state():
    learn = _learner(adam())
    learn.fit(1)
    weight = learn.model[0][0].weight
    moment = learn.opt.opt.state[weight]["exp_avg"].clone()
    train_only(learn, (1, 2))
    learn.fit(1)
    assert torch.equal(learn.opt.opt.state[weight]["exp_avg"], moment)
    assert moment.abs().sum() > 0
    train_only(learn, (0, 1, 2))
    learn.fit(1)
    assert not torch.equal(learn.opt.opt.state[weight]["exp_avg"], moment)


def test_a_group_that_the_learner_has_not_is_named():
    with pytest.raises(ValueError, match=r"trainable=\(2, 3\): 3 is none of the learner's 3"):
        train_only(_learner(adam()), (2, 3))


def test_a_constant_schedule_is_allowed():
    assert full(2, schedule=constant)[0].schedule(5, 10, 0.1) == 0.1


def test_groups_thaw_at_their_steps():
    learn = _learner(adam(weight_decay=0.1))
    learn.create_opt()
    seen = []

    class Watch(Callback):
        run_valid = False

        def before_step(self):
            groups = learn.opt.param_lists
            seen.append(tuple(i for i, g in enumerate(groups) if all(p.requires_grad for p in g)))

    n = len(learn.dls.train)
    learn.fit(2, cbs=[ThawByStep({0: 1, n - 1: 2, n + 1: 3}), Watch()])
    assert seen == [(2,)] * (n - 1) + [(1, 2)] * 2 + [(0, 1, 2)] * (n - 1)
    with pytest.raises(ValueError, match="steps from 0 and 1 group"):
        ThawByStep({-1: 2})
    with pytest.raises(ValueError, match="steps from 0 and 1 group"):
        ThawByStep({0: 0})
