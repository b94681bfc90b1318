r"""RecAdam: Adam that recalls the pre-trained weights while it learns a task.

The loss is :math:`\lambda(t)\,L_T + (1 - \lambda(t))\,\tfrac{\gamma}{2}\sum_i
(\theta_i - \theta_i^*)^2`, and both :math:`\lambda` and the quadratic penalty are kept out of
Adam's moments. Source: Chen et al. 2020, sections 3.1 to 3.3 and algorithm 1. Introduced in the
chapter *RecAdam*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from fastai.optimizer import OptimWrapper
from torch import Tensor

from ulmfit_lib.training.anchors import Anchors
from ulmfit_lib.training.optimizers import OptFunc

ANNEALINGS = ("sigmoid", "linear", "constant")
CONVENTIONS = ("published", "torch")
IMPLEMENTATIONS = ("fused", "foreach", "plain")


@dataclass(frozen=True)
class Annealing:
    r"""The weight :math:`\lambda(t)` of the target's loss. Introduced in the chapter *RecAdam*.

    Calling it gives :math:`\lambda` at step ``t``, the first being 1: ``sigmoid``
    :math:`1 / (1 + e^{-k (t - t_0)})`, ``linear`` :math:`\min(1, t / t_0)`,
    ``constant`` one half, whatever ``t`` is.
    """

    kind: str = "sigmoid"  # one of ANNEALINGS
    k: float = 0.5  # how fast a sigmoid turns, per step; very large: plain fine-tuning after t0
    t0: int = 250  # the step at which a sigmoid is one half, or a line reaches 1

    def __post_init__(self) -> None:
        if self.kind not in ANNEALINGS:
            raise ValueError(f"kind={self.kind!r}: choose one of {', '.join(ANNEALINGS)}")
        if not self.k >= 0 or self.t0 < 0:
            raise ValueError(f"k={self.k}, t0={self.t0}: give values of 0 or more")

    def __call__(self, t: int) -> float:
        """The weight of the target's loss at step ``t``, in [0, 1]."""
        if self.kind == "constant":
            return 0.5
        if self.kind == "linear":
            return min(1.0, t / self.t0) if self.t0 else 1.0
        return _sigmoid(self.k * (t - self.t0))


PUBLISHED = Annealing()  # the defaults of the released scripts


