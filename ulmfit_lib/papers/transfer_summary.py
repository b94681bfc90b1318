"""What the transfer records say of each shipped model: where it wins, and where it does not.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ulmfit_lib.models.encoder import SHIPPED_ENCODER, WEIGHTS_STEM
from ulmfit_lib.models.pretrained import SHIPPED_WEIGHTS, add_facts, model_name
from ulmfit_lib.papers.transfer_experiment import DIRECTIONS, MODELS, PROBE, TFIDF, TUNED
from ulmfit_lib.study.comparisons import arm_difference, arm_summary
from ulmfit_lib.study.records import RunRecord
from ulmfit_lib.study.statistics import Summary

METRIC = {"cola": "mcc"}  # of a task, where it is not accuracy
WINS, LEVEL, LOSES = "wins", "level", "loses"


@dataclass(frozen=True)
class Standing:
    """How a model stands against a rival. Introduced in the chapter *How to fine-tune BERT*."""

    rival: str  # an arm's name without the count of labels
    difference: Summary  # the model's score minus the rival's, paired by seed

    @property
    def verdict(self) -> str:
        """Whether the interval of the difference lies above, around or below zero."""
        if self.difference.low > 0:
            return WINS
        return LOSES if self.difference.high < 0 else LEVEL


@dataclass(frozen=True)
class TransferRow:
    """One model, read one way, at one number of labels.

    Introduced in the chapter *How to fine-tune BERT*.
    """

    task: str  # data set
    model: str  # of MODELS
    method: str  # PROBE or TUNED
    per_class: int  # labelled examples of each class
    metric: str  # accuracy or mcc
    score: Summary  # over the seeds
    standings: tuple[Standing, ...]  # against TF-IDF, random weights and the other models


def transfer_rows(record: RunRecord) -> list[TransferRow]:
    """Every model of ``record`` against its rivals.

    They are TF-IDF, its own network from random weights, and the other models read in the same way.
    A backward model's network from random weights is the forward one's: no
    direction is better before training. Introduced in the chapter *How to
    fine-tune BERT*.

    Args:
        record: of :mod:`ulmfit_lib.papers.transfer_experiment`.

    Raises:
        RecordError: it is not such a record.
    """
    counts = sorted({arm["per_class"] for arm in record.config["arms"].values()})
    return [
        _row(record, model, method, n)
        for model in MODELS
        for method in (PROBE, TUNED)
        for n in counts
    ]


def _row(record: RunRecord, model: str, method: str, per_class: int) -> TransferRow:
    task = str(record.config["task"])
    metric, arm = METRIC.get(task, "accuracy"), f"{model}/{method}/{per_class}"
    network = "forward" if model in DIRECTIONS else model
    others = [f"{other}/{method}" for other in MODELS if other != model]
    rivals = (TFIDF, f"{network} scratch/{method}", *others)
    standings = tuple(
        Standing(rival, arm_difference(record, arm, f"{rival}/{per_class}", metric))
        for rival in rivals
    )
    score = arm_summary(record, arm, metric)
    return TransferRow(task, model, method, per_class, metric, score, standings)


def card_rows(rows: Iterable[TransferRow], model: str) -> list[dict[str, Any]]:
    """The rows of ``model`` as its card holds them: JSON values, intervals as lists.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        rows: of all records.
        model: of MODELS.
    """
    return [
        {
            "task": row.task,
            "reading": row.method,
            "labels_per_class": row.per_class,
            row.metric: _numbers(row.score),
            "against": {
                s.rival: {"difference": _numbers(s.difference), "verdict": s.verdict}
                for s in row.standings
            },
        }
        for row in rows
        if row.model == model
    ]


def write_transfer(
    records: Iterable[RunRecord], folder: str | Path = SHIPPED_WEIGHTS
) -> Mapping[str, int]:
    """Write into the cards of the shipped models how they transfer.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        records: one per task.
        folder: of the models.

    Returns:
        Rows written, by model.
    """
    rows = [row for record in records for row in transfer_rows(record)]
    written = {}
    for model in MODELS:
        found = card_rows(rows, model)
        add_facts({"transfer": found}, _card_path(model, Path(folder)))
        written[model] = len(found)
    return written


def _card_path(model: str, folder: Path) -> Path:
    if model in DIRECTIONS:
        return folder / f"{model_name(model)}.json"
    return folder / SHIPPED_ENCODER.name / f"{WEIGHTS_STEM}.json"


def _numbers(summary: Summary) -> list[float]:
    """Mean, lower and upper end, to a hundredth of a point."""
    return [round(x, 4) for x in (summary.mean, summary.low, summary.high)]
