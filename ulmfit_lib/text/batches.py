"""Documents of different lengths, in batches: padded, bucketed by length, put back in order.

Padding always comes *after* the text, and a model finds it by its id, so a
padded batch needs no second tensor. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fastai.data.load import DataLoader
from fastai.torch_core import to_device
from torch import Tensor

from ulmfit_lib.text.masking import IGNORED
from ulmfit_lib.text.tokenizer import BOS_ID, PAD_ID

Batch = tuple[Tensor, ...]


def begin_document(ids: Sequence[int]) -> list[int]:
    """``ids`` with BOS in front, so that no document is empty.

    A text without a single token becomes ``[BOS]``; ids that begin with BOS
    already come back unchanged. Introduced in the chapter *FitLaM*.

    Raises:
        ValueError: a padding token stands inside the document.
    """
    if PAD_ID in ids:
        raise ValueError(
            f"ids[{list(ids).index(PAD_ID)}]={PAD_ID} is the padding token, which no text "
            "contains: pass the document without its padding"
        )
    return list(ids) if ids and ids[0] == BOS_ID else [BOS_ID, *ids]


def reverse_document(ids: Sequence[int]) -> list[int]:
    """The document as the backward model reads it; its own inverse.

    The text's tokens are reversed. BOS stays first (it says "a document
    begins", not "the first word") and padding stays last: a backward model
    that reads padding first sees texts that its language model never saw.
    Source: ULMFiT, section 3.4. Introduced in the chapter *FitLaM*.
    """
    row = list(ids)
    first = 1 if row and row[0] == BOS_ID else 0
    end = len(row)
    while end > first and row[end - 1] == PAD_ID:
        end -= 1
    return row[:first] + row[first:end][::-1] + row[end:]


def truncate_last(ids: Sequence[int], n: int) -> list[int]:
    """The last ``n`` tokens of a document; a leading BOS is kept among the ``n``.

    Introduced in the chapter *FitLaM*.

    Args:
        ids: token ids of the document.
        n: tokens to keep, at most.

    Raises:
        ValueError: ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"n={n} leaves no token: keep at least 1")
    if len(ids) <= n:
        return list(ids)
    if ids[0] != BOS_ID:
        return list(ids[-n:])
    return [BOS_ID, *ids[len(ids) - n + 1 :]]


def pad_batch(documents: Sequence[Sequence[int]], pad_id: int = PAD_ID) -> Tensor:
    """Stack ``documents`` into ids (B, T), padded after the text with ``pad_id``.

    Introduced in the chapter *FitLaM*.

    Raises:
        ValueError: there is no document, or one of them has no token.
    """
    if not documents:
        raise ValueError("documents=[] is no batch: pass at least one document")
    lengths = [len(document) for document in documents]
    if 0 in lengths:
        raise ValueError(
            f"documents[{lengths.index(0)}] is empty, its row would be all padding: "
            "begin_document() starts each document with a BOS token"
        )
    batch = torch.full((len(documents), max(lengths)), pad_id, dtype=torch.long)
    for row, document in zip(batch, documents, strict=True):
        row[: len(document)] = torch.tensor(document, dtype=torch.long)
    return batch


def reverse_batch(ids: Tensor) -> Tensor:
    """:func:`reverse_document` for each row of a padded batch (B, T)."""
    columns = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    first = (ids[:, :1] == BOS_ID).long()
    length = (ids != PAD_ID).sum(dim=1, keepdim=True)
    in_text = (columns >= first) & (columns < length)
    return ids.gather(1, torch.where(in_text, first + length - 1 - columns, columns))


