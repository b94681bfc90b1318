"""The book's moving figures show the library's own numbers."""

import re

import numpy as np
import pytest

from tests.study.page_reading import Page, foreign_addresses
from ulmfit_lib.study.explorables import (
    GROUP_NAMES,
    SCHEDULES,
    rates_explorer,
    schedule_explorer,
    unfreezing_explorer,
)
from ulmfit_lib.training.groups import discriminative_lrs
from ulmfit_lib.training.schedules import cosine, slanted_triangular
from ulmfit_lib.training.unfreezing import chain_thaw, full, gradual


def cells(parts):
    """The table of numbers as {row: [text, ...]}."""
    rows = re.findall(r'<th scope="row">(.*?)</th>((?:<td>.*?</td>)*)', parts["table.html"])
    return {name: re.findall(r"<td>(.*?)</td>", rest) for name, rest in rows}


@pytest.fixture(scope="module")
def schedules():
    return schedule_explorer(steps=(12, 100), shares=(0.1, 0.5), ratios=(2, 32))


@pytest.fixture(scope="module")
def unfreezing():
    return unfreezing_explorer()


def test_the_table_holds_the_librarys_rates(schedules):
    table = cells(schedules.parts((1, 0, 1)))
    for step in (0, 10, 99):
        rates = [float(text) for text in table[str(step)]]
        assert rates[0] == pytest.approx(slanted_triangular(step, 100, 0.01, 0.1, 32), abs=1e-5)
        assert rates[1] == pytest.approx(cosine(step, 100, 0.01), abs=1e-5)
    mean = np.mean(slanted_triangular(np.arange(100), 100, 0.01, 0.1, 32))
    assert float(table["mean"][0]) == pytest.approx(mean, abs=1e-5)


def test_the_readout_names_peak_and_end(schedules):
    readout = schedules.parts((1, 0, 1))["readout.text"]
    assert readout.startswith("100 steps.")
    assert "slanted triangular: 0.01 at step 10, 0.00042 at the end" in readout


def test_only_the_slanted_schedule_follows_the_ratio(schedules):
    low, high = schedules.parts((1, 0, 0)), schedules.parts((1, 0, 1))
    changed = [low[f"line{i}.points"] != high[f"line{i}.points"] for i in range(len(SCHEDULES))]
    assert changed == [True, False, False, False]


def test_corners_are_drawn_where_they_are(schedules):
    """The peak is a point of the line, however many steps there are."""
    figure = schedule_explorer(steps=(100, 1000), shares=(0.05, 0.1), ratios=(2, 32))
    points = figure.parts((1, 0, 1))["line0.points"].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert min(heights) == 12.0  # the upper end of the axis
    assert len(points) < 100


def test_other_schedules_can_be_shown():
    shown = {"constant": lambda t, T, lr_max, settings: np.full(len(t), lr_max)}
    figure = schedule_explorer(shown, steps=(10, 20))
    assert "constant: 0.01 at step 0, 0.01 at the end" in figure.html()


def test_gradual_unfreezing_opens_one_group_an_epoch(unfreezing):
    table = cells(unfreezing.parts((0, 0, 0)))
    assert list(table) == list(reversed(GROUP_NAMES))
    frozen = {name: texts.count("frozen") for name, texts in table.items()}
    assert frozen == {"head": 0, "LSTM 3": 1, "LSTM 2": 2, "LSTM 1": 3, "embedding": 4}


def test_rates_are_the_librarys(unfreezing):
    for place, ratio in enumerate((0.3, 1 / 2.6, 1.0)):
        table = cells(unfreezing.parts((3, place, 0)))
        wanted = [f"{lr:.2g}" for lr in discriminative_lrs(0.01, 5, ratio)]
        assert [table[name][0] for name in GROUP_NAMES] == wanted


def test_the_readout_says_what_trains_and_what_is_frozen(unfreezing):
    assert unfreezing.parts((0, 0, 1))["readout.text"] == (
        "gradual unfreezing, epoch 2: head at 0.01, LSTM 3 at 0.003; "
        "frozen: LSTM 2, LSTM 1, embedding."
    )
    assert unfreezing.parts((3, 2, 5))["readout.text"].endswith("nothing is frozen.")


def test_every_frame_says_what_it_shows(unfreezing):
    texts = [unfreezing.parts(state)["image.alt"] for state in unfreezing.states()]
    assert all(re.search(r"Marked is epoch \d: head at \d", text) for text in texts[:6])
    assert all(re.search(r"(head|LSTM \d|embedding) at \d", text) for text in texts)


def test_plans_of_ones_own():
    plans = {"a": full(3, 3), "b": gradual(3)}
    figure = unfreezing_explorer(plans, ("low", "middle", "top"), ratios={"1": 1.0, ".5": 0.5})
    assert figure.parts((1, 1, 2))["readout.text"] == (
        "b, epoch 3: top at 0.01, middle at 0.005, low at 0.0025; nothing is frozen."
    )


def test_plans_must_be_comparable():
    with pytest.raises(ValueError, match="'a': 2, 'b': 4"):
        unfreezing_explorer({"a": full(3, 2), "b": chain_thaw(3)}, ("x", "y", "z"))
    with pytest.raises(ValueError, match=r"plans\['a'\] trains group 4, but there are names for 2"):
        unfreezing_explorer({"a": full(5, 2), "b": full(5, 2)}, ("x", "y"))


def test_the_pages_are_whole_small_and_alone(schedules, unfreezing):
    text = schedules.html() + unfreezing.html()
    assert not Page(text).repeated_ids()
    assert foreign_addresses(text) == []
    assert len(unfreezing.html()) < 600_000


def test_the_rates_of_a_plan_are_told_group_by_group():
    plans = {"gradual": gradual(5) + full(5), "full": full(5, 6)}
    figure = rates_explorer(plans, batches_per_epoch=(4, 10))
    table = cells(figure.parts((0, 0, 1)))
    assert table["head"][:3] == ["0", "60", "0.01"]
    assert table["embedding"][:2] == ["40", "20"], "it opens in the fifth epoch"
    assert float(table["embedding"][2]) == pytest.approx(0.01 / 2.6**4, rel=0.02)
    assert cells(figure.parts((0, 1, 1)))["embedding"][2] == "0.01"
    parts = figure.parts((1, 0, 0))
    assert "24 steps" in parts["readout.text"] and parts["readout.text"] in parts["image.alt"]
    assert not foreign_addresses(figure.html())
    with pytest.raises(ValueError, match=r"plans\['x'\] trains group 5"):
        rates_explorer({"x": full(6), "y": full(5)})
