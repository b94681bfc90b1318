"""Masks: the right frequencies, never a special token, whole words whole."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from ulmfit_lib.text.masking import (
    IGNORED,
    MaskingConfig,
    choose_positions,
    corrupt,
    mask_tokens,
    masking_vocabulary,
)
from ulmfit_lib.text.tokenizer import (
    CLS_ID,
    MASK_ID,
    PAD_ID,
    SEP_ID,
    SPECIAL_TOKENS,
    encode,
    load_tokenizer,
)

TOKENIZER = load_tokenizer()
VOCABULARY = masking_vocabulary(TOKENIZER)
N_SPECIAL = len(SPECIAL_TOKENS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def ordinary(*shape):
    return torch.randint(N_SPECIAL, len(VOCABULARY.special), shape, generator=generator(9))


def within_five_sigma(count, n, p):
    return abs(count - n * p) <= 5 * math.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_the_three_fates_have_their_frequencies(rate, whole_words):
    ids = ordinary(200, 500)
    seen, labels = mask_tokens(ids, VOCABULARY, MaskingConfig(rate, whole_words), generator())
    chosen = labels != IGNORED
    n = int(chosen.sum())
    # Words of k tokens come and go together, which widens the spread by about the root of k.
    factor = 4 if whole_words else 1
    assert within_five_sigma(n / factor, ids.numel() / factor, rate)
    vocabulary = len(VOCABULARY.special) - N_SPECIAL
    kept = 0.1 + 0.1 / vocabulary  # a random token may be the right one
    shares = [0.8, 1 - 0.8 - kept, kept]
    masked = int((seen[chosen] == MASK_ID).sum())
    same = int((seen[chosen] == ids[chosen]).sum())
    counts = [masked, n - masked - same, same]
    chi_square = sum(
        (count - n * share) ** 2 / (n * share) for count, share in zip(counts, shares, strict=True)
    )
    assert chi_square < 13.8  # two degrees of freedom: exceeded once in a thousand
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(seen[~chosen], ids[~chosen])


def test_replacements_are_drawn_evenly_from_the_ordinary_tokens():
    ids = ordinary(400, 500)
    chosen = torch.ones_like(ids, dtype=torch.bool)
    seen, _ = corrupt(ids, chosen, VOCABULARY, generator(), masked=0.0, replaced=1.0)
    assert int(seen.min()) >= N_SPECIAL
    halves = (seen >= (N_SPECIAL + len(VOCABULARY.special)) / 2).float().mean().item()
    assert abs(halves - 0.5) < 5 * math.sqrt(0.25 / ids.numel()) + 1e-3


@given(st.lists(st.integers(0, 299), max_size=40), st.floats(0, 1), st.booleans(), st.integers(0))
def test_special_tokens_are_never_chosen_and_labels_tell_the_truth(tokens, rate, whole, seed):
    ids = torch.tensor(tokens, dtype=torch.long)
    config = MaskingConfig(rate, whole)
    seen, labels = mask_tokens(ids, VOCABULARY, config, generator(seed % 2**63))
    special = ids < N_SPECIAL
    assert (labels[special] == IGNORED).all() and torch.equal(seen[special], ids[special])
    predicted = labels != IGNORED
    assert torch.equal(labels[predicted], ids[predicted])
    assert torch.equal(seen[~predicted], ids[~predicted])
    assert ((seen == MASK_ID) <= (predicted | (ids == MASK_ID))).all()


@pytest.mark.parametrize("whole_words", [False, True])
def test_no_rate_and_full_rate(whole_words):
    ids = torch.tensor([[CLS_ID, 10, 11, SEP_ID, PAD_ID], [CLS_ID, 12, SEP_ID, PAD_ID, PAD_ID]])
    none = choose_positions(ids, VOCABULARY, 0.0, generator(), whole_words)
    every = choose_positions(ids, VOCABULARY, 1.0, generator(), whole_words)
    assert not none.any()
    assert torch.equal(every, ids >= N_SPECIAL)


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("ids", [torch.empty(0), torch.empty(3, 0), torch.empty(0, 4)])
def test_nothing_to_mask_gives_nothing(ids, whole_words):
    seen, labels = mask_tokens(ids.long(), VOCABULARY, MaskingConfig(1.0, whole_words), generator())
    assert seen.shape == labels.shape == ids.shape


def test_one_token_and_special_tokens_alone():
    always = MaskingConfig(1.0, masked=1.0, replaced=0.0)
    seen, labels = mask_tokens(torch.tensor([[7]]), VOCABULARY, always, generator())
    assert seen.tolist() == [[MASK_ID]] and labels.tolist() == [[7]]
    special = torch.arange(N_SPECIAL)
    seen, labels = mask_tokens(special, VOCABULARY, always, generator())
    assert torch.equal(seen, special) and (labels == IGNORED).all()


def test_whole_words_are_chosen_whole():
    text = "Extraordinary hydroelectric, (unbelievable) things\nhappened\n\nin Aberystwyth 1234567."
    words = text.split()
    ids = torch.tensor([[CLS_ID, *encode(TOKENIZER, [text])[0], SEP_ID]])
    seen_words = set()
    for seed in range(60):
        chosen = choose_positions(ids, VOCABULARY, 0.5, generator(seed), whole_words=True)
        runs = TOKENIZER.decode(ids[0, chosen[0]].tolist())
        seen_words |= set(runs.split())
        assert all(any(word in run for word in words) for run in runs.split()), runs
    assert set(words) <= seen_words  # each word alone at least once


def test_single_tokens_split_words():
    ids = torch.tensor([encode(TOKENIZER, ["Extraordinary hydroelectric things"])[0]])
    partly = [
        TOKENIZER.decode(ids[0, choose_positions(ids, VOCABULARY, 0.5, generator(s))[0]].tolist())
        for s in range(20)
    ]
    assert any("Extraordinary" not in text and text.strip() for text in partly)


def test_a_word_starts_after_a_special_token_or_a_line_end():
    newline = TOKENIZER.token_to_id("Ċ")
    letter = TOKENIZER.token_to_id("a")
    ids = torch.tensor([[letter, SEP_ID, letter, letter, newline, letter]])
    patterns = {
        tuple(choose_positions(ids, VOCABULARY, 0.5, generator(s), True)[0].tolist())
        for s in range(200)
    }
    assert len(patterns) == 16  # four words: a | aa | newline | a
    assert all(pattern[2] == pattern[3] and not pattern[1] for pattern in patterns)


def test_a_word_piece_vocabulary_marks_what_goes_on_with_a_word():
    pieces = {"[PAD]": 0, "[MASK]": 1, "un": 2, "##do": 3, "it": 4}
    tokenizer = Tokenizer(models.WordPiece(pieces, unk_token="[PAD]"))
    tokenizer.add_special_tokens(["[PAD]", "[MASK]"])
    vocabulary = masking_vocabulary(tokenizer)
    ids = torch.tensor([2, 3, 4])
    patterns = {
        tuple(choose_positions(ids, vocabulary, 0.5, generator(s), True).tolist())
        for s in range(60)
    }
    assert patterns == {(a, a, b) for a in (True, False) for b in (True, False)}


def test_chosen_positions_from_elsewhere_are_hidden_by_the_same_rule():
    ids = ordinary(100, 200)
    chosen = torch.zeros_like(ids, dtype=torch.bool)
    chosen[:, ::7] = True
    seen, labels = corrupt(ids, chosen, VOCABULARY, generator())
    assert torch.equal(labels != IGNORED, chosen)
    n = int(chosen.sum())
    assert within_five_sigma(int((seen[chosen] == MASK_ID).sum()), n, 0.8)


def test_the_same_generator_state_gives_the_same_masks():
    ids = ordinary(4, 30)
    first, again, other = (
        mask_tokens(ids, VOCABULARY, MaskingConfig(), generator(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first.ids, again.ids) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, other.labels)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="rate=1.2"):
        MaskingConfig(rate=1.2)
    with pytest.raises(ValueError, match="masked=0.8, replaced=0.3"):
        MaskingConfig(replaced=0.3)
    with pytest.raises(ValueError, match="9999"):
        mask_tokens(torch.tensor([9999]), VOCABULARY, MaskingConfig(), generator())
    with pytest.raises(ValueError, match="special token or padding"):
        corrupt(torch.tensor([PAD_ID]), torch.tensor([True]), VOCABULARY, generator())
    with pytest.raises(ValueError, match="chosen has shape"):
        corrupt(torch.tensor([7, 8]), torch.tensor([True]), VOCABULARY, generator())
    with pytest.raises(ValueError, match="'<mask>'"):
        masking_vocabulary(TOKENIZER, "<mask>")
