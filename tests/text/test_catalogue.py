"""The table of data sets is complete and consistent with itself."""

import re

import pytest

from ulmfit_lib.text.catalogue import (
    CATALOGUE,
    CLASSIFICATION,
    LINES,
    RUNNING_TEXT,
    SCORES,
    UNLABELLED,
    DataSet,
    find,
)
from ulmfit_lib.text.docstring_tasks import ROLES
from ulmfit_lib.text.python_sources import LIBRARIES

PAPERS = """imdb ag-news trec6 dbpedia14 dbpedia14-sample yelp-polarity yelp-full yelp10k amazon
amazon-mds mr cola sst2 mrpc stsb qqp mnli qnli rte wnli semeval14-restaurants-term
semeval14-restaurants-category acl-arc scierc-relation chemprot hyperpartisan rct chnsenticorp
wikitext-2 wikipedia-2015 bbc-news ohsumed23 arxiv-cs39 arxiv-ai-abstracts arxiv-bio-abstracts
pydocs pydocs-roles""".split()
DATA_SETS = pytest.mark.parametrize("data_set", CATALOGUE.values(), ids=lambda d: d.name)


def test_every_data_set_of_the_papers_is_there() -> None:
    assert set(CATALOGUE) == set(PAPERS)


@DATA_SETS
def test_what_a_reader_needs_is_stated(data_set: DataSet) -> None:
    assert data_set.licence and data_set.citation
    assert find(data_set.name) is data_set
    assert not data_set.citation_key or re.fullmatch(r"[a-z]+\d{4}[a-z0-9]+", data_set.citation_key)
    assert data_set.task in (CLASSIFICATION, SCORES, UNLABELLED, RUNNING_TEXT, LINES)
    assert bool(data_set.label_names) == (data_set.task == CLASSIFICATION)
    assert len(set(data_set.label_names)) == len(data_set.label_names)


@DATA_SETS
def test_the_sources_agree_with_the_data_set(data_set: DataSet) -> None:
    classes = len(data_set.label_names)
    assert set(data_set.folder.rows) <= set(data_set.folder.files)
    assert len(data_set.folder.label_names) in (0, classes)
    hub = data_set.hub
    if hub:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", hub.repository)
        assert set(hub.rows) <= set(hub.splits)
        assert len(hub.label_names) in (0, classes)
        assert (hub.text_b is not None) == data_set.paired


def test_numbers_of_classes() -> None:
    classes = {name: len(data_set.label_names) for name, data_set in CATALOGUE.items()}
    known = {"imdb": 2, "ag-news": 4, "trec6": 6, "dbpedia14": 14, "yelp-full": 5, "mnli": 3}
    known |= {"acl-arc": 6, "scierc-relation": 7, "chemprot": 13, "ohsumed23": 23, "rct": 5}
    known |= {"arxiv-cs39": 39, "stsb": 0, "wikitext-2": 0, "bbc-news": 5, "hyperpartisan": 2}
    assert {name: classes[name] for name in known} == known


def test_the_embedded_tasks_are_described_as_they_are() -> None:
    assert CATALOGUE["pydocs"].label_names == tuple(library.label for library in LIBRARIES)
    assert CATALOGUE["pydocs-roles"].label_names == ROLES


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("IMDB", "imdb"),
        ("agnews", "ag-news"),
        ("trec", "trec6"),
        ("semeval14-restaurants", "semeval14-restaurants-term"),
        ("acl_arc", "acl-arc"),
        ("yelp", "yelp-full"),
    ],
)
def test_unknown_names_suggest_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"name='{wrong}'.*did you mean.*'{near}'"):
        find(wrong)


def test_a_name_like_no_other() -> None:
    with pytest.raises(ValueError, match="data list' names them all"):
        find("zzzzzzzz")
