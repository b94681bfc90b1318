"""Run records: what is written comes back, and what is damaged is named."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from tests.study.record_samples import N_TEST, TRAINED, cell, record
from ulmfit_lib.study.records import (
    CellResult,
    RecordError,
    Touched,
    check_result,
    load_record,
    read_record,
    runs_dir,
    save_record,
)


@pytest.fixture
def sample():
    rng = np.random.default_rng(1)
    full = cell(rng, 0.8, curves={"loss": (2.0, 1.5, math.nan)}, touched=TRAINED, wall_time_s=1.5)
    base = record({"scratch": 0.4, "pretrained": 0.6}, seeds=3)
    return replace(base, arms={**base.arms, "full": {2: full, 0: cell(rng, 0.8)}})


def changed(path, change):
    """Rewrite the record at ``path`` with one thing changed."""
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def test_a_record_comes_back_as_it_was(sample, tmp_path):
    save_record(sample, tmp_path / "sample.json")
    found = load_record("sample", tmp_path)
    assert str(found) == str(sample)  # as text, since nan is not equal to itself
    assert found.arms["scratch"] == sample.arms["scratch"]
    assert list(tmp_path.iterdir()) == [tmp_path / "sample.json"]


def test_predictions_take_one_line_and_texts_stay_untouched(sample, tmp_path):
    save_record(sample, tmp_path / "sample.json")
    text = (tmp_path / "sample.json").read_text()
    lines = [line for line in text.splitlines() if '"predictions": [' in line]
    assert len(lines) == 8 and all(line.count(",") >= N_TEST - 1 for line in lines)
    assert "lists like [ 1, 2 ] stay as they are" in text


def test_a_run_that_diverged_is_null_in_the_file(tmp_path):
    base = record({"a": 0.5}, seeds=1)
    diverged = replace(base, arms={"a": {0: CellResult({"loss": math.inf, "ppl": math.nan})}})
    save_record(diverged, tmp_path / "r.json")
    assert '"loss": null' in (tmp_path / "r.json").read_text()
    assert np.isnan(read_record(tmp_path / "r.json").values("a", "loss")).all()


def test_values_and_predictions_go_by_seed(sample):
    assert list(sample.cells("full")) == [0, 2]
    assert sample.predictions("full").shape == (2, N_TEST)
    np.testing.assert_array_equal(
        sample.values("full", "accuracy"), sample.predictions("full").mean(axis=1)
    )
    assert sample.values("full", "accuracy", [2]) == sample.values("full", "accuracy")[1]
    assert record({"a": 0.5}, keep_predictions=False).predictions("a") is None


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.cells("other"), "no arm 'other', only .'full', 'pretrained', 'scratch'"),
        (lambda r: r.values("full", "f1"), r"seed 0 has no metric 'f1', only \['accuracy'\]"),
        (lambda r: r.values("full", "accuracy", [0, 7]), r"no seeds \[7\]"),
        (lambda r: r.predictions("full", [7]), r"no seeds \[7\]"),
    ],
)
def test_what_a_record_does_not_hold_is_named(sample, ask, message):
    with pytest.raises(RecordError, match=message):
        ask(sample)


def test_time_memory_and_audit_are_summed_up(sample):
    assert sample.wall_time_s == 1.5
    assert sample.audit()["full"] == TRAINED
    assert sample.audit()["scratch"] == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.pop("gold"), r"r\.json: missing \['gold'\]"),
        (lambda raw: raw.update(extra=1), r"unknown \['extra'\]"),
        (lambda raw: raw.update(schema=99), r"\.schema: this version reads 1, not 99"),
        (lambda raw: raw.update(scale="huge"), r"\.scale: expected one of .*'huge'"),
        (lambda raw: raw["gold"].__setitem__(3, "x"), r"\.gold\[3\]: expected a whole number"),
        (lambda raw: raw.update(paper=3), r"\.paper: expected a text, got 3"),
        (lambda raw: raw.update(arms=[]), r"\.arms: expected named fields"),
        (lambda raw: raw["arms"]["a"].update({"-1": {}}), r"arms\['a'\]: '-1' is no seed"),
        (lambda raw: raw["arms"]["a"]["0"].pop("curves"), r"\['a'\]\[0\]: missing \['curves'\]"),
        (
            lambda raw: raw["arms"]["a"]["0"]["metrics"].update(accuracy="high"),
            r"arms\['a'\]\[0\]\.metrics\['accuracy'\]: expected a number, got 'high'",
        ),
        (
            lambda raw: raw["arms"]["a"]["0"]["predictions"].__setitem__(5, True),
            r"predictions\[5\]: expected a whole number, got True",
        ),
        (
            lambda raw: raw["arms"]["a"]["0"]["predictions"].pop(),
            r"arms\['a'\]\[0\]: 399 predictions for 400 test examples",
        ),
        (
            lambda raw: raw["arms"]["a"]["0"]["metrics"].update(accuracy=0.99),
            r"metrics\['accuracy'\] is 0.99, but its predictions have",
        ),
        (
            lambda raw: raw["arms"]["a"]["0"].update(touched=[{"stage": "x"}]),
            r"touched\[0\]: missing \['split', 'text', 'labels'\]",
        ),
    ],
)
def test_a_damaged_field_is_named(tmp_path, change, message):
    path = tmp_path / "r.json"
    save_record(record({"a": 0.5}, seeds=1), path)
    changed(path, change)
    with pytest.raises(RecordError, match=message):
        read_record(path)


def test_half_a_file_is_no_record(sample, tmp_path):
    path = tmp_path / "r.json"
    save_record(sample, path)
    path.write_text(path.read_text()[:-500])
    with pytest.raises(RecordError, match="no whole JSON file.*run again"):
        read_record(path)


def test_a_missing_record_says_how_to_make_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="ulmfit_lib run"):
        load_record("nothing", tmp_path)


def test_the_folder_of_records_can_be_set(monkeypatch, tmp_path, sample):
    monkeypatch.setenv("ULMFIT_LIB_RUNS", str(tmp_path))
    save_record(sample, tmp_path / "mine.json")
    assert load_record("mine").experiment == "sample"
    monkeypatch.setenv("ULMFIT_LIB_RUNS", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match="ULMFIT_LIB_RUNS"):
        runs_dir()


def test_only_the_evaluation_may_see_the_test_split():
    def audited(arm, *touched):
        check_result("run", arm, CellResult({}, touched=touched), ())

    seen = Touched("LM fine-tuning", "test", text=True, labels=False)
    audited("plain", *TRAINED)
    audited("transductive", seen)
    with pytest.raises(RecordError, match="'LM fine-tuning' saw the text of the test split"):
        audited("plain", seen)
    chosen = Touched("model selection", "test", text=True, labels=True)
    with pytest.raises(RecordError, match="'model selection' saw the labels"):
        audited("transductive", chosen)
