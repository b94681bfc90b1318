"""Running an experiment cell by cell, so that nothing finished is ever lost.

An experiment is a list of cells (an arm and a seed) and a function that runs
one. :func:`run_experiment` keeps every finished cell in a run record and
takes up an interrupted record where it stopped. Introduced in the chapter
*FitLaM*.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import torch

from ulmfit_lib.study.records import (
    SCHEMA,
    CellResult,
    RecordError,
    RunRecord,
    check_result,
    read_record,
    save_record,
)
from ulmfit_lib.study.scale import Scale

_PACKAGES = ("torch", "fastai", "transformers", "tokenizers", "numpy", "scikit-learn")
_MUST_AGREE = (
    "paper",
    "scale",
    "config",
    "gold",
    "label_names",
    "data_hashes",
    "weight_hashes",
    "versions",
)


@dataclass(frozen=True)
class Cell:
    """One run: an arm and a seed. Introduced in the chapter *FitLaM*."""

    arm: str
    seed: int


@dataclass(frozen=True)
class Experiment:
    """What is to be run. Introduced in the chapter *FitLaM*."""

    paper: str  # name of the paper's module, "fitlam"
    name: str  # name of the record, "fitlam-laptop"
    scale: Scale  # the dial
    config: Mapping[str, Any]  # every setting, JSON values only
    cells: Sequence[Cell]  # all runs, in order
    gold: Sequence[int]  # true class of each test example
    label_names: Sequence[str] = ()  # class names
    data_hashes: Mapping[str, str] = field(default_factory=dict)  # corpus to fingerprint
    weight_hashes: Mapping[str, str] = field(default_factory=dict)  # weights to SHA-256


class PeakMemory:
    """The largest memory of this process while a block runs, in MiB.

    Looks at the resident memory twenty times a second, and asks torch for its
    peak on the GPU. Introduced in the chapter *FitLaM*.

    Example:
        >>> with PeakMemory() as memory:
        ...     pass
        >>> memory.mb > 0
        True
    """

    def __init__(self) -> None:
        self.mb = 0.0
        self.gpu_mb = 0.0
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        """Start watching."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self._look()
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""
        self._stop.set()
        self._watcher.join()
        self._look()
        if torch.cuda.is_available():
            self.gpu_mb = torch.cuda.max_memory_allocated() / 2**20

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self._look()

    def _look(self) -> None:
        self.mb = max(self.mb, self._process.memory_info().rss / 2**20)


def run_experiment(
    experiment: Experiment,
    run_cell: Callable[[Cell], CellResult],
    folder: str | Path,
    report: Callable[[str], None] = print,
    workers: int = 1,
) -> RunRecord:
    """Run the cells that are not done yet and write ``folder/NAME.json``.

    Every finished cell is saved at once, in ``NAME.partial.json`` until the
    last one is done: an interrupted experiment goes on where it stopped. Seeds
    or arms can be added where the configuration does not name them, as that of
    a ``TaskStudy`` does. Introduced in the chapter *FitLaM*.

    Args:
        experiment: what to run.
        run_cell: runs one cell; all its randomness must come from the cell.
        folder: where records live.
        report: takes one line of progress per cell.
        workers: processes that share the cells, all of a seed in one of them;
            with more than one, ``run_cell`` must be picklable.

    Raises:
        RecordError: the record on disk comes from another configuration, data,
            weights or versions, or a result does not fit the experiment.
        ValueError: a configuration that JSON cannot hold, repeated cells, or
            fewer than one worker.
    """
    final = Path(folder) / f"{experiment.name}.json"
    partial = final.with_suffix(".partial.json")
    if workers < 1:
        raise ValueError(f"workers={workers} must be 1 or more")
    blank = _blank_record(experiment, workers)
    record = _take_up(blank, partial if partial.exists() else final)
    todo = [c for c in experiment.cells if c.seed not in record.arms[c.arm]]
    total = len(experiment.cells)
    finished = _results(run_cell, todo, workers)
    for number, (cell, result) in enumerate(finished, start=total - len(todo) + 1):
        record = _with_cell(record, cell, result)
        save_record(record, partial)
        report(f"[{number}/{total}] {_progress(cell, result)}")
    if partial.exists():
        save_record(record, final)
        partial.unlink()
    return record


def _results(
    run_cell: Callable[[Cell], CellResult], cells: Sequence[Cell], workers: int
) -> Iterator[tuple[Cell, CellResult]]:
    """Cells as they get done, here or in processes of their own.

    A process runs whole seeds, so that what the arms of a seed share is made once.
    """
    if workers == 1:
        for cell in cells:
            yield cell, _measured(run_cell, cell)
        return
    seeds = sorted({cell.seed for cell in cells})
    futures: dict[Future[CellResult], Cell] = {}
    with ExitStack() as stack:
        processes = [_process(stack, workers) for _ in seeds[:workers]]
        for cell in cells:
            process = processes[seeds.index(cell.seed) % workers]
            futures[process.submit(_measured, run_cell, cell)] = cell
        yield from _finished(futures)


