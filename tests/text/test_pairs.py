"""Pairs are framed as transformers frames them, and the longer text gives way first."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from ulmfit_lib.models.encoder import SHIPPED_ENCODER
from ulmfit_lib.text.batches import BatchConfig, TextLoader
from ulmfit_lib.text.pairs import PairDataset, frame_pair, segment_ids
from ulmfit_lib.text.tokenizer import CLS_ID, PAD_ID, SEP_ID, encode, load_tokenizer


def popped(a, b, room):
    """The released code's way: pop from the longer one until both fit."""
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return [CLS_ID, *a, SEP_ID, *b, SEP_ID]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(5, 40))
def test_the_longer_text_gives_way_first(n, m, max_length):
    a, b = list(range(10, 10 + n)), list(range(100, 100 + m))
    framed = frame_pair(a, b, max_length)
    assert framed == popped(a, b, max_length - 3)
    assert len(framed) == min(n + m + 3, max_length)


def test_a_pair_is_framed_as_transformers_does():
    texts = "The cat sat on the mat.", "A cat was sitting."
    theirs = AutoTokenizer.from_pretrained(SHIPPED_ENCODER)(*texts)
    a, b = encode(load_tokenizer(), texts)
    ours = frame_pair(a, b, 128)
    assert ours == theirs["input_ids"]
    assert segment_ids(torch.tensor([ours])).tolist() == [theirs["token_type_ids"]]


def test_segments_of_padded_batches_and_of_single_texts():
    ids = torch.tensor([[CLS_ID, 9, SEP_ID, 8, 7, SEP_ID], [CLS_ID, 9, 9, SEP_ID, PAD_ID, PAD_ID]])
    assert segment_ids(ids).tolist() == [[0, 0, 0, 1, 1, 1], [0] * 6]


def test_batches_carry_scores():
    dataset = PairDataset([[10], [11, 12]], [[20, 21], [22]], 8, [0.5, 4.0])
    ids, scores = next(iter(TextLoader(dataset, BatchConfig(2))))
    assert sorted(ids.tolist()) == sorted(
        [[CLS_ID, 10, SEP_ID, 20, 21, SEP_ID], [CLS_ID, 11, 12, SEP_ID, 22, SEP_ID]]
    )
    assert scores.dtype == torch.float32 and sorted(scores.tolist()) == [0.5, 4.0]


def test_what_is_no_pair_is_refused():
    with pytest.raises(ValueError, match="max_length=4 leaves no token"):
        frame_pair([10], [11], 4)
    with pytest.raises(ValueError, match="padding token"):
        frame_pair([10, PAD_ID], [11], 8)
    with pytest.raises(ValueError, match="first has 1 texts, second 2"):
        PairDataset([[10]], [[11], [12]], 8)
