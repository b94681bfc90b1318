"""Packed sequences hold the text, in an order of their own, with masks drawn anew."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.masking import IGNORED, MaskingConfig, MaskingVocabulary
from ulmfit_lib.text.packing import (
    STANDARD_MASKING,
    HeldOutSequences,
    MaskedSequences,
    PackConfig,
    gather_targets,
    pack_sequences,
)
from ulmfit_lib.text.streams import join_documents
from ulmfit_lib.text.tokenizer import BOS_ID, CLS_ID, MASK_ID, PAD_ID, SEP_ID, SPECIAL_TOKENS

N_SPECIAL = len(SPECIAL_TOKENS)
SIZE = 2000
NONE = torch.zeros(SIZE, dtype=torch.bool)
VOCABULARY = MaskingVocabulary(MASK_ID, torch.arange(SIZE) < N_SPECIAL, NONE, NONE)
TOKENS = join_documents([list(range(10, 400)), list(range(400, 950)), list(range(950, 1100))])


def loader(tokens=TOKENS, rate=None, batches_per_epoch=None, masking=STANDARD_MASKING, **config):
    pack = PackConfig(**({"batch_size": 4, "length": 12} | config))
    return MaskedSequences(tokens, pack, VOCABULARY, masking, rate, batches_per_epoch)


def original(batch):
    ids, labels = batch
    return torch.where(labels == IGNORED, ids, labels)


def test_a_sequence_is_framed_and_documents_are_kept_apart():
    tokens = join_documents([[10, 11, 12], [20], [30, 31]])
    packed = pack_sequences(tokens, np.array([1, 5]), 6)
    assert packed.tolist() == [
        [CLS_ID, 10, 11, 12, SEP_ID, SEP_ID],
        [CLS_ID, 20, SEP_ID, 30, 31, SEP_ID],
    ]


def test_the_end_of_the_text_is_padded():
    tokens = join_documents([[10, 11, 12, 13, 14]])
    packed = pack_sequences(tokens, np.array([1, 4]), 5)
    assert packed.tolist() == [[CLS_ID, 10, 11, 12, SEP_ID], [CLS_ID, 13, 14, SEP_ID, PAD_ID]]


@given(st.lists(st.integers(N_SPECIAL, 90), min_size=1, max_size=60), st.integers(3, 20))
def test_held_out_text_is_read_whole_and_once(text, length):
    held_out = HeldOutSequences(join_documents([text]), length, VOCABULARY, batch_size=2)
    tokens = original(held_out.masked).flatten()
    assert tokens[tokens >= N_SPECIAL].tolist() == text


def test_held_out_masks_are_the_same_every_time_and_for_every_batch_size():
    once, again, other = (
        list(HeldOutSequences(TOKENS, 12, VOCABULARY, size)) for size in (5, 5, 9)
    )
    held_out = HeldOutSequences(TOKENS, 12, VOCABULARY, 5)
    for first, second in zip(once, [*held_out], strict=True):
        assert all(map(torch.equal, first, second))
    assert all(map(torch.equal, once[0], again[0]))
    for part in (0, 2):
        assert torch.equal(torch.cat([b[part] for b in once]), torch.cat([b[part] for b in other]))


def test_a_pass_reads_the_text_once_in_a_shuffled_order():
    batches = [original(loader(batch_size=1).batch(t)) for t in range(loader(batch_size=1).n)]
    tokens = torch.cat(batches)[:, 1:-1].flatten()
    text = tokens[tokens >= N_SPECIAL]
    assert len(text.unique()) == len(text)
    assert len(text) > 1090 - 2 * 10  # all but the two ends
    firsts = [int(batch[0, 1]) for batch in batches]
    assert firsts != sorted(firsts)


def test_passes_differ_in_order_and_cuts():
    stream = loader(batch_size=1)
    first, second = (
        {
            tuple(original(stream.batch(t))[0].tolist())
            for t in range(k * stream.n, (k + 1) * stream.n)
        }
        for k in range(2)
    )
    assert len(first) == len(second) == stream.n
    assert len(first & second) < stream.n / 2


def test_a_batch_is_a_pure_function_of_its_number():
    whole, sliced = loader(), loader(batches_per_epoch=7)
    expected = [gather_targets(whole.batch(t)) for t in range(14)]
    sliced.set_epoch(1)
    for got, wanted in zip(sliced, expected[7:], strict=True):
        assert all(map(torch.equal, got, wanted))
    assert len(sliced) == 7
    seeded = loader(seed=1).batch(0)
    assert not torch.equal(original(seeded), original(whole.batch(0)))


def test_masks_of_the_same_text_differ_from_pass_to_pass():
    tokens = join_documents([list(range(10, 10 + 2 * 10 - 1))])
    stream = loader(tokens, batch_size=1, masking=MaskingConfig(0.5))
    patterns = {tuple((stream.batch(t).labels == IGNORED)[0].tolist()) for t in range(20)}
    assert len(patterns) > 15


def test_the_rate_may_change_from_batch_to_batch():
    stream = loader(rate=lambda t: t / 10, batch_size=20)
    shares = []
    for t in (0, 5, 10):
        ids, labels = stream.batch(t)
        ordinary = original((ids, labels)) >= N_SPECIAL
        shares.append(((labels != IGNORED) & ordinary).sum().item() / ordinary.sum().item())
    assert shares[0] == 0.0 and 0.3 < shares[1] < 0.7 and shares[2] == 1.0


def test_positions_count_through_the_rows():
    ids, positions, targets = next(iter(loader()))
    assert ids.shape == (4, 12)
    assert positions.shape == targets.shape
    kept = ids.flatten()[positions] == targets
    assert ((ids.flatten()[positions] == MASK_ID) | kept).float().mean() > 0.7
    assert (targets >= N_SPECIAL).all()


def test_documents_are_opened_by_bos_and_it_never_appears():
    assert (TOKENS == BOS_ID).sum() == 3
    rows = torch.cat([loader().batch(t).ids for t in range(loader().n)])
    assert not (rows == BOS_ID).any()
    assert (rows[:, 0] == CLS_ID).all() and (rows[:, -1] == SEP_ID).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="length=2"):
        PackConfig(length=2)
    with pytest.raises(ValueError, match="too few for batch_size=4, length=12"):
        loader(TOKENS[:40])
    with pytest.raises(ValueError, match="1 tokens are no text"):
        HeldOutSequences(TOKENS[:1], 12, VOCABULARY)
