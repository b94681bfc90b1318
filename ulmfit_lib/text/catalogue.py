"""The data sets of the six papers: names, labels, sizes, sources, licences, citations.

A table, and nothing else; :mod:`ulmfit_lib.text.corpora` reads the data. Hub
ids and column names are those of the Hugging Face hub. Introduced in the
chapter *Text and language models*.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

CLASSIFICATION, SCORES = "classification", "scores"
UNLABELLED, RUNNING_TEXT, LINES = "unlabelled", "running text", "lines"

TRAIN_TEST = {"train": "train", "test": "test"}
TRAIN_DEV = {"train": "train", "valid": "dev"}
TRAIN_DEV_TEST = {"train": "train", "valid": "dev", "test": "test"}
HUB_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
# Data sets published as a script, which `datasets` no longer runs: the hub's own conversion.
CONVERTED = "refs/convert/parquet"


@dataclass(frozen=True)
class Hub:
    """Where a data set lies on the Hugging Face hub, and in which columns.

    Introduced in the chapter *Text and language models*.
    """

    repository: str  # "owner/name"
    config: str | None = None  # configuration, where there are several
    revision: str | None = None  # branch, where it is not the main one
    text: tuple[str, ...] = ("text",)  # columns of the text, joined by a blank
    text_b: str | None = None  # column of the second segment
    label: str = "label"  # column of the label
    # What the hub calls the labels, in our order, where it is not label_names.
    label_names: tuple[str, ...] = ()
    splits: Mapping[str, str] = field(default_factory=lambda: HUB_SPLITS)  # ours -> the hub's
    rows: Mapping[str, int] = field(default_factory=dict)  # per split, where known


@dataclass(frozen=True)
class Folder:
    """How a data set lies in the data folder.

    Introduced in the chapter *Text and language models*.
    """

    files: Mapping[str, str] = field(default_factory=lambda: TRAIN_TEST)  # split -> file stem
    rows: Mapping[str, int] = field(default_factory=dict)  # per split, of the copy described here
    name: str = ""  # of the folder, where it is not the data set's
    # How the files spell the labels, in our order, where it is not label_names.
    label_names: tuple[str, ...] = ()
    note: str = ""  # what a copy of these sizes is, and what it lacks


@dataclass(frozen=True)
class DataSet:
    """A data set of the book.

    Introduced in the chapter *Text and language models*.
    """

    name: str  # as in corpora.load
    task: str  # CLASSIFICATION, SCORES, UNLABELLED, RUNNING_TEXT or LINES (one text per line)
    label_names: tuple[str, ...]  # in the order of the class indices
    licence: str  # what the source states
    citation: str  # whom to cite
    citation_key: str  # key in references.bib
    folder: Folder = field(default_factory=Folder)
    hub: Hub | None = None  # None: not on the hub in this form
    paired: bool = False  # a second segment per row


def find(name: str) -> DataSet:
    """The data set called ``name``.

    Introduced in the chapter *Text and language models*.

    Raises:
        ValueError: there is none; the nearest names are suggested.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = difflib.get_close_matches(name.lower(), CATALOGUE, n=3, cutoff=0.5)
    near = near or [known for known in CATALOGUE if name.lower() in known][:3]
    hint = "'python -m ulmfit_lib data list' names them all"
    if near:
        hint = f"did you mean {' or '.join(map(repr, near))}?"
    raise ValueError(f"name={name!r} is no data set of the book: {hint}")


def _glue(
    name: str,
    label_names: tuple[str, ...],
    columns: tuple[str, str | None],
    rows: tuple[int, int, int],
    **changes: object,
) -> DataSet:
    sizes = dict(zip(("train", "valid", "test"), rows, strict=True))
    fields: dict = {
        "name": name,
        "task": CLASSIFICATION,
        "label_names": label_names,
        "licence": "not stated (cite)",
        "citation": "Wang et al. 2019, GLUE",
        "citation_key": "wang2019glue",
        "folder": Folder(TRAIN_DEV),
        "hub": Hub("nyu-mll/glue", name, text=columns[:1], text_b=columns[1], rows=sizes),
        "paired": columns[1] is not None,
    }
    return DataSet(**{**fields, **changes})