class RecAdam(torch.optim.Optimizer):
    r"""Adam on the target's loss, and a pull to pre-trained values beside it.

    With Adam's moments :math:`m, v` of the target's gradient alone and
    :math:`\alpha_t = lr \sqrt{1-\beta_2^t} / (1-\beta_1^t)`:

    .. math::
        p &\leftarrow p - \lambda(t)\, \alpha_t\, m / (\sqrt{v} + \epsilon) \\
        p &\leftarrow p - (1 - \lambda(t))\, lr\, \gamma\, (p - p^*) \\
        p &\leftarrow p - lr\, w\, p

    The pull has the plain ``lr``, not the bias-corrected one, and it acts on
    ``p`` as the first line left it; ``w`` is the weight decay. A parameter
    without an anchor (the new head) has :math:`\lambda = 1`: plain Adam. A
    parameter without a gradient stays as it is, pull included. :math:`t`
    counts a parameter's own steps from 1.

    With :math:`\lambda = 1` this is AdamW up to rounding, in either of two
    ``convention``\ s. ``"published"``: :math:`\epsilon` is added to the
    uncorrected :math:`\sqrt{v}`, and weight decay comes last. ``"torch"``:
    :math:`\epsilon` is added to the corrected one, and weight decay comes
    first, as in ``torch.optim.AdamW``.

    The pull multiplies the distance to :math:`p^*` by
    :math:`1 - (1-\lambda)\,lr\,\gamma` at each step. At ``lr * gamma`` above 1
    it overshoots, from 2 on it diverges, so that is refused, when the
    optimizer is made and at each step. Anchors are no part of
    ``state_dict``: make them again from the pre-trained model. They follow
    the parameters' device. Gradients may be scaled (``GradScaler``),
    accumulated, or averaged over processes, as for any optimizer.
    Source: Chen et al. 2020, algorithm 1, and the released code. Introduced
    in the chapter *RecAdam*.

    Args:
        params: parameters or parameter groups; ``gamma``, ``kind``, ``k`` and
            ``t0`` may differ from group to group.
        anchors: of :func:`ulmfit_lib.training.anchors.match_by_name`.
        lr: learning rate.
        gamma: strength of the pull; 5000 in the paper, at ``lr`` 2e-5.
        annealing: the weight of the target's loss.
        betas: decay rates of Adam's moments.
        eps: added to the root mean square.
        weight_decay: decoupled decay to 0 (not to the anchor).
        convention: "published" or "torch".
        implementation: "fused" runs torch's one kernel for Adam's part, then
            the pull for all tensors at once; "foreach" takes an operation at a
            time for all tensors; "plain" a tensor at a time. Equal up to
            rounding; the first is the fastest (``benchmarks/recadam_step.py``).

    Raises:
        ValueError: a value out of range, ``lr * gamma`` of 2 or more, an
            anchor that is its own parameter, or none that belongs to ``params``.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        anchors: Anchors,
        lr: float = 2e-5,
        gamma: float = 5000.0,
        annealing: Annealing = PUBLISHED,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        convention: str = "published",
        implementation: str = "fused",
    ) -> None:
        defaults = {"lr": lr, "gamma": gamma, "betas": betas, "eps": eps}
        defaults |= {"kind": annealing.kind, "k": annealing.k, "t0": annealing.t0}
        self.anchors, self.convention = dict(anchors), convention
        self.implementation = implementation
        super().__init__(params, defaults | {"weight_decay": weight_decay})
        _check_choice("convention", convention, CONVENTIONS)
        _check_choice("implementation", implementation, IMPLEMENTATIONS)
        _check_anchors(self.anchors, {p for group in self.param_groups for p in group["params"]})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own.

        Args:
            param_group: "params", and what differs from the defaults.

        Raises:
            ValueError: a value out of range, or ``lr * gamma`` of 2 or more.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        _check_settings(group)
        self._check_stability(group)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient.

        Args:
            closure: evaluates the loss again and returns it.

        Raises:
            ValueError: ``lr * gamma`` is 2 or more.
            RuntimeError: a sparse gradient.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        update = _UPDATES[self.implementation]
        for group in self.param_groups:
            self._check_stability(group)
            for (_, _, t, anchored), batch in self._batches(group).items():
                update(batch, _coefficients(group, t, anchored, self.convention))
        return loss

    def __getstate__(self) -> dict[str, Any]:
        """What a copy of the optimizer needs; ``state_dict`` stays without the anchors."""
        kept = {name: getattr(self, name) for name in ("anchors", "convention", "implementation")}
        return super().__getstate__() | kept

    def _batches(self, group: dict[str, Any]) -> dict[tuple[Any, ...], _Batch]:
        """Parameters with a gradient, by what must be equal to update them in one call."""
        found: dict[tuple[Any, ...], _Batch] = {}
        for p in group["params"]:
            if p.grad is None:
                continue
            if p.grad.is_sparse:
                raise RuntimeError(
                    "RecAdam takes no sparse gradients, since its pull moves every row: "
                    "build the embedding with sparse=False"
                )
            state, anchor = self._state(p), self._anchor(p)
            key = (p.device, p.dtype, state["step"], anchor is not None)
            found.setdefault(key, _Batch()).add(p, state, anchor)
        return found

    def _state(self, p: Tensor) -> dict[str, Any]:
        """Moments of ``p``, its step already counted."""
        state = self.state[p]
        if not state:
            state["step"] = 0
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        state["step"] += 1
        return state

    def _anchor(self, p: Tensor) -> Tensor | None:
        anchor = self.anchors.get(p)
        if anchor is not None and (anchor.device != p.device or anchor.dtype != p.dtype):
            self.anchors[p] = anchor = anchor.to(p.device, p.dtype)
        return anchor

    def _check_stability(self, group: dict[str, Any]) -> None:
        pull = group["lr"] * group["gamma"]
        if pull >= 2 and any(p in self.anchors for p in group["params"]):
            raise ValueError(
                f"lr * gamma = {group['lr']:g} * {group['gamma']:g} = {pull:g}: while lambda is "
                f"near 0, each step multiplies the distance to the pre-trained weights by "
                f"{1 - pull:g}, so they run away. Keep lr * gamma below 2, better below 1 "
                "(0.1 in the paper)"
            )


def recadam(anchors: Anchors, **settings: Any) -> OptFunc:
    """:class:`RecAdam` as an ``opt_func`` for a ``Learner``.

    Set the learner's ``lr`` as well: it is what the optimizer is made with,
    and ``lr * gamma`` must be below 2 there too. Introduced in the chapter
    *RecAdam*.

    Args:
        anchors: of the learner's model.
        **settings: as :class:`RecAdam` takes them.
    """
    return partial(OptimWrapper, opt=RecAdam, anchors=anchors, **settings)


@dataclass(frozen=True)
class _Coefficients:
    """Numbers of one update, the same for all tensors of a batch."""

    t: int  # step, from 1
    betas: tuple[float, float]
    eps: float  # as it is added to the uncorrected root mean square
    rate: float  # lambda * lr
    recall: float  # (1 - lambda) * lr * gamma
    shrink_first: float  # factor of the weights before the update: torch's decay
    shrink_last: float  # and after it: the published decay

    @property
    def root(self) -> float:
        """The bias correction of the root mean square."""
        return math.sqrt(1 - self.betas[1] ** self.t)

    @property
    def target(self) -> float:
        """lambda * the bias-corrected rate."""
        return self.rate * self.root / (1 - self.betas[0] ** self.t)


class _Batch:
    """Tensors that one call updates, column by column; a head's have no anchors."""

    def __init__(self) -> None:
        self.params: list[Tensor] = []
        self.grads: list[Tensor] = []
        self.means: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.anchors: list[Tensor] = []

    def add(self, p: Tensor, state: dict[str, Any], anchor: Tensor | None) -> None:
        """One more parameter."""
        self.params.append(p)
        self.grads.append(p.grad)  # type: ignore[arg-type]
        self.means.append(state["exp_avg"])
        self.squares.append(state["exp_avg_sq"])
        if anchor is not None:
            self.anchors.append(anchor)


