"""RecAdam against the equations, against AdamW, and in the loops that people use."""

import copy
import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from fastcore.basics import noop
from torch import nn

from ulmfit_lib.training.anchors import match_by_name
from ulmfit_lib.training.recadam import IMPLEMENTATIONS, Annealing, RecAdam, recadam

ROOT = Path(__file__).parents[2]
HALF = Annealing("constant")
ALWAYS = Annealing("linear", t0=0)  # lambda = 1 from the first step on
NEVER = Annealing("sigmoid", k=100.0, t0=10**6)  # lambda = 0 for as long as a test lasts


def parameter(*shape, seed=0, dtype=torch.float32):
    return nn.Parameter(
        torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    )


def gradients(p, n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(p.shape, generator=generator).to(p.dtype) for _ in range(n)]


def run(optimizer, p, steps):
    for gradient in steps:
        p.grad = gradient.clone()
        optimizer.step()
    return p.detach()


def published(p, anchor, steps, annealing, lr, gamma, betas, eps, wd):
    """The released algorithm, one parameter, from the equations, in double precision.

    ``anchor`` None is ``anneal_w = 0``: plain Adam.
    """
    p, m, v = p.detach().double().clone(), 0.0, 0.0
    for t, gradient in enumerate(steps, start=1):
        g = gradient.double()
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        size = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
        weight = 1.0 if anchor is None else annealing(t)
        p = p - size * weight * m / (v.sqrt() + eps)
        if anchor is not None:
            p = p - lr * (1.0 - weight) * gamma * (p - anchor.double())
        p = p - lr * wd * p
    return p


@pytest.mark.parametrize("path", IMPLEMENTATIONS)
@pytest.mark.parametrize(("gamma", "golden"), [(10, 0.97025075), (0, 0.99500079)])
def test_one_step_has_the_golden_values(path, gamma, golden):
    """With the pull, and after the target's move alone."""
    p = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    anchors = {p: torch.tensor([0.5], dtype=torch.float64)}
    turn = Annealing("sigmoid", 1.0, 1)
    optimizer = RecAdam([p], anchors, 0.01, gamma, turn, implementation=path)
    run(optimizer, p, [torch.tensor([0.2], dtype=torch.float64)])
    assert p.item() == pytest.approx(golden, abs=1e-8)


def test_without_gradient_signal_one_step_halves_nothing_but_the_pull():
    p = nn.Parameter(torch.tensor([1.0]))
    optimizer = RecAdam([p], {p: torch.tensor([0.5])}, 0.01, 10, Annealing("sigmoid", 1.0, 1))
    assert run(optimizer, p, [torch.zeros(1)]).item() == pytest.approx(0.975, abs=1e-7)


@pytest.mark.parametrize(
    ("t", "value"), [(200, 0.006693), (240, 0.268941), (250, 0.5), (260, 0.731059), (300, 0.993307)]
)
def test_the_sigmoid_has_the_golden_values(t, value):
    assert Annealing("sigmoid", 0.1, 250)(t) == pytest.approx(value, abs=5e-7)


def test_annealing_has_its_limits():
    assert Annealing("constant")(1) == Annealing("sigmoid", 0.0, 7)(99) == 0.5
    steep = Annealing("sigmoid", 1e6, 10)
    assert (steep(9), steep(10), steep(11)) == (0.0, 0.5, 1.0)  # and nothing overflows
    line = Annealing("linear", t0=4)
    assert [line(t) for t in (1, 2, 4, 9)] == [0.25, 0.5, 1.0, 1.0]
    with pytest.raises(ValueError, match="kind='cosine'"):
        Annealing("cosine")
    with pytest.raises(ValueError, match="k=-1"):
        Annealing(k=-1)