_SENTIMENT = ("negative", "positive")
_ENTAILMENT = ("entailment", "not_entailment")
_ASPECT = ("positive", "negative", "neutral", "conflict")
_NUMBERS = ("0", "1")
_MNLI_SPLITS = {
    "train": "train",
    "valid": "validation_matched",
    "valid-mismatched": "validation_mismatched",
    "test": "test_matched",
    "test-mismatched": "test_mismatched",
}
_MNLI_FILES = {
    "train": "train",
    "valid": "dev",
    "valid-mismatched": "dev-mismatched",
}
_DBPEDIA = (
    "Company",
    "EducationalInstitution",
    "Artist",
    "Athlete",
    "OfficeHolder",
    "MeanOfTransportation",
    "Building",
    "NaturalPlace",
    "Village",
    "Animal",
    "Plant",
    "Album",
    "Film",
    "WrittenWork",
)
_CHEMPROT = (
    "ACTIVATOR",
    "AGONIST",
    "AGONIST-ACTIVATOR",
    "AGONIST-INHIBITOR",
    "ANTAGONIST",
    "DOWNREGULATOR",
    "INDIRECT-DOWNREGULATOR",
    "INDIRECT-UPREGULATOR",
    "INHIBITOR",
    "PRODUCT-OF",
    "SUBSTRATE",
    "SUBSTRATE_PRODUCT-OF",
    "UPREGULATOR",
)
_ARXIV_CS = tuple(
    f"cs.{subject}"
    for subject in (
        "AI AR CC CE CG CL CR CV CY DB DC DL DM DS ET FL GL GR GT HC IR LG LO MA MM MS NA NE NI "
        "OH OS PF PL RO SC SD SE SI SY"
    ).split()
)
_EMBEDDED_LICENCE = "that of each library (BSD, Apache-2.0, PSF and the like)"
_SCIBERT = "not stated for the data (repository Apache-2.0)"
_ARXIV = ("CC0 1.0 (arXiv metadata)", "Geiger 2020, ArXiV Archive", "geiger2020arxiv")

_EMBEDDED = (
    DataSet(
        "pydocs",
        CLASSIFICATION,
        (
            "torch",
            "transformers",
            "sympy",
            "pandas",
            "scipy",
            "matplotlib",
            "scikit-learn",
            "numpy",
            "networkx",
            "IPython",
            "standard library",
        ),
        _EMBEDDED_LICENCE,
        "the authors of the libraries; see their licences",
        "",
    ),
    DataSet(
        "pydocs-roles",
        CLASSIFICATION,
        ("summary", "parameters", "returns", "raises", "notes", "examples"),
        _EMBEDDED_LICENCE,
        "the authors of the libraries; see their licences",
        "",
    ),
)

