"""Figures that move: the page works alone, and shows what the library computed."""

import json
from urllib.parse import unquote

import ipywidgets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.study.page_reading import Page, foreign_addresses
from ulmfit_lib.study.interactive import (
    MAX_STATES,
    Ask,
    Chart,
    Control,
    Curves,
    Frame,
    Frames,
    Line,
    Table,
)

HARD = "a <b> & \"c\" 'd' </script> ünï 数"


def frames(title="Squares", label="side", texts=("1", "2", "3")):
    def draw(state):
        side = state[0] + 1
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><text>{side}</text></svg>'
        table = Table(("side", "area"), ((str(side), str(side**2)),))
        return Frame(svg, f"A square of side {side}", f"{label}: area {side**2}", table)

    return Frames(title, [Control(label, tuple(texts), start=1)], draw)


def curves():
    def compute(state):
        slope, last = state[0] + 1, (10, 100)[state[1]]
        x = [0, last / 2, last]
        lines = (Line("up", x, [slope * v / last for v in x]), Line("flat", x, [1, 1, 1]))
        rows = tuple((f"{v:g}", f"{slope * v / last:g}") for v in x)
        return Chart(lines, (0, last), f"slope {slope}, {last} steps", Table(("x", "up"), rows))

    controls = [Control("slope", ("1", "2", "3")), Control("steps", ("10", "100"), 1, "menu")]
    return Curves("Lines", controls, compute, x_label="step", y_label="height", y_range=(0, 3))


def data_of(page):
    (script,) = page.all("script", type="application/json")
    return json.loads(script["text"])


def shown(data, state):
    """What the script would put in place for ``state``."""
    number = 0
    for chosen, options in zip(state, data["controls"], strict=True):
        number = number * len(options) + chosen
    return {
        f"{part['element']}.{part['attribute']}": part["values"][part["states"][number]]
        for part in data["parts"]
    }


@pytest.mark.parametrize("make", [frames, curves])
def test_the_page_is_well_formed_and_needs_nothing_else(make):
    text = make().html()
    page = Page(text)
    assert not page.repeated_ids()
    assert foreign_addresses(text) == []
    for label in page.all("label"):
        assert page.by_id(label["for"])["tag"] in ("input", "select")
    assert page.all("noscript") and page.all("figcaption")


@pytest.mark.parametrize("make", [frames, curves])
def test_several_figures_share_a_page(make):
    figure = make()
    page = Page(figure.html() + figure.html() + make().html())
    assert not page.repeated_ids()
    assert len(page.all("figure")) == 3


@pytest.mark.parametrize("make", [frames, curves])
def test_every_state_is_on_the_page_as_computed(make):
    figure = make()
    data = data_of(Page(figure.html()))
    for state in figure.states():
        assert shown(data, state) == dict(figure.parts(state))
    for part in data["parts"]:
        assert len(part["values"]) == len(set(part["values"])), "a value is there twice"


@pytest.mark.parametrize("make", [frames, curves])
def test_every_changing_part_has_its_element(make):
    page = Page(make().html())
    uid = page.all("figure")[0]["id"]
    for part in data_of(page)["parts"]:
        assert page.by_id(f"{uid}-{part['element']}")


def test_the_first_picture_stands_there_without_a_script():
    page = Page(frames().html())
    (image,) = page.all("img")
    assert image["alt"] == "A square of side 2"
    assert "<text>2</text>" in unquote(image["src"].removeprefix("data:image/svg+xml,"))
    assert page.all("div", class_="explorable-controls")[0].get("hidden") is None
    assert "hidden" in page.all("div", class_="explorable-controls")[0]
    assert page.all("p", role="status")[0]["text"] == "side: area 4"


def test_a_slider_says_what_it_is_set_to():
    (slider,) = Page(frames(texts=("one", "two", "three")).html()).all("input")
    assert slider["type"] == "range" and slider["aria-valuetext"] == "two"
    assert (slider["min"], slider["max"], slider["step"], slider["value"]) == ("0", "2", "1", "1")


def test_a_menu_starts_where_it_should():
    page = Page(curves().html())
    options = page.all("option")
    assert [option["text"] for option in options] == ["10", "100"]
    assert ["selected" in option for option in options] == [False, True]


def test_numbers_are_a_table_with_headers():
    page = Page(curves().html())
    assert [e["text"] for e in page.all("th", scope="col")] == ["x", "up"]
    assert [e["text"] for e in page.all("th", scope="row")] == ["0", "50", "100"]
    (region,) = page.all("div", role="region")
    assert region["tabindex"] == "0" and region["aria-label"] == "Lines: numbers"


