"""Every local data set loads whole: the sizes and classes that its manifest states."""

import os
import re
from pathlib import Path

import pytest

from ulmfit_lib.text.catalogue import CATALOGUE
from ulmfit_lib.text.corpora import load

DATA = os.environ.get("ULMFIT_LIB_DATA", "")
pytestmark = [
    pytest.mark.needs_data,
    pytest.mark.skipif(not DATA, reason="ULMFIT_LIB_DATA is not set"),
]

# Rows per split, and classes that occur in train (None: no labels).
SIZES = {
    "imdb": ({"train": 25_000, "test": 25_000, "unsup": 50_000}, 2),
    "ag-news": ({"train": 31_945, "test": 7_600}, 4),
    "dbpedia14-sample": ({"train": 9_825, "test": 4_175}, 14),
    "trec6": ({"train": 5_452, "test": 500}, 6),
    "mr": ({"train": 9_595, "test": 1_067}, 2),
    "semeval14-restaurants-term": ({"train": 3_693, "test": 1_134}, 4),
    "semeval14-restaurants-category": ({"train": 3_713, "test": 1_025}, 4),
    "yelp10k": ({"train": 8_038, "test": 1_962}, 5),
    "amazon-mds": ({"train": 6_359, "test": 1_641}, 2),
    "bbc-news": ({"train": 1_768, "test": 457}, 5),
    "hyperpartisan": ({"train": 516, "valid": 64, "test": 65}, 2),
    "acl-arc": ({"train": 1_688, "valid": 114, "test": 139}, 6),
    "scierc-relation": ({"train": 3_219, "valid": 455, "test": 974}, 7),
    "chemprot": ({"train": 4_169, "valid": 2_427, "test": 3_469}, 13),
    "ohsumed23": ({"train": 3_357, "test": 4_043}, 23),
    "arxiv-cs39": ({"train": 20_001, "test": 4_002}, 39),
    "arxiv-ai-abstracts": ({"unsup": 27_578}, None),
    "arxiv-bio-abstracts": ({"unsup": 20_005}, None),
    "cola": ({"train": 8_551, "valid": 1_043}, 2),
    "rte": ({"train": 2_490, "valid": 277}, 2),
    "mrpc": ({"train": 3_668, "valid": 408, "test": 1_725}, 2),
    "sst2": ({"train": 67_349, "valid": 872, "test": 1_821}, 2),
    "chnsenticorp": ({"train": 9_600, "valid": 1_200, "test": 1_200}, 2),
    "wikitext-2": ({"train": 36_718, "valid": 3_760, "test": 4_358}, None),
    "wikipedia-2015": ({"train": 16_960, "valid": 200, "test": 200}, None),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_classes(name: str) -> None:
    rows, classes = SIZES[name]
    corpus = load(name)
    assert {split: len(of_split) for split, of_split in corpus.splits.items()} == rows
    train = corpus.splits.get("train")
    assert (len(set(train.labels)) if train and train.labels else None) == classes
    for split in corpus.splits.values():
        assert (split.texts_b is not None) == CATALOGUE[name].paired
        blank = sum(not text.strip() for text in split.texts)
        assert blank == 0 or name == "wikitext-2"
    assert corpus.provenance.startswith(CATALOGUE[name].folder.name or name)
    assert CATALOGUE[name].folder.note in corpus.provenance


def test_every_data_set_of_the_manifest_is_reached() -> None:
    manifest = Path(DATA) / "README.md"
    if not manifest.is_file():
        pytest.skip("the data folder has no manifest")
    listed = set(re.findall(r"^\| `([a-z][\w-]+)` \|", manifest.read_text("utf-8"), re.MULTILINE))
    assert listed <= {CATALOGUE[name].folder.name or name for name in SIZES}


def test_subsets_say_so() -> None:
    assert "26.6 % subset" in load("ag-news").provenance
    assert "sample" in load("dbpedia14-sample").provenance
    assert "sample" in load("yelp10k").provenance


def test_class_sizes_of_known_test_sets() -> None:
    sst2 = load("sst2").splits["test"].labels
    assert (sst2.count(0), sst2.count(1)) == (912, 909)
    trec = load("trec6")
    counts = dict(
        zip(trec.label_names, map(trec.splits["test"].labels.count, range(6)), strict=True)
    )
    assert counts == {"NUM": 113, "LOC": 81, "HUM": 65, "DESC": 138, "ENTY": 94, "ABBR": 9}
    assert load("imdb").splits["unsup"].labels is None