def _coefficients(group: dict[str, Any], t: int, anchored: bool, convention: str) -> _Coefficients:
    weight = Annealing(group["kind"], group["k"], group["t0"])(t) if anchored else 1.0
    lr, root = group["lr"], math.sqrt(1 - group["betas"][1] ** t)
    decayed, first = 1 - lr * group["weight_decay"], convention == "torch"
    return _Coefficients(
        t=t,
        betas=group["betas"],
        # sqrt(v) / root + eps = (sqrt(v) + eps * root) / root
        eps=group["eps"] * root if first else group["eps"],
        rate=weight * lr,
        recall=(1 - weight) * lr * group["gamma"],
        shrink_first=decayed if first else 1.0,
        shrink_last=1.0 if first else decayed,
    )


def _update_fused(batch: _Batch, by: _Coefficients) -> None:
    if by.shrink_first != 1.0:
        torch._foreach_mul_(batch.params, by.shrink_first)
    torch._fused_adamw_(
        batch.params,
        batch.grads,
        batch.means,
        batch.squares,
        [],
        [torch.tensor(float(by.t), device=batch.params[0].device)] * len(batch.params),
        lr=by.rate,
        beta1=by.betas[0],
        beta2=by.betas[1],
        weight_decay=0.0,
        eps=by.eps / by.root,  # the kernel adds it to the corrected root mean square
        amsgrad=False,
        maximize=False,
    )
    if by.recall:
        torch._foreach_lerp_(batch.params, batch.anchors, by.recall)
    if by.shrink_last != 1.0:
        torch._foreach_mul_(batch.params, by.shrink_last)


def _update_together(batch: _Batch, by: _Coefficients) -> None:
    params, means, squares = batch.params, batch.means, batch.squares
    if by.shrink_first != 1.0:
        torch._foreach_mul_(params, by.shrink_first)
    torch._foreach_lerp_(means, batch.grads, 1 - by.betas[0])
    torch._foreach_mul_(squares, by.betas[1])
    torch._foreach_addcmul_(squares, batch.grads, batch.grads, 1 - by.betas[1])
    if by.target:
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, by.eps)
        torch._foreach_addcdiv_(params, means, roots, -by.target)
    if by.recall:
        torch._foreach_lerp_(params, batch.anchors, by.recall)
    if by.shrink_last != 1.0:
        torch._foreach_mul_(params, by.shrink_last)


def _update_each(batch: _Batch, by: _Coefficients) -> None:
    columns = batch.params, batch.grads, batch.means, batch.squares
    for i, (p, g, m, v) in enumerate(zip(*columns, strict=True)):
        p.mul_(by.shrink_first)
        m.lerp_(g, 1 - by.betas[0])
        v.mul_(by.betas[1]).addcmul_(g, g, value=1 - by.betas[1])
        p.addcdiv_(m, v.sqrt().add_(by.eps), value=-by.target)
        if batch.anchors:
            p.lerp_(batch.anchors[i], by.recall)
        p.mul_(by.shrink_last)


_UPDATES = {"fused": _update_fused, "foreach": _update_together, "plain": _update_each}


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}: choose one of {', '.join(choices)}")


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _check_settings(group: dict[str, Any]) -> None:
    for name in ("lr", "gamma", "eps", "weight_decay"):
        if not group[name] >= 0:
            raise ValueError(f"{name}={group[name]}: give a value of 0 or more")
    if not all(0 <= beta < 1 for beta in group["betas"]):
        raise ValueError(f"betas={group['betas']}: give decay rates in [0, 1)")
    Annealing(group["kind"], group["k"], group["t0"])  # says what is wrong with it


def _check_anchors(anchors: Anchors, params: set[Tensor]) -> None:
    if not params & set(anchors):
        raise ValueError(
            "no anchor belongs to params: match_by_name() must be given the very model that is "
            "trained, not a copy of it"
        )
    for p, anchor in anchors.items():
        if anchor.data_ptr() == p.data_ptr() and p.numel():
            raise ValueError(
                f"an anchor of shape {tuple(p.shape)} is the parameter itself, so the pull would "
                "always be 0: anchor a copy, as match_by_name() makes it"
            )
