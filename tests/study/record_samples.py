"""Small run records with known effects, for the tests of this folder."""

import numpy as np

from ulmfit_lib.study.records import SCHEMA, CellResult, RunRecord, Touched
from ulmfit_lib.study.scale import Scale

N_TEST = 400


def predictions(rng, accuracy, n=N_TEST):
    """Predictions of a two-class task whose gold labels are all 1."""
    return tuple(int(right) for right in rng.random(n) < accuracy)


def cell(rng, accuracy, **others):
    guesses = predictions(rng, accuracy)
    return CellResult({"accuracy": float(np.mean(guesses))}, guesses, **others)


def record(accuracies, seeds=5, keep_predictions=True, name="sample"):
    """A record with one arm per entry of ``accuracies``."""
    rng = np.random.default_rng(0)
    arms = {}
    for arm, accuracy in accuracies.items():
        cells = {seed: cell(rng, accuracy) for seed in range(seeds)}
        if not keep_predictions:
            cells = {seed: CellResult(c.metrics) for seed, c in cells.items()}
        arms[arm] = cells
    return RunRecord(
        schema=SCHEMA,
        paper="fitlam",
        experiment=name,
        scale=Scale.SMOKE,
        config={"lr_max": 0.01, "note": "lists like [ 1, 2 ] stay as they are"},
        gold=(1,) * N_TEST,
        label_names=("no", "yes"),
        arms=arms,
        versions={"torch": "2.13.0"},
        machine={"cores": "2"},
        data_hashes={"pydocs": "ab12"},
        weight_hashes={},
        commits=("0123abc",),
        created="2026-01-01T00:00:00+00:00",
    )


TRAINED = (
    Touched("classifier", "train", text=True, labels=True),
    Touched("evaluation", "test", text=True, labels=True),
)