_PAPERS = (
    DataSet(
        "imdb",
        CLASSIFICATION,
        ("neg", "pos"),
        "not stated (cite)",
        "Maas et al. 2011",
        "maas2011imdb",
        Folder({**TRAIN_TEST, "unsup": "unsup"}),
        Hub(
            "stanfordnlp/imdb",
            splits={**TRAIN_TEST, "unsup": "unsupervised"},
            rows={"train": 25_000, "test": 25_000, "unsup": 50_000},
        ),
    ),
    DataSet(
        "ag-news",
        CLASSIFICATION,
        ("World", "Sports", "Business", "Sci/Tech"),
        "non-commercial use (AG corpus)",
        "Zhang et al. 2015; Gulli's AG corpus",
        "zhang2015charcnn",
        Folder(
            rows={"train": 31_945, "test": 7_600},
            note="train is a 26.6 % subset (31,945 of 120,000 rows, slightly skewed); "
            "test is the canonical one",
        ),
        Hub("fancyzhx/ag_news", splits=TRAIN_TEST, rows={"train": 120_000, "test": 7_600}),
    ),
    DataSet(
        "trec6",
        CLASSIFICATION,
        ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"),
        "not stated (cite)",
        "Li and Roth 2002",
        "li2002trec",
        hub=Hub(
            "CogComp/trec",
            revision=CONVERTED,
            label="coarse_label",
            splits=TRAIN_TEST,
            rows={"train": 5_452, "test": 500},
        ),
    ),
    DataSet(
        "dbpedia14",
        CLASSIFICATION,
        _DBPEDIA,
        "CC BY-SA 3.0 (DBpedia)",
        "Zhang et al. 2015; Lehmann et al. 2015",
        "zhang2015charcnn",
        hub=Hub(
            "fancyzhx/dbpedia_14",
            text=("title", "content"),
            splits=TRAIN_TEST,
            rows={"train": 560_000, "test": 70_000},
        ),
    ),
    DataSet(
        "dbpedia14-sample",
        CLASSIFICATION,
        _DBPEDIA,
        "CC BY-SA 3.0 (DBpedia)",
        "Zhang et al. 2015; Lehmann et al. 2015",
        "zhang2015charcnn",
        Folder(
            rows={"train": 9_825, "test": 4_175},
            note="a balanced sample of 14,000 rows of the train part, split by us, tokenised, "
            "without titles and non-ASCII letters: not for comparison with published error rates",
        ),
    ),
    DataSet(
        "yelp-polarity",
        CLASSIFICATION,
        _SENTIMENT,
        "Yelp's academic data terms",
        "Zhang et al. 2015",
        "zhang2015charcnn",
        hub=Hub(
            "fancyzhx/yelp_polarity",
            label_names=("1", "2"),
            splits=TRAIN_TEST,
            rows={"train": 560_000, "test": 38_000},
        ),
    ),
    DataSet(
        "yelp-full",
        CLASSIFICATION,
        ("1", "2", "3", "4", "5"),
        "Yelp's academic data terms",
        "Zhang et al. 2015",
        "zhang2015charcnn",
        hub=Hub(
            "Yelp/yelp_review_full",
            label_names=("1 star", "2 star", "3 stars", "4 stars", "5 stars"),
            splits=TRAIN_TEST,
            rows={"train": 650_000, "test": 50_000},
        ),
    ),
    DataSet(
        "yelp10k",
        CLASSIFICATION,
        ("1", "2", "3", "4", "5"),
        "Yelp's academic data terms",
        "Yelp, RecSys Challenge 2013",
        "",
        Folder(
            rows={"train": 8_038, "test": 1_962},
            note="a published sample of 10,000 Yelp reviews, split by us: neither Yelp polarity "
            "nor Yelp full",
        ),
    ),
    DataSet(
        "amazon",
        CLASSIFICATION,
        _SENTIMENT,
        "not stated (cite)",
        "Zhang et al. 2015",
        "zhang2015charcnn",
        hub=Hub(
            "fancyzhx/amazon_polarity",
            text=("title", "content"),
            splits=TRAIN_TEST,
            rows={"train": 3_600_000, "test": 400_000},
        ),
    ),
    DataSet(
        "amazon-mds",
        CLASSIFICATION,
        _SENTIMENT,
        "not stated (cite)",
        "Blitzer et al. 2007",
        "blitzer2007amazon",
        Folder(
            rows={"train": 6_359, "test": 1_641},
            note="the 8,000 labelled reviews of four domains, split by us: not Amazon polarity",
        ),
    ),
    DataSet(
        "mr",
        CLASSIFICATION,
        ("neg", "pos"),
        "CC BY 4.0",
        "Pang and Lee 2005",
        "pang2005mr",
        Folder(
            rows={"train": 9_595, "test": 1_067},
            note="all 10,662 sentences, split by us (fold 9 is test); papers report 10-fold "
            "cross-validation",
        ),
        Hub(
            "cornell-movie-review-data/rotten_tomatoes",
            rows={"train": 8_530, "valid": 1_066, "test": 1_066},
        ),
    ),
    DataSet(
        "semeval14-restaurants-term",
        CLASSIFICATION,
        _ASPECT,
        "not stated (research; META-SHARE)",
        "Pontiki et al. 2014",
        "pontiki2014semeval",
        Folder(
            {"train": "term-train", "test": "term-test"},
            {"train": 3_693, "test": 1_134},
            "semeval14-restaurants",
        ),
        paired=True,
    ),
    DataSet(
        "semeval14-restaurants-category",
        CLASSIFICATION,
        _ASPECT,
        "not stated (research; META-SHARE)",
        "Pontiki et al. 2014",
        "pontiki2014semeval",
        Folder(
            {"train": "category-train", "test": "category-test"},
            {"train": 3_713, "test": 1_025},
            "semeval14-restaurants",
        ),
        paired=True,
    ),
    DataSet(
        "acl-arc",
        CLASSIFICATION,
        ("Background", "Uses", "CompareOrContrast", "Motivation", "Extends", "Future"),
        _SCIBERT,
        "Jurgens et al. 2018",
        "jurgens2018aclarc",
        Folder(TRAIN_DEV_TEST),
        Hub(
            "zapsdcn/citation_intent",
            revision=CONVERTED,
            rows={"train": 1_688, "valid": 114, "test": 139},
        ),
    ),
    DataSet(
        "scierc-relation",
        CLASSIFICATION,
        (
            "USED-FOR",
            "CONJUNCTION",
            "EVALUATE-FOR",
            "HYPONYM-OF",
            "PART-OF",
            "FEATURE-OF",
            "COMPARE",
        ),
        _SCIBERT,
        "Luan et al. 2018",
        "luan2018scierc",
        Folder(TRAIN_DEV_TEST),
        Hub(
            "zapsdcn/sciie",
            revision=CONVERTED,
            rows={"train": 3_219, "valid": 455, "test": 974},
        ),
    ),
    DataSet(
        "chemprot",
        CLASSIFICATION,
        _CHEMPROT,
        _SCIBERT,
        "Kringelum et al. 2016",
        "kringelum2016chemprot",
        Folder(TRAIN_DEV_TEST),
        Hub(
            "zapsdcn/chemprot",
            revision=CONVERTED,
            rows={"train": 4_169, "valid": 2_427, "test": 3_469},
        ),
    ),
    DataSet(
        "hyperpartisan",
        CLASSIFICATION,
        ("false", "true"),
        "see the data set's Zenodo page (not stated where read)",
        "Kiesel et al. 2019",
        "kiesel2019hyperpartisan",
        Folder(
            TRAIN_DEV_TEST,
            {"train": 516, "valid": 64, "test": 65},
            note="train and validation by the ids published with Longformer; test is the 65 "
            "articles left over",
        ),
        Hub("zapsdcn/hyperpartisan_news", revision=CONVERTED),
    ),
    DataSet(
        "rct",
        CLASSIFICATION,
        ("background", "objective", "methods", "results", "conclusions"),
        "not stated (cite)",
        "Dernoncourt and Lee 2017",
        "dernoncourt2017rct",
        Folder(TRAIN_DEV_TEST),
        Hub("armanc/pubmed-rct20k"),
    ),
    DataSet(
        "chnsenticorp",
        CLASSIFICATION,
        _SENTIMENT,
        "not stated (cite)",
        "Tan and Zhang 2008, ChnSentiCorp",
        "tan2008chnsenticorp",
        Folder(TRAIN_DEV_TEST, label_names=_NUMBERS),
        Hub(
            "lansinuote/ChnSentiCorp",
            label_names=_NUMBERS,
            rows={"train": 9_600, "valid": 1_200, "test": 1_200},
        ),
    ),
    DataSet(
        "ohsumed23",
        CLASSIFICATION,
        tuple(f"C{number:02}" for number in range(1, 24)),
        "not stated (cite)",
        "Hersh et al. 1994; selection of Yao et al. 2019",
        "hersh1994ohsumed",
        Folder(rows={"train": 3_357, "test": 4_043}),
    ),
    DataSet(
        "bbc-news",
        CLASSIFICATION,
        ("business", "entertainment", "politics", "sport", "tech"),
        "non-commercial research; article copyright BBC",
        "Greene and Cunningham 2006",
        "greene2006bbc",
        Folder(
            rows={"train": 1_768, "test": 457},
            note="all 2,225 articles, split by us (there is no published split)",
        ),
    ),
    DataSet(
        "arxiv-cs39",
        CLASSIFICATION,
        _ARXIV_CS,
        *_ARXIV,
        Folder(
            rows={"train": 20_001, "test": 4_002},
            note="our selection and split; stands in for the 2021 challenge on academic papers",
        ),
        paired=True,
    ),
    DataSet(
        "arxiv-ai-abstracts",
        UNLABELLED,
        (),
        *_ARXIV,
        Folder({"unsup": "unlabelled"}, {"unsup": 27_578}),
    ),
    DataSet(
        "arxiv-bio-abstracts",
        UNLABELLED,
        (),
        *_ARXIV,
        Folder({"unsup": "unlabelled"}, {"unsup": 20_005}),
    ),
    DataSet(
        "wikipedia-2015",
        RUNNING_TEXT,
        (),
        "CC BY-SA 3.0 (Wikipedia)",
        "the authors of Wikipedia",
        "",
        Folder(
            {"train": "train-*", "valid": "valid", "test": "test"},
            {"train": 16_960, "valid": 200, "test": 200},
            note="17,360 of the oldest articles of a 2015 dump, without those that share text "
            "with WikiText-2's valid and test parts",
        ),
    ),
    DataSet(
        "wikitext-2",
        LINES,
        (),
        "CC BY-SA 3.0",
        "Merity et al. 2017",
        "merity2017pointer",
        Folder(
            {"train": "train", "valid": "valid", "test": "test"},
            note="valid and test are the usual files; train has the usual articles in another "
            "order",
        ),
        Hub(
            "Salesforce/wikitext",
            "wikitext-2-v1",
            rows={"train": 36_718, "valid": 3_760, "test": 4_358},
        ),
    ),
)

