"""fastai's Learner, set up for the book's models, and plans of stages run on it.

The training loop is fastai's: these functions choose loss, optimizer, layer
groups and callbacks, and then return a plain ``Learner``. Introduced in the
chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.callback.rnn import ModelResetter
from fastai.callback.schedule import ParamScheduler
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastcore.basics import noop
from torch import nn

from ulmfit_lib.models.awd_lstm import LanguageModel
from ulmfit_lib.models.classifier import TextClassifier
from ulmfit_lib.training.evaluation import accuracy, classification_loss, language_model_loss
from ulmfit_lib.training.groups import (
    ULMFIT_RATIO,
    Classifier,
    Ratio,
    check_partition,
    classifier_groups,
    discriminative_lrs,
    lm_groups,
)
from ulmfit_lib.training.optimizers import adam
from ulmfit_lib.training.regularization import ActivationRegularizer, RescaleLearningRate
from ulmfit_lib.training.schedules import by_position
from ulmfit_lib.training.unfreezing import Stage, train_only


def language_model_learner(
    model: LanguageModel,
    dls: DataLoaders,
    *,
    alpha: float = 2.0,
    beta: float = 1.0,
    clip: float = 0.3,
    bptt: int | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Learner:
    """A ``Learner`` for a language model: Adam, :func:`lm_groups`, AR/TAR, clipping.

    The hidden state is forgotten before each training and validation pass,
    and carried from batch to batch in between. ``alpha``, ``beta`` and
    ``clip`` are those of ULMFiT's released scripts, Adam's betas the paper's.
    Introduced in the chapter *FitLaM*.

    Args:
        model: the language model.
        dls: batches of (inputs (B, T), targets (B, T)).
        alpha: strength of AR.
        beta: strength of TAR.
        clip: largest gradient norm.
        bptt: batch length at which the learning rate is as scheduled
            (:class:`RescaleLearningRate`); None rescales nothing.
        quiet: show and print nothing.
        **settings: whatever else fastai's ``Learner`` takes, such as
            ``opt_func``, ``splitter``, ``metrics`` or more ``cbs``.

    Returns:
        A learner, ready for :func:`fit_stages` or ``fit``.

    Raises:
        ValueError: the splitter leaves a parameter out or holds it twice.
    """
    cbs = [ModelResetter(), ActivationRegularizer(alpha, beta), GradientClip(clip)]
    if bptt is not None:
        cbs.append(RescaleLearningRate(bptt))
    settings = {"splitter": lm_groups, "loss_func": language_model_loss} | settings
    return _learner(model, dls, cbs, quiet, settings)


def classifier_learner(
    model: Classifier,
    dls: DataLoaders,
    *,
    alpha: float = 0.0,
    beta: float = 0.0,
    clip: float = 25.0,
    quiet: bool = False,
    **settings: Any,
) -> Learner:
    """A ``Learner`` for a text classifier: Adam, :func:`classifier_groups`, clipping.

    The clip is that of ULMFiT's released scripts; AR and TAR, which they use
    here too, are off. Introduced in the chapter *FitLaM*.

    Args:
        model: the classifier.
        dls: batches of (ids (B, T), labels (B,)).
        alpha: strength of AR on the pooled window (2 in the released
            scripts); needs a model with ``return_outputs``.
        beta: strength of TAR, likewise (1 in the released scripts).
        clip: largest gradient norm.
        quiet: show and print nothing.
        **settings: whatever else fastai's ``Learner`` takes, such as
            ``opt_func``, ``splitter``, ``metrics`` or more ``cbs``.

    Returns:
        A learner, ready for :func:`fit_stages` or ``fit``.

    Raises:
        ValueError: the splitter leaves a parameter out or holds it twice, or
            ``alpha`` or ``beta`` meets a model that returns logits alone.
    """
    cbs: list[Callback] = [GradientClip(clip)]
    if alpha or beta:
        _check_outputs(model, alpha, beta)
        cbs.append(ActivationRegularizer(alpha, beta))
    defaults = {
        "splitter": classifier_groups,
        "loss_func": classification_loss,
        "metrics": [accuracy],
    }
    return _learner(model, dls, cbs, quiet, defaults | settings)


def fit_stages(
    learn: Learner,
    stages: Sequence[Stage],
    ratio: Ratio = ULMFIT_RATIO,
    cbs: Sequence[Callback] = (),
) -> list[dict[str, float]]:
    """Run a plan: per stage its groups, its schedule, one learning rate per group and batch.

    The optimizer lives through all stages: Adam's moments of a group are kept
    while it is frozen and go on when it thaws (a group that never trained has
    none). After the last stage the groups stay as that stage left them.
    Introduced in the chapter *FitLaM*.

    Args:
        learn: of :func:`language_model_learner`, :func:`classifier_learner`
            or any other learner whose splitter gives the plan's groups.
        stages: the plan.
        ratio: learning rate of a group over that of the group above it, or one
            factor of the stage's rate per group, bottom to top.
        cbs: further callbacks for the time of the plan.

    Returns:
        One row per epoch: ``stage`` and ``epoch`` (from 0), then what
        fastai's recorder measured (``train_loss``, ``valid_loss``, metrics).

    Raises:
        ValueError: a parameter is in no group or in two, or a stage names a
            group that the learner has not.
    """
    if learn.opt is None:
        learn.create_opt()
    check_partition(learn.model, learn.opt.param_lists)
    rows: list[dict[str, float]] = []
    for number, stage in enumerate(stages):
        rows += [{"stage": number} | row for row in _fit_stage(learn, stage, ratio, cbs)]
    return rows


class LearningRateLog(Callback):
    """Write down the learning rate of every group at every training batch.

    ``rates`` grows by one list per batch, over all fits. Introduced in the
    chapter *FitLaM*.
    """

    order, run_valid = RescaleLearningRate.order + 1, False

    def __init__(self) -> None:
        self.rates: list[list[float]] = []

    def before_batch(self) -> None:
        """Note the rates with which this batch is about to train."""
        self.rates.append([hyper["lr"] for hyper in self.opt.hypers])


class BFloat16(Callback):
    """Compute the model's matrix products in bfloat16, on CPU or GPU alike.

    Weights, gradients and optimizer stay in 32 bits, and so do this library's
    losses. Unlike fastai's ``to_bf16``, which asks for a CUDA device, it takes
    the model's. Autocast is entered and left around each forward pass by
    hooks that remove themselves, so an interrupted fit leaves nothing behind.
    A language model carries its state in 32 bits from batch to batch.
    Introduced in the chapter *Text and language models*.
    """

    def before_batch(self) -> None:
        """Run the next forward pass under autocast."""
        device = next(self.model.parameters()).device.type
        context = torch.autocast(device, dtype=torch.bfloat16)

        def enter(*_: Any) -> None:
            """Open the context, once."""
            before.remove()
            context.__enter__()

        def leave(*_: Any) -> None:
            """Close it after the forward pass, once."""
            after.remove()
            context.__exit__(None, None, None)

        before = self.model.register_forward_pre_hook(enter)
        after = self.model.register_forward_hook(leave, always_call=True)


def _learner(
    model: nn.Module,
    dls: DataLoaders,
    cbs: list[Callback],
    quiet: bool,
    settings: dict[str, Any],
) -> Learner:
    check_partition(model, settings["splitter"](model))
    settings = {"opt_func": adam()} | settings
    learn = Learner(dls, model, **settings).add_cbs(cbs)
    if quiet:
        learn.remove_cbs(ProgressCallback)
        learn.logger = noop
    return learn


def _check_outputs(model: Classifier, alpha: float, beta: float) -> None:
    if not isinstance(model, TextClassifier) or not model.config.return_outputs:
        raise ValueError(
            f"alpha={alpha}, beta={beta} need the hidden states, and this model returns logits "
            "alone: give a TextClassifier built with ClassifierConfig(return_outputs=True)"
        )


def _fit_stage(
    learn: Learner, stage: Stage, ratio: Ratio, cbs: Sequence[Callback]
) -> list[dict[str, float]]:
    train_only(learn, stage.trainable)
    lrs = discriminative_lrs(stage.lr_max, len(learn.opt.param_lists), ratio)
    rates = by_position(stage.schedule, stage.epochs * len(learn.dls.train), lrs)
    learn.fit(stage.epochs, cbs=[ParamScheduler({"lr": rates}), *cbs])
    names = learn.recorder.metric_names[1:-1]  # without "epoch" and "time"
    return [
        {"epoch": epoch} | dict(zip(names, map(float, values), strict=True))
        for epoch, values in enumerate(learn.recorder.values)
    ]
