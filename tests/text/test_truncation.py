"""What is kept of a long text: golden values, order, whole short texts, and nothing twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.framing import FramedDataset, frame
from ulmfit_lib.text.special_tokens import SpecialTokens
from ulmfit_lib.text.truncation import (
    TRUNCATIONS,
    head,
    head_share,
    head_tail,
    tail,
    truncate,
)

LONG = list(range(600))
texts = st.lists(st.integers(5, 8191), max_size=40)


def test_golden_values_of_the_paper():
    assert head(LONG, 510) == list(range(510))
    assert tail(LONG, 510) == list(range(90, 600))
    both = head_tail(LONG, 128, 382)
    assert both == [*range(128), *range(218, 600)]
    assert truncate(LONG, 510, "head+tail") == both
    assert truncate(list(range(510)), 510, "head+tail") == list(range(510))


@pytest.mark.parametrize(("n", "first"), [(510, 128), (126, 32), (62, 16), (2, 1), (1, 0)])
def test_the_head_is_a_quarter_at_every_length(n, first):
    assert head_share(n) == first


@given(texts, st.integers(1, 30), st.sampled_from(TRUNCATIONS))
def test_at_most_n_tokens_in_their_order_and_short_texts_whole(ids, n, how):
    places = truncate(list(range(len(ids))), n, how)
    assert len(places) == min(n, len(ids))
    assert places == sorted(set(places))
    if len(ids) <= n:
        assert places == list(range(len(ids)))


@pytest.mark.parametrize(("n_head", "n_tail"), [(510, 0), (600, 0), (0, 510), (0, 600)])
def test_an_end_alone_is_head_or_tail(n_head, n_tail):
    whole = head(LONG, n_head) if n_head else tail(LONG, n_tail)
    assert head_tail(LONG, n_head, n_tail) == whole


def test_specials_come_after_the_cut_so_none_is_lost():
    other = SpecialTokens(cls_id=7, sep_id=8, pad_id=9, bos_id=8)
    for how in TRUNCATIONS:
        framed = frame(list(range(20, 60)), 12, how, other)
        assert (len(framed), framed[0], framed[-1]) == (12, 7, 8)
    assert FramedDataset([[20]], 12, special=other).pad_id == 9
    with pytest.raises(ValueError, match="is the padding token"):
        frame([20, 9], 12, special=other)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: head(LONG, 0), "n=0"),
        (lambda: tail(LONG, 0), "n=0"),
        (lambda: head_tail(LONG, 0, 0), "n_head=0, n_tail=0"),
        (lambda: head_tail(LONG, -1, 5), "n_head=-1"),
        (lambda: truncate(LONG, 5, "middle"), "truncation='middle'"),
        (lambda: SpecialTokens(pad_id=1), "padding has one of its own"),
    ],
)
def test_impossible_lengths_are_refused(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
