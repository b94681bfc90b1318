"""Run records: what was run, on what, and what came out, as one JSON file each.

A page of the book may only quote a record or a live cell. A record holds the
full configuration, every seed's metrics and predictions, what each stage of
training was shown, time, memory, versions and hashes;
:mod:`ulmfit_lib.study.experiments` writes them. Introduced in the chapter
*FitLaM*.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ulmfit_lib.study.fields import (
    FieldError,
    as_choice,
    as_flag,
    as_list,
    as_number,
    as_object,
    as_table,
    as_text,
    as_whole,
)
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.text.cache import write_atomically

SCHEMA = 1
RUNS_VARIABLE = "ULMFIT_LIB_RUNS"
EVALUATION = "evaluation"  # the one stage that may see the test split
TRANSDUCTIVE = "transductive"  # an arm with this in its name may train on test text
_NUMBER_LIST = re.compile(r"\[\n\s*(-?\d[^\[\]{}\"]*?)\n\s*\]")


class RecordError(ValueError):
    """A record that is damaged, or that does not fit what was asked of it.

    Introduced in the chapter *FitLaM*.
    """


@dataclass(frozen=True)
class Touched:
    """What one stage was shown of one split. Introduced in the chapter *FitLaM*."""

    stage: str  # "LM fine-tuning", "classifier", "model selection", EVALUATION
    split: str  # "train", "valid", "test"
    text: bool  # it read the texts
    labels: bool  # it read the labels


@dataclass(frozen=True)
class CellResult:
    """What one run (an arm and a seed) gives. Introduced in the chapter *FitLaM*."""

    metrics: Mapping[str, float]  # shares in [0, 1]; nan for a run that diverged
    predictions: Sequence[int] = ()  # class of each test example; empty where none were kept
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)  # e.g. loss per epoch
    touched: Sequence[Touched] = ()  # the audit: every stage, every split
    wall_time_s: float = 0.0  # measured by run_experiment
    peak_memory_mb: float = 0.0  # of the process in MiB, measured by run_experiment
    peak_gpu_mb: float = 0.0  # of torch on the GPU in MiB, measured by run_experiment


@dataclass(frozen=True)
class RunRecord:
    """An experiment and its results. Introduced in the chapter *FitLaM*."""

    schema: int  # version of this form
    paper: str  # name of the paper's module, "fitlam"
    experiment: str  # name of the record, "fitlam-laptop"
    scale: Scale  # the dial it ran at
    config: Mapping[str, Any]  # every setting
    gold: tuple[int, ...]  # true class of each test example
    label_names: tuple[str, ...]  # class names
    arms: Mapping[str, Mapping[int, CellResult]]  # arm to seed to result
    versions: Mapping[str, str]  # package to version
    machine: Mapping[str, str]  # system, cores, threads, GPU
    data_hashes: Mapping[str, str]  # corpus to fingerprint
    weight_hashes: Mapping[str, str]  # weights to SHA-256
    commits: tuple[str, ...]  # of the project, "-dirty" where it was edited
    created: str  # ISO time, UTC

    @property
    def wall_time_s(self) -> float:
        """Seconds of all runs together."""
        return sum(cell.wall_time_s for cell in self._all())

    @property
    def peak_memory_mb(self) -> float:
        """Largest memory of any run, in MiB."""
        return max((cell.peak_memory_mb for cell in self._all()), default=0.0)

    def cells(self, arm: str) -> Mapping[int, CellResult]:
        """The runs of ``arm`` by ascending seed.

        Raises:
            RecordError: there is no such arm.
        """
        if arm not in self.arms:
            raise RecordError(f"{self.experiment} has no arm {arm!r}, only {sorted(self.arms)}")
        return dict(sorted(self.arms[arm].items()))

    def values(
        self, arm: str, metric: str, seeds: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """``metric`` of ``arm`` at ``seeds`` (by default all, ascending), shape (S,).

        Raises:
            RecordError: no such arm or seed, or a seed without this metric.
        """
        found = []
        for seed, cell in self._picked(arm, seeds).items():
            if metric not in cell.metrics:
                raise RecordError(
                    f"{self.experiment}: arm {arm!r}, seed {seed} has no metric {metric!r}, "
                    f"only {sorted(cell.metrics)}"
                )
            found.append(cell.metrics[metric])
        return np.array(found)

    def predictions(self, arm: str, seeds: Sequence[int] | None = None) -> NDArray[np.int64] | None:
        """Predicted classes at ``seeds`` (by default all, ascending), shape (S, N).

        None where a seed kept none.

        Raises:
            RecordError: no such arm or seed.
        """
        rows = [cell.predictions for cell in self._picked(arm, seeds).values()]
        kept = bool(rows) and all(len(row) for row in rows)
        return np.array(rows, dtype=np.int64) if kept else None

    def audit(self) -> dict[str, tuple[Touched, ...]]:
        """What the stages of each arm were shown, over all its seeds."""
        return {
            arm: tuple(dict.fromkeys(t for cell in seeds.values() for t in cell.touched))
            for arm, seeds in self.arms.items()
        }

    def _picked(self, arm: str, seeds: Sequence[int] | None) -> dict[int, CellResult]:
        cells = self.cells(arm)
        missing = sorted(set(seeds or ()) - set(cells))
        if missing:
            raise RecordError(f"{self.experiment}: arm {arm!r} has no seeds {missing}")
        return {seed: cells[seed] for seed in (cells if seeds is None else seeds)}

    def _all(self) -> list[CellResult]:
        return [cell for seeds in self.arms.values() for cell in seeds.values()]


def runs_dir() -> Path:
    """The folder of the book's records: ``ULMFIT_LIB_RUNS``, else ``book/runs``.

    Introduced in the chapter *FitLaM*.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    stated = os.environ.get(RUNS_VARIABLE)
    folder = Path(stated) if stated else Path(__file__).parents[2] / "book" / "runs"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no folder of run records at {folder}: work in a clone of the project, or set "
            f"{RUNS_VARIABLE} to the folder that holds them"
        )
    return folder