_GLUE = (
    _glue(
        "cola",
        ("unacceptable", "acceptable"),
        ("sentence", None),
        (8_551, 1_043, 1_063),
        folder=Folder(TRAIN_DEV, label_names=_NUMBERS),
        citation="Warstadt et al. 2019",
        citation_key="warstadt2019cola",
    ),
    _glue(
        "sst2",
        _SENTIMENT,
        ("sentence", None),
        (67_349, 872, 1_821),
        folder=Folder(
            TRAIN_DEV_TEST, label_names=_NUMBERS, note="test labels from the original treebank"
        ),
        citation="Socher et al. 2013",
        citation_key="socher2013sst",
    ),
    _glue(
        "mrpc",
        ("not_equivalent", "equivalent"),
        ("sentence1", "sentence2"),
        (3_668, 408, 1_725),
        folder=Folder(
            TRAIN_DEV_TEST, label_names=_NUMBERS, note="test is the original one, with labels"
        ),
        licence="Microsoft Research terms (research use)",
        citation="Dolan and Brockett 2005",
        citation_key="dolan2005mrpc",
    ),
    _glue("stsb", (), ("sentence1", "sentence2"), (5_749, 1_500, 1_379), task=SCORES),
    _glue(
        "qqp",
        ("not_duplicate", "duplicate"),
        ("question1", "question2"),
        (363_846, 40_430, 390_965),
    ),
    _glue(
        "mnli",
        ("entailment", "neutral", "contradiction"),
        ("premise", "hypothesis"),
        (392_702, 9_815, 9_796),
        folder=Folder(_MNLI_FILES),
        hub=Hub(
            "nyu-mll/glue",
            "mnli",
            text=("premise",),
            text_b="hypothesis",
            splits=_MNLI_SPLITS,
            rows=dict(zip(_MNLI_SPLITS, (392_702, 9_815, 9_832, 9_796, 9_847), strict=True)),
        ),
    ),
    _glue("qnli", _ENTAILMENT, ("question", "sentence"), (104_743, 5_463, 5_463)),
    _glue("rte", _ENTAILMENT, ("sentence1", "sentence2"), (2_490, 277, 3_000)),
    _glue("wnli", ("not_entailment", "entailment"), ("sentence1", "sentence2"), (635, 71, 146)),
)

CATALOGUE: Mapping[str, DataSet] = {
    data_set.name: data_set for data_set in (*_EMBEDDED, *_PAPERS, *_GLUE)
}