def _finished(
    futures: Mapping[Future[CellResult], Cell],
) -> Iterator[tuple[Cell, CellResult]]:
    """Each cell as it ends. After one fails, only those that run or are next in line go on."""
    failed: BaseException | None = None
    for future in as_completed(futures):
        if future.cancelled():
            continue
        error = future.exception()
        if error is None:
            yield futures[future], future.result()
        elif failed is None:
            failed = error
            for other in futures:
                other.cancel()
    if failed is not None:
        raise failed


def _process(stack: ExitStack, workers: int) -> ProcessPoolExecutor:
    """One process, stopped when ``stack`` closes."""
    process = ProcessPoolExecutor(
        max_workers=1,
        mp_context=get_context("spawn"),
        initializer=_set_up,
        initargs=(_threads(workers),),
    )
    stack.callback(process.shutdown, cancel_futures=True)
    return process


def _set_up(threads: int) -> None:
    """Give this process its share of the cores, and an end when its parent is killed."""
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _threads(workers: int) -> int:
    """Threads of each of ``workers`` processes."""
    return max(1, torch.get_num_threads() // workers)


def _blank_record(experiment: Experiment, workers: int) -> RunRecord:
    """The record of ``experiment`` before its first cell."""
    _check_cells(experiment)
    return RunRecord(
        schema=SCHEMA,
        paper=experiment.paper,
        experiment=experiment.name,
        scale=experiment.scale,
        config=_json_config(experiment),
        gold=tuple(int(label) for label in experiment.gold),
        label_names=tuple(experiment.label_names),
        arms={arm: {} for arm in dict.fromkeys(cell.arm for cell in experiment.cells)},
        versions=_versions(),
        machine=_machine(workers),
        data_hashes=dict(experiment.data_hashes),
        weight_hashes=dict(experiment.weight_hashes),
        commits=_commit(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _check_cells(experiment: Experiment) -> None:
    repeated = len(experiment.cells) - len(set(experiment.cells))
    if repeated or not experiment.cells:
        raise ValueError(
            f"{experiment.name}: {len(experiment.cells)} cells, {repeated} of them repeated: "
            "give each (arm, seed) once"
        )


def _json_config(experiment: Experiment) -> dict[str, Any]:
    """The configuration as it will be read back from the file."""
    try:
        config = json.loads(json.dumps(dict(experiment.config), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{experiment.name}: config is not plain JSON ({error})") from error
    return dict(config)


def _take_up(blank: RunRecord, path: Path) -> RunRecord:
    """The record at ``path`` where there is one, if it belongs to ``blank``."""
    if not path.exists():
        return blank
    found = read_record(path)
    for name in _MUST_AGREE:
        old, new = getattr(found, name), getattr(blank, name)
        if old != new:
            raise RecordError(
                f"{path.name} was run with {_difference(name, old, new)}: its runs cannot be "
                "mixed with new ones. Delete the file, or give the experiment another name"
            )
    unknown = sorted(set(found.arms) - set(blank.arms))
    if unknown:
        raise RecordError(
            f"{path.name} holds arms that are no part of this experiment: {unknown}. "
            "Delete the file, or give the experiment another name"
        )
    arms = {arm: found.arms.get(arm, {}) for arm in blank.arms}
    return replace(found, arms=arms, commits=tuple(dict.fromkeys(found.commits + blank.commits)))


def _difference(name: str, old: Any, new: Any) -> str:
    """Where two settings part, in words."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return f"another {name}"
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    parts = [f"{name}[{key!r}]={old.get(key)!r} instead of {new.get(key)!r}" for key in keys]
    return ", ".join(parts)


def _measured(run_cell: Callable[[Cell], CellResult], cell: Cell) -> CellResult:
    start = time.perf_counter()
    with PeakMemory() as memory:
        result = run_cell(cell)
    return replace(
        result,
        wall_time_s=round(time.perf_counter() - start, 3),
        peak_memory_mb=round(memory.mb, 1),
        peak_gpu_mb=round(memory.gpu_mb, 1),
    )


def _with_cell(record: RunRecord, cell: Cell, result: CellResult) -> RunRecord:
    where = f"{record.experiment}, arm {cell.arm!r}, seed {cell.seed}"
    check_result(where, cell.arm, result, record.gold)
    seeds = dict(sorted({**record.arms[cell.arm], cell.seed: result}.items()))
    return replace(record, arms={**record.arms, cell.arm: seeds})


def _progress(cell: Cell, result: CellResult) -> str:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in result.metrics.items())
    return (
        f"{cell.arm}, seed {cell.seed}: {metrics} "
        f"({result.wall_time_s:.1f} s, {result.peak_memory_mb:,.0f} MB)"
    )


def _versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _machine(workers: int) -> dict[str, str]:
    """What time and memory depend on; nothing that names the computer."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": str(os.cpu_count()),
        "processes": str(workers),
        "threads": str(_threads(workers)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def _commit() -> tuple[str, ...]:
    """The project's commit, where it runs from a clone and git is at hand."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return (done.stdout.strip(),) if done.returncode == 0 else ()
