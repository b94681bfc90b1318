"""Every paper's recorded experiment is found by its name."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.papers import bert_experiment, dont_stop_experiment, experiments
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.study.task_study import record_study
from ulmfit_lib.text.corpus import Corpus


@pytest.mark.parametrize("paper", ["fitlam", "ulmfit", "bert"])
def test_an_experiment_is_found_by_its_paper(paper: str) -> None:
    found = experiments.find(paper)
    assert (found.func, found.args[0]) == (record_study, paper)  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(found.args[1])) is found.args[1]  # type: ignore[attr-defined]


def test_an_unknown_paper_is_named() -> None:
    with pytest.raises(ValueError, match=r"paper='gpt' has no recorded experiment.*fitlam"):
        experiments.find("gpt")


def test_a_study_from_another_checkpoint_is_one_in_every_process() -> None:
    build = experiments.find("bert", "bert-base-uncased").args[1]  # type: ignore[attr-defined]
    assert build == experiments.FromCheckpoint(bert_experiment.study, "bert-base-uncased")
    again = pickle.loads(pickle.dumps(build))
    assert (again, hash(again)) == (build, hash(build))


def test_an_experiment_that_takes_no_checkpoint_says_which_do() -> None:
    with pytest.raises(ValueError, match=r"'fitlam' takes no checkpoint='x': bert and dont_stop"):
        experiments.find("fitlam", "x")


def test_an_empty_checkpoint_is_not_the_shipped_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="name='' is no checkpoint"):
        experiments.find("bert", "")("pydocs-roles", tmp_path, 1)


@pytest.mark.parametrize("paper", list(experiments.ENCODER_STUDIES))
def test_a_record_names_the_checkpoint_that_its_arms_start_from(
    paper: str, checkpoint: Path, task: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = {"bert": bert_experiment, "dont_stop": dont_stop_experiment}[paper]
    monkeypatch.setattr(module, "load_task", lambda _: task)
    for name in ("without_copies", "without_rare_classes"):
        monkeypatch.setattr(module, name, lambda task, *_: task, raising=False)
    texts = [f"{a}mill {b}stone {c}river" for a in "abcd" for b in "efgh" for c in "klmn"]
    monkeypatch.setattr(module, "domain_texts", lambda _: texts)
    build = experiments.find(paper, str(checkpoint)).args[1]  # type: ignore[attr-defined]
    shipped = experiments.STUDIES[paper]("pydocs-roles", Scale.SMOKE).weight_hashes()
    started = build("pydocs-roles", Scale.SMOKE)
    assert started.checkpoint == checkpoint.name
    ours = started.weight_hashes()
    assert ours == shipped | load_pretrained_encoder(checkpoint).weight_hashes()
    assert set(ours) - set(shipped) == {checkpoint.name}
