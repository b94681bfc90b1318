"""Corpora on disk: encoded once, mapped afterwards."""

import numpy as np
import pytest

from ulmfit_lib.text import token_files
from ulmfit_lib.text.running_text import DamagedFileError
from ulmfit_lib.text.tokenizer import BOS_ID, decode, load_tokenizer


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ULMFIT_LIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def files(tmp_path):
    for name, text in [("a.txt", "One two.\nThree.\n\nFour five six.\n"), ("b.txt", "Seven.\n")]:
        (tmp_path / name).write_text(text, "utf-8")
    return [tmp_path / "a.txt", tmp_path / "b.txt"]


def test_the_stream_is_the_text(files):
    tokenizer = load_tokenizer()
    corpus = token_files.tokenize_files(files, tokenizer)
    pieces = np.split(corpus.tokens, np.flatnonzero(corpus.tokens == BOS_ID))[1:]
    texts = [decode(tokenizer, piece[1:].tolist()) for piece in pieces]
    assert texts == ["One two.\nThree.", "Four five six.", "Seven."]
    assert corpus.n_words == 7


def test_a_second_call_reads_the_cache(files, monkeypatch):
    first = token_files.tokenize_files(files, load_tokenizer())
    monkeypatch.setattr(token_files, "encode", lambda *_: pytest.fail("encoded again"))
    second = token_files.tokenize_files(files, load_tokenizer())
    assert np.array_equal(first.tokens, second.tokens)
    assert first.n_words == second.n_words


def test_another_text_is_another_stream(files):
    first = token_files.tokenize_files(files, load_tokenizer())
    files[1].write_text("Eight.\n", "utf-8")
    second = token_files.tokenize_files(files, load_tokenizer())
    assert first.fingerprint != second.fingerprint
    assert not np.array_equal(first.tokens, second.tokens)


def test_no_files_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="files is empty"):
        token_files.tokenize_files([], load_tokenizer())
    (tmp_path / "bad.txt").write_bytes(b"good\nbad \x00 line\n")
    with pytest.raises(DamagedFileError, match="line 2"):
        token_files.tokenize_files([tmp_path / "bad.txt"], load_tokenizer())