@pytest.mark.parametrize("path", IMPLEMENTATIONS)
@pytest.mark.parametrize("wd", [0.0, 0.1])
@pytest.mark.parametrize(
    "annealing", [Annealing("sigmoid", 0.3, 10), Annealing("linear", t0=15), HALF]
)
def test_the_trajectory_is_the_published_algorithms(annealing, wd, path):
    body, head = parameter(4, 3, dtype=torch.float64), parameter(3, seed=2, dtype=torch.float64)
    anchor = parameter(4, 3, seed=5, dtype=torch.float64).detach()
    steps, head_steps = gradients(body, 30), gradients(head, 30, seed=9)
    expected = published(body, anchor, steps, annealing, 0.01, 30.0, (0.9, 0.999), 1e-6, wd)
    plain = published(head, None, head_steps, annealing, 0.01, 30.0, (0.9, 0.999), 1e-6, wd)
    settings = {"lr": 0.01, "gamma": 30.0, "annealing": annealing, "weight_decay": wd}
    optimizer = RecAdam([body, head], {body: anchor}, implementation=path, **settings)
    for g, h in zip(steps, head_steps, strict=True):
        body.grad, head.grad = g, h
        optimizer.step()
    torch.testing.assert_close(body.detach(), expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(head.detach(), plain, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("path", IMPLEMENTATIONS)
@pytest.mark.parametrize("wd", [0.0, 0.1])
def test_lambda_one_is_adamw_within_rounding(wd, path):
    ours, theirs = parameter(5, 4), parameter(5, 4)
    steps = gradients(ours, 50)
    settings = {"lr": 1e-2, "eps": 1e-4, "weight_decay": wd}
    anchors = {ours: torch.zeros(5, 4)}
    optimizer = RecAdam(
        [ours],
        anchors,
        annealing=ALWAYS,
        gamma=10,
        convention="torch",
        implementation=path,
        **settings,
    )
    run(optimizer, ours, steps)
    run(torch.optim.AdamW([theirs], **settings), theirs, steps)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_conventions_differ_in_eps_and_in_the_order_of_decay():
    after = {}
    for convention in ("published", "torch"):
        p = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
        settings = {"lr": 0.1, "gamma": 1, "annealing": ALWAYS, "eps": 0.1, "weight_decay": 0.5}
        optimizer = RecAdam([p], {p: torch.zeros(1)}, convention=convention, **settings)
        after[convention] = run(optimizer, p, [torch.ones(1, dtype=torch.float64)]).item()
    root = math.sqrt(1 - 0.999)
    assert after["published"] == pytest.approx((1 - 0.1 * root / (root + 0.1)) * (1 - 0.05))
    assert after["torch"] == pytest.approx((1 - 0.05) - 0.1 / (1 + 0.1))


@pytest.mark.parametrize("path", IMPLEMENTATIONS)
def test_without_gradient_the_distance_shrinks_by_an_exact_factor(path):
    p, anchor = (
        parameter(6, dtype=torch.float64),
        parameter(6, seed=3, dtype=torch.float64).detach(),
    )
    start = p.detach() - anchor
    optimizer = RecAdam([p], {p: anchor}, 0.01, 40.0, HALF, implementation=path)
    run(optimizer, p, [torch.zeros_like(p)] * 5)
    torch.testing.assert_close(p.detach() - anchor, start * (1 - 0.01 * 40 * 0.5) ** 5)


def test_at_lambda_zero_the_gradient_fills_the_moments_and_moves_nothing_else():
    p = parameter(4)
    anchor = p.detach().clone()
    optimizer = RecAdam([p], {p: anchor}, 0.01, 10.0, NEVER)
    run(optimizer, p, gradients(p, 5))
    assert torch.equal(p, anchor)
    assert optimizer.state[p]["exp_avg_sq"].min() > 0


@pytest.mark.parametrize(("lr", "gamma"), [(1e-3, 5000), (4e-4, 5000), (0.1, 20.1)])
def test_a_pull_that_diverges_is_refused(lr, gamma):
    p = parameter(2)
    with pytest.raises(ValueError, match=r"lr \* gamma.*run away"):
        RecAdam([p], {p: torch.zeros(2)}, lr, gamma)


def test_a_schedule_that_makes_the_pull_diverge_is_refused_at_the_step():
    p, head = parameter(2), parameter(2)
    groups = [{"params": [p]}, {"params": [head], "lr": 1.0}]  # the head has no anchor, so any rate
    optimizer = RecAdam(groups, {p: torch.zeros(2)}, 1e-4, 5000)
    optimizer.param_groups[0]["lr"] = 1e-3
    p.grad = torch.ones(2)
    with pytest.raises(ValueError, match=r"0\.001 \* 5000 = 5: .*by -4"):
        optimizer.step()


def test_the_limit_is_two():
    """Beyond it the distance grows: what the class defaults of the released code do."""
    distance, factor = 1.0, 1 - 0.5 * 1e-3 * 5000
    assert abs(distance * factor**10) > 50 and factor == -1.5


def test_twin_aliasing_is_refused():
    p = parameter(3)
    with pytest.raises(ValueError, match="the parameter itself"):
        RecAdam([p], {p: p.detach()})


def test_anchors_of_another_model_are_refused():
    model, copied = nn.Linear(3, 2), nn.Linear(3, 2)
    with pytest.raises(ValueError, match="no anchor belongs to params"):
        RecAdam(copied.parameters(), match_by_name(model, nn.Linear(3, 2)))


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"lr": -1.0}, "lr=-1.0"),
        ({"gamma": float("nan")}, "gamma=nan"),
        ({"betas": (1.0, 0.9)}, "betas="),
        ({"eps": -1}, "eps=-1"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1"),
        ({"convention": "keras"}, "convention='keras'"),
        ({"implementation": "slow"}, "implementation='slow'"),
    ],
)
def test_bad_values_are_refused(setting, complaint):
    p = parameter(2)
    with pytest.raises(ValueError, match=complaint):
        RecAdam([p], {p: torch.zeros(2)}, **setting)


