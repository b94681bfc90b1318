"""Padding, bucketing and order of classification batches."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.distributed import DistributedDL
from fastai.learner import Learner
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from ulmfit_lib.text.batches import (
    BatchConfig,
    TextDataset,
    TextLoader,
    begin_document,
    cut_batches,
    pad_batch,
    reverse_batch,
    reverse_document,
    shuffled_batches,
    truncate_last,
)
from ulmfit_lib.text.tokenizer import BOS_ID, PAD_ID

texts = st.lists(st.integers(BOS_ID + 1, 300), max_size=40)
corpora = st.lists(texts, min_size=2, max_size=60)
lengths_ = st.lists(st.integers(1, 500), min_size=2, max_size=200)
configs = st.builds(
    BatchConfig,
    batch_size=st.integers(1, 9),
    max_tokens=st.none() | st.integers(1, 2_000),
    pool_batches=st.integers(1, 4),
    seed=st.integers(0, 5),
)


def flat(batches: list[list[int]]) -> list[int]:
    return [i for batch in batches for i in batch]


# Documents


@given(texts)
def test_a_document_begins_with_bos_once(ids: list[int]) -> None:
    document = begin_document(ids)
    assert document == [BOS_ID, *ids]
    assert begin_document(document) == document


def test_an_empty_text_becomes_a_single_bos() -> None:
    assert begin_document([]) == [BOS_ID]


def test_a_padding_token_inside_a_document_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ids\[1\]=0 is the padding token"):
        begin_document([7, PAD_ID, 8])


@given(texts, st.integers(0, 5))
def test_reversing_turns_the_text_but_neither_bos_nor_padding(ids: list[int], n: int) -> None:
    padded = [BOS_ID, *ids, *[PAD_ID] * n]
    assert reverse_document(padded) == [BOS_ID, *ids[::-1], *[PAD_ID] * n]
    assert reverse_document(reverse_document(padded)) == padded


@given(texts)
def test_reversing_without_bos_turns_everything(ids: list[int]) -> None:
    assert reverse_document(ids) == ids[::-1]


@given(corpora)
def test_reversing_a_padded_batch_is_padding_reversed_documents(corpus: list[list[int]]) -> None:
    documents = [begin_document(ids) for ids in corpus]
    reversed_first = pad_batch([reverse_document(ids) for ids in documents])
    assert reverse_batch(pad_batch(documents)).equal(reversed_first)


@given(texts, st.integers(1, 50))
def test_truncation_keeps_bos_and_the_last_tokens(ids: list[int], n: int) -> None:
    cut = truncate_last([BOS_ID, *ids], n)
    assert len(cut) == min(n, len(ids) + 1)
    assert cut[0] == BOS_ID
    assert cut[1:] == ids[len(ids) - (len(cut) - 1) :]
    assert truncate_last(cut, n) == cut


@given(texts, st.integers(1, 50))
def test_truncation_without_bos_keeps_the_last_tokens(ids: list[int], n: int) -> None:
    assert truncate_last(ids, n) == ids[-n:]


def test_truncation_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="n=0"):
        truncate_last([1, 2], 0)


# Padding


@given(corpora)
def test_padding_follows_the_text_and_loses_nothing(corpus: list[list[int]]) -> None:
    documents = [begin_document(ids) for ids in corpus]
    batch = pad_batch(documents)
    assert batch.dtype == torch.long
    assert batch.shape == (len(documents), max(map(len, documents)))
    for row, document in zip(batch.tolist(), documents, strict=True):
        assert row == document + [PAD_ID] * (batch.shape[1] - len(document))


def test_a_batch_without_documents_or_with_an_empty_one_is_refused() -> None:
    with pytest.raises(ValueError, match="is no batch"):
        pad_batch([])
    with pytest.raises(ValueError, match=r"documents\[1\] is empty"):
        pad_batch([[4, 5], []])


# The data set


def test_a_dataset_starts_reverses_and_truncates_its_documents() -> None:
    rows = [[7, 8, 9], []]
    assert TextDataset(rows, [1, 0])[0] == ([BOS_ID, 7, 8, 9], 1)
    assert TextDataset(rows)[1] == ([BOS_ID],)
    assert TextDataset(rows, backward=True)[0] == ([BOS_ID, 9, 8, 7],)
    # The last tokens of the text, whichever direction it is then read in.
    assert TextDataset(rows, max_tokens=3)[0] == ([BOS_ID, 8, 9],)
    assert TextDataset(rows, backward=True, max_tokens=3)[0] == ([BOS_ID, 9, 8],)


def test_labels_must_match_documents() -> None:
    with pytest.raises(ValueError, match="labels has 1 entries for 2 documents"):
        TextDataset([[5], [6]], [0])


# Cutting


@given(lengths_, configs, st.sampled_from([1, 2]))
def test_batches_keep_order_size_and_budget(
    lengths: list[int], config: BatchConfig, smallest: int
) -> None:
    order = list(range(len(lengths)))
    batches = cut_batches(order, lengths, config, smallest)
    assert flat(batches) == order
    assert all(len(batch) >= smallest for batch in batches)
    for batch in batches[:-2] if smallest == 2 else batches:
        assert len(batch) <= max(config.batch_size, smallest)
        if config.max_tokens is not None and len(batch) > smallest:
            assert len(batch) * max(lengths[i] for i in batch) <= config.max_tokens


@given(lengths_, configs)
def test_a_last_document_alone_joins_a_batch_that_stays_small(
    lengths: list[int], config: BatchConfig
) -> None:
    sizes = [len(b) for b in cut_batches(range(len(lengths)), lengths, config, smallest=2)]
    assert min(sizes) >= 2
    assert max(sizes) <= max(config.batch_size, 3)


def test_a_hundred_thousand_token_document_does_not_blow_up_its_batch() -> None:
    lengths = [100_000, *[200] * 99]
    config = BatchConfig(batch_size=64, max_tokens=20_000)
    sizes = [len(b) for b in cut_batches(range(100), lengths, config)]
    assert sizes == [1, 64, 35]
    # Training: BatchNorm needs a companion, and one is all it gets.
    sizes = [len(b) for b in cut_batches(range(100), lengths, config, smallest=2)]
    assert sizes == [2, 64, 34]


@given(lengths_, st.integers(1, 200))
def test_padding_stays_within_its_limit(lengths: list[int], most: int) -> None:
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    batches = cut_batches(order, lengths, BatchConfig(64, max_padding=most))
    assert flat(batches) == order
    for batch, following in zip(batches, [*batches[1:], None], strict=True):
        longest = max(lengths[i] for i in batch)
        padding = sum(longest - lengths[i] for i in batch)
        assert padding <= most
        if following and len(batch) < 64:  # no batch ends too early
            assert padding + longest - lengths[following[0]] > most


@pytest.mark.parametrize("name", ["batch_size", "max_tokens", "pool_batches", "max_padding"])
def test_limits_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=0"):
        BatchConfig(**{name: 0})


# Shuffling


@given(lengths_, configs, st.integers(0, 3))
def test_an_epoch_is_a_permutation_and_a_pure_function(
    lengths: list[int], config: BatchConfig, epoch: int
) -> None:
    assume(len(lengths) != 1)
    batches = shuffled_batches(lengths, config, epoch)
    assert sorted(flat(batches)) == list(range(len(lengths)))
    assert all(len(batch) > 1 for batch in batches)
    assert batches == shuffled_batches(lengths, config, epoch)


def test_epochs_and_seeds_differ() -> None:
    lengths = [5] * 200
    orders = [
        flat(shuffled_batches(lengths, BatchConfig(8, seed=seed), epoch))
        for seed in (0, 1)
        for epoch in (0, 1)
    ]
    assert len({tuple(order) for order in orders}) == 4


def test_the_global_generators_play_no_part() -> None:
    loader = TextLoader(TextDataset([[5] * n for n in range(1, 30)]), BatchConfig(4), shuffle=True)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = [ids.tolist() for (ids,) in loader]
    assert torch.get_rng_state().equal(state)
    loader.epoch = 0
    torch.manual_seed(2)
    assert [ids.tolist() for (ids,) in loader] == first


@pytest.mark.parametrize("budget", [None, 5_000])
def test_bucketing_saves_most_of_the_padding(budget: int | None) -> None:
    lengths = (torch.rand(2_000, generator=torch.Generator().manual_seed(0)) ** 3 * 500).int() + 1
    config = BatchConfig(batch_size=20, max_tokens=budget, pool_batches=50)
    batches = shuffled_batches(lengths.tolist(), config, 0)
    padded = sum(len(b) * max(lengths[i].item() for i in b) for b in batches)
    random_padded = sum(20 * int(chunk.max()) for chunk in lengths.split(20))
    real = int(lengths.sum())
    assert padded - real < 0.1 * (random_padded - real)


def test_document_and_batch_order_are_both_shuffled() -> None:
    lengths = list(range(1, 401))
    config = BatchConfig(batch_size=4, pool_batches=10)
    batches = shuffled_batches(lengths, config, 0)
    longest = [max(lengths[i] for i in b) for b in batches]
    steps_down = sum(a > b for a, b in zip(longest, longest[1:], strict=False))
    assert 30 < steps_down < 70  # 99 in a sorted epoch; about half of 99 in a shuffled one


# The loader


@given(corpora, configs)
def test_training_sees_every_document_once_and_never_one_alone(
    corpus: list[list[int]], config: BatchConfig
) -> None:
    loader = TextLoader(TextDataset(corpus, list(range(len(corpus)))), config, shuffle=True)
    n_batches = len(loader)
    batches = list(loader)
    assert len(batches) == n_batches
    assert all(len(labels) >= 2 for _, labels in batches)
    seen = Counter(int(label) for _, labels in batches for label in labels)
    assert seen == Counter(range(len(corpus)))
    for ids, labels in batches:
        for row, label in zip(ids.tolist(), labels.tolist(), strict=True):
            assert [i for i in row if i != PAD_ID] == [BOS_ID, *corpus[label]]


@given(corpora, configs)
def test_evaluation_comes_back_in_the_original_order(
    corpus: list[list[int]], config: BatchConfig
) -> None:
    loader = TextLoader(TextDataset(corpus, list(range(len(corpus)))), config)
    labels = torch.cat([labels for _, labels in loader])
    assert loader.in_dataset_order(labels).tolist() == list(range(len(corpus)))
    assert len(list(loader)) == len(loader)


def test_only_a_complete_pass_moves_on_to_the_next_epoch() -> None:
    loader = TextLoader(TextDataset([[5 + n] for n in range(40)]), BatchConfig(4), shuffle=True)
    order = loader.get_idxs()
    loader.one_batch()
    assert loader.get_idxs() == order
    list(loader)
    assert loader.epoch == 1
    assert loader.get_idxs() != order


def test_labels_are_long_classes_or_float_scores() -> None:
    rows = [[5], [6]]
    assert next(iter(TextLoader(TextDataset(rows, [0, 1]))))[1].dtype == torch.long
    assert next(iter(TextLoader(TextDataset(rows, [0.5, 1.5]))))[1].dtype == torch.float32
    assert len(next(iter(TextLoader(TextDataset(rows))))) == 1


def test_an_empty_evaluation_set_has_no_batches() -> None:
    loader = TextLoader(TextDataset([], []))
    assert len(loader) == 0
    assert list(loader) == []


def test_one_document_cannot_be_trained_on() -> None:
    with pytest.raises(ValueError, match="1 document cannot make a batch of 2"):
        TextLoader(TextDataset([[5]], [0]), shuffle=True)


def test_rows_in_an_unknown_order_are_refused() -> None:
    loader = TextLoader(TextDataset([[5], [6]], [0, 1]), shuffle=True)
    with pytest.raises(ValueError, match="shuffle=True"):
        loader.in_dataset_order(torch.zeros(2))
    with pytest.raises(ValueError, match="1 rows of 2 documents"):
        loader.new(shuffle=False).in_dataset_order(torch.zeros(1))


# With fastai


class FirstTokenModel(nn.Module):
    """Scores (B, 2) from the first token after BOS: row i of the data set is recognisable."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, ids: Tensor) -> Tensor:
        return ids[:, 1:2].float() * self.scale


