"""Text of a domain: all of a corpus but what is held out."""

from ulmfit_lib.text import domains
from ulmfit_lib.text.corpus import Corpus, Split


def test_a_corpus_gives_all_but_what_is_held_out(monkeypatch):
    splits = {
        part: Split((f"{part} text",), (0,) if part != "unsup" else None)
        for part in ("train", "valid", "test", "unsup")
    }
    films = Corpus("films", splits, ("good",), "a licence", "nobody", "made up here")
    monkeypatch.setattr(domains, "load", {"films": films}.__getitem__)
    assert domains.domain_texts("films") == ("train text", "unsup text")


def test_two_domains_come_from_the_installed_packages(monkeypatch):
    monkeypatch.setattr(domains.pydocs, "other_docstrings", lambda: ("A mill.",))
    monkeypatch.setattr(domains.pydocs, "source_code", lambda: ("x = 1",))
    assert domains.domain_texts("other docstrings") == ("A mill.",)
    assert domains.domain_texts("source code") == ("x = 1",)
