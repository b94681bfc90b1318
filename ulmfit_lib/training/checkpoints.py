"""Checkpoints: one safetensors file that is always whole, and nothing unpickled.

A checkpoint holds tensors and a JSON record of facts. It replaces the one
before it in a single step, so a run killed at any moment finds the old file
or the new one. Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ulmfit_lib.text.cache import write_atomically
from ulmfit_lib.text.running_text import DamagedFileError

FACTS = "facts"


class Checkpoint(NamedTuple):
    """What a checkpoint file holds."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]  # whatever JSON can say: configuration, progress, history


def save_checkpoint(
    path: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Write ``tensors`` and ``facts`` to ``path`` in one step.

    Raises:
        TypeError: ``facts`` holds something that JSON cannot say.
        OSError: the folder cannot be written to.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(whole, metadata={FACTS: json.dumps(facts)}))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file of :func:`save_checkpoint`.

    Raises:
        FileNotFoundError: no file at ``path``.
        DamagedFileError: the file is no whole checkpoint.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no checkpoint at {file}")
    try:
        with safe_open(file, framework="pt") as archive:
            facts = json.loads((archive.metadata() or {})[FACTS])
            return Checkpoint({name: archive.get_tensor(name) for name in archive.keys()}, facts)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise DamagedFileError(
            f"{file} is not a checkpoint of this library ({error}): delete it to start anew"
        ) from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state (step counts, moments) as named tensors.

    Hyper-parameters are not among them: a schedule sets them at every step.
    """
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{key}": torch.as_tensor(value)
        for index, entries in state.items()
        for key, value in entries.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back the state that :func:`optimizer_tensors` took out.

    Args:
        optimizer: of the same model, with its parameters in the same order.
        tensors: what :func:`optimizer_tensors` gave; others are passed over.

    Raises:
        ValueError: the state is that of another number of parameters.
    """
    whole = optimizer.state_dict()
    n_parameters = sum(len(group["params"]) for group in whole["param_groups"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    if state and max(state) >= n_parameters:
        raise ValueError(
            f"the checkpoint holds optimizer state of {max(state) + 1} parameters, "
            f"the model has {n_parameters}: it belongs to another configuration"
        )
    optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})
