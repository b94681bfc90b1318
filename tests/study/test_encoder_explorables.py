"""The BERT chapter's moving figures say what the library computes, in every state."""

import re
from urllib.parse import unquote

import pytest

from ulmfit_lib.study.encoder_explorables import (
    RateOutcome,
    forgetting_explorer,
    truncation_explorer,
)

KEPT = re.compile('fill="#2d68f0" d="([^"]*)"')


def states(figure):
    return {state: figure.parts(state) for state in figure.states()}


def test_filled_cells_are_the_tokens_that_are_read():
    found = states(truncation_explorer({"short": 20, "long": 100}, (32, 64)))
    for (document, way, limit), parts in found.items():
        n, body = (20, 100)[document], (30, 62)[limit]
        kept = n if way == 3 else min(n, body)
        assert f"{kept} of {n} tokens" in parts["readout.text"]
        drawn = KEPT.search(unquote(parts["image.src"]))
        assert drawn is not None and drawn[1].count("M") == kept


def test_head_and_tail_name_the_gap():
    found = states(truncation_explorer({"short": 20, "long": 600}, (256, 512)))
    assert "Not read: tokens 129 to 218." in found[1, 2, 1]["readout.text"]
    assert "2 pieces" in found[1, 3, 1]["readout.text"]


def test_rates_are_told_with_what_they_cost():
    outcomes = {
        1e-3: RateOutcome((1.7, 1.2), 0.55, 4.0),
        1e-1: RateOutcome((1.9, 1.8), 0.17, 9.0),
    }
    found = states(forgetting_explorer(outcomes, before=3.8, chance=1.79))
    assert "training loss 1.20" in found[0,]["readout.text"]
    assert "9.00 nats (before the tuning 3.80)" in found[1,]["readout.text"]
    assert "17 %" in found[1,]["table.html"]


def test_one_choice_is_no_choice():
    with pytest.raises(ValueError, match="two or more"):
        truncation_explorer({"only": 20})
