"""The figures on domains say what the library computes, in every state."""

import re
from urllib.parse import unquote

import numpy as np
import pytest

from ulmfit_lib.study.domain_explorables import (
    Gain,
    effects_explorer,
    gain_explorer,
    neighbour_explorer,
    overlap_explorer,
    rank_correlation,
    reading_explorer,
)
from ulmfit_lib.study.statistics import Summary
from ulmfit_lib.text.neighbours import Pool

MATRIX = np.array([[1.0, 0.4, 0.2], [0.4, 1.0, 0.3], [0.2, 0.3, 1.0]])
NAMES = ("news", "reviews", "papers")
POOL = [
    "the river falls past the old stone mill",
    "a stone mill stands at the river",
    "the matrix has rows and columns of numbers",
    "every column of the matrix is a vector of numbers",
    "a bridge of stone rises over the river",
]


def test_the_heat_map_tells_the_order_from_the_chosen_domain():
    figure = overlap_explorer(NAMES, {"top words": MATRIX, "Jaccard": MATRIX / (2 - MATRIX)}, 0)
    parts = figure.parts((0, 0))
    assert parts["readout.text"] == "news, top words: from the nearest reviews 40 %, papers 20 %."
    assert "from the nearest reviews 30 %, news 20 %" in figure.parts((0, 2))["readout.text"]
    assert "from 20 to 40 %" in parts["image.alt"]
    assert "reviews 25 %" in figure.parts((1, 0))["readout.text"]
    assert parts["image.src"] != figure.parts((1, 0))["image.src"]
    assert parts["image.src"] != figure.parts((0, 1))["image.src"]
    assert '<th scope="row">papers</th><td>20</td><td>30</td><td>100</td>' in parts["table.html"]
    assert overlap_explorer(NAMES, {"a": MATRIX, "b": MATRIX}, 2).start == (0, 2)


def test_a_pair_that_is_not_measured_is_blank_and_said():
    partly = MATRIX.copy()
    partly[2] = partly[:, 2] = np.nan
    figure = overlap_explorer(NAMES, {"top words": MATRIX, "Jaccard": partly}, 0)
    parts = figure.parts((1, 0))
    told = "news, Jaccard: from the nearest reviews 40 %; not measured: papers."
    assert parts["readout.text"] == told
    assert figure.parts((1, 2))["readout.text"] == "papers, Jaccard: not measured: news, reviews."
    assert "from 40 to 40 %" in parts["image.alt"] and "nan" not in parts["image.alt"]
    assert '<th scope="row">papers</th><td>–</td><td>–</td><td>–</td>' in parts["table.html"]
    pictures = [unquote(figure.parts((m, 0))["image.src"]) for m in (0, 1)]
    assert [picture.count("h1v1h-1z") for picture in pictures] == [9, 4]
    assert "nan" not in pictures[1]


def test_the_chosen_domain_s_row_is_marked_and_has_its_numbers():
    figure = overlap_explorer(NAMES, {"top words": MATRIX, "Jaccard": MATRIX / (2 - MATRIX)}, 0)
    for chosen, row in enumerate(MATRIX):
        picture = unquote(figure.parts((0, chosen))["image.src"])
        cells = re.findall(r'text-anchor="middle"[^>]*>(\d+)</text>', picture)
        assert cells == [f"{100 * value:.0f}" for value in row]
        assert re.findall(r"M0 (\d)h3v1", picture) == [str(chosen)]
        assert set(re.findall(r'bold">(\w+)<', picture)) == {NAMES[chosen]}


def test_names_must_fit_the_matrix():
    with pytest.raises(ValueError, match="shape"):
        overlap_explorer(NAMES[:2], {"a": MATRIX, "b": MATRIX}, 0)


def test_neighbours_are_the_pool_s_with_their_similarity():
    pool = Pool(POOL)
    task = ["numbers in a matrix", "a mill at a river"]
    figure = neighbour_explorer(task, pool, (1, 2))
    for i, text in enumerate(task):
        (near,) = pool.neighbours([text], 1)
        parts = figure.parts((i, 0))
        similarity = float((pool.embed([text]) @ pool.vectors.T).max())
        assert near in parts["table.html"] and f"{similarity:.2f} " in parts["image.alt"]
        assert near[:20] in unquote(parts["image.src"])
        assert text in parts["readout.text"]
    assert figure.parts((0, 1))["table.html"].count("<tr>") == 3
    assert figure.parts((0, 0))["readout.text"].endswith("neighbour shares: matrix, numbers.")
    assert "<td>river</td>" in figure.parts((1, 1))["table.html"]  # "mill" is a stop-word, too


