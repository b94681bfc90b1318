"""A card says of every rival whether the model wins, is level or loses, and by how much."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ulmfit_lib.models.encoder import encoder_card
from ulmfit_lib.models.pretrained import model_card
from ulmfit_lib.papers.transfer_experiment import DIRECTIONS, MODELS
from ulmfit_lib.papers.transfer_summary import (
    LEVEL,
    LOSES,
    WINS,
    card_rows,
    transfer_rows,
    write_transfer,
)
from ulmfit_lib.study.records import CellResult, RunRecord, load_record
from ulmfit_lib.study.scale import Scale

RUNS = Path(__file__).parents[2] / "book" / "runs"
N = 400
SHARES = {"tfidf": 0.6, "forward": 0.6, "backward": 0.4, "encoder": 0.9, "scratch": 0.5}


def answers(share, seed):
    """Answers of which ``share`` are right, in places that differ from seed to seed."""
    rng = np.random.default_rng(seed)
    return (rng.random(N) >= share).astype(int)


def cells(share):
    found = {}
    for seed in range(5):
        predictions = answers(share, seed)
        accuracy = float((predictions == 0).mean())
        found[seed] = CellResult({"accuracy": accuracy}, tuple(predictions.tolist()))
    return found


@pytest.fixture
def record():
    arms = {"tfidf/10": SHARES["tfidf"]}
    for model in MODELS:
        for method in ("probe", "tuned"):
            arms[f"{model}/{method}/10"] = SHARES[model]
            if model != "backward":
                arms[f"{model} scratch/{method}/10"] = SHARES["scratch"]
    return RunRecord(
        1, "transfer", "transfer-toy-laptop", Scale.LAPTOP,
        {"task": "toy", "arms": {name: {"per_class": 10} for name in arms}},
        (0,) * N, ("a", "b"), {name: cells(share) for name, share in arms.items()},
        {}, {}, {}, {}, (), "2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def verdicts(record, model):
    row = next(r for r in transfer_rows(record) if r.model == model and r.method == "tuned")
    return {s.rival: s.verdict for s in row.standings}


def test_verdicts_follow_the_intervals(record):
    encoder, forward, backward = map(partial(verdicts, record), ("encoder", "forward", "backward"))
    assert (encoder["tfidf"], encoder["encoder scratch/tuned"]) == (WINS, WINS)
    assert (forward["tfidf"], forward["forward scratch/tuned"]) == (LEVEL, WINS)
    assert (backward["tfidf"], backward["forward scratch/tuned"]) == (LOSES, LOSES)


def test_every_model_meets_the_others_read_in_the_same_way(record):
    assert (
        verdicts(record, "encoder").items()
        >= {"forward/tuned": WINS, "backward/tuned": WINS}.items()
    )
    assert (
        verdicts(record, "forward").items()
        >= {"encoder/tuned": LOSES, "backward/tuned": WINS}.items()
    )
    for row in transfer_rows(record):
        assert len(row.standings) == 4
        assert f"{row.model}/{row.method}" not in {s.rival for s in row.standings}


def test_each_model_has_its_rows_for_the_card(record):
    rows = transfer_rows(record)
    assert len(rows) == 6
    (probe, tuned) = card_rows(rows, "encoder")
    assert (probe["reading"], tuned["reading"]) == ("probe", "tuned")
    assert tuned["task"] == "toy" and tuned["labels_per_class"] == 10
    mean, low, high = tuned["accuracy"]
    assert low < mean < high and mean == pytest.approx(0.9, abs=0.03)
    assert tuned["against"]["tfidf"]["verdict"] == WINS


def test_the_measure_of_cola_is_matthews_correlation(record):
    cola = replace(record, config={**record.config, "task": "cola"}, gold=(0,) * 200 + (1,) * 200)
    assert {row.metric for row in transfer_rows(cola)} == {"mcc"}


@pytest.mark.parametrize("task", ["pydocs", "trec6", "mr", "sst2", "cola"])
def test_the_shipped_cards_hold_what_the_records_say(task):
    rows = transfer_rows(load_record(f"transfer-{task}-laptop", RUNS))
    cards = [*(model_card(f"awd_lstm_{d}") for d in DIRECTIONS), encoder_card()]
    for model, card in zip(MODELS, cards, strict=True):
        stated = [row for row in card["transfer"] if row["task"] == task]
        assert stated and stated == card_rows(rows, model)


def test_cards_gain_the_rows_and_keep_the_rest(record, tmp_path):
    paths = [tmp_path / f"awd_lstm_{d}.json" for d in ("forward", "backward")]
    paths.append(tmp_path / "bert" / "model.json")
    paths[-1].parent.mkdir()
    for path in paths:
        path.write_text(json.dumps({"sha256": "s", "seed": 7}))
        path.with_suffix(".safetensors").write_bytes(b"")
    assert write_transfer([record], tmp_path) == {"forward": 2, "backward": 2, "encoder": 2}
    for path in paths:
        card = json.loads(path.read_text())
        assert card["seed"] == 7 and card["sha256"] == "s" and len(card["transfer"]) == 2
