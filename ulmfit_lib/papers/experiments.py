"""The papers' recorded experiments, by the name of the paper.

Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ulmfit_lib.papers import (
    bert_experiment,
    dont_stop_experiment,
    fitlam_experiment,
    recadam_experiment,
    selective_masking_domain_experiment,
    selective_masking_experiment,
    transfer_experiment,
    ulmfit_experiment,
)
from ulmfit_lib.study.records import RunRecord
from ulmfit_lib.study.task_study import BuildStudy, record_study

Runner = Callable[[str, str | Path, int], RunRecord]  # (task, folder, workers) -> record
STUDIES: Mapping[str, BuildStudy] = {
    "fitlam": fitlam_experiment.study,
    "ulmfit": ulmfit_experiment.study,
    "bert": bert_experiment.study,
    "dont_stop": dont_stop_experiment.study,
    "selective_masking": selective_masking_experiment.study,
    "selective_masking_domain": selective_masking_domain_experiment.study,
    "recadam": recadam_experiment.study,
    "transfer": transfer_experiment.study,
}


def find(paper: str) -> Runner:
    """The experiment of ``paper``.

    Raises:
        ValueError: no such paper; the message names those there are.
    """
    if paper not in STUDIES:
        raise ValueError(f"paper={paper!r} has no recorded experiment: one of {sorted(STUDIES)}")
    return partial(record_study, paper, STUDIES[paper])
