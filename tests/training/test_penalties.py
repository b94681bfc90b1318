"""The penalty's formula, its limits, and its place in the loss."""

import pytest
import torch
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastcore.basics import noop
from torch import nn

from ulmfit_lib.training.anchors import match_by_name, squared_distance
from ulmfit_lib.training.optimizers import adam
from ulmfit_lib.training.penalties import QuadraticPenalty, quadratic_penalty
from ulmfit_lib.training.recadam import Annealing


def model_and_anchors(seed=0):
    torch.manual_seed(seed)
    model, pretrained = nn.Linear(3, 2), nn.Linear(3, 2)
    return model, match_by_name(model, pretrained)


def test_the_penalty_is_half_the_weighed_squared_distance():
    model, anchors = model_and_anchors()
    assert quadratic_penalty(anchors).item() == pytest.approx(squared_distance(anchors) / 2)
    twice = {p: torch.full_like(p, 2.0) for p in anchors}
    assert quadratic_penalty(anchors, twice).item() == pytest.approx(squared_distance(anchors))
    ones = {p: torch.ones_like(p) for p in anchors}  # L2-SP is F = 1
    torch.testing.assert_close(quadratic_penalty(anchors, ones), quadratic_penalty(anchors))


def test_its_gradient_pulls_to_the_anchor_and_is_zero_there():
    model, anchors = model_and_anchors()
    (gradient,) = torch.autograd.grad(quadratic_penalty(anchors), [model.weight])
    torch.testing.assert_close(gradient, model.weight - anchors[model.weight])
    at_rest = match_by_name(model, model)
    (gradient,) = torch.autograd.grad(quadratic_penalty(at_rest), [model.weight])
    assert not gradient.any()


def test_importance_must_cover_every_anchor():
    model, anchors = model_and_anchors()
    with pytest.raises(ValueError, match="importance lacks"):
        quadratic_penalty(anchors, {model.weight: torch.ones(2, 3)})
    with pytest.raises(ValueError, match="gamma=-1"):
        QuadraticPenalty(anchors, -1)


def fitted(*make_callbacks, steps=40, lr=0.01):
    model, anchors = model_and_anchors()
    torch.manual_seed(5)
    batches = [(torch.randn(8, 3), torch.randint(0, 2, (8,))) for _ in range(steps)]
    learn = Learner(
        DataLoaders(batches, batches[:1]),
        model,
        loss_func=nn.functional.cross_entropy,
        opt_func=adam((0.9, 0.999)),
        lr=lr,
        cbs=[make(anchors) for make in make_callbacks],
    )
    learn.remove_cbs(ProgressCallback)
    learn.logger = noop
    learn.fit(1)
    return model, squared_distance(anchors)


def test_gamma_zero_is_plain_fine_tuning():
    plain, _ = fitted()
    held, _ = fitted(lambda anchors: QuadraticPenalty(anchors, 0.0))
    assert torch.equal(plain.weight, held.weight)


def test_a_stronger_penalty_ends_nearer():
    ends = [fitted(lambda a, g=g: QuadraticPenalty(a, g))[1] for g in (0.0, 1.0, 100.0)]
    assert ends[0] > ends[1] > ends[2]


def test_coupled_to_adam_the_pull_is_a_step_of_the_learning_rate():
    """Alone, a coupled penalty moves each weight by about lr, however near the anchor is."""
    never = Annealing("sigmoid", k=100.0, t0=10**6)
    model, anchors = model_and_anchors()
    start = model.weight.detach().clone()
    coupled, _ = fitted(lambda a: QuadraticPenalty(a, 7.0, annealing=never), steps=1)
    towards = torch.sign(anchors[model.weight] - start)
    torch.testing.assert_close(
        coupled.weight.detach() - start, 0.01 * towards, rtol=1e-3, atol=1e-6
    )


def test_annealing_counts_steps_from_one():
    seen = []

    class Spy(Annealing):
        def __call__(self, t):
            seen.append(t)
            return 1.0

    fitted(lambda a: QuadraticPenalty(a, 1.0, annealing=Spy()), steps=3)
    assert seen == [1, 2, 3]
