"""One way to every data set, and a clear error for everything that can be wrong."""

import dataclasses
import json
import lzma
import math
from pathlib import Path

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text import cache, corpora, hub_corpora, local_corpora
from ulmfit_lib.text.catalogue import CATALOGUE, CLASSIFICATION, DataSet, Folder, Hub
from ulmfit_lib.text.corpora import (
    Corpus,
    MissingCorpusError,
    Split,
    load,
    load_split,
    with_validation,
    without_class,
)
from ulmfit_lib.text.hub_corpora import HubFormatError
from ulmfit_lib.text.running_text import DamagedFileError

TINY = DataSet(
    "tiny",
    CLASSIFICATION,
    ("no", "yes"),
    "CC0",
    "nobody",
    "",
    Folder(rows={"train": 3, "test": 2}, note="a subset of three rows"),
    Hub("owner/tiny", splits={"train": "train", "test": "test"}, rows={"train": 5, "test": 2}),
)
PAIR = dataclasses.replace(
    TINY, name="pair", paired=True, folder=Folder(), hub=Hub("owner/pair", text_b="second")
)
SCORED = dataclasses.replace(
    TINY, name="scored", task="scores", label_names=(), folder=Folder({"train": "train"}), hub=None
)
ROWS = [{"text": f"text {i}", "label": "yes" if i % 2 else "no"} for i in range(5)]


