"""The quarter is nested in the whole; general text is read for as many tokens as are spent."""

import pytest

from ulmfit_lib.papers.selective_masking_domain_experiment import GENERAL, study
from ulmfit_lib.papers.selective_masking_experiment import TFIDF
from ulmfit_lib.papers.three_stages import NONE, RANDOM, SELECTIVE
from ulmfit_lib.study.records import check_result
from ulmfit_lib.study.scale import Scale

MODULE = "ulmfit_lib.papers.selective_masking_domain_experiment"
TEXTS = tuple(f"the value of axis {i} is a number in a list" for i in range(30))


@pytest.fixture
def small(task, monkeypatch):
    monkeypatch.setattr(f"{MODULE}.masking_task", lambda _: task)
    monkeypatch.setattr(f"{MODULE}.domain_texts", lambda _: TEXTS)
    return study("mr", Scale.SMOKE)


def test_a_quarter_of_the_domain_is_read_for_as_many_updates(small):
    read = {f"{policy}, yelp10k{part}" for policy in (RANDOM, SELECTIVE) for part in ("", "/4")}
    assert set(small.arms) == {TFIDF, NONE, GENERAL} | read
    whole, part = small.domains["yelp10k"], small.domains["yelp10k/4"]
    assert len(whole) == 30 and len(part) == 7
    assert all(ids in whole for ids in part)  # no other texts, only fewer
    with pytest.raises(ValueError, match="has no domain here"):
        study("trec6", Scale.SMOKE)


def test_general_text_is_read_for_the_tokens_that_selecting_and_reading_take(small, monkeypatch):
    shown = small.train.take(range(8))
    updates = {"reading": small.reading.updates, "labeller": small.labelling.updates}
    texts, batch = small.domains["yelp10k"], small.reading.batch_size
    length = sum(len(ids) + 2 for ids in texts) / len(texts)
    spent = small.tokens_spent(shown, 0)
    known = 3 * updates["reading"] * batch * length + len(texts) * length
    labelled = max(len(ids) + 2 for ids in small.as_read(shown).texts)
    assert known < spent
    asked = sum(len(ids) * (len(ids) + 2) for ids in small.as_read(shown).texts)
    most = known + 3 * updates["labeller"] * small.labelling.batch_size * labelled + asked
    assert spent <= most
    result = small.run(small.arms[GENERAL], seed=0)
    check_result("here", GENERAL, result, small.test.labels)
    assert all(touched.stage != "choice of masks" for touched in result.touched)
    monkeypatch.setattr(small, "tokens_spent", lambda *_: 7 * 3 * batch * small.reading.length)
    _, curves = small._start(small.arms[GENERAL], shown, 0)
    assert curves == {"updates": [7.0]}