def learner(n: int = 30) -> Learner:
    rows = [[100 + i] + [5] * (i * 7 % 11) for i in range(n)]
    dataset = TextDataset(rows, [i % 2 for i in range(n)])
    config = BatchConfig(4)
    loaders = TextLoader(dataset, config, shuffle=True), TextLoader(dataset, config)
    dls = DataLoaders(*loaders, device=torch.device("cpu"))
    return Learner(dls, FirstTokenModel(), loss_func=nn.CrossEntropyLoss(), lr=1e-6)


@pytest.mark.parametrize("ds_idx", [0, 1])
def test_fastai_puts_predictions_back_in_order(ds_idx: int) -> None:
    learn = learner()
    predictions, labels = learn.get_preds(ds_idx=ds_idx)
    assert predictions[:, 0].tolist() == [100 + i for i in range(30)]
    assert labels.tolist() == [i % 2 for i in range(30)]


def test_fastai_trains_on_it() -> None:
    learn = learner()
    with learn.no_logging():
        learn.fit(2)
    assert learn.dls.train.epoch == 2
    assert learn.train_iter == 2 * len(learn.dls.train)


def test_fastai_deals_the_documents_to_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DistributedDL, "_broadcast", lambda self, ids, rank: ids)
    dataset = TextDataset([[5] * (i % 9) for i in range(30)], list(range(30)))
    loader = TextLoader(dataset, BatchConfig(4), shuffle=True)
    parts = [
        [labels.tolist() for _, labels in DistributedDL(loader.new(), rank=rank, world_size=2)]
        for rank in (0, 1)
    ]
    assert sorted(flat(parts[0]) + flat(parts[1])) == list(range(30))
    assert len(parts[0]) == len(parts[1])