@pytest.fixture(autouse=True)
def only_made_up_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny data sets in the catalogue, an own cache, no data folder and no hub."""
    for data_set in (TINY, PAIR, SCORED):
        monkeypatch.setitem(CATALOGUE, data_set.name, data_set)
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(corpora.DATA_VARIABLE, raising=False)

    def unreachable(hub: Hub) -> None:
        raise ConnectionError("Couldn't reach the hub")

    monkeypatch.setattr(hub_corpora, "fetch", unreachable)


def write(folder: Path, stem: str, rows: list, packed: bool = True) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = folder / f"{stem}.jsonl{'.xz' if packed else ''}"
    path.write_bytes(lzma.compress(content) if packed else content)
    return path


@pytest.fixture()
def tiny(tmp_path: Path) -> Path:
    """A data folder with the data set ``tiny``."""
    write(tmp_path / "data" / "tiny", "train", ROWS[:3])
    write(tmp_path / "data" / "tiny", "test", ROWS[3:], packed=False)
    return tmp_path / "data"


class TestFolder:
    def test_packed_and_plain_files(self, tiny: Path) -> None:
        corpus = load("tiny", tiny)
        assert corpus.splits["train"] == Split(("text 0", "text 1", "text 2"), (0, 1, 0))
        assert corpus.splits["test"] == Split(("text 3", "text 4"), (1, 0))
        assert corpus.label_names == ("no", "yes")
        assert (corpus.licence, corpus.citation) == ("CC0", "nobody")
        assert corpus.provenance == "tiny/ of the data folder: a subset of three rows"

    def test_one_split_does_not_read_the_others(self, tiny: Path) -> None:
        (tiny / "tiny" / "train.jsonl.xz").write_bytes(b"damaged")
        assert load_split("tiny", "test", tiny) == Split(("text 3", "text 4"), (1, 0))
        with pytest.raises(ValueError, match="split='dev': tiny has none"):
            load_split("tiny", "dev", tiny)

    def test_one_split_of_a_set_that_is_in_no_folder(self) -> None:
        assert load_split("pydocs", "valid") == load("pydocs").splits["valid"]
        with pytest.raises(MissingCorpusError):
            load_split("wikipedia-2015", "valid")

    def test_the_environment_names_the_folder(
        self, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(corpora.DATA_VARIABLE, str(tiny))
        assert load("tiny") == load("tiny", tiny)

    def test_a_copy_of_the_published_size_is_no_subset(self, tiny: Path) -> None:
        write(tiny / "tiny", "train", ROWS)
        corpus = load("tiny", tiny)
        assert len(corpus.splits["train"]) == 5
        assert "subset" not in corpus.provenance

    def test_pairs(self, tmp_path: Path) -> None:
        rows = [{**row, "text_b": "b", "extra": 1} for row in ROWS]
        for stem in ("train", "test"):
            write(tmp_path / "pair", stem, rows)
        assert load("pair", tmp_path).splits["train"].texts_b == ("b",) * 5

    def test_scores(self, tmp_path: Path) -> None:
        write(
            tmp_path / "scored", "train", [{"text": "a", "label": 3}, {"text": "b", "label": 0.5}]
        )
        labels = load("scored", tmp_path).splits["train"].labels
        assert labels == (3.0, 0.5)
        assert all(isinstance(label, float) for label in labels)

    def test_unlabelled_splits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = Folder({"train": "train", "unsup": "unsup"})
        monkeypatch.setitem(CATALOGUE, "tiny", dataclasses.replace(TINY, folder=folder, hub=None))
        write(tmp_path / "tiny", "train", ROWS)
        write(tmp_path / "tiny", "unsup", [{"text": "a"}])
        assert load("tiny", tmp_path).splits["unsup"] == Split(("a",), None)

    def test_running_text_in_shards_and_lines(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = Folder({"train": "train-*"})
        running = dataclasses.replace(
            TINY, task="running text", label_names=(), folder=folder, hub=None
        )
        monkeypatch.setitem(CATALOGUE, "tiny", running)
        monkeypatch.setitem(CATALOGUE, "pair", dataclasses.replace(running, task="lines"))
        for name in ("tiny", "pair"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "train-0.txt").write_text("A\nb\n\nC\n")
            (tmp_path / name / "train-1.txt").write_text(" D \n")
        assert load("tiny", tmp_path).splits["train"] == Split(("A\nb", "C", "D"))
        assert load("pair", tmp_path).splits["train"] == Split(("A", "b", "", "C", "D"))


class TestBadFiles:
    def test_a_missing_split(self, tiny: Path) -> None:
        (tiny / "tiny" / "test.jsonl").unlink()
        with pytest.raises(FileNotFoundError, match=r"has no test\.jsonl or test\.jsonl\.xz"):
            load("tiny", tiny)

    def test_a_truncated_packed_file(self, tiny: Path) -> None:
        path = tiny / "tiny" / "train.jsonl.xz"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(DamagedFileError, match=r"train\.jsonl\.xz is truncated"):
            load("tiny", tiny)

    @pytest.mark.parametrize("kept", [-3, -30, 0])
    def test_a_truncated_plain_file(self, tiny: Path, kept: int) -> None:
        path = tiny / "tiny" / "test.jsonl"
        content = path.read_bytes()
        path.write_bytes(content[: content.index(b"\n") + 1] if kept == -30 else content[:kept])
        with pytest.raises(
            DamagedFileError, match=r"test\.jsonl(, line 2: not a JSON| has 1 rows| is empty)"
        ):
            load("tiny", tiny)

    def test_a_file_that_differs_from_its_checksum(self, tiny: Path) -> None:
        table = f"| `tiny/test.jsonl` | 999 | `{'0' * 64}` |\n"
        (tiny / "README.md").write_text(table)
        with pytest.raises(DamagedFileError, match=r"test\.jsonl has \d+ bytes"):
            load("tiny", tiny)

    def test_another_number_of_rows(self, tiny: Path) -> None:
        write(tiny / "tiny", "train", ROWS[:4])
        with pytest.raises(DamagedFileError, match="has 4 rows, but train of 'tiny' has 3 or 5"):
            load("tiny", tiny)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (b"no JSON\n", "line 2: not a JSON object"),
            (b"[1]\n", "line 2: expected a JSON object"),
            (b"\n", "line 2: not a JSON object"),
            (b'{"label": "no"}\n', r"line 2: the key 'text' is missing; there are \['label'\]"),
            (b'{"text": "a"}\n', "line 2: the key 'label' is missing"),
            (b'{"text": 5, "label": "no"}\n', "line 2: text=5 must be a string"),
            (b'{"text": null, "label": "no"}\n', "line 2: text=None must be a string"),
            (b'{"text": "a", "label": 1}\n', "line 2: label=1 must be a string"),
            (
                b'{"text": "a", "label": "No"}\n',
                "line 2: label='No' must be one of",
            ),
            (b'{"text": "\\ud800", "label": "no"}\n', "line 2: text holds a lone surrogate"),
            ('{"text": "é", "label": "no"}\n'.encode("latin-1"), "line 2: byte 10 is not UTF-8"),
            (b'{"text": "\x00", "label": "no"}\n', "line 2: control character"),
        ],
    )
    def test_a_bad_row_is_named(self, tiny: Path, line: bytes, message: str) -> None:
        first = json.dumps(ROWS[0]).encode() + b"\n"
        (tiny / "tiny" / "test.jsonl").write_bytes(first + line)
        with pytest.raises(DamagedFileError, match=r"test\.jsonl, " + message):
            load("tiny", tiny)

    def test_a_pair_without_its_second_half(self, tmp_path: Path) -> None:
        for stem in ("train", "test"):
            write(tmp_path / "pair", stem, ROWS)
        with pytest.raises(DamagedFileError, match="line 1: the key 'text_b' is missing"):
            load("pair", tmp_path)

    @pytest.mark.parametrize("score", ["3", None, True, math.nan, math.inf])
    def test_a_score_that_is_no_number(self, tmp_path: Path, score: object) -> None:
        write(tmp_path / "scored", "train", [{"text": "a", "label": score}])
        with pytest.raises(DamagedFileError, match="line 1: label=.* must be a finite number"):
            load("scored", tmp_path)


class TestNeitherHereNorThere:
    def test_without_folder_and_network_both_remedies_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(MissingCorpusError) as error:
            load("tiny", tmp_path)
        for part in ("'tiny'", str(tmp_path), "owner/tiny", "Couldn't reach", "HF_HOME"):
            assert part in str(error.value)
        assert "set ULMFIT_LIB_DATA" in str(error.value)

    def test_without_a_data_folder(self) -> None:
        with pytest.raises(MissingCorpusError, match="ULMFIT_LIB_DATA is not set"):
            load("tiny")

    def test_what_is_not_on_the_hub_is_not_looked_for_there(self, tmp_path: Path) -> None:
        with pytest.raises(MissingCorpusError, match="is not on the hub.*set ULMFIT_LIB_DATA"):
            load("scored", tmp_path)

    def test_a_data_folder_that_does_not_exist(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(FileNotFoundError, match="data_dir=.*nowhere.* is no folder"):
            load("tiny", tmp_path / "nowhere")
        monkeypatch.setenv(corpora.DATA_VARIABLE, "/no/where")
        with pytest.raises(FileNotFoundError, match="ULMFIT_LIB_DATA='/no/where' is no folder"):
            load("tiny")

    def test_an_unknown_name(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'tiny'"):
            load("tinny")

    def test_a_damaged_folder_is_not_replaced_by_the_hub(
        self, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hub_corpora, "fetch", lambda hub: pytest.fail("asked the hub"))
        (tiny / "tiny" / "train.jsonl.xz").write_bytes(b"")
        with pytest.raises(DamagedFileError):
            load("tiny", tiny)


def on_hub(columns: dict[str, list], label: object = None) -> datasets.Dataset:
    made = datasets.Dataset.from_dict(columns)
    return made if label is None else made.cast_column("label", label)


class TestHub:
    """Conversion of what ``datasets`` returns, made here in the hub's forms."""

    def tiny_on_hub(self, label: object = None) -> datasets.DatasetDict:
        columns = {"text": [f"t{i}" for i in range(5)], "label": [0, 1, 0, 1, 1]}
        test = {"text": ["a", "b"], "label": [1, 0]}
        return datasets.DatasetDict(train=on_hub(columns, label), test=on_hub(test, label))

    def test_from_files_in_the_form_of_the_hub(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = datasets.ClassLabel(names=["no", "yes"])
        for split, rows in self.tiny_on_hub(names).items():
            rows.to_parquet(tmp_path / "repository" / f"{split}-00000-of-00001.parquet")

        def fetch(hub: Hub) -> datasets.DatasetDict:
            assert hub.repository == "owner/tiny"
            folder = str(tmp_path / "repository")
            return datasets.load_dataset(folder, cache_dir=str(tmp_path / "hf"))

        monkeypatch.setattr(hub_corpora, "fetch", fetch)
        corpus = load("tiny")
        assert corpus.splits["train"] == Split(("t0", "t1", "t2", "t3", "t4"), (0, 1, 0, 1, 1))
        assert corpus.splits["test"] == Split(("a", "b"), (1, 0))
        assert corpus.provenance == "the Hugging Face hub, owner/tiny"

    def test_the_folder_comes_first(self, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub_corpora, "fetch", lambda hub: self.tiny_on_hub())
        assert "of the data folder" in load("tiny", tiny).provenance
        assert "hub" in load("tiny").provenance

    def test_the_order_of_the_hubs_names_is_not_ours(self) -> None:
        names = datasets.ClassLabel(names=["Yes", "no"])
        splits = hub_corpora.convert(TINY, TINY.hub, self.tiny_on_hub(names))
        assert splits["test"].labels == (0, 1)

    @pytest.mark.parametrize(
        "values", [["yes", "no"], ["Yes", "NO"], [True, False]], ids=["names", "case", "truth"]
    )
    def test_labels_as_names_and_truth_values(self, values: list) -> None:
        hub = Hub("owner/tiny", splits={"test": "test"})
        names = ("false", "true") if isinstance(values[0], bool) else ("no", "yes")
        data_set = dataclasses.replace(TINY, label_names=names)
        found = {"test": on_hub({"text": ["a", "b"], "label": values})}
        assert hub_corpora.convert(data_set, hub, found)["test"].labels == (1, 0)

    def test_pairs_joined_columns_and_other_names(self) -> None:
        hub = Hub(
            "o/p",
            text=("title", "body"),
            text_b="second",
            label="stars",
            label_names=("1 star", "2 stars"),
            splits={"valid": "validation"},
        )
        columns = {"title": ["T"], "body": ["B"], "second": ["S"], "stars": ["2 stars"]}
        splits = hub_corpora.convert(PAIR, hub, {"validation": on_hub(columns)})
        assert splits == {"valid": Split(("T B",), (1,), ("S",))}

    def test_hidden_labels_and_unlabelled_splits_have_none(self) -> None:
        hub = Hub("o/p", splits={"test": "test", "unsup": "unsupervised"})
        hidden = on_hub({"text": ["a", "b"], "label": [-1, -1]})
        found = hub_corpora.convert(TINY, hub, {"test": hidden, "unsupervised": hidden})
        assert found["test"].labels is None
        assert found["unsup"].labels is None

    def test_scores(self) -> None:
        rows = on_hub({"text": ["a", "b"], "label": [0.0, 4.5]})
        splits = hub_corpora.convert(SCORED, Hub("o/p", splits={"train": "train"}), {"train": rows})
        assert splits["train"].labels == (0.0, 4.5)

    def test_lines(self) -> None:
        rows = on_hub({"text": ["", " = Title = \n", " text \n"]})
        lines = dataclasses.replace(TINY, task="lines", label_names=())
        splits = hub_corpora.convert(lines, Hub("o/p", splits={"train": "train"}), {"train": rows})
        assert splits["train"] == Split(("", "= Title =", "text"))

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"words": ["a"], "label": [0]}, "has no column 'text' but"),
            ({"text": ["a"]}, "has no column 'label' but"),
            ({"text": ["a"], "label": [2]}, "has a label 2, not in"),
            ({"text": ["a", "b"], "label": [-1, 0]}, "has a label -1, not in"),
            ({"text": ["a"], "label": ["maybe"]}, "has a label 'maybe', not in"),
            ({"text": ["a", None], "label": [0, 1]}, "column 'text', row 1 is empty"),
        ],
    )
    def test_another_form_than_described(self, columns: dict, message: str) -> None:
        hub = Hub("owner/tiny", splits={"train": "train"})
        with pytest.raises(HubFormatError, match=f"owner/tiny.*{message}.*ULMFIT_LIB_DATA"):
            hub_corpora.convert(TINY, hub, {"train": on_hub(columns)})

    def test_a_missing_split_and_missing_rows(self) -> None:
        found = self.tiny_on_hub()
        with pytest.raises(HubFormatError, match="has no split 'test' but"):
            hub_corpora.convert(TINY, TINY.hub, {"train": found["train"]})
        found["train"] = found["train"].select(range(4))
        with pytest.raises(HubFormatError, match="split 'train', has 4 rows instead of 5"):
            hub_corpora.convert(TINY, TINY.hub, found)


