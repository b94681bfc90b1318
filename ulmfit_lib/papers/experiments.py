"""The papers' recorded experiments, by the name of the paper.

Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ulmfit_lib.papers import fitlam_experiment, ulmfit_experiment
from ulmfit_lib.study.records import RunRecord

Runner = Callable[[str, str | Path, int], RunRecord]  # (task, folder, workers) -> record
RUNNERS: Mapping[str, Runner] = {
    "fitlam": fitlam_experiment.run,
    "ulmfit": ulmfit_experiment.run,
}


def find(paper: str) -> Runner:
    """The experiment of ``paper``.

    Raises:
        ValueError: no such paper; the message names those there are.
    """
    if paper not in RUNNERS:
        raise ValueError(f"paper={paper!r} has no recorded experiment: one of {sorted(RUNNERS)}")
    return RUNNERS[paper]
