"""The Learner set-up: plans run as planned, losses fall, evaluation is exact."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from torch import nn

from ulmfit_lib.training.evaluation import (
    evaluate,
)
from ulmfit_lib.training.groups import FITLAM_RATIO, classifier_groups, discriminative_lrs
from ulmfit_lib.training.learner import (
    BFloat16,
    LearningRateLog,
    classifier_learner,
    fit_stages,
    language_model_learner,
)
from ulmfit_lib.training.optimizers import NonMonotonicTrigger, ntasgd
from ulmfit_lib.training.schedules import cosine, warmup_reverse_annealing
from ulmfit_lib.training.unfreezing import Stage, chain_thaw, full, gradual


def test_a_language_model_learns_the_text(one_layer_model, lm_dls):
    learn = language_model_learner(one_layer_model, lm_dls, quiet=True)
    rows = fit_stages(learn, full(2, epochs=3, lr_max=0.05), ratio=1.0)
    assert [(row["stage"], row["epoch"]) for row in rows] == [(0, 0), (0, 1), (0, 2)]
    frequencies_alone = np.log(7)
    assert rows[-1]["valid_loss"] < 0.5 * frequencies_alone


def test_a_classifier_learns_its_labels(classifier, classifier_dls):
    learn = classifier_learner(classifier, classifier_dls, quiet=True)
    rows = fit_stages(learn, full(5, epochs=6, lr_max=0.03), ratio=1.0)
    assert rows[-1]["accuracy"] > 0.7  # chance: a third
    assert rows[-1]["train_loss"] < 0.8 * rows[0]["train_loss"]


def test_rows_are_numbered_by_stage_and_epoch(classifier, classifier_dls):
    learn = classifier_learner(classifier, classifier_dls, quiet=True)
    rows = fit_stages(learn, gradual(5, 2) + full(5, epochs=2))
    assert [(row["stage"], row["epoch"]) for row in rows] == [(0, 0), (1, 0), (2, 0), (2, 1)]
    assert list(rows[0]) == ["stage", "epoch", "train_loss", "valid_loss", "accuracy"]


@pytest.mark.parametrize("ratio", [1.0, FITLAM_RATIO])
def test_every_batch_has_exactly_the_planned_rates(classifier, classifier_dls, ratio):
    plan = (
        Stage((4,), 2, 0.01, cosine),
        Stage((2, 4), 1, 0.02, warmup_reverse_annealing),
        *full(5, 2, 0.005),
    )
    log = LearningRateLog()
    learn = classifier_learner(classifier, classifier_dls, quiet=True)
    fit_stages(learn, plan, ratio, cbs=[log])
    planned = [
        [stage.schedule(t, T, lr) for lr in discriminative_lrs(stage.lr_max, 5, ratio)]
        for stage in plan
        for T in [stage.epochs * len(classifier_dls.train)]
        for t in range(T)
    ]
    assert log.rates == planned


def test_a_stage_moves_its_groups_and_no_others(classifier, classifier_dls):
    class Snapshots(Callback):
        def __init__(self):
            self.taken = []

        def after_fit(self):
            self.taken.append(copy.deepcopy(self.model))

    snapshots = Snapshots()
    before = copy.deepcopy(classifier)
    plan = chain_thaw(5, lr_new=0.01, lr_rest=0.01) + gradual(5, 2)
    learn = classifier_learner(classifier, classifier_dls, quiet=True)
    fit_stages(learn, plan, cbs=[snapshots])
    for stage, after in zip(plan, snapshots.taken, strict=True):
        groups = zip(classifier_groups(before), classifier_groups(after), strict=True)
        moved = [
            i
            for i, (old, new) in enumerate(groups)
            if not all(torch.equal(p, q) for p, q in zip(old, new, strict=True))
        ]
        assert tuple(moved) == stage.trainable
        before = after


def test_the_optimizer_lives_through_all_stages(classifier, classifier_dls):
    learn = classifier_learner(classifier, classifier_dls, quiet=True)
    fit_stages(learn, gradual(5, 2))
    optimizer = learn.opt
    steps = len(classifier_dls.train)
    head, lstm = classifier.head[0][2].weight, classifier.encoder.layers[2].weight_hh
    assert optimizer.opt.state[head]["step"] == 2 * steps
    assert optimizer.opt.state[lstm]["step"] == steps
    fit_stages(learn, full(5))
    assert learn.opt is optimizer and optimizer.opt.state[head]["step"] == 3 * steps


def test_a_parameter_without_a_group_stops_the_set_up(classifier, classifier_dls):
    with pytest.raises(ValueError, match="head.0.0.weight is in none"):
        classifier_learner(
            classifier, classifier_dls, splitter=lambda m: classifier_groups(m)[:-1], quiet=True
        )


def test_a_parameter_added_later_stops_the_plan(classifier, classifier_dls):
    learn = classifier_learner(classifier, classifier_dls, quiet=True)
    learn.create_opt()
    classifier.temperature = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="temperature is in none of the 5 groups"):
        fit_stages(learn, full(5))


def test_a_plan_for_another_model_is_refused(language_model, lm_dls):
    learn = language_model_learner(language_model, lm_dls, quiet=True)
    with pytest.raises(ValueError, match="4 is none of the learner's 4 groups"):
        fit_stages(learn, gradual(5))


def test_the_hidden_state_is_carried_within_a_pass_only(language_model, lm_dls):
    class States(Callback):
        order = 90

        def __init__(self):
            self.fresh = []

        def before_batch(self):
            self.fresh.append((self.training, self.model.state is None))

    states = States()
    language_model_learner(language_model, lm_dls, cbs=[states], quiet=True).fit(2)
    n_train, n_valid = len(lm_dls.train), len(lm_dls.valid)
    one_pass = [(True, i == 0) for i in range(n_train)] + [(False, i == 0) for i in range(n_valid)]
    assert states.fresh == 2 * one_pass


def test_gradients_are_clipped(language_model, lm_dls):
    class Norms(Callback):
        order, run_valid = 90, False

        def __init__(self):
            self.norms = []

        def before_step(self):
            gradients = [p.grad for p in self.model.parameters()]
            self.norms.append(nn.utils.get_total_norm(gradients).item())

    norms = Norms()
    language_model_learner(language_model, lm_dls, clip=0.01, cbs=[norms], quiet=True).fit(1)
    assert max(norms.norms) == pytest.approx(0.01, rel=1e-3)


def test_ntasgd_runs_in_the_language_model_learner(language_model, lm_dls):
    learn = language_model_learner(
        language_model,
        lm_dls,
        opt_func=ntasgd(),
        lr=5.0,
        bptt=10,
        clip=0.25,
        cbs=[NonMonotonicTrigger()],
        quiet=True,
    )
    learn.fit(3)
    losses = [valid for _, valid in learn.recorder.values]
    assert losses[-1] < losses[0]


def test_ar_and_tar_on_a_classifier_need_its_outputs(make_classifier, classifier_dls):
    with pytest.raises(ValueError, match="return_outputs=True"):
        classifier_learner(make_classifier(), classifier_dls, alpha=2.0, quiet=True)
    model = make_classifier(return_outputs=True)
    learn = classifier_learner(model, classifier_dls, alpha=2.0, beta=1.0, quiet=True)
    plain = classifier_learner(make_classifier(), classifier_dls, quiet=True)
    for learner in (learn, plain):
        classifier_dls.train.epoch = 0
        torch.manual_seed(0)
        fit_stages(learner, full(5))
    assert not torch.equal(
        learn.model.encoder.layers[0].weight_ih, plain.model.encoder.layers[0].weight_ih
    )
    assert evaluate(model, classifier_dls.valid).n == 15


def test_quiet_shows_nothing_and_loud_shows_the_losses(classifier, classifier_dls, capsys):
    classifier_learner(classifier, classifier_dls, quiet=True).fit(1)
    assert capsys.readouterr() == ("", "")
    classifier_learner(classifier, classifier_dls).fit(1)
    assert capsys.readouterr().out


def test_bfloat16_computes_in_16_bits_and_learns(one_layer_model, lm_dls):
    class Types(Callback):
        def __init__(self):
            self.seen = set()

        def after_loss(self):
            self.seen.add((self.pred.logits.dtype, self.learn.loss_grad.dtype))
            assert not torch.is_autocast_enabled("cpu")

    types = Types()
    learn = language_model_learner(one_layer_model, lm_dls, cbs=[BFloat16(), types], quiet=True)
    rows = fit_stages(learn, full(2, epochs=3, lr_max=0.05), ratio=1.0)
    assert types.seen == {(torch.bfloat16, torch.float32)}
    assert {p.dtype for p in one_layer_model.parameters()} == {torch.float32}
    assert rows[-1]["valid_loss"] < 0.5 * np.log(7)


def test_bfloat16_leaves_nothing_behind_when_a_batch_fails(language_model, lm_dls):
    broken = [(torch.full((4, 5), 10_000), torch.full((4, 5), 5))]  # ids outside the vocabulary
    dls = DataLoaders(broken, broken, device=torch.device("cpu"))
    learn = language_model_learner(language_model, dls, cbs=[BFloat16()], quiet=True)
    with pytest.raises(IndexError):
        learn.fit(1)
    assert not torch.is_autocast_enabled("cpu")
    language_model.reset()
    assert language_model(torch.full((1, 2), 5)).logits.dtype == torch.float32


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        # torchvision breaks ``import transformers`` beside a CPU build of torch
        ("learner, ulmfit_lib.training.perplexity", ("torchvision", "fastai.vision")),
        ("schedules", ("fastai", "torch", "transformers")),
    ],
)
def test_imports_stay_light(modules, unwanted):
    code = (
        f"import sys, ulmfit_lib.training.{modules}\n"
        f"assert not [m for m in sys.modules if m.startswith({unwanted})]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
