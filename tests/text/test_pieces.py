"""Long texts in pieces: every token once, each piece framed, too many cut in the middle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.pieces import PiecesDataset, pieces
from ulmfit_lib.text.tokenizer import CLS_ID, SEP_ID
from ulmfit_lib.text.truncation import truncate

LONG = list(range(600))
texts = st.lists(st.integers(5, 8191), max_size=40)


@given(texts, st.integers(1, 12))
def test_pieces_hold_every_token_once(ids, n):
    found = pieces(ids, n)
    assert [token for piece in found for token in piece] == ids
    assert len(found) == max(1, -(-len(ids) // n))
    assert all(len(piece) == n for piece in found[:-1])


def test_each_piece_has_its_own_frame():
    dataset = PiecesDataset([list(range(10, 17)), []], 5, [0, 1])
    assert dataset[0] == ([1, 10, 11, 12, 2, 1, 13, 14, 15, 2, 1, 16, 2], 0)
    assert dataset[1] == ([CLS_ID, SEP_ID], 1)
    assert dataset.lengths == [13, 2]


def test_too_many_pieces_leave_head_and_tail():
    whole = PiecesDataset([truncate(LONG, 20, "head+tail")], 7)
    assert PiecesDataset([LONG], 7, max_pieces=4)[0] == whole[0]


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: pieces(LONG, 0), "n=0"),
        (lambda: PiecesDataset([LONG], 2), "piece_length=2"),
        (lambda: PiecesDataset([LONG], 5, max_pieces=0), "n=0"),
    ],
)
def test_impossible_lengths_are_refused(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
