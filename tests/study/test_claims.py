"""The ledger: checked field by field, judged by interval, never typed."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.study.record_samples import record
from ulmfit_lib.study.claims import (
    LedgerError,
    judge,
    judge_all,
    load_claims,
    markdown_table,
)
from ulmfit_lib.study.records import RecordError, read_record, save_record
from ulmfit_lib.study.rules import Verdict

ROW = {
    "id": "T1",
    "paper": "fitlam",
    "claim": "high | beats low",
    "paper_number": "5.0 against 6.0",
    "source": "P",
    "where": "Table 1",
    "expected": "+",
    "record": "sample",
    "rule": {"kind": "difference", "metric": "accuracy", "pairs": [["high", "low"]]},
}
NULL = {"kind": "equivalence", "metric": "accuracy", "arms": ["high", "same"], "margin": 0.05}


def ledger(tmp_path, *rows):
    path = tmp_path / "claims.yml"
    path.write_text(yaml.safe_dump(list(rows)))
    return load_claims(path)


def verdict(tmp_path, rule, expected="+", seeds=5, keep_predictions=True):
    arms = {"high": 0.8, "low": 0.5, "same": 0.8, "middle": 0.65}
    save_record(record(arms, seeds, keep_predictions), tmp_path / "sample.json")
    (claim,) = ledger(tmp_path, {**ROW, "rule": rule, "expected": expected})
    return judge(claim, tmp_path)


def difference(*pairs, **others):
    pairs = [list(pair) for pair in pairs]
    return {"kind": "difference", "metric": "accuracy", "pairs": pairs, **others}


def test_the_books_ledger_is_whole():
    claims = load_claims()
    assert {"A1", "F1", "F9"} <= {claim.id for claim in claims}
    judgements = judge_all(claims, "fitlam")
    assert len(judgements) == sum(claim.paper == "fitlam" for claim in claims)


@pytest.mark.parametrize("keep_predictions", [True, False])
def test_an_effect_is_reproduced(tmp_path, keep_predictions):
    found = verdict(tmp_path, difference(("high", "low")), keep_predictions=keep_predictions)
    assert found.verdict is Verdict.REPRODUCED
    assert found.reason == "the interval lies above 0"
    assert re.fullmatch(r"high − low: \+\d\d\.\d \[\+\d\d\.\d, \+\d\d\.\d\] points", found.ours)
    assert found.comparisons[0].n == 5


def test_the_opposite_effect_is_not_reproduced(tmp_path):
    found = verdict(tmp_path, difference(("low", "high")))
    assert (found.verdict, found.reason) == (Verdict.NOT_REPRODUCED, "the interval lies below 0")


def test_no_effect_is_too_small_to_tell_unless_an_effect_worth_having_is_ruled_out(tmp_path):
    found = verdict(tmp_path, difference(("high", "same")))
    assert (found.verdict, found.reason) == (Verdict.TOO_SMALL, "the interval holds 0")
    found = verdict(tmp_path, difference(("high", "same"), worthwhile=0.1))
    assert found.verdict is Verdict.NOT_REPRODUCED
    assert found.reason == "the interval leaves out an effect of 10 points or more"
    found = verdict(tmp_path, difference(("high", "low"), worthwhile=0.9))  # seen, but too small
    assert found.verdict is Verdict.NOT_REPRODUCED


def test_all_pairs_must_hold_and_the_one_that_decides_is_named(tmp_path):
    found = verdict(tmp_path, difference(("high", "low"), ("middle", "low")))
    assert found.verdict is Verdict.REPRODUCED
    assert found.reason == "each time the interval lies above 0"
    found = verdict(tmp_path, difference(("high", "low"), ("high", "same")))
    assert found.verdict is Verdict.TOO_SMALL
    assert found.reason == "high − same: the interval holds 0"
    found = verdict(tmp_path, difference(("high", "same"), ("low", "high")))
    assert found.verdict is Verdict.NOT_REPRODUCED
    assert found.reason == "low − high: the interval lies below 0"


@pytest.mark.parametrize(
    ("arms", "margin", "wanted"),
    [
        (["high", "same"], 0.08, Verdict.REPRODUCED),
        (["high", "same"], 0.005, Verdict.TOO_SMALL),
        (["high", "low"], 0.05, Verdict.NOT_REPRODUCED),
        (["low", "high"], 0.05, Verdict.NOT_REPRODUCED),
        (["high", "same", "low"], 0.08, Verdict.NOT_REPRODUCED),
    ],
)
def test_a_null_is_judged_by_equivalence(tmp_path, arms, margin, wanted):
    found = verdict(tmp_path, {**NULL, "arms": arms, "margin": margin}, expected="0")
    assert found.verdict is wanted
    assert f"±{100 * margin:g} points" in found.reason


def test_an_interaction_is_a_difference_of_differences(tmp_path):
    rule = {"kind": "interaction", "metric": "accuracy"}
    larger, smaller = ["high", "low"], ["same", "middle"]
    found = verdict(tmp_path, {**rule, "larger": larger, "smaller": smaller})
    assert found.verdict is Verdict.REPRODUCED
    assert found.ours.startswith("(high − low) − (same − middle): +1")
    found = verdict(tmp_path, {**rule, "larger": smaller, "smaller": larger})
    assert found.verdict is Verdict.NOT_REPRODUCED


def curved(tmp_path, rule, curves):
    """The verdict of ``rule`` on a record whose arms have these curves, shifted seed by seed."""
    sample = record(dict.fromkeys(curves, 0.5))
    for arm, curve in curves.items():
        for seed, cell in sample.arms[arm].items():
            shifted = {"valid_error": [value + 0.001 * seed for value in curve]}
            sample.arms[arm][seed] = replace(cell, curves=shifted)
    save_record(sample, tmp_path / "sample.json")
    (claim,) = ledger(tmp_path, {**ROW, "rule": rule})
    return judge(claim, tmp_path)


def test_a_u_shaped_curve_rises_more_than_a_falling_one(tmp_path):
    curves = {"u": [0.5, 0.3, 0.2, 0.3, 0.4], "falls": [0.5, 0.4, 0.3, 0.25, 0.2]}
    rule = {"kind": "rise", "metric": "valid_error", "pairs": [["u", "falls"]]}
    found = curved(tmp_path, rule, curves)
    assert found.verdict is Verdict.REPRODUCED
    assert found.ours == "rise of u − rise of falls: +20.0 [+20.0, +20.0] points"
    found = curved(tmp_path, {**rule, "pairs": [["falls", "u"]]}, curves)
    assert found.verdict is Verdict.NOT_REPRODUCED
    with pytest.raises(RecordError, match="'u' kept no curve 'loss'"):
        curved(tmp_path, {**rule, "metric": "loss"}, curves)


LEARNING = {
    "tuned/5": 0.7, "scratch/5": 0.5, "scratch/20": 0.6, "scratch/50": 0.7, "scratch/200": 0.8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("at_least", "wanted", "reason"),
    [
        (4, Verdict.REPRODUCED, "lies above a saving of 4 times"),
        (10, Verdict.TOO_SMALL, "holds a saving of 10 times"),
        (30, Verdict.NOT_REPRODUCED, "lies below a saving of 30 times"),
    ],
)
def test_a_saving_of_labels_is_judged_by_its_interval(tmp_path, at_least, wanted, reason):
    rule = {"kind": "saving", "transfer": "tuned", "baseline": "scratch", "per_class": 5}
    save_record(record(LEARNING), tmp_path / "sample.json")
    (claim,) = ledger(tmp_path, {**ROW, "rule": {**rule, "at_least": at_least}})
    found = judge(claim, tmp_path)
    assert (found.verdict, found.reason) == (wanted, f"the interval {reason}")
    assert found.ours.startswith("tuned against scratch, 5 labels a class: ")
    assert found.ours.endswith("] times the labels")


def test_a_saving_needs_seeds_and_the_number_of_labels_it_names(tmp_path):
    rule = {"kind": "saving", "transfer": "tuned", "baseline": "scratch", "at_least": 2}
    (claim,) = ledger(tmp_path, {**ROW, "rule": {**rule, "per_class": 5}})
    save_record(record(LEARNING, seeds=2), tmp_path / "sample.json")
    assert judge(claim, tmp_path).reason == "2 seeds; a verdict needs 3"
    (claim,) = ledger(tmp_path, {**ROW, "rule": {**rule, "per_class": 7}})
    with pytest.raises(RecordError, match=r"has no arm tuned/7: \[5\]"):
        judge(claim, tmp_path)


RANKING = {
    "kind": "ranking",
    "score": "accuracy",
    "pair": ["high", "low"],
    "predictor": "overlap",
    "others": ["second", "third"],
}


def ranked(tmp_path, gains, overlaps=(0.1, 0.3, 0.5), seeds=5):
    """The verdict on records whose arms differ by ``gains``."""
    names = ("sample", *RANKING["others"])
    for name, gain, overlap in zip(names, gains, overlaps, strict=True):
        found = record({"high": 0.5 + gain, "low": 0.5}, seeds, name=name)
        with_overlap = {
            arm: {
                seed: replace(cell, metrics={**cell.metrics, "overlap": overlap})
                for seed, cell in cells.items()
            }
            for arm, cells in found.arms.items()
        }
        save_record(replace(found, arms=with_overlap), tmp_path / f"{name}.json")
    (claim,) = ledger(tmp_path, {**ROW, "rule": RANKING})
    return judge(claim, tmp_path)


def test_a_ranking_compares_several_records(tmp_path):
    falling = ranked(tmp_path, (0.4, 0.2, -0.1))
    assert falling.verdict is Verdict.REPRODUCED
    assert "1.000 [+1.000, +1.000]" in falling.ours and "3 records" in falling.ours
    assert ranked(tmp_path, (-0.1, 0.2, 0.4)).verdict is Verdict.NOT_REPRODUCED
    assert ranked(tmp_path, (0.4, 0.2, -0.1), seeds=2).verdict is Verdict.TOO_SMALL
    assert " 0.000 [0.000" in ranked(tmp_path, (0.2, 0.2, 0.2)).ours  # nothing to rank
    (tmp_path / "third.json").unlink()
    (claim,) = ledger(tmp_path, {**ROW, "rule": RANKING})
    assert judge(claim, tmp_path).reason == "no record 'third' yet"


def test_a_ranking_needs_a_seed_that_all_share(tmp_path):
    assert ranked(tmp_path, (0.4, 0.2, -0.1)).verdict is Verdict.REPRODUCED
    third = read_record(tmp_path / "third.json")
    later = {arm: {s + 9: cell for s, cell in cells.items()} for arm, cells in third.arms.items()}
    save_record(replace(third, arms=later), tmp_path / "third.json")
    (claim,) = ledger(tmp_path, {**ROW, "rule": RANKING})
    with pytest.raises(RecordError, match="the arms 'high' and 'low' share no seed"):
        judge(claim, tmp_path)


def test_a_ranking_needs_three_records_at_least(tmp_path):
    with pytest.raises(LedgerError, match="two or more different records"):
        ledger(tmp_path, {**ROW, "rule": {**RANKING, "others": ["second", "second"]}})


def test_two_seeds_decide_nothing(tmp_path):
    found = verdict(tmp_path, difference(("high", "low")), seeds=2)
    assert (found.verdict, found.reason) == (Verdict.TOO_SMALL, "2 seeds; a verdict needs 3")
    found = verdict(tmp_path, NULL, expected="0", seeds=1)
    assert (found.verdict, found.reason) == (Verdict.TOO_SMALL, "1 seed; a verdict needs 3")


def test_a_metric_that_is_no_share_keeps_its_unit(tmp_path):
    sample = record({"before": 0.5, "after": 0.5})
    for arm, shift in (("before", 60), ("after", 40)):
        for seed, cell in sample.arms[arm].items():
            sample.arms[arm][seed] = replace(cell, metrics={"perplexity": shift + seed})
    save_record(sample, tmp_path / "sample.json")
    rule = {**difference(("before", "after")), "metric": "perplexity"}
    (claim,) = ledger(tmp_path, {**ROW, "rule": rule})
    found = judge(claim, tmp_path)
    assert found.ours == "before − after: +20.000 [+20.000, +20.000]"
    assert found.verdict is Verdict.REPRODUCED


def test_without_a_record_a_claim_is_not_yet_run(tmp_path):
    (claim,) = ledger(tmp_path, ROW)
    found = judge(claim, tmp_path)
    assert (found.verdict, found.ours) == (Verdict.NOT_RUN, "—")


def test_an_arm_that_the_record_lacks_is_an_error(tmp_path):
    save_record(record({"high": 0.8}), tmp_path / "sample.json")
    (claim,) = ledger(tmp_path, ROW)
    with pytest.raises(RecordError, match="no arm 'low'"):
        judge(claim, tmp_path)


def notebook(path, *cells):
    cells = [
        {"cell_type": "code", "source": [source], "metadata": {"tags": tags}}
        for source, tags in cells
    ]
    path.write_text(json.dumps({"cells": cells}))


def test_a_claim_can_be_asserted_by_a_chapter(tmp_path):
    rule = {"kind": "asserted", "notebook": "chapter.ipynb", "tag": "claim-T1"}
    row = {key: value for key, value in ROW.items() if key != "record"}
    (claim,) = ledger(tmp_path, {**row, "rule": rule})
    assert judge(claim, book=tmp_path).verdict is Verdict.NOT_RUN
    notebook(tmp_path / "chapter.ipynb", ("x = 1", []), ("assert x > 0", ["claim-T1"]))
    assert judge(claim, book=tmp_path).verdict is Verdict.REPRODUCED
    notebook(tmp_path / "chapter.ipynb", ("assert x > 0", []), ("print(x)", ["claim-T1"]))
    with pytest.raises(LedgerError, match="T1: chapter.ipynb has no cell tagged 'claim-T1'"):
        judge(claim, book=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, r"claims.yml\[0\]\.id: expected a text"),
        ({"colour": "red"}, r"unknown \['colour'\]"),
        ({"source": "X"}, r"\(T1\)\.source: expected one of"),
        ({"expected": "yes"}, r"\(T1\)\.expected: expected one of"),
        ({"expected": "0"}, "expected '0' and the rule 'equivalence' belong together"),
        ({"rule": NULL}, "expected '0' and the rule 'equivalence' belong together"),
        ({"rule": {"kind": "eval"}}, r"rule\.kind: expected one of .*got 'eval'"),
        ({"rule": "high > low"}, r"\.rule: expected named fields, got 'high > low'"),
        ({"rule": difference()}, r"rule\.pairs: name at least one pair"),
        ({"rule": difference(("a", "b", "c"))}, r"pairs\[0\]: expected two different arms"),
        ({"rule": difference(("a", "a"))}, r"pairs\[0\]: expected two different arms"),
        ({"rule": difference(("a", "b"), worthwhile=-1)}, r"worthwhile=-1.0: give 0 or more"),
        ({"rule": difference(("a", "b"), margin=1)}, r"rule: unknown \['margin'\]"),
        ({"expected": "0", "rule": {**NULL, "margin": 0}}, r"margin=0.0: give the smallest"),
        ({"expected": "0", "rule": {**NULL, "arms": ["a"]}}, "two or more different arms"),
        (
            {"rule": {"kind": "interaction", "metric": "m", "larger": ["a", "b"],
                      "smaller": ["a", "c"]}},
            "share an arm",
        ),
        ({"rule": {"kind": "rise", "metric": "m", "pairs": []}}, "at least one pair"),
        (
            {"rule": {"kind": "saving", "transfer": "a", "baseline": "b", "per_class": 5,
                      "at_least": 1}},
            r"at_least=1.0: give a factor above 1",
        ),
        (
            {"rule": {"kind": "asserted", "notebook": "n", "tag": "t"}},
            "name a record, or an 'asserted' rule",
        ),
    ],
)  # fmt: skip
def test_a_wrong_row_is_named(tmp_path, change, message):
    with pytest.raises(LedgerError, match=message):
        ledger(tmp_path, {**ROW, **change})


def test_ids_are_unique_and_files_are_lists(tmp_path):
    with pytest.raises(LedgerError, match=r"the ids \['T1'\] occur more than once"):
        ledger(tmp_path, ROW, ROW)
    for text in ("id: T1", "- [", "3"):
        (tmp_path / "claims.yml").write_text(text)
        with pytest.raises(LedgerError, match="claims.yml cannot be read"):
            load_claims(tmp_path / "claims.yml")
    with pytest.raises(FileNotFoundError, match="no claims ledger"):
        load_claims(tmp_path / "other.yml")


def test_an_unknown_paper_has_no_rows(tmp_path):
    claims = ledger(tmp_path, ROW)
    assert [j.claim.id for j in judge_all(claims, folder=tmp_path)] == ["T1"]
    with pytest.raises(LedgerError, match=r"paper='bert' has no claim.*\['fitlam'\]"):
        judge_all(claims, "bert", tmp_path)


def test_the_table_shows_number_source_verdict_and_reason(tmp_path):
    table = markdown_table([verdict(tmp_path, difference(("high", "low")))]).splitlines()
    assert len(table) == 3
    assert table[2].count(" | ") == 4 and "high \\| beats low" in table[2]
    assert "5.0 against 6.0 (Table 1; read in the paper)" in table[2]
    assert "**reproduced**: the interval lies above 0" in table[2]


def test_every_row_of_the_ledger_says_where_its_number_stands():
    text = (Path(__file__).parents[2] / "book" / "claims.yml").read_text(encoding="utf-8")
    for claim in load_claims():
        assert claim.where, f"{claim.id} does not say where its number stands"
    assert "memory" not in text
