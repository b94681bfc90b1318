"""Experiments: nothing finished is lost, nothing different is mixed in."""

import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.study.record_samples import TRAINED
from ulmfit_lib.study.experiments import Cell, Experiment, run_experiment
from ulmfit_lib.study.records import CellResult, RecordError, load_record
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.seeds import derive

GOLD = tuple(i % 3 for i in range(60))
CELLS = tuple(Cell(arm, seed) for arm in ("scratch", "pretrained") for seed in range(3))
EXPERIMENT = Experiment(
    paper="fitlam",
    name="sample",
    scale=Scale.SMOKE,
    config={"lr": 0.01, "sizes": (10, 50)},
    cells=CELLS,
    gold=GOLD,
    label_names=("a", "b", "c"),
    data_hashes={"pydocs": "ab"},
)


def run_cell(cell):
    rng = np.random.default_rng(derive(cell.seed, cell.arm))
    guesses = tuple(int(g) for g in np.where(rng.random(60) < 0.6, GOLD, rng.integers(0, 3, 60)))
    accuracy = float(np.mean(np.array(guesses) == GOLD))
    return CellResult({"accuracy": accuracy}, guesses, {"loss": (1.0, 0.5)}, TRAINED)


def results(record):
    """What must be equal: everything but time and memory."""
    return {
        (arm, seed): replace(result, wall_time_s=0, peak_memory_mb=0, peak_gpu_mb=0)
        for arm in record.arms
        for seed, result in record.cells(arm).items()
    }


class Interrupting:
    """Runs cells and counts them; is interrupted at one."""

    def __init__(self, at=None):
        self.at, self.ran = at, []

    def __call__(self, cell):
        if len(self.ran) == self.at:
            raise KeyboardInterrupt
        self.ran.append(cell)
        return run_cell(cell)


def test_every_cell_is_run_and_written(tmp_path):
    lines = []
    found = run_experiment(EXPERIMENT, run_cell, tmp_path, lines.append)
    assert found == load_record("sample", tmp_path)
    assert set(results(found)) == {(c.arm, c.seed) for c in CELLS}
    assert [path.name for path in tmp_path.iterdir()] == ["sample.json"]
    assert len(lines) == 6 and lines[0].startswith("[1/6] scratch, seed 0: accuracy 0.")
    assert found.config == {"lr": 0.01, "sizes": [10, 50]}
    assert found.versions["torch"] and found.peak_memory_mb > 10


@pytest.mark.parametrize("at", range(6))
def test_an_interrupted_experiment_goes_on_to_the_same_record(tmp_path, at):
    whole = run_experiment(EXPERIMENT, run_cell, tmp_path / "whole", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(EXPERIMENT, Interrupting(at), tmp_path, lambda _: None)
    assert not (tmp_path / "sample.json").exists()
    rest = Interrupting()
    resumed = run_experiment(EXPERIMENT, rest, tmp_path, lambda _: None)
    assert rest.ran == list(CELLS[at:])
    assert results(resumed) == results(whole)


def test_processes_share_the_cells_and_change_no_result(tmp_path):
    alone = run_experiment(EXPERIMENT, run_cell, tmp_path / "alone", lambda _: None)
    lines = []
    shared = run_experiment(EXPERIMENT, run_cell, tmp_path, lines.append, workers=2)
    assert results(shared) == results(alone) and len(lines) == len(CELLS)
    assert shared.machine["processes"] == "2" and alone.machine["processes"] == "1"


def fails_at_one_cell(cell):
    if cell == CELLS[-1]:
        raise ValueError("this cell cannot run")
    return run_cell(cell)


def test_an_error_in_a_process_reaches_the_caller_and_loses_nothing(tmp_path):
    with pytest.raises(ValueError, match="this cell cannot run"):
        run_experiment(EXPERIMENT, fails_at_one_cell, tmp_path, lambda _: None, workers=2)
    resumed = run_experiment(EXPERIMENT, run_cell, tmp_path, lambda _: None)
    whole = run_experiment(EXPERIMENT, run_cell, tmp_path / "whole", lambda _: None)
    assert results(resumed) == results(whole)


def fails_at_once(cell):
    if cell.seed == 0:
        raise ValueError("this cell cannot run")
    time.sleep(0.5)
    return run_cell(cell)


def test_what_runs_beside_an_error_is_kept(tmp_path):
    with pytest.raises(ValueError, match="this cell cannot run"):
        run_experiment(EXPERIMENT, fails_at_once, tmp_path, lambda _: None, workers=2)
    kept = load_record("sample.partial", tmp_path)
    assert 1 in {seed for arm in kept.arms for seed in kept.cells(arm)}


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="workers=0"):
        run_experiment(EXPERIMENT, run_cell, tmp_path, workers=0)


def test_a_killed_process_loses_no_finished_cell(tmp_path):
    script = textwrap.dedent(f"""
        import os, signal
        from tests.study.test_experiments import EXPERIMENT, run_cell
        from ulmfit_lib.study.experiments import run_experiment

        def one(cell):
            if cell.arm == "pretrained":
                os.kill(os.getpid(), signal.SIGKILL)
            return run_cell(cell)

        run_experiment(EXPERIMENT, one, {str(tmp_path)!r})
    """)
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    rest = Interrupting()
    resumed = run_experiment(EXPERIMENT, rest, tmp_path, lambda _: None)
    assert rest.ran == list(CELLS[3:])
    whole = run_experiment(EXPERIMENT, run_cell, tmp_path / "whole", lambda _: None)
    assert results(resumed) == results(whole)


