"""The tokenizer takes any Unicode text in and gives it back unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text import tokenizer as tk


@pytest.fixture(scope="module")
def small():
    texts = ["The cat sat on the mat.", "the dog, the log and the fog"] * 20
    return tk.train_tokenizer(texts, vocab_size=300)


@given(st.text())
def test_any_text_survives_the_round_trip(text):
    tokenizer = tk.load_tokenizer()
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        with pytest.raises(ValueError, match="lone surrogate"):
            tk.encode(tokenizer, [text])
    else:
        assert tk.decode(tokenizer, tk.encode(tokenizer, [text])[0]) == text


@pytest.mark.parametrize(
    "text", ["", " ", "a\x00b", "שלום", "🎉👩‍🔬", "中文", "\n\n\t x", "x" * 5000]
)
def test_awkward_texts_survive(text):
    tokenizer = tk.load_tokenizer()
    assert tk.decode(tokenizer, tk.encode(tokenizer, [text])[0]) == text


def test_a_readers_mask_is_text_and_not_the_special_token():
    tokenizer = tk.load_tokenizer()
    ids = tk.encode(tokenizer, ["a [MASK] b [PAD]"])[0]
    assert not set(ids) & {tk.MASK_ID, tk.PAD_ID}


def test_special_tokens_have_the_first_ids(small):
    assert [small.id_to_token(i) for i in range(5)] == list(tk.SPECIAL_TOKENS)
    assert 261 < small.get_vocab_size() <= 300


def test_case_is_kept():
    tokenizer = tk.load_tokenizer()
    assert tk.encode(tokenizer, ["The"]) != tk.encode(tokenizer, ["the"])


def test_training_twice_gives_the_same_vocabulary(small):
    texts = ["The cat sat on the mat.", "the dog, the log and the fog"] * 20
    assert tk.train_tokenizer(texts, vocab_size=300).to_str() == small.to_str()


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(ValueError, match="vocab_size=200 is too small.*261"):
        tk.train_tokenizer(["text"], vocab_size=200)


def test_a_missing_tokenizer_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="ulmfit_lib tokenizer"):
        tk.load_tokenizer(tmp_path / "none.json")