def test_markup_in_a_text_stays_text():
    pool = Pool([*POOL, "the matrix <b>of</b> numbers & columns"])
    figure = neighbour_explorer(["matrix numbers", "river"], pool, (1, 4))
    assert "<b>" not in unquote(figure.parts((0, 1))["image.src"])


def test_reading_is_told_as_a_change_with_the_losses_in_the_table():
    losses = {
        "papers": {"papers": [3.0, 2.5], "news": [2.0, 2.4]},
        "news": {"papers": [3.0, 3.5], "news": [2.0, 1.8]},
    }
    figure = reading_explorer([0, 10], losses)
    assert "papers 3.00 to 2.50; news 2.00 to 2.40" in figure.parts((0,))["readout.text"]
    assert figure.y_range[1] == pytest.approx(0.55) and figure.y_range[0] == -figure.y_range[1]
    line = figure._charts[0,].lines[0]
    assert (line.name, list(line.x), list(line.y)) == ("papers", [0, 10], [0, -0.5])
    with pytest.raises(ValueError, match="two or more"):
        reading_explorer([0, 10], {"papers": losses["papers"]})


def test_gain_against_overlap_has_its_rank_correlation():
    falling = [Gain("a", 0.1, 3.0), Gain("b", 0.2, 2.0, 1.5, 2.5), Gain("c", 0.5, -1.0)]
    rising = [Gain("a", 0.1, 1.0), Gain("b", 0.2, 2.0), Gain("c", 0.5, 7.0)]
    assert rank_correlation(falling).mean == pytest.approx(-1)
    units = {"theirs": "points", "ours": "nats"}
    figure = gain_explorer({"theirs": falling, "ours": rising}, units)
    assert "rank correlation \N{MINUS SIGN}1.00 (no interval" in figure.parts((0,))["readout.text"]
    assert "+1.50 to +2.50" in figure.parts((0,))["table.html"]
    assert "+1.00 (no interval: n = 3) over 3" in figure.parts((1,))["image.alt"]
    with pytest.raises(ValueError, match="2 points"):
        gain_explorer({"theirs": falling[:2], "ours": rising}, units)


def test_effects_stand_task_by_task_with_their_mean():
    def effect(mean):
        return Summary(mean, 0.5, mean - 1, mean + 1, 5)

    fell = {"films": effect(-3), "news": effect(-1)}
    effects = {
        "papers": {"loss (nats)": fell, "score (points)": {"films": effect(4), "news": effect(0)}},
        "code": {"loss (nats)": fell, "score (points)": {"films": effect(1), "news": effect(1)}},
    }
    figure = effects_explorer(effects)
    read = figure.parts((0,))
    assert read["readout.text"].startswith(
        "papers, mean of 2 tasks: loss (nats) \N{MINUS SIGN}2.00 ["
    )
    assert "; score (points) +2.00 [" in read["readout.text"]
    assert "films 4.00 [3.00, 5.00]; news 0.00" in read["image.alt"]
    assert read["table.html"].count("<tr>") == 1 + 3
    assert "<td>+4.00 [+3.00, +5.00]</td>" in read["table.html"]
    assert read["image.src"] != figure.parts((1,))["image.src"]
    with pytest.raises(ValueError, match="two or more"):
        effects_explorer({"papers": effects["papers"]})


def test_a_rank_correlation_has_an_interval_that_is_wide_for_few_points():
    order = [2, 0, 1, 4, 3, 6, 5, 8, 9, 7, 11, 10]
    few, more = ([Gain("", i, y) for i, y in enumerate(order[:n])] for n in (5, 12))
    found = rank_correlation(more)
    # Bonett and Wright 2000: tanh(artanh r -/+ 1.96 sqrt((1 + r^2/2) / (n - 3)))
    r = 1 - 6 * sum((i - y) ** 2 for i, y in enumerate(order)) / (12 * (12**2 - 1))
    half = 1.959964 * np.sqrt((1 + r**2 / 2) / 9)
    ends = np.tanh(np.arctanh(r) + np.array([-half, half]))
    assert (found.mean, found.low, found.high) == pytest.approx((r, *ends), abs=1e-6)
    wide = rank_correlation(few)
    assert -1 < wide.low < 0 < wide.high < 1 and np.isnan(rank_correlation(more[3:6]).low)


def test_the_interval_of_a_rank_correlation_covers_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):  # rank correlation of a Gaussian pair: 6/pi asin(r/2)
        x, noise = rng.normal(size=(2, 12))
        y = 0.6 * x + 0.8 * noise
        found = rank_correlation([Gain("", *pair) for pair in zip(x, y, strict=True)])
        covered += found.low <= 6 / np.pi * np.arcsin(0.3) <= found.high
    assert 0.9 < covered / 400 < 0.99