def test_a_parameter_without_gradient_stays_pull_included():
    used, unused = parameter(3), parameter(3, seed=7)
    frozen = parameter(3, seed=8).requires_grad_(False)
    kept = unused.detach().clone(), frozen.detach().clone()
    anchors = {q: torch.zeros(3) for q in (used, unused, frozen)}
    optimizer = RecAdam([used, unused, frozen], anchors, 0.01, 10, HALF)
    run(optimizer, used, gradients(used, 3))
    assert torch.equal(unused, kept[0]) and torch.equal(frozen, kept[1])
    assert set(optimizer.state) == {used}


def test_a_late_parameter_counts_its_own_steps():
    first, late = parameter(3), parameter(3, seed=4)
    steps, anchor = gradients(first, 4), torch.zeros(3)
    alone = published(
        late, anchor, steps[2:], Annealing("linear", t0=5), 0.01, 10, (0.9, 0.999), 1e-6, 0
    )
    optimizer = RecAdam(
        [first, late], {first: anchor, late: anchor}, 0.01, 10, Annealing("linear", t0=5)
    )
    for i, g in enumerate(steps):
        first.grad, late.grad = g, g if i >= 2 else None
        optimizer.step()
    torch.testing.assert_close(late.detach().double(), alone, rtol=1e-5, atol=1e-6)


def test_sparse_gradients_are_refused():
    embedding = nn.Embedding(5, 2, sparse=True)
    optimizer = RecAdam(embedding.parameters(), match_by_name(embedding, nn.Embedding(5, 2)))
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse=False"):
        optimizer.step()


def test_a_tied_parameter_is_pulled_once():
    model = nn.Module()
    model.embedding, model.decoder = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    model.decoder.weight = model.embedding.weight
    anchors = match_by_name(model, {"embedding.weight": torch.zeros(5, 3)})
    optimizer = RecAdam(model.parameters(), anchors, 0.01, 50, HALF)
    before = model.embedding.weight.detach().clone()
    model.decoder.weight.grad = torch.zeros(5, 3)
    optimizer.step()
    torch.testing.assert_close(model.embedding.weight.detach(), before * (1 - 0.01 * 50 * 0.5))


def test_groups_have_settings_of_their_own():
    near, far = parameter(3), parameter(3)
    anchors = {near: torch.zeros(3), far: torch.zeros(3)}
    groups = [{"params": [near], "gamma": 100.0}, {"params": [far], "gamma": 0.0, "lr": 0.001}]
    optimizer = RecAdam(groups, anchors, 0.01, 10, HALF)
    start = near.detach().clone()
    near.grad = far.grad = torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(near.detach(), start * 0.5)
    assert torch.equal(far, start)


