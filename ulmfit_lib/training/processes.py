"""One run on several processes: who reads which rows, what is summed, who writes.

Every process reads the same batches and keeps its share of the rows, so the
run has the batches, and up to rounding the losses, that it has on one
process. Start it with ``accelerate launch --multi_gpu`` or ``torchrun``, on
GPUs or processors; fastai's ``distrib_ctx`` does the rest. Introduced in the
chapter *Text and language models*.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import PartialState  # type: ignore[import-untyped]
from accelerate.utils import parse_flag_from_env  # type: ignore[import-untyped]
from fastai.data.load import DataLoader
from fastai.distributed import DistributedDL
from fastai.learner import Learner
from torch import Tensor, distributed


def _state() -> PartialState:
    """accelerate's view of this process; it takes several CPU processes for one unless told."""
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.cuda.is_available()
    return PartialState(cpu=cpu)


def process_count() -> int:
    """How many processes share this run."""
    return _state().num_processes


def is_first_process() -> bool:
    """Whether this process is the one that reports and writes files."""
    return _state().is_main_process


def first_process_first() -> AbstractContextManager[Any]:
    """Within this context the others wait for the first process to come out: it makes files."""
    return _state().main_process_first()


def wait_for_all() -> None:
    """Go on when every process has come here."""
    _state().wait_for_everyone()


def training_device() -> torch.device:
    """The GPU of this process where there is one, else the CPU."""
    device = _state().device
    return device if device.type == "cuda" else torch.device("cpu")


def totals(*values: float) -> list[float]:
    """Each of ``values``, summed over all processes."""
    if process_count() == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=training_device())
    distributed.all_reduce(sums)
    return sums.tolist()


def mean_over_processes(value: float) -> float:
    """The mean of ``value`` over all processes."""
    return totals(value)[0] / process_count()


def own_rows(rows: Tensor, dim: int = 0) -> Tensor:
    """This process's share of ``rows``: consecutive, of equal size.

    Args:
        rows: as one process would have them all.
        dim: the axis of the rows.

    Raises:
        ValueError: the rows cannot be shared out evenly.
    """
    n, count = rows.shape[dim], process_count()
    if n % count:
        raise ValueError(
            f"a batch of {n} rows cannot be shared out evenly among {count} processes: "
            "choose a batch_size that is a multiple of their number"
        )
    return rows.chunk(count, dim)[_state().process_index]


def all_rows(rows: Tensor, dim: int = 0) -> Tensor:
    """The rows of all processes in their order; the inverse of :func:`own_rows`.

    Args:
        rows: this process's share; the others' have its shape.
        dim: the axis of the rows.
    """
    if process_count() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(process_count())]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts, dim)


class RowShards(DistributedDL):
    """This process's rows of every batch of ``loader``.

    fastai's own ``DistributedDL`` shares out the *items* of an indexed data
    set and needs CUDA for it; the loaders of running text make whole batches,
    whose rows must stay with one process. Introduced in the chapter *Text and
    language models*.

    Args:
        loader: makes the batches of the whole run: tuples of tensors with
            as many rows, a multiple of the number of processes.
    """

    def __init__(self, loader: DataLoader) -> None:
        state = _state()
        super().__init__(loader, state.process_index, state.num_processes)

    def __len__(self) -> int:
        """Batches of the coming epoch."""
        return len(self.dl)

    def get_idxs(self) -> list[Any]:
        """The loader's own: nothing is shared out by items."""
        return list(self.dl.get_idxs())

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass epoch ``epoch``, counted from 0."""
        self.dl.set_epoch(epoch)

    def create_batches(self, samps: object) -> Iterator[tuple[Tensor, ...]]:
        """Yield this process's rows of each batch of the loader."""
        for batch in self.dl.create_batches(samps):
            yield tuple(own_rows(part) for part in batch)

    def after_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What the loader does with a batch last; all but its last part goes into the model."""
        ready = self.dl.after_batch(batch)
        self._n_inp = len(ready) - 1
        return ready


def shared_out(loader: DataLoader) -> DataLoader:
    """``loader`` on one process, this process's rows of it on several."""
    return RowShards(loader) if process_count() > 1 else loader


def on_all_processes(learn: Learner) -> AbstractContextManager[Any]:
    """Within this context ``learn`` averages its gradients over all processes.

    fastai's ``distrib_ctx``, which does not understand a launch with a single
    process, for more than one; nothing otherwise.
    """
    on_cpu = training_device().type == "cpu"
    several = process_count() > 1
    return learn.distrib_ctx(sync_bn=False, cpu=on_cpu) if several else nullcontext()
