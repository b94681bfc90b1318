"""The book's own general text is there, in two parts that share nothing."""

import pytest

from ulmfit_lib.text import general_text
from ulmfit_lib.text.corpora import DATA_VARIABLE
from ulmfit_lib.text.corpus import Split
from ulmfit_lib.text.general_text import PARTS, general_documents, recall_text
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


def test_what_is_recalled_is_wikipedia_where_it_is_at_hand(monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    own = recall_text()
    assert own.documents == tuple(general_documents("recall")) and "recall" in own.source
    monkeypatch.setattr(general_text, "load_split", lambda name, split: Split((name, split)))
    assert recall_text().documents == ("wikipedia-2015", "valid")
    assert recall_text().source == "wikipedia-2015, valid"
