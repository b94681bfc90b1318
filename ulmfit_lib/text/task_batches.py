"""Batches of several tasks in one epoch, each task as often as it has text.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from fastai.data.load import DataLoader
from torch import Tensor

from ulmfit_lib.text.batches import BatchConfig, TextLoader, TokenDataset


class TaskBatches(DataLoader):
    """Batches (ids (B, T), task, labels (B,)) for fastai's Learner; a batch is of one task.

    An epoch holds every example of every task once, its batches in a shuffled
    order, so tasks come in proportion to their size. The released code draws
    the tasks in the same proportion, but starts a new pass over a task's data
    at each of its batches, so examples come *with replacement*: some twice an
    epoch, some never. Source: Sun et al. 2019, section 4.3. Introduced in the
    chapter *How to fine-tune BERT*.

    Args:
        datasets: labelled documents of each task.
        batches: batch size, token budget and seed, the same for all tasks.
        shuffle: training (True) or evaluation, task by task (False).

    Raises:
        ValueError: no task, or a task with fewer than two documents to train on.
    """

    n_inp = 2  # what the model takes: ids and task

    def __init__(
        self,
        datasets: Sequence[TokenDataset],
        batches: BatchConfig | None = None,
        shuffle: bool = False,
    ) -> None:
        if not datasets:
            raise ValueError("datasets=[] holds no task: give the documents of each")
        self.batches, self.epoch = batches if batches is not None else BatchConfig(), 0
        self.loaders = [TextLoader(dataset, self.batches, shuffle) for dataset in datasets]
        self.in_order = not shuffle
        super().__init__(bs=None, n=sum(map(len, self.loaders)))

    def __len__(self) -> int:
        """Number of batches of the next pass."""
        return sum(map(len, self.loaders))

    def order(self) -> list[int]:
        """The task of each batch of the next pass."""
        tasks = np.repeat(np.arange(len(self.loaders)), [len(loader) for loader in self.loaders])
        if not self.in_order:
            np.random.default_rng((self.batches.seed, self.epoch)).shuffle(tasks)
        return [int(task) for task in tasks]

    def create_batches(self, samps: Any) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the batches of one pass and move on to the next."""
        order, turns = self.order(), [iter(loader) for loader in self.loaders]
        for task in order:
            ids, labels = next(turns[task])
            yield ids, torch.tensor(task), labels
        for turn in turns:  # at their ends, where a loader takes up its next order
            next(turn, None)
        self.epoch += 1