class TokenDataset:
    """Documents as token ids that need nothing more, with their labels.

    ``dataset[i]`` is ``(ids, label)``, or ``(ids,)`` without labels. Introduced
    in the chapter *FitLaM*.

    Args:
        documents: token ids of each text as a model is to read it.
        labels: one class index (int) or score (float) per document, or one
            class index per token, or None.

    Raises:
        ValueError: labels and documents differ in number.
    """

    pad_id = PAD_ID  # what fills a batch of these documents up

    def __init__(
        self,
        documents: Sequence[Sequence[int]],
        labels: Sequence[int] | Sequence[float] | Sequence[Sequence[int]] | None = None,
    ) -> None:
        if labels is not None and len(labels) != len(documents):
            raise ValueError(
                f"labels has {len(labels)} entries for {len(documents)} documents: "
                "pass one label per document, or None"
            )
        self.documents, self.labels = documents, labels

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.documents)

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        """``(ids, label)`` of document ``i``, or ``(ids,)`` without labels."""
        ids = self.documents[i]
        return (ids,) if self.labels is None else (ids, self.labels[i])

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each document, special tokens included."""
        return [len(document) for document in self.documents]


class TextDataset(TokenDataset):
    """Documents as an AWD-LSTM reads them, with their labels. Introduced in the chapter *FitLaM*.

    Each document starts with BOS (:func:`begin_document`).

    Args:
        documents: token ids of each text, without padding.
        labels: one class index (int) or score (float) per document, or None.
        backward: reverse each text, for the backward model.
        max_tokens: keep at most the last so many tokens of a document.

    Raises:
        ValueError: labels and documents differ in number, a document holds a
            padding token, or ``max_tokens`` is below 1.
    """

    def __init__(
        self,
        documents: Sequence[Sequence[int]],
        labels: Sequence[int] | Sequence[float] | None = None,
        backward: bool = False,
        max_tokens: int | None = None,
    ) -> None:
        rows = [begin_document(ids) for ids in documents]
        if max_tokens is not None:
            rows = [truncate_last(ids, max_tokens) for ids in rows]
        super().__init__([reverse_document(ids) for ids in rows] if backward else rows, labels)


@dataclass(frozen=True)
class BatchConfig:
    """How documents become batches. Introduced in the chapter *FitLaM*."""

    batch_size: int = 64  # documents, at most
    max_tokens: int | None = None  # padded tokens (B x T) at most; None: no limit
    pool_batches: int = 50  # batches whose documents are sorted by length together (training)
    seed: int = 0  # of the shuffling
    max_padding: int | None = None  # padding tokens of a batch, at most; None: no limit

    def __post_init__(self) -> None:
        for name in ("batch_size", "pool_batches", "max_tokens", "max_padding"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1")


def cut_batches(
    order: Sequence[int], lengths: Sequence[int], config: BatchConfig, smallest: int = 1
) -> list[list[int]]:
    """Cut a sequence of documents into batches, in the order given.

    A batch grows until it has ``batch_size`` documents or until one more would
    take its padded size above ``max_tokens``, or its padding above
    ``max_padding``. ``smallest`` comes first: 1 or
    2 documents that exceed the budget alone still make a batch. BatchNorm can't
    be trained on one document, so with ``smallest=2`` none is left alone.
    Introduced in the chapter *FitLaM*.

    Args:
        order: indices of documents.
        lengths: tokens of each document, indexed as ``order`` says.
        config: the limits.
        smallest: fewest documents of a batch, 1 or 2.

    Raises:
        ValueError: there are fewer than ``smallest`` documents, but some.
    """
    if 0 < len(order) < smallest:
        raise ValueError(
            f"{len(order)} document cannot make a batch of {smallest}, the fewest that "
            "BatchNorm can be trained on: pass more documents"
        )
    batches = _cut(order, lengths, config, smallest)
    return _without_single_last(batches) if smallest > 1 else batches


def _cut(
    order: Sequence[int], lengths: Sequence[int], config: BatchConfig, smallest: int
) -> list[list[int]]:
    """As :func:`cut_batches`, but the last batch may have a single document."""
    batches: list[list[int]] = []
    longest = tokens = 0
    for i in order:
        longest, tokens = max(longest, lengths[i]), tokens + lengths[i]
        if not batches or _is_full(len(batches[-1]), longest, tokens, config, smallest):
            batches.append([])
            longest = tokens = lengths[i]
        batches[-1].append(i)
    return batches


def _is_full(n: int, longest: int, tokens: int, config: BatchConfig, smallest: int) -> bool:
    """Whether ``n`` documents are enough: with one more there were so many tokens of text."""
    padded = (n + 1) * longest
    over_budget = config.max_tokens is not None and padded > config.max_tokens
    hollow = config.max_padding is not None and padded - tokens > config.max_padding
    return n >= smallest and (n >= config.batch_size or over_budget or hollow)


def _without_single_last(batches: list[list[int]]) -> list[list[int]]:
    if len(batches) < 2 or len(batches[-1]) > 1:
        return batches
    *before, previous, last = batches
    if len(previous) > 2:
        return [*before, previous[:-1], [previous[-1], *last]]
    return [*before, previous + last]


def shuffled_batches(lengths: Sequence[int], config: BatchConfig, epoch: int) -> list[list[int]]:
    """The batches of a training epoch: shuffled, yet with little padding.

    Documents are shuffled and dealt into pools of ``pool_batches`` batches;
    each pool is sorted by length and cut as by :func:`cut_batches`, and the
    batches are shuffled again, but for the last one. None has a single
    document. They depend on (lengths, config, epoch) alone, so that a resumed
    run sees what an unbroken one would. Introduced in the chapter *FitLaM*.

    Raises:
        ValueError: there is one document only.
    """
    if len(lengths) == 1:
        cut_batches([0], lengths, config, smallest=2)  # says what is wrong
    rng = np.random.default_rng((config.seed, epoch))
    shuffled = rng.permutation(len(lengths)).tolist()
    pool_size = max(2, config.batch_size * config.pool_batches)
    batches: list[list[int]] = []
    for start in range(0, len(shuffled), pool_size):
        pool = sorted(shuffled[start : start + pool_size], key=lambda i: -lengths[i])
        cut = _cut(pool, lengths, config, smallest=2)
        last = start + pool_size >= len(shuffled)  # completed when its neighbour is known
        batches += cut if last else _without_single_last(cut)
    batches[:-1] = [batches[i] for i in rng.permutation(max(len(batches) - 1, 0))]
    return _without_single_last(batches)


class TextLoader(DataLoader):
    """Length-bucketed batches (ids (B, T), labels (B,)) that fastai's Learner accepts.

    Training (``shuffle=True``): every document once per epoch, in
    :func:`shuffled_batches`, none of one document. :attr:`epoch` says
    which order comes next and grows by one with each complete pass.
    Evaluation: longest documents first; ``Learner.get_preds`` puts its
    predictions back into the data set's order, :meth:`in_dataset_order` does
    it for rows gathered by hand. On several processes leave ``max_tokens``
    unset: a budget could give them different numbers of batches. Introduced in
    the chapter *FitLaM*.

    Args:
        dataset: the documents.
        config: batch size, token budget, seed.
        shuffle: training (True) or evaluation (False).
        order: indices in a fixed order, instead of sorting or shuffling.
        device: where the batches go; None leaves them on the CPU.

    Raises:
        ValueError: training with fewer than two documents.
    """

    n_inp = 1

    def __init__(
        self,
        dataset: TokenDataset,
        config: BatchConfig | None = None,
        shuffle: bool = False,
        order: Sequence[int] | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        config = config if config is not None else BatchConfig()
        super().__init__(dataset, bs=config.batch_size, shuffle=shuffle, device=device)
        self.config, self.order, self.epoch = config, order, 0
        self.lengths = dataset.lengths
        if shuffle and len(dataset) == 1:
            cut_batches([0], self.lengths, config, smallest=2)  # says what is wrong

    def get_idxs(self) -> list[int]:
        """Indices of the documents in the order of the next pass."""
        if self.order is not None:
            return list(self.order)
        if self.shuffle:
            return [i for rows in self.plan() for i in rows]
        return sorted(range(len(self.lengths)), key=lambda i: -self.lengths[i])

    def plan(self) -> list[list[int]]:
        """Indices of each batch of the next pass."""
        if self.shuffle and self.order is None:
            return shuffled_batches(self.lengths, self.config, self.epoch)
        return self._cut(self.get_idxs())

    def _cut(self, order: Sequence[int]) -> list[list[int]]:
        return cut_batches(order, self.lengths, self.config, smallest=2 if self.shuffle else 1)

    def __len__(self) -> int:
        """Number of batches of the next pass."""
        return len(self.plan())

    def __iter__(self) -> Iterator[Batch]:
        """Batches of one pass; draws nothing from the global generators."""
        self.before_iter()
        for batch in map(self._read, self.plan()):
            yield self.after_batch(to_device(batch, self.device) if self.device else batch)
        self.after_iter()

    def create_batches(self, samps: Sequence[int]) -> Iterator[Batch]:
        """Batches of the documents ``samps`` (fastai's name for indices), in that order."""
        return map(self._read, self._cut(list(samps)))

    def _read(self, rows: Sequence[int]) -> Batch:
        return self.collate([self.dataset[i] for i in rows])

    def collate(self, items: Sequence[tuple[Any, ...]]) -> Batch:
        """(ids (B, T) long, labels); without labels ids alone.

        Labels are (B,) long or float32; or, where each token has one, (B, T)
        long, filled up with ``IGNORED``.
        """
        ids = pad_batch([item[0] for item in items], self.dataset.pad_id)
        if len(items[0]) == 1:
            return (ids,)
        if isinstance(items[0][1], Sequence):
            return ids, pad_batch([item[1] for item in items], IGNORED)
        labels = torch.tensor([item[1] for item in items])
        return ids, labels.float() if labels.is_floating_point() else labels.long()

    def after_iter(self, x: Any = None, *args: Any, **kwargs: Any) -> None:
        """A pass is complete: the next one gets an order of its own."""
        self.epoch += 1

    def new(self, dataset: Any = None, cls: Any = None, **changes: Any) -> TextLoader:
        """A loader like this one; fastai asks for it with ``shuffle`` or ``get_idxs`` changed."""
        get_idxs = changes.get("get_idxs")
        return TextLoader(
            dataset if dataset is not None else self.dataset,
            self.config,
            shuffle=bool(changes.get("shuffle", self.shuffle)),
            order=get_idxs() if get_idxs is not None else None,
            device=changes.get("device", self.device),
        )

    def in_dataset_order(self, rows: Tensor) -> Tensor:
        """Rows (N, ...) gathered over one pass of this loader, in the data set's order.

        Raises:
            ValueError: there are not as many rows as documents, or the loader
                shuffles, so that the order of the pass is gone.
        """
        if self.shuffle or len(rows) != len(self.lengths):
            raise ValueError(
                f"{len(rows)} rows of {len(self.lengths)} documents, shuffle={self.shuffle}: "
                "gather the rows of one complete pass of a loader with shuffle=False"
            )
        return rows[torch.tensor(self.get_idxs()).argsort().to(rows.device)]