class TestValidation:
    def corpus(self, texts: list[str]) -> Corpus:
        labels = tuple(i % 2 for i in range(len(texts)))
        splits = {"train": Split(tuple(texts), labels), "test": Split(("t",), (0,))}
        return Corpus("c", splits, ("no", "yes"), "CC0", "nobody", "made up")

    @given(
        st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40),
        st.floats(0.05, 0.6),
        st.integers(0, 5),
    )
    def test_equal_texts_stay_together_and_nothing_is_lost(
        self, texts: list[str], fraction: float, seed: int
    ) -> None:
        corpus = self.corpus(texts)
        split = with_validation(corpus, fraction, seed).splits
        assert not set(split["train"].texts) & set(split["valid"].texts)
        rows = [(t, y) for s in ("train", "valid") for t, y in zip(*columns(split[s]), strict=True)]
        assert sorted(rows) == sorted(zip(*columns(corpus.splits["train"]), strict=True))
        largest = max(map(texts.count, texts))
        assert fraction * len(texts) <= len(split["valid"]) < fraction * len(texts) + largest

    def test_the_seed_decides(self) -> None:
        corpus = self.corpus([f"text {i}" for i in range(50)])
        first = with_validation(corpus, 0.2, 1)
        assert len(first.splits["valid"]) == 10
        assert with_validation(corpus, 0.2, 1) == first
        assert with_validation(corpus, 0.2, 2).splits["valid"] != first.splits["valid"]
        assert first.splits["test"] == corpus.splits["test"]
        assert first.provenance == "made up; valid is 10 rows of train drawn with seed 1"
        assert first.fingerprint != corpus.fingerprint

    def test_the_order_of_the_rows_does_not_matter(self) -> None:
        texts = [f"text {i}" for i in range(50)]
        held = with_validation(self.corpus(texts), 0.2, 1).splits["valid"].texts
        again = with_validation(self.corpus(texts[::-1]), 0.2, 1).splits["valid"].texts
        assert set(held) == set(again)

    @pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, math.nan])
    def test_fractions_that_mean_nothing(self, fraction: float) -> None:
        with pytest.raises(ValueError, match="fraction="):
            with_validation(self.corpus(["a"]), fraction, 0)

    def test_a_validation_split_that_is_there_already(self) -> None:
        corpus = with_validation(self.corpus(["a", "b"]), 0.5, 0)
        with pytest.raises(ValueError, match="needs 'train' and no 'valid'"):
            with_validation(corpus, 0.5, 0)


