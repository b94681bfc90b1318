"""Arms read what their names say, never held-out text; shared reading is done once."""

import numpy as np
import pytest

from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.papers.dont_stop_experiment import (
    CURATED,
    DOMAIN,
    IRRELEVANT,
    OTHER_TASK,
    SETTINGS,
    TFIDF,
    DontStopStudy,
    arms,
    fitting,
    sizes,
    study,
)
from ulmfit_lib.papers.dont_stop_pretraining import ARMS
from ulmfit_lib.study.records import EVALUATION, check_result
from ulmfit_lib.study.scale import Scale
from ulmfit_lib.text.catalogue import find

SMOKE = sizes(Scale.SMOKE)
THINGS = "axis tensor matrix column value key index shape frame path list number mask row".split()
RNG = np.random.default_rng(0)
TEXTS = {
    DOMAIN: [" ".join(RNG.choice(THINGS, 10)) for _ in range(100)],
    IRRELEVANT: [f"x_{i} = f({i}) + {i}" for i in range(60)],
    OTHER_TASK: [f"Raises an error if the {a} is empty." for a in THINGS] * 5,
}


@pytest.fixture(scope="module")
def toy_study(task):
    return DontStopStudy(task, SMOKE, load_pretrained_encoder(), TEXTS)


def test_every_arm_runs_at_the_middle_and_four_at_every_number_of_labels():
    found = arms(sizes(Scale.LAPTOP))
    assert {name for name in found if name.endswith("/20")} == {f"{a}/20" for a in (*ARMS, TFIDF)}
    assert sum(name.endswith("/5") for name in found) == 4
    assert fitting(sizes(Scale.LAPTOP), [0] * 30 + [1] * 10).middle == 5
    with pytest.raises(ValueError, match="rarest class has 1"):
        fitting(SMOKE, [0, 0, 1])


@pytest.mark.parametrize("name", sorted(arms(SMOKE)))
def test_a_cell_predicts_every_test_example(toy_study, name):
    result = toy_study.run(toy_study.arms[name], seed=0)
    check_result("here", name, result, toy_study.test.labels)
    assert all(t.split == "train" for t in result.touched if t.stage != EVALUATION)
    if TFIDF not in name:
        assert {"macro_f1", "mlm loss, domain", "mlm loss, irrelevant"} <= set(result.metrics)


def test_what_does_not_follow_from_the_labels_is_read_once(toy_study):
    shown = toy_study.train.take([0, 1, 2, 3])
    first, again = (toy_study.adapted(("domain",), shown, seed) for seed in (0, 1))
    assert first is again
    assert toy_study.adapted(("task",), shown, 0) is not toy_study.adapted(("task",), shown, 1)


def test_held_out_text_is_never_read(toy_study, task):
    shown = toy_study.train.take([0, 1, 2, 3])
    for phase in ("domain", "irrelevant", "other task", "curated", "task", "neighbours", "random"):
        read = set(toy_study.phase_texts(phase, shown, 0))
        assert read and not read & {*task.splits["test"].texts, *task.splits["valid"].texts}
        documents = {tuple(ids) for ids in toy_study.encoder.encode(list(read))}
        for kind in (DOMAIN, IRRELEVANT):
            assert not documents & {tuple(ids) for ids in toy_study.held_out[kind]}
    near, drawn = (toy_study.phase_texts(p, shown, 0) for p in ("neighbours", "random"))
    assert len(near) == len(drawn) and near != drawn
    assert set(toy_study.texts[CURATED]) <= set(task.splits["train"].texts)


def test_every_task_s_texts_are_in_the_catalogue():
    for name, setting in SETTINGS.items():
        for corpus in (name, setting.other, *setting.domain, *setting.irrelevant):
            if corpus not in ("other docstrings", "source code"):
                assert find(corpus).name == corpus
    with pytest.raises(ValueError, match="has no domain here"):
        study("trec6", Scale.SMOKE)
