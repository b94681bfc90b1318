"""Pre-trained values that a model's parameters are held to, matched by name.

The published RecAdam zips two lists of parameters *by order*; one parameter that is filtered out
shifts all that follow. Here names and shapes must agree. Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

# A parameter to its pre-trained value: tensors are keys by identity, whatever moves them.
Anchors = dict[Tensor, Tensor]


def match_by_name(
    model: nn.Module, values: nn.Module | Mapping[str, Tensor], prefix: str = ""
) -> Anchors:
    """Each parameter of ``model`` that ``values`` names, with a copy of that value.

    Parameters without a value (a new head) are left out. Tied parameters have
    one entry. The copies share no memory with either side, so an anchor never
    moves with its model. Introduced in the chapter *RecAdam*.

    Args:
        model: whose parameters are held.
        values: a pre-trained model, or tensors by name (a state dict, a
            Fisher information).
        prefix: what stands before those names in ``model``, ``"encoder."``
            for an encoder inside a classifier.

    Raises:
        ValueError: a name that ``model`` has not, another shape, two values
            for a tied parameter, or no value at all.
    """
    given = {prefix + name: value for name, value in _named(values).items()}
    own = dict(model.named_parameters(remove_duplicate=False))
    _check_names(given, own, {name for name, _ in model.named_buffers()})
    anchors: Anchors = {}
    for name, p in own.items():
        if name in given:
            _add(anchors, name, p, given[name])
    if not anchors:
        raise ValueError(f"values names no parameter of the model (prefix={prefix!r})")
    return anchors


@torch.no_grad()
def squared_distance(anchors: Anchors) -> float:
    r"""How far the parameters went: :math:`\sum_i (\theta_i - \theta^*_i)^2`.

    The released code logs this *square* under the name of the Euclidean
    distance. Introduced in the chapter *RecAdam*.
    """
    parts = [(p.float() - a.to(p.device).float()).pow(2).sum() for p, a in anchors.items()]
    return float(torch.stack([part.cpu() for part in parts]).sum())


def _named(values: nn.Module | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    if isinstance(values, nn.Module):
        return dict(values.named_parameters(remove_duplicate=False))
    return values


def _check_names(given: Mapping[str, Tensor], own: Mapping[str, Tensor], buffers: set[str]) -> None:
    for name in given:
        if name not in own and name not in buffers:
            close = difflib.get_close_matches(name, own, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"the model has no parameter {name!r}{hint} Give values of this model's own "
                "parameters, and as prefix what stands before their names"
            )


def _add(anchors: Anchors, name: str, p: Tensor, value: Tensor) -> None:
    if p.shape != value.shape:
        raise ValueError(
            f"{name} has shape {tuple(p.shape)}, its pre-trained value {tuple(value.shape)}: "
            "load the weights of the same architecture and vocabulary"
        )
    copy = value.detach().to(p.device, p.dtype, copy=True)
    if p in anchors and not torch.equal(anchors[p], copy):
        raise ValueError(f"{name} is tied to another parameter that has another pre-trained value")
    anchors[p] = copy
