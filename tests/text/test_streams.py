"""LM streams: every token is a target once, rows go on where they stopped."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ulmfit_lib.text.streams import LMStream, StreamConfig, bptt_lengths, join_documents
from ulmfit_lib.text.tokenizer import BOS_ID

TOKENS = np.arange(1000, dtype=np.uint16)


def rows_of(stream):
    """Inputs and targets of one pass, batches laid end to end: two arrays (B, T)."""
    batches = list(stream)
    return (torch.cat(parts, dim=1).numpy() for parts in zip(*batches, strict=True))


@given(st.integers(2, 400), st.integers(1, 7), st.integers(1, 30), st.booleans())
@settings(deadline=None)
def test_rows_are_consecutive_and_targets_are_the_next_token(n, rows, bptt, random_lengths):
    tokens = np.arange(n, dtype=np.uint16)
    config = StreamConfig(rows, bptt, random_lengths)
    if n // rows < 2:
        with pytest.raises(ValueError, match="too few"):
            LMStream(tokens, config)
        return
    inputs, targets = rows_of(LMStream(tokens, config))
    length = n // rows
    expected = tokens[: rows * length].reshape(rows, length)
    assert (inputs == expected[:, :-1]).all()
    assert (targets == expected[:, 1:]).all()


def test_the_backward_stream_reads_every_row_from_its_end():
    forward, _ = rows_of(LMStream(TOKENS, StreamConfig(4, 10, False)))
    backward, targets = rows_of(LMStream(TOKENS, StreamConfig(4, 10, False, "backward")))
    assert (backward[:, 1:] == forward[:, 1:][:, ::-1]).all()
    assert (targets == backward - 1).all()


def test_len_is_the_number_of_batches_in_every_epoch():
    stream = LMStream(TOKENS, StreamConfig(2, 12))
    for epoch in range(4):
        stream.set_epoch(epoch)
        assert len(stream) == len(list(stream))


def test_epochs_differ_but_an_epoch_is_a_pure_function_of_its_number():
    stream = LMStream(TOKENS, StreamConfig(2, 12))
    first, second = ([x.shape[1] for x, _ in stream] for _ in range(2))
    stream.set_epoch(0)
    assert [x.shape[1] for x, _ in stream] == first != second


def test_slices_of_an_epoch_continue_each_other_across_passes():
    sliced = LMStream(TOKENS, StreamConfig(2, 12), batches_per_epoch=30)
    whole = LMStream(TOKENS, StreamConfig(2, 12))
    expected = [x for _ in range(3) for x, _ in whole][:90]
    got = [x for _ in range(3) for x, _ in sliced]
    assert len(got) == 90
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_lengths_follow_the_published_distribution():
    lengths = np.array(list(bptt_lengths(4_000_000, 70, np.random.default_rng(0))))[:-1]
    short = lengths < 52
    assert abs(short.mean() - 0.05) < 0.005
    assert abs(lengths[~short].mean() - 69.5) < 0.2  # int() cuts half a token off
    assert abs(lengths[short].mean() - 34.5) < 0.5
    assert abs(lengths[~short].std() - 5) < 0.2
    assert lengths.min() >= 5


def test_lengths_cover_the_text_exactly():
    assert sum(bptt_lengths(12_345, 70, np.random.default_rng(1))) == 12_345


def test_documents_are_opened_by_bos():
    assert join_documents([[7, 8], [], [9]]).tolist() == [BOS_ID, 7, 8, BOS_ID, BOS_ID, 9]
    assert join_documents([]).size == 0
    assert join_documents([[70_000]]).tolist() == [BOS_ID, 70_000]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"direction": "up"}, "direction='up'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"bptt": 0}, "bptt=0"),
    ],
)
def test_impossible_streams_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StreamConfig(**arguments)
