"""Framing keeps the text's beginning between [CLS] and [SEP]."""

import pytest

from ulmfit_lib.text.batches import BatchConfig, TextLoader
from ulmfit_lib.text.framing import FramedDataset, frame
from ulmfit_lib.text.tokenizer import CLS_ID, PAD_ID, SEP_ID


@pytest.mark.parametrize("n", [0, 1, 5, 6, 7, 100])
def test_a_text_is_cut_to_its_beginning(n):
    ids = list(range(10, 10 + n))
    framed = frame(ids, 8)
    assert framed == [CLS_ID, *ids[:6], SEP_ID]
    assert len(framed) == min(n + 2, 8)


def test_no_room_and_padding_are_refused():
    with pytest.raises(ValueError, match="max_length=2 leaves no token"):
        frame([10], 2)
    with pytest.raises(ValueError, match=r"ids\[1\]=0 is the padding token"):
        frame([10, PAD_ID], 8)


def test_batches_are_padded_after_the_text():
    dataset = FramedDataset([[10], [11, 12, 13]], 8, [1, 0])
    ids, labels = next(iter(TextLoader(dataset, BatchConfig(2))))
    assert ids.tolist() == [[CLS_ID, 11, 12, 13, SEP_ID], [CLS_ID, 10, SEP_ID, PAD_ID, PAD_ID]]
    assert labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match="labels has 1 entries for 2 documents"):
        FramedDataset([[10], [11]], 8, [1])
