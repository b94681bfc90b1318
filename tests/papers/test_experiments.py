"""Every paper's recorded experiment is found by its name."""

from __future__ import annotations

import pickle

import pytest

from ulmfit_lib.papers import experiments
from ulmfit_lib.study.task_study import record_study


@pytest.mark.parametrize("paper", ["fitlam", "ulmfit", "bert"])
def test_an_experiment_is_found_by_its_paper(paper: str) -> None:
    found = experiments.find(paper)
    assert (found.func, found.args[0]) == (record_study, paper)  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(found.args[1])) is found.args[1]  # type: ignore[attr-defined]


def test_an_unknown_paper_is_named() -> None:
    with pytest.raises(ValueError, match=r"paper='gpt' has no recorded experiment.*fitlam"):
        experiments.find("gpt")
