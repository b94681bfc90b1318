"""The book's own general text is there, in two parts that share nothing."""

import pytest

from ulmfit_lib.text.general_text import PARTS, general_documents
from ulmfit_lib.text.tokenizer import encode, load_tokenizer


def test_both_parts_are_plain_text_of_some_length():
    for part in PARTS:
        documents = general_documents(part)
        assert sum(len(ids) for ids in encode(load_tokenizer(), documents)) > 500
        assert all(len(text.split("\n")) >= 2 for text in documents)  # a title and a paragraph


def test_the_parts_share_no_sentence():
    first, second = (
        {s for text in general_documents(part) for s in text.replace("\n", ". ").split(". ")}
        for part in PARTS
    )
    assert not first & second
    with pytest.raises(ValueError, match="part='test'"):
        general_documents("test")
