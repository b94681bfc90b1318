"""The style: legible in light and dark, for colour-blind readers, and by text."""

import itertools
import re
from urllib.parse import unquote

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from ulmfit_lib.study.plots import (
    LINE_STYLES,
    MARKERS,
    PALETTE,
    describe,
    figure_svg,
    heat_map,
    ink_on,
    interval_bars,
    learning_curves,
    luminance,
    new_axes,
    picture,
    use_book_style,
)
from ulmfit_lib.study.statistics import Summary

mpl.use("agg")
WHITE, DARK_PAGE, DARK_BOX = "#ffffff", "#14181e", "#222832"
# How dichromats see linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
SIGHT = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.3039]],
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_figure_left():
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    mpl.rcParams.update(before)


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(color, sight):
    linear = np.array([
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in mpl.colors.to_rgb(color)
    ])  # fmt: skip
    seen = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ seen / [0.95047, 1, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def summary(mean, reach=0.02):
    return Summary(mean, reach / 2, mean - reach, mean + reach, 3)


@pytest.mark.parametrize("background", [WHITE, DARK_PAGE, DARK_BOX])
@pytest.mark.parametrize("name", PALETTE)
def test_colours_stand_out_from_light_and_dark(name, background):
    assert contrast(PALETTE[name], background) >= 3


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_differ_for_every_kind_of_sight(sight):
    for a, b in itertools.combinations(PALETTE.values(), 2):
        assert np.linalg.norm(lab(a, sight) - lab(b, sight)) > 20, (a, b)


def test_colour_is_never_the_only_mark():
    assert len(LINE_STYLES) == len(MARKERS) == len(PALETTE)
    assert len(set(map(str, LINE_STYLES))) == len(set(MARKERS)) == len(PALETTE)


def test_luminance_is_wcags():
    assert luminance(WHITE) == pytest.approx(1) and luminance("#000000") == 0
    assert contrast("#777777", WHITE) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("grey", range(0, 256, 5))
def test_ink_is_legible_on_every_background(grey):
    background = f"#{grey:02x}{grey:02x}{grey:02x}"
    assert contrast(ink_on(background), background) >= 4.5


def test_the_style_becomes_the_default():
    use_book_style()
    assert mpl.rcParams["figure.facecolor"] == "white"
    colors = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    assert colors == list(PALETTE.values())


def test_interval_bars_show_every_mean_and_its_reach():
    axes = interval_bars({"scratch": summary(0.3), "pretrained": summary(0.45)})
    assert [t.get_text() for t in axes.get_yticklabels()] == ["scratch", "pretrained"]
    points, _, (bars,) = axes.containers[0].lines
    assert list(points.get_xdata()) == pytest.approx([30, 45])
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[28, 32], [43, 47]])


def test_one_seed_is_drawn_without_an_interval():
    alone = Summary(0.5, float("nan"), float("nan"), float("nan"), 1)
    _, _, (bars,) = interval_bars({"alone": alone}).containers[0].lines
    np.testing.assert_allclose(bars.get_segments()[0][:, 0], [50, 50])


def test_learning_curves_differ_by_more_than_colour():
    series = {name: [summary(0.3), summary(0.4)] for name in ("a", "b", "c")}
    axes = learning_curves([10, 50], series)
    lines = [container.lines[0] for container in axes.containers]
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["10", "50"]
    with pytest.raises(ValueError, match=r"series\['a'\] has 1 points for 2 sizes"):
        learning_curves([10, 50], {"a": [summary(0.3)]})


def test_a_heat_map_writes_its_numbers():
    axes = heat_map([[1, 2.5], [3, 4]], ["r", "s"], ["c", "d"], label="error (%)", digits=1)
    assert [text.get_text() for text in axes.texts] == ["1.0", "2.5", "3.0", "4.0"]
    with pytest.raises(ValueError, match=r"values has shape \(1, 2\)"):
        heat_map([[1, 2]], ["r", "s"], ["c", "d"], label="error (%)")


def test_a_picture_carries_its_text_and_closes_its_figure():
    axes = interval_bars({"a": summary(0.3)})
    found = picture(axes, 'Accuracy of "a" & more')
    assert 'alt="Accuracy of &quot;a&quot; &amp; more"' in found._repr_html_()
    (address,) = re.findall('src="data:image/svg[+]xml,([^"]*)"', found._repr_html_())
    assert unquote(address) == found.svg
    assert plt.get_fignums() == []
    with pytest.raises(ValueError, match="alt is empty"):
        picture(new_axes(), " ")


def test_the_same_figure_gives_the_same_svg():
    def draw():
        return figure_svg(interval_bars({"a": summary(0.3)}).get_figure())

    assert draw() == draw()
    assert draw().startswith("<svg") and "<dc:date>" not in draw()


def test_sizes_have_names():
    assert new_axes("wide").get_figure().get_size_inches().tolist() == [8.0, 3.6]
    with pytest.raises(ValueError, match="size='huge'"):
        new_axes("huge")


def test_numbers_are_described_in_words():
    assert describe({"a": summary(0.3), "b": summary(0.4)}) == (
        "a 30.0 [28.0, 32.0]; b 40.0 [38.0, 42.0]"
    )