def columns(split: Split) -> tuple:
    return split.texts, split.labels


def test_the_embedded_corpora_are_reached_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Corpus("pydocs", {}, (), "", "", "")
    monkeypatch.setitem(corpora.EMBEDDED, "pydocs", lambda: made)
    assert load("pydocs") is made


def test_the_described_copy() -> None:
    splits = {"train": Split(("a",) * 3), "test": Split(("a",) * 2)}
    assert local_corpora.is_described_copy(TINY, splits)
    assert not local_corpora.is_described_copy(TINY, {**splits, "train": Split(("a",) * 5)})


class TestWithoutClass:
    def test_its_rows_and_its_name_go(self) -> None:
        train = Split(("a", "b", "c", "d"), (0, 1, 2, 1), ("w", "x", "y", "z"))
        task = Corpus("toy", {"train": train, "unsup": Split(("e",))}, ("p", "q", "r"), "", "", "x")
        found = without_class(task, "q")
        assert found.label_names == ("p", "r") and found.splits["unsup"].texts == ("e",)
        assert found.splits["train"] == Split(("a", "c"), (0, 1), ("w", "y"))
        assert "without the class 'q'" in found.provenance
        assert found.fingerprint != task.fingerprint

    def test_an_unknown_class(self) -> None:
        task = Corpus("toy", {"train": Split(("a",), (0,))}, ("p",), "", "", "x")
        with pytest.raises(ValueError, match="'q' is no class of toy"):
            without_class(task, "q")