def leaves_its_number(folder, cell):
    (folder / f"{cell.seed}.pid").write_text(str(os.getpid()))
    time.sleep(120)


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    script = textwrap.dedent(f"""
        from functools import partial
        from pathlib import Path
        from tests.study.test_experiments import EXPERIMENT, leaves_its_number
        from ulmfit_lib.study.experiments import run_experiment

        folder = Path({str(tmp_path)!r})
        run_experiment(EXPERIMENT, partial(leaves_its_number, folder), folder, workers=2)
    """)
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root) as parent:
        numbers = [_read_when_there(tmp_path / f"{seed}.pid") for seed in (0, 1)]
        processes = [psutil.Process(number) for number in numbers]
        parent.kill()
    assert not psutil.wait_procs(processes, timeout=30)[1]


def _read_when_there(path, seconds=100):
    for _ in range(10 * seconds):
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.1)
    raise TimeoutError(path)


def test_a_finished_experiment_is_not_run_again(tmp_path):
    first = run_experiment(EXPERIMENT, run_cell, tmp_path, lambda _: None)
    written = (tmp_path / "sample.json").read_bytes()
    again = Interrupting()
    second = run_experiment(EXPERIMENT, again, tmp_path, lambda _: None)
    assert again.ran == [] and second.arms == first.arms
    assert (tmp_path / "sample.json").read_bytes() == written


def test_seeds_and_arms_can_be_added(tmp_path):
    run_experiment(EXPERIMENT, run_cell, tmp_path, lambda _: None)
    added = (Cell("scratch", 3), Cell("tfidf", 0))
    more, ran = replace(EXPERIMENT, cells=CELLS + added), Interrupting()
    found = run_experiment(more, ran, tmp_path, lambda _: None)
    assert tuple(ran.ran) == added
    assert list(found.arms["scratch"]) == [0, 1, 2, 3]


def test_a_partial_record_that_is_complete_becomes_the_record(tmp_path):
    """Killed after the last cell was saved, before the file got its name."""
    run_experiment(EXPERIMENT, run_cell, tmp_path, lambda _: None)
    (tmp_path / "sample.json").rename(tmp_path / "sample.partial.json")
    run_experiment(EXPERIMENT, Interrupting(0), tmp_path, lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["sample.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"lr": 0.02, "sizes": (10, 50)}}, r"config\['lr'\]=0.01 instead of 0.02"),
        ({"data_hashes": {"pydocs": "cd"}}, r"data_hashes\['pydocs'\]='ab' instead of 'cd'"),
        ({"weight_hashes": {"fwd": "1"}}, r"weight_hashes\['fwd'\]=None instead of '1'"),
        ({"scale": Scale.PAPER}, "another scale"),
        ({"gold": GOLD[::-1]}, "another gold"),
        ({"cells": CELLS[:3]}, r"no part of this experiment: \['pretrained'\]"),
    ],
)
def test_another_experiment_is_not_mixed_in(tmp_path, change, message):
    run_experiment(EXPERIMENT, run_cell, tmp_path, lambda _: None)
    with pytest.raises(RecordError, match=message):
        run_experiment(replace(EXPERIMENT, **change), run_cell, tmp_path)


def test_other_versions_are_not_mixed_in(tmp_path):
    run_experiment(EXPERIMENT, run_cell, tmp_path, lambda _: None)
    path = tmp_path / "sample.json"
    raw = json.loads(path.read_text())
    raw["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(raw))
    with pytest.raises(RecordError, match=r"versions\['torch'\]='1.0'.*Delete the file"):
        run_experiment(EXPERIMENT, run_cell, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": CELLS + CELLS[:1]}, "7 cells, 1 of them repeated"),
        ({"cells": ()}, "0 cells"),
        ({"config": {"lr": float("nan")}}, "config is not plain JSON"),
        ({"config": {"plan": object()}}, "config is not plain JSON"),
    ],
)
def test_an_experiment_that_cannot_be_recorded_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        run_experiment(replace(EXPERIMENT, **change), run_cell, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_does_not_fit_is_refused(tmp_path):
    def short(cell):
        return CellResult({"accuracy": 1.0}, GOLD[:10])

    with pytest.raises(RecordError, match="arm 'scratch', seed 0: 10 predictions for 60"):
        run_experiment(EXPERIMENT, short, tmp_path)


PEAK = """
import numpy as np
from ulmfit_lib.study.experiments import PeakMemory
with PeakMemory() as small:
    pass
with PeakMemory() as memory:
    block = np.ones(40 * 2**20, dtype=np.uint8)
    memory._look()
    del block
assert memory.mb > small.mb + 30, (small.mb, memory.mb)
"""


def test_peak_memory_sees_what_is_given_back():
    # In a process of its own: a large one may give memory back at any moment.
    subprocess.run([sys.executable, "-c", PEAK], check=True)
