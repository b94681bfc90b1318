"""Every arm reads for as long, phase after phase, and learns from what it reads."""

import pytest
import torch

from tests.tiny_checkpoints import POSITIONS
from ulmfit_lib.models.pretrained_encoder import load_pretrained_encoder
from ulmfit_lib.papers.dont_stop_pretraining import (
    ARMS,
    PHASES,
    Adaptation,
    Cost,
    adapt,
    cost,
    phase_updates,
    repeated,
)
from ulmfit_lib.training.further_pretraining import (
    FurtherPretraining,
    masked_batches,
    masked_lm_score,
)

READING = FurtherPretraining(lr_max=5e-3, batch_size=8, length=POSITIONS)
CONFIG = Adaptation(updates=60, reading=READING)
DOMAIN = ["the old mill falls", "a new bridge rises", "the river falls", "a stone"] * 12
TASK = ["stone stone river", "the stone rises", "a river stone falls"] * 12


@pytest.fixture
def encoder(checkpoint):
    return load_pretrained_encoder(checkpoint)


def weights(encoder):
    return torch.cat([p.detach().flatten() for p in encoder.masked_lm.parameters()])


def test_every_arm_makes_the_same_updates():
    for phases in ARMS.values():
        assert sum(phase_updates(len(phases), CONFIG)) == (60 if phases else 0)
    assert phase_updates(2, Adaptation(updates=7)) == [3, 4]
    assert set(PHASES) == {phase for phases in ARMS.values() for phase in phases}
    with pytest.raises(ValueError, match="cannot be shared by 2"):
        phase_updates(2, Adaptation(updates=1))


def test_reading_a_domain_helps_there_and_the_start_stays(encoder):
    before, domain = weights(encoder).clone(), encoder.encode(DOMAIN)
    adapted = adapt(encoder, [domain], CONFIG)
    first, then = (masked_lm_score(e, domain, POSITIONS).loss for e in (encoder, adapted))
    assert then < first - 0.1
    assert torch.equal(weights(encoder), before)
    assert torch.equal(weights(adapt(encoder, [], CONFIG)), before)


def test_the_order_of_the_phases_matters(encoder):
    domain, task = encoder.encode(DOMAIN), encoder.encode(TASK)
    one, other = adapt(encoder, [domain, task], CONFIG), adapt(encoder, [task, domain], CONFIG)
    assert not torch.equal(weights(one), weights(other))
    assert torch.equal(weights(one), weights(adapt(encoder, [domain, task], CONFIG)))


def test_the_cost_counts_what_is_read_and_stored():
    found = cost([DOMAIN, TASK], CONFIG)
    assert found.updates == 60 and found.texts == len(DOMAIN) + len(TASK)
    assert found.tokens == 60 * 8 * POSITIONS
    assert found.characters == sum(map(len, DOMAIN + TASK))
    assert cost([], CONFIG) == Cost(0, 0, 0, 0)


def test_few_texts_fill_every_batch_so_that_the_cost_is_what_it_says(encoder):
    few = encoder.encode(TASK[:2])
    batches = masked_batches(encoder, repeated(few, READING), READING)
    assert batches.batch(0).ids.shape == (READING.batch_size, POSITIONS)
    with pytest.raises(ValueError, match="without text"):
        adapt(encoder, [[[]]], CONFIG)


def test_impossible_budgets_are_refused():
    with pytest.raises(ValueError, match="updates=0"):
        Adaptation(updates=0)