def load_record(name: str, folder: str | Path | None = None) -> RunRecord:
    """The record ``name`` (``"fitlam-laptop"``), checked field by field.

    Introduced in the chapter *FitLaM*.

    Args:
        name: its file name without ``.json``.
        folder: where to look; by default :func:`runs_dir`.

    Raises:
        FileNotFoundError: no such record.
        RecordError: the file is damaged; says which field.
    """
    path = (Path(folder) if folder is not None else runs_dir()) / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"no run record at {path}: 'python -m ulmfit_lib run' writes one")
    return read_record(path)


def read_record(path: str | Path) -> RunRecord:
    """The record in the file ``path``, checked field by field.

    Introduced in the chapter *FitLaM*.

    Raises:
        FileNotFoundError: no such file.
        RecordError: the file is damaged; says which field.
    """
    file = Path(path)
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecordError(
            f"{file.name} is no whole JSON file ({error}): delete it and run again"
        ) from error
    try:
        return _record(file.name, raw)
    except FieldError as error:
        raise RecordError(f"{error}; the record is damaged: run it again") from error


def save_record(record: RunRecord, path: str | Path) -> None:
    """Write ``record`` to ``path`` in one step, each list of numbers on one line.

    Introduced in the chapter *FitLaM*.

    Raises:
        OSError: the folder cannot be created or written to.
    """
    indented = json.dumps(_plain(asdict(record)), indent=1, ensure_ascii=False, allow_nan=False)
    compact = _NUMBER_LIST.sub(lambda found: f"[{''.join(found[1].split())}]", indented)
    write_atomically(path, compact.encode("utf-8") + b"\n")


def check_result(where: str, arm: str, result: CellResult, gold: Sequence[int]) -> None:
    """The result fits the test set, and no stage but the evaluation saw that set.

    An arm with ``transductive`` in its name may read test texts, never test
    labels. Introduced in the chapter *FitLaM*.

    Args:
        where: the run's name, for the message.
        arm: its arm.
        result: what it gave.
        gold: true classes of the test set, length N.

    Raises:
        RecordError: a wrong number of predictions, an accuracy that they do
            not have, or a stage that saw what it must not see.
    """
    _check_predictions(where, result, gold)
    for t in result.touched:
        if t.split != "test" or t.stage == EVALUATION:
            continue
        if t.labels:
            raise RecordError(f"{where}: the stage {t.stage!r} saw the labels of the test split")
        if t.text and TRANSDUCTIVE not in arm:
            raise RecordError(
                f"{where}: the stage {t.stage!r} saw the text of the test split; put "
                f"{TRANSDUCTIVE!r} into the arm's name, or keep the test text out"
            )


