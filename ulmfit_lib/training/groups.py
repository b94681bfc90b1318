"""Layer groups: which parameters share a learning rate and thaw together.

Groups run from the bottom (close to the text) to the top (close to the
answer), as fastai counts them, and hold every parameter exactly once.
Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from ulmfit_lib.models.awd_lstm import LanguageModel
from ulmfit_lib.models.classifier import TextClassifier
from ulmfit_lib.models.encoder_classifier import EncoderClassifier

Classifier = TextClassifier | EncoderClassifier  # both know their layer groups
Group = list[nn.Parameter]
Ratio = float | tuple[float, ...]  # lr of a group over that of the one above; or one factor a group

FITLAM_RATIO = 0.3  # lr of a layer over that of the layer above it, FitLaM v1
ULMFIT_RATIO = 1 / 2.6  # the same, ULMFiT section 3.2


def lm_groups(model: LanguageModel) -> list[Group]:
    """``[lstm1, ..., lstmL, embedding + decoder]`` of a language model.

    The decoder's weight *is* the embedding, so both ends of the network form
    one group, the last, as in ULMFiT's released code. Usable as a
    ``splitter`` of fastai's ``Learner``. Introduced in the chapter *FitLaM*.
    """
    tied_ends = [*model.encoder.embedding.parameters(), model.decoder_bias]
    return [*_layers(model.encoder.layers), tied_ends]


def classifier_groups(model: Classifier) -> list[Group]:
    """``[embedding, layer1, ..., layerL, head]`` of a text classifier.

    Usable as a ``splitter`` of fastai's ``Learner``. Introduced in the
    chapter *FitLaM*.
    """
    return _layers(model.layer_groups())


def discriminative_lrs(lr_max: float, n_groups: int, ratio: Ratio) -> list[float]:
    r"""One learning rate per group, bottom to top: :math:`\eta^{l} = ratio \cdot \eta^{l+1}`.

    ``ratio`` is 0.3 in FitLaM, 1 / 2.6 in ULMFiT (section 3.2), 1 for equal
    rates. ULMFiT's released scripts follow no ratio for the language model:
    they list a factor for each group. Introduced in the chapter *FitLaM*.

    Args:
        lr_max: learning rate of the top group; with listed factors, what they
            multiply.
        n_groups: number of groups.
        ratio: learning rate of a group over that of the group above it, or
            one factor per group, bottom to top.

    Raises:
        ValueError: ``n_groups`` or a ratio or factor is not positive,
            ``lr_max`` is negative, or there is not one factor per group.
    """
    smallest = min(ratio, default=0.0) if isinstance(ratio, tuple) else ratio
    if n_groups < 1 or not smallest > 0 or not lr_max >= 0:
        raise ValueError(
            f"lr_max={lr_max}, n_groups={n_groups}, ratio={ratio}: give a rate of 0 or more, "
            "at least 1 group and a positive ratio"
        )
    if not isinstance(ratio, tuple):
        return [lr_max * ratio ** (n_groups - 1 - i) for i in range(n_groups)]
    if len(ratio) != n_groups:
        raise ValueError(f"ratio={ratio} lists {len(ratio)} factors for {n_groups} groups")
    return [lr_max * factor for factor in ratio]


def layer_decay(
    n_layers: int, decay: float, embeddings: float | None = None, head: float = 1.0
) -> tuple[float, ...]:
    r"""One factor per group of an encoder's classifier: :math:`\eta^{k-1} = \xi \eta^k`.

    The top layer has factor 1, layer ``i`` has ``decay ** (n_layers - 1 - i)``,
    and the embeddings one power more. The released code leaves embeddings,
    pooler and head out of the rule: they have a rate of their own
    (``embeddings`` and ``head``), so that embeddings may move faster than any
    layer. Source: Sun et al. 2019, section 5.3.4. Introduced in the chapter
    *How to fine-tune BERT*.

    Args:
        n_layers: transformer layers.
        decay: the paper's :math:`\xi`, rate of a layer over that of the layer above.
        embeddings: factor of the embeddings; None goes on with the rule.
        head: factor of the new head, and of the pooler.

    Returns:
        Factors of embeddings, layers from the bottom up, and head: a ``ratio``
        for :func:`discriminative_lrs`.

    Raises:
        ValueError: ``n_layers`` is below 1, or a factor is not positive.
    """
    lowest = decay**n_layers if embeddings is None else embeddings
    if n_layers < 1 or min(decay, lowest, head) <= 0:
        raise ValueError(
            f"n_layers={n_layers}, decay={decay}, embeddings={embeddings}, head={head}: give at "
            "least 1 layer and positive factors"
        )
    return (lowest, *(decay ** (n_layers - 1 - i) for i in range(n_layers)), head)


def layerwise_groups(
    model: LanguageModel | Classifier, base_lr: float, ratio: Ratio
) -> list[dict[str, Any]]:
    """Parameter groups with their learning rates, as any torch optimizer takes them.

    Introduced in the chapter *FitLaM*.

    Args:
        model: a language model or classifier.
        base_lr: learning rate of the top group.
        ratio: learning rate of a group over that of the group above it, or
            one factor per group (:func:`layer_decay`).

    Returns:
        ``{"params": ..., "lr": ...}`` per group, bottom to top.

    Raises:
        TypeError: the groups of this kind of model are not known.
        ValueError: as :func:`discriminative_lrs` and :func:`check_partition`.
    """
    groups = _groups_of(model)
    check_partition(model, groups)
    lrs = discriminative_lrs(base_lr, len(groups), ratio)
    return [{"params": group, "lr": lr} for group, lr in zip(groups, lrs, strict=True)]


def check_partition(model: nn.Module, groups: Sequence[Iterable[nn.Parameter]]) -> None:
    """Make sure that every trainable parameter is in exactly one group.

    A parameter in no group would never be trained; one in two groups would be
    stepped twice per batch. Tied weights count once. Introduced in the
    chapter *FitLaM*.

    Raises:
        ValueError: naming the parameter that is missing, repeated, or not the
            model's.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    seen: dict[int, int] = {}
    for number, group in enumerate(groups):
        for p in group:
            if id(p) not in names:
                raise ValueError(f"group {number} holds a {tuple(p.shape)} tensor of another model")
            if id(p) in seen:
                raise ValueError(
                    f"parameter {names[id(p)]} is in groups {seen[id(p)]} and {number}: "
                    "it would be stepped twice per batch"
                )
            seen[id(p)] = number
    for name, p in model.named_parameters():
        if p.requires_grad and id(p) not in seen:
            raise ValueError(f"parameter {name} is in none of the {len(groups)} groups")


def _layers(modules: Iterable[nn.Module]) -> list[Group]:
    return [list(module.parameters()) for module in modules]


def _groups_of(model: nn.Module) -> list[Group]:
    if isinstance(model, LanguageModel):
        return lm_groups(model)
    if isinstance(model, Classifier):
        return classifier_groups(model)
    raise TypeError(
        f"no layer groups are known for {type(model).__name__}: "
        "pass a LanguageModel, a TextClassifier or an EncoderClassifier"
    )