def test_lines_are_drawn_to_scale():
    figure = curves()
    first, last = (figure.parts((2, i))["line0.points"].split() for i in (0, 1))
    assert first == last  # the axis stretches with the steps
    x0, y0 = map(float, first[0].split(","))
    x2, y2 = map(float, first[2].split(","))
    x1, y1 = map(float, first[1].split(","))
    assert (x1, y1) == (
        pytest.approx((x0 + x2) / 2, abs=0.1),
        pytest.approx((y0 + y2) / 2, abs=0.1),
    )
    flat = [float(point.split(",")[1]) for point in figure.parts((0, 0))["line1.points"].split()]
    assert len(set(flat)) == 1 and y2 < flat[0] < y0  # 3 above 1 above 0, downwards on the page


def test_the_chart_is_described_in_words():
    page = Page(curves().html())
    (chart,) = page.all("svg", role="img")
    assert chart["aria-label"] == "Lines. slope 1, 100 steps"
    strokes = [(line["stroke"], line.get("stroke-dasharray")) for line in page.all("polyline")]
    assert len({dash for _, dash in strokes}) == 2, "colour must not be the only difference"


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_any_text_is_shown_as_it_is(title, label):
    if not title.strip() or not label.strip():
        return
    text = frames(title=title, label=label).html()
    page = Page(text)
    data = data_of(page)
    assert shown(data, (0,))["readout.text"] == f"{label}: area 1"
    assert text.count("<script") == 2 and not page.repeated_ids()


def test_a_title_cannot_break_out():
    page = Page(frames(title=HARD, label=HARD, texts=(HARD, "x")).html())
    assert page.all("figcaption")[0]["text"] == HARD
    assert page.all("label")[0]["text"] == HARD
    assert page.all("input")[0]["aria-valuetext"] == "x"


def test_one_object_has_both_representations():
    bundle = curves()._repr_mimebundle_()
    assert bundle["text/html"].startswith("<style>")
    assert "model_id" in bundle["application/vnd.jupyter.widget-view+json"]
    assert bundle["text/plain"] == "Lines: slope 1, 100 steps"


def test_live_controls_move_the_picture():
    figure = frames()
    box = figure.widget()
    caption, slider, view = box.children
    assert isinstance(slider, ipywidgets.SelectionSlider) and slider.value == "2"
    assert "area 4" in view.value
    slider.index = 2
    assert "area 9" in view.value and "A square of side 3" in view.value
    assert isinstance(curves().widget().children[2], ipywidgets.Dropdown)


def test_the_same_figure_is_the_same_on_every_build():
    first, second = frames(title="Builds"), frames(title="Builds")
    uid = Page(first.html()).all("figure")[0]["id"]
    assert Page(second.html()).all("figure")[0]["id"] == f"{uid}-2"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Control("a", ("1",)), "two or more different"),
        (lambda: Control("a", ("1", "1")), "two or more different"),
        (lambda: Control("a", ("1", "2"), start=2), "start=2"),
        (lambda: Control("a", ("1", "2"), kind="dial"), "kind='dial'"),
        (lambda: frames(title=" "), "title=' '"),
        (lambda: Frames("a", [], lambda state: None), "0 controls"),
        (
            lambda: Frames("a", [Control("n", tuple(map(str, range(MAX_STATES + 1))))], None),
            "401 states are too many",
        ),
        (
            lambda: Frames("a", [Control("n", ("1", "2"))], lambda state: Frame("<svg/>", "", "r")),
            "needs alt text",
        ),
    ],
)
def test_figures_that_cannot_be_read_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_state_has_the_same_lines():
    def compute(state):
        name = ("one", "two")[state[0]]
        return Chart((Line(name, [0, 1], [0, 1]),), (0, 1), "r", Table(("x",), ()))

    with pytest.raises(ValueError, match=r"state \(1,\) has other lines"):
        Curves("a", [Control("n", ("1", "2"))], compute, x_label="x", y_label="y", y_range=(0, 1))
    with pytest.raises(ValueError, match="y_range"):
        Curves("a", [Control("n", ("1", "2"))], compute, x_label="x", y_label="y", y_range=(1, 1))


class TestAsk:
    def test_a_page_gets_the_answer_to_the_example(self) -> None:
        bundle = Ask("a film", lambda text: f"<p>{len(text)}</p>")._repr_mimebundle_()
        assert bundle["text/html"] == "<p>6</p>"
        assert "application/vnd.jupyter.widget-view+json" in bundle

    def test_the_box_answers_what_is_entered(self) -> None:
        box, view = Ask("a film", str.upper).widget().children
        assert view.value == "A FILM"
        box.value = "great"
        assert view.value == "GREAT"
        box.value = "  "
        assert view.value == "GREAT"  # nothing was asked

    def test_an_example_says_something(self) -> None:
        with pytest.raises(ValueError, match="says nothing"):
            Ask(" ", str)