def _check_predictions(where: str, result: CellResult, gold: Sequence[int]) -> None:
    if not len(result.predictions):
        return
    if len(result.predictions) != len(gold):
        raise RecordError(
            f"{where}: {len(result.predictions)} predictions for {len(gold)} test examples"
        )
    stated = result.metrics.get("accuracy", math.nan)
    counted = float(np.mean(np.asarray(result.predictions) == np.asarray(gold)))
    if abs(stated - counted) > 1e-4:
        raise RecordError(
            f"{where}: metrics['accuracy'] is {stated}, but its predictions have {counted}"
        )


def _plain(value: Any) -> Any:
    """JSON values; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _record(where: str, raw: Any) -> RunRecord:
    """``raw`` as a record; ``where`` names the place in every message."""
    top = as_object(where, raw, [f.name for f in fields(RunRecord)])
    if top["schema"] != SCHEMA:
        raise FieldError(f"{where}.schema: this version reads {SCHEMA}, not {top['schema']!r}")
    read: dict[str, Any] = {"schema": SCHEMA, "config": as_object(f"{where}.config", top["config"])}
    for name in ("paper", "experiment", "created"):
        read[name] = as_text(f"{where}.{name}", top[name])
    for name in ("label_names", "commits"):
        read[name] = as_list(f"{where}.{name}", top[name], as_text)
    for name in ("versions", "machine", "data_hashes", "weight_hashes"):
        read[name] = as_table(f"{where}.{name}", top[name], as_text)
    read["scale"] = Scale(as_choice(f"{where}.scale", top["scale"], list(Scale)))
    read["gold"] = as_list(f"{where}.gold", top["gold"], as_whole)
    read["arms"] = {
        arm: _seeds(f"{where}.arms[{arm!r}]", arm, seeds, read["gold"])
        for arm, seeds in as_object(f"{where}.arms", top["arms"]).items()
    }
    return RunRecord(**read)


def _seeds(where: str, arm: str, raw: Any, gold: Sequence[int]) -> dict[int, CellResult]:
    found = {}
    for seed, cell in as_object(where, raw).items():
        if not seed.isdecimal():
            raise FieldError(f"{where}: {seed!r} is no seed")
        place = f"{where}[{seed}]"
        found[int(seed)] = _cell(place, cell)
        check_result(place, arm, found[int(seed)], gold)
    return found


def _cell(where: str, raw: Any) -> CellResult:
    top = as_object(where, raw, [f.name for f in fields(CellResult)])
    return CellResult(
        metrics=as_table(f"{where}.metrics", top["metrics"], as_number),
        predictions=as_list(f"{where}.predictions", top["predictions"], as_whole),
        curves=as_table(f"{where}.curves", top["curves"], _curve),
        touched=as_list(f"{where}.touched", top["touched"], _touched),
        wall_time_s=as_number(f"{where}.wall_time_s", top["wall_time_s"]),
        peak_memory_mb=as_number(f"{where}.peak_memory_mb", top["peak_memory_mb"]),
        peak_gpu_mb=as_number(f"{where}.peak_gpu_mb", top["peak_gpu_mb"]),
    )


def _curve(where: str, raw: Any) -> tuple[float, ...]:
    return as_list(where, raw, as_number)


def _touched(where: str, raw: Any) -> Touched:
    top = as_object(where, raw, [f.name for f in fields(Touched)])
    return Touched(
        stage=as_text(f"{where}.stage", top["stage"]),
        split=as_text(f"{where}.split", top["split"]),
        text=as_flag(f"{where}.text", top["text"]),
        labels=as_flag(f"{where}.labels", top["labels"]),
    )