def test_the_state_dict_has_no_anchors_and_a_run_goes_on_where_it_stopped():
    p, q = parameter(4, 4), parameter(4, 4)
    anchor, steps = torch.zeros(4, 4), gradients(p, 12)
    settings = {"lr": 0.01, "gamma": 20.0, "annealing": Annealing("sigmoid", 0.5, 6)}
    whole = RecAdam([p], {p: anchor}, **settings)
    run(whole, p, steps)
    first = RecAdam([q], {q: anchor}, **settings)
    run(first, q, steps[:6])
    saved = pickle.loads(pickle.dumps(first.state_dict()))
    tensors = [t for state in saved["state"].values() for t in state.values() if torch.is_tensor(t)]
    assert len(tensors) == 2 and not any(torch.equal(t, anchor) for t in tensors)
    second = RecAdam([q], {q: anchor}, **settings)
    second.load_state_dict(saved)
    run(second, q, steps[6:])
    assert torch.equal(p, q)


def test_a_checkpoint_loads_with_weights_only(tmp_path):
    p = parameter(3)
    optimizer = RecAdam([p], {p: torch.zeros(3)})
    run(optimizer, p, gradients(p, 2))
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    assert torch.load(tmp_path / "optimizer.pt", weights_only=True)["state"][0]["step"] == 2


def test_a_copy_of_the_optimizer_keeps_its_anchors():
    p = parameter(3)
    optimizer = RecAdam([p], {p: torch.zeros(3)}, 0.01, 50, HALF)
    twin = copy.deepcopy(optimizer)
    (q,) = twin.param_groups[0]["params"]
    assert q is not p and q in twin.anchors
    for one in (p, q):
        one.grad = torch.zeros(3)
    optimizer.step()
    twin.step()
    assert torch.equal(p, q) and not torch.equal(p, parameter(3))


def test_the_closure_is_called_with_gradients():
    p = parameter(3)
    optimizer = RecAdam([p], {p: torch.zeros(3)})

    def closure():
        optimizer.zero_grad()
        loss = p.sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == pytest.approx(parameter(3).sum().item())
    assert optimizer.state[p]["step"] == 1


def small_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def small_batches(n=8, size=6):
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(n, size, 4, generator=generator)
    return [(x, (x.sum(dim=1) > 0).long()) for x in inputs]


def train(model, batches, optimizer, pieces=1, scaler=None):
    for x, y in batches:
        optimizer.zero_grad()
        for part, gold in zip(x.chunk(pieces), y.chunk(pieces), strict=True):
            loss = nn.functional.cross_entropy(model(part), gold) / pieces
            (scaler.scale(loss) if scaler else loss).backward()
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()


def optimizer_of(model, pretrained=None):
    anchors = match_by_name(model, (pretrained or small_model(1))[0], "0.")
    return RecAdam(model.parameters(), anchors, 0.01, 20, Annealing("sigmoid", 1.0, 4))


