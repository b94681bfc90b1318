"""The papers' recorded experiments, by the name of the paper.

Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.task_study import BuildStudy, TaskStudy, record_study

Runner = Callable[[str, str | Path, int], RunRecord]  # (task, folder, workers) -> record
BuildEncoderStudy = Callable[[str, Scale, str], TaskStudy[Any]]  # (task, scale, checkpoint)
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
ENCODER_STUDIES: Mapping[str, BuildEncoderStudy] = {
    "bert": bert_experiment.study,
    "dont_stop": dont_stop_experiment.study,
}


@dataclass(frozen=True)
class FromCheckpoint:
    """Builds a study whose arms start from another checkpoint.

    Two of the same are equal, unlike ``partial`` objects, so a process builds its study once.
    Introduced in the chapter *How to fine-tune BERT*.
    """

    build: BuildEncoderStudy
    checkpoint: str  # a name on the hub, or a folder

    def __call__(self, task_name: str, scale: Scale) -> TaskStudy[Any]:
        """The study of ``task_name``."""
        return self.build(task_name, scale, self.checkpoint)


def find(paper: str, checkpoint: str | None = None) -> Runner:
    """The experiment of ``paper``.

    Args:
        paper: one of :data:`STUDIES`.
        checkpoint: where every arm starts, ``"bert-base-uncased"`` or a folder; for those
            of :data:`ENCODER_STUDIES`. By default the encoder that comes with the book.

    Raises:
        ValueError: no such paper, or none that takes a checkpoint; the message
            names those there are.
    """
    if paper not in STUDIES:
        raise ValueError(f"paper={paper!r} has no recorded experiment: one of {sorted(STUDIES)}")
    if checkpoint is None:
        return partial(record_study, paper, STUDIES[paper])
    if paper not in ENCODER_STUDIES:
        raise ValueError(
            f"the experiment of {paper!r} takes no checkpoint={checkpoint!r}: "
            f"{' and '.join(ENCODER_STUDIES)} do"
        )
    return partial(record_study, paper, FromCheckpoint(ENCODER_STUDIES[paper], checkpoint))