def test_accumulated_gradients_are_those_of_the_whole_batch():
    whole, pieces = small_model(), small_model()
    train(whole, small_batches(), optimizer_of(whole))
    train(pieces, small_batches(), optimizer_of(pieces), pieces=3)
    for a, b in zip(whole.parameters(), pieces.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_scaled_gradients_change_nothing_and_an_overflow_skips_the_step():
    plain, scaled = small_model(), small_model()
    train(plain, small_batches(), optimizer_of(plain))
    optimizer, scaler = optimizer_of(scaled), torch.amp.GradScaler("cpu", init_scale=2.0**10)
    train(scaled, small_batches(), optimizer, scaler=scaler)
    for a, b in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    before = copy.deepcopy(scaled.state_dict())
    (x, y), weight = small_batches()[0], scaled[0].weight
    scaler.scale(nn.functional.cross_entropy(scaled(x), y)).backward()
    weight.grad[0, 0] = float("inf")
    scaler.step(optimizer)
    assert optimizer.state[weight]["step"] == 8
    assert all(torch.equal(v, before[k]) for k, v in scaled.state_dict().items())


def test_autocast_trains_weights_in_full_precision():
    model = small_model()
    optimizer = optimizer_of(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(model(small_batches()[0][0]), small_batches()[0][1])
    loss.backward()
    optimizer.step()
    assert {
        v.dtype for s in optimizer.state.values() for v in s.values() if torch.is_tensor(v)
    } == {torch.float32}


def test_half_precision_weights_have_anchors_of_their_kind():
    p = parameter(3, dtype=torch.bfloat16)
    optimizer = RecAdam([p], {p: torch.zeros(3)}, 0.01, 50, HALF)
    run(optimizer, p, [torch.zeros(3, dtype=torch.bfloat16)])
    torch.testing.assert_close(p.detach(), parameter(3, dtype=torch.bfloat16).detach() * 0.75)
    assert optimizer.anchors[p].dtype == torch.bfloat16


class Rates(Callback):
    def __init__(self):
        self.steps = []

    def after_step(self):
        self.steps.append([state["step"] for state in self.opt.opt.state.values()])


def test_fastais_learner_takes_it():
    ours, plain = small_model(), small_model()
    batches = small_batches()
    optimizer = optimizer_of(plain)
    anchors = match_by_name(ours, small_model(1)[0], "0.")
    opt_func = recadam(anchors, gamma=20, annealing=Annealing("sigmoid", 1.0, 4))
    watch = Rates()
    learn = Learner(
        DataLoaders(batches, batches[:1]),
        ours,
        loss_func=nn.functional.cross_entropy,
        opt_func=opt_func,
        lr=0.01,
        splitter=lambda m: [list(m[0].parameters()), list(m[2].parameters())],
        cbs=[watch],
    )
    learn.remove_cbs(ProgressCallback)
    learn.logger = noop
    learn.fit(1)
    train(plain, batches, optimizer)
    assert isinstance(learn.opt, OptimWrapper) and isinstance(learn.opt.opt, RecAdam)
    assert watch.steps[-1] == [8] * 4
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    learn.opt.set_hyper("lr", [0.2, 0.2])  # 0.2 * 20 = 4
    with pytest.raises(ValueError, match=r"lr \* gamma"):
        learn.fit(1, lr=0.2)


class Labelled(nn.Module):
    """A model as Hugging Face's Trainer calls it."""

    def __init__(self):
        super().__init__()
        self.body = small_model()

    def forward(self, x, labels):
        logits = self.body(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def test_hugging_faces_trainer_takes_it(tmp_path):
    from transformers import Trainer, TrainingArguments

    model, plain = Labelled(), small_model()
    anchors = match_by_name(model, small_model(1)[0], "body.0.")
    optimizer = RecAdam(model.parameters(), anchors, 0.01, 20, Annealing("sigmoid", 1.0, 4))
    rows = [
        {"x": x, "labels": y} for xs, ys in small_batches() for x, y in zip(xs, ys, strict=True)
    ]
    arguments = TrainingArguments(
        str(tmp_path),
        per_device_train_batch_size=3,
        gradient_accumulation_steps=2,
        num_train_epochs=1,
        max_grad_norm=0.0,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=4,
    )

    class InOrder(Trainer):
        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(rows)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    trainer = InOrder(model, arguments, train_dataset=rows, optimizers=(optimizer, schedule))
    trainer.train()
    train(plain, small_batches(), optimizer_of(plain))
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    saved = torch.load(tmp_path / "checkpoint-8" / "optimizer.pt", weights_only=True)
    assert {name for s in saved["state"].values() for name in s} == {
        "step",
        "exp_avg",
        "exp_avg_sq",
    }


SCRIPT = """
import json, os, sys
import torch
torch.set_num_threads(1)
from torch import distributed, nn
from tests.training.test_recadam import on_shares
distributed.init_process_group("gloo")
weights = on_shares(distributed.get_rank(), 2)
place = os.path.join(sys.argv[1], f"rank-{distributed.get_rank()}.json")
open(place, "w").write(json.dumps(weights))
distributed.destroy_process_group()
"""


def on_shares(rank, count):
    """Weights after training on one process's share of every batch, gradients averaged."""
    model = small_model()
    optimizer = optimizer_of(model)
    shared = nn.parallel.DistributedDataParallel(model) if count > 1 else model
    shares = [(x.chunk(count)[rank], y.chunk(count)[rank]) for x, y in small_batches()]
    train(shared, shares, optimizer)
    return [p.detach().tolist() for p in model.parameters()]


def test_two_processes_have_the_weights_of_one(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, str(tmp_path / "script.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"rank-{r}.json").read_text()) for r in (0, 1))
    assert first == second
    for ours, alone in zip(first, on_shares(0, 1), strict=True):
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(alone), rtol=1e-4, atol=1e-5)
