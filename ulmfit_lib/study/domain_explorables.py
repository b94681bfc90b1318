"""Figures that move, of the chapter on domains: overlap, neighbours, losses, gains, effects.

Introduced in the chapter *Don't stop pre-training*.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from numpy.typing import NDArray
from scipy.stats import norm, spearmanr

from ulmfit_lib.study import plots
from ulmfit_lib.study.comparisons import mean_effect
from ulmfit_lib.study.interactive import Chart, Control, Curves, Frame, Frames, Line, State, Table
from ulmfit_lib.study.statistics import Summary
from ulmfit_lib.text.neighbours import Pool, nearest
from ulmfit_lib.text.vocabulary_overlap import words

Matrix = NDArray[np.float64]
_NAMES, _HEAD, _SLANT, _CELL = 130, 110, 65, 38  # of the heat map: room for names left, above and
# right, and a cell, in own units
_WIDTH, _ROW, _TEXT = 640, 66, 78  # of the neighbours' picture: own units, and letters of a line


def overlap_explorer(domains: Sequence[str], measures: Mapping[str, Matrix], told: int) -> Frames:
    """A heat map of what every two domains share, by one measure or another.

    A chosen domain's row is marked and has its numbers; below it stand all the
    others in their order from it. Introduced in the chapter *Don't stop
    pre-training*.

    Args:
        domains: their names, D.
        measures: name of a measure to its values in [0, 1], (D, D); nan for a
            pair that it does not measure.
        told: the domain that is chosen first.

    Raises:
        ValueError: fewer than two measures or domains, or a matrix of another shape.
    """

    def draw(state: State) -> Frame:
        """The map of a measure, with the order from a domain in words."""
        name = list(measures)[state[0]]
        return _overlap_frame(domains, name, measures[name], state[1])

    controls = (
        Control("measure", tuple(measures), kind="menu"),
        Control("seen from", tuple(domains), told, kind="menu"),
    )
    return Frames("What domains share", controls, draw)


def neighbour_explorer(
    task: Sequence[str], pool: Pool, counts: Sequence[int] = (1, 3, 5)
) -> Frames:
    """The texts of a pool that are nearest to a chosen text, and the words that they share with it.

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        task: texts to choose from.
        pool: where neighbours are looked for.
        counts: how many are shown, to choose from.

    Raises:
        ValueError: fewer than two texts or counts, or more than the pool has.
    """
    vectors = pool.embed(task)
    places = nearest(pool.vectors, vectors, max(counts))

    def draw(state: State) -> Frame:
        """The neighbours of the chosen text."""
        chosen = places[state[0], : counts[state[1]]]
        found = [(float(vectors[state[0]] @ pool.vectors[i]), pool.texts[i]) for i in chosen]
        return _neighbour_frame(task[state[0]], found)

    names = tuple(f"{i}: {textwrap.shorten(text, 44)}" for i, text in enumerate(task, start=1))
    controls = (
        Control("text of the task", names, kind="menu"),
        Control("neighbours", tuple(map(str, counts)), min(1, len(counts) - 1)),
    )
    return Frames("Nearest neighbours in the domain", controls, draw)


def reading_explorer(
    updates: Sequence[int], losses: Mapping[str, Mapping[str, Sequence[float]]]
) -> Curves:
    """How the loss on each kind of text changes while an encoder reads one of them.

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        updates: when it was measured, from 0 on, U.
        losses: what is read, to the kind of text that is measured, to its
            losses, U; the same kinds whatever is read.

    Raises:
        ValueError: fewer than two kinds of reading, or losses of other lengths.
    """
    changes = {
        read: {kind: np.subtract(line, line[0]) for kind, line in of_kind.items()}
        for read, of_kind in losses.items()
    }
    every = np.concatenate([line for of_kind in changes.values() for line in of_kind.values()])
    edge = max(0.1, 1.1 * float(np.abs(every).max()))

    def compute(state: State) -> Chart:
        """The lines of what is read."""
        read = list(losses)[state[0]]
        return _reading_chart(read, updates, losses[read], changes[read])

    return Curves(
        "What reading changes",
        (Control("the encoder reads", tuple(losses), kind="menu"),),
        compute,
        x_label="updates",
        y_label="change of the loss (nats)",
        y_range=(-edge, edge),
    )


@dataclass(frozen=True)
class Gain:
    """What reading on was worth somewhere. Introduced in the chapter *Don't stop pre-training*."""

    name: str  # of a task or a domain
    overlap: float  # share of words in common, in [0, 1]
    gain: float  # in the view's unit
    low: float = np.nan  # ends of its interval, where one is known
    high: float = np.nan


def gain_explorer(views: Mapping[str, Sequence[Gain]], units: Mapping[str, str]) -> Frames:
    """Gain against overlap, in several views, each with its rank correlation.

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        views: name of a view to its points, three or more.
        units: name of a view to what its gains are, with their unit.

    Raises:
        ValueError: fewer than two views, or a view of fewer than three points.
    """
    for name, points in views.items():
        if len(points) < 3:
            raise ValueError(f"the view {name!r} has {len(points)} points: give three or more")

    def draw(state: State) -> Frame:
        """The points of a view."""
        name = list(views)[state[0]]
        return _gain_frame(name, views[name], units[name])

    return Frames("Does overlap predict gain?", (Control("view", tuple(views), kind="menu"),), draw)


def effects_explorer(effects: Mapping[str, Mapping[str, Mapping[str, Summary]]]) -> Frames:
    """What each kind of reading changed, task by task and in the mean: a panel for each outcome.

    A panel has one range of values, whatever is chosen, and a line at zero.
    Introduced in the chapter *Don't stop pre-training*.

    Args:
        effects: what is read, to an outcome with its unit, to the change of it
            on each task, in that unit; the same outcomes whatever is read.

    Raises:
        ValueError: fewer than two kinds of reading.
    """
    whole: dict[str, dict[str, dict[str, Summary]]] = {
        read: {outcome: _with_mean(tasks) for outcome, tasks in outcomes.items()}
        for read, outcomes in effects.items()
    }
    ranges = {
        outcome: _range([s for found in whole.values() for s in found[outcome].values()])
        for outcome in next(iter(whole.values()), {})
    }

    def draw(state: State) -> Frame:
        """The panels of what is read."""
        read = list(whole)[state[0]]
        return _effects_frame(read, whole[read], ranges)

    control = Control("the encoder has read", tuple(effects), kind="menu")
    return Frames("What reading changes, task by task", (control,), draw)


def rank_correlation(points: Sequence[Gain], level: float = 0.95) -> Summary:
    """Spearman's correlation of overlap and gain, in [-1, 1], with Fisher's interval.

    The interval counts the luck of having just these points, as if each had
    been drawn on its own; three points, or a perfect order, have none. Source
    of its standard error: Bonett and Wright 2000, *Sample size requirements
    for estimating Pearson, Kendall and Spearman correlations*. Introduced in
    the chapter *Don't stop pre-training*.

    Args:
        points: two or more.
        level: coverage, in (0, 1).
    """
    n = len(points)
    rho = float(spearmanr([p.overlap for p in points], [p.gain for p in points]).statistic)
    if n < 4 or not abs(rho) < 1:
        return Summary(rho, math.nan, math.nan, math.nan, n, level)
    half = float(norm.ppf((1 + level) / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = (math.tanh(math.atanh(rho) + side) for side in (-half, half))
    return Summary(rho, math.nan, low, high, n, level)


def _overlap_svg(domains: Sequence[str], matrix: Matrix, chosen: int) -> str:
    """Cells of colour, a path for each colour so that a map is light; numbers in the chosen row."""
    n = len(domains)
    if matrix.shape != (n, n):
        raise ValueError(f"a matrix of shape {matrix.shape} does not fit {n} domains")
    width, height = _NAMES + n * _CELL + _SLANT, _HEAD + n * _CELL + 10
    mark = plots.PALETTE["red"]
    drawn = [
        f'<g transform="translate({_NAMES} {_HEAD}) scale({_CELL})" shape-rendering="crispEdges">'
        f'{_cells_svg(matrix)}<path d="M0 {chosen}h{n}v1h-{n}z" fill="none" stroke="{mark}" '
        'stroke-width=".1"/></g>'
    ]
    for i, name in enumerate(map(html.escape, domains)):
        y, x = _HEAD + (i + 0.65) * _CELL, _NAMES + (i + 0.6) * _CELL
        weight = ' font-weight="bold"' if i == chosen else ""
        drawn.append(
            f'<text x="{_NAMES - 8}" y="{y:g}" text-anchor="end"{weight}>{name}</text>'
            f'<text transform="translate({x:g} {_HEAD - 8}) rotate(-50)"{weight}>{name}</text>'
        )
    drawn += [_number_svg(value, chosen, j) for j, value in enumerate(matrix[chosen])]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="15">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(drawn)}</svg>'
    )


def _cells_svg(matrix: Matrix) -> str:
    """Unit squares, coloured to a whole percent; none for a pair that is not measured."""
    squares: dict[str, str] = defaultdict(str)
    for (i, j), value in np.ndenumerate(matrix):
        if not math.isnan(value):
            squares[_fill(value)] += f"M{j} {i}h1v1h-1z"
    return "".join(f'<path fill="{fill}" d="{path}"/>' for fill, path in squares.items())


def _number_svg(value: float, row: int, column: int) -> str:
    """The percentage in a cell; nothing for a pair that is not measured."""
    if math.isnan(value):
        return ""
    x, y = _NAMES + (column + 0.5) * _CELL, _HEAD + (row + 0.65) * _CELL
    ink = plots.ink_on(_fill(value))
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" fill="{ink}">{100 * value:.0f}</text>'


def _fill(value: float) -> str:
    return to_hex(colormaps[plots.SEQUENTIAL](round(value, 2)))


def _overlap_frame(domains: Sequence[str], measure: str, matrix: Matrix, chosen: int) -> Frame:
    svg = _overlap_svg(domains, matrix, chosen)
    off = matrix[~np.eye(len(domains), dtype=bool)]
    alt = (
        f"Heat map of {len(domains)} domains, {measure}: from {100 * np.nanmin(off):.0f} to "
        f"{100 * np.nanmax(off):.0f} % off the diagonal. The numbers stand in the table below it."
    )
    rows = tuple(
        (name, *("–" if math.isnan(value) else f"{100 * value:.0f}" for value in row))
        for name, row in zip(domains, matrix, strict=True)
    )
    readout = f"{domains[chosen]}, {measure}: {_order_told(domains, matrix[chosen], chosen)}."
    return Frame(svg, alt, readout, Table(("in %", *domains), rows))


def _order_told(domains: Sequence[str], shared: Matrix, chosen: int) -> str:
    """The other domains from the nearest to the farthest, then those that are not measured."""
    others = [i for i in np.argsort(-shared, kind="stable") if i != chosen]
    ranked = [f"{domains[i]} {100 * shared[i]:.0f} %" for i in others if not np.isnan(shared[i])]
    blank = [domains[i] for i in others if np.isnan(shared[i])]
    told = [f"from the nearest {', '.join(ranked)}"] if ranked else []
    return "; ".join(told + ([f"not measured: {', '.join(blank)}"] if blank else []))


def _neighbour_frame(text: str, found: Sequence[tuple[float, str]]) -> Frame:
    shared = [", ".join(sorted(set(words(text)) & set(words(near)))) or "none" for _, near in found]
    readout = f"The text of the task: {text} Words that its nearest neighbour shares: {shared[0]}."
    alt = f"{len(found)} neighbours with their cosine similarity: " + "; ".join(
        f"{similarity:.2f} {textwrap.shorten(near, 80)}" for similarity, near in found
    )
    rows = tuple(
        (str(i), f"{similarity:.2f}", in_common, near)
        for i, ((similarity, near), in_common) in enumerate(zip(found, shared, strict=True), 1)
    )
    table = Table(("rank", "cosine similarity", "words shared", "text of the pool"), rows)
    return Frame(_neighbour_svg(found), alt, readout, table)


def _neighbour_svg(found: Sequence[tuple[float, str]]) -> str:
    """A bar of its similarity for each neighbour, and two lines of its text."""
    height = _ROW * len(found) + 10
    drawn = []
    for i, (similarity, text) in enumerate(found):
        y = 8 + _ROW * i
        lines = textwrap.wrap(text, _TEXT, max_lines=2, placeholder=" …")
        drawn.append(
            f'<rect x="6" y="{y}" width="{max(0.0, similarity) * (_WIDTH - 80):.1f}" height="14" '
            f'fill="{plots.PALETTE["blue"]}"/>'
            f'<text x="{_WIDTH - 8}" y="{y + 13}" text-anchor="end">{similarity:.2f}</text>'
        )
        drawn += [
            f'<text x="6" y="{y + 32 + 17 * k}">{html.escape(line)}</text>'
            for k, line in enumerate(lines)
        ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="15">'
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>{"".join(drawn)}</svg>'
    )


def _reading_chart(
    read: str,
    updates: Sequence[int],
    losses: Mapping[str, Sequence[float]],
    changes: Mapping[str, NDArray[np.float64]],
) -> Chart:
    x = [float(u) for u in updates]
    lines = tuple(Line(kind, x, line.tolist()) for kind, line in changes.items())
    told = "; ".join(f"{kind} {line[0]:.2f} to {line[-1]:.2f}" for kind, line in losses.items())
    rows = tuple(
        (str(u), *(f"{line[i]:.2f}" for line in losses.values())) for i, u in enumerate(updates)
    )
    readout = f"Reading {read} for {updates[-1]} updates, loss of a masked token in nats: {told}."
    return Chart(lines, (x[0], x[-1]), readout, Table(("updates", *losses), rows))


def _gain_frame(name: str, points: Sequence[Gain], unit: str) -> Frame:
    axes = plots.new_axes("wide")
    for i, p in enumerate(points):
        reach = np.nan_to_num([[p.gain - p.low], [p.high - p.gain]]).clip(min=0)
        axes.errorbar(
            100 * p.overlap,
            p.gain,
            reach,
            color=list(plots.PALETTE.values())[i % 5],
            marker=plots.MARKERS[i % 5],
            ls="none",
            capsize=3,
        )
        axes.annotate(p.name, (100 * p.overlap, p.gain), (5, 5), textcoords="offset points", size=8)
    axes.axhline(0, color="#717171", lw=1, ls=":")
    axes.margins(x=0.12, y=0.15)
    axes.set(xlabel="words in common (%)", ylabel=unit)
    rho = rank_correlation(points).text(percent=False, digits=2, sign=True)
    told = "; ".join(f"{p.name} {100 * p.overlap:.0f} %, {p.gain:+.2f}" for p in points)
    readout = f"{name}: rank correlation {rho} over {len(points)} points."
    rows = tuple((p.name, f"{100 * p.overlap:.1f}", f"{p.gain:+.2f}", _ends(p)) for p in points)
    table = Table(("where", "words in common, %", unit, "95 % interval"), rows)
    alt = f"{unit} against the share of words in common. {told}. {readout}"
    return Frame(_drawn(axes), alt, readout, table)


def _with_mean(tasks: Mapping[str, Summary]) -> dict[str, Summary]:
    return {**tasks, f"mean of {len(tasks)} tasks": mean_effect(list(tasks.values()))}


def _range(summaries: Sequence[Summary]) -> tuple[float, float]:
    """From the lowest end of an interval to the highest, with zero, and some room."""
    ends = [0.0, *(x for s in summaries for x in (s.mean, s.low, s.high))]
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    room = 0.05 * (high - low)
    return low - room, high + room


def _effects_frame(
    read: str,
    outcomes: Mapping[str, Mapping[str, Summary]],
    ranges: Mapping[str, tuple[float, float]],
) -> Frame:
    figure, (panels,) = plots.plt.subplots(
        1, len(outcomes), figsize=plots.SIZES["wide"], layout="constrained", squeeze=False
    )
    for axes, (outcome, found) in zip(panels, outcomes.items(), strict=True):
        plots.interval_bars(found, axes, label=outcome, percent=False)
        axes.axvline(0, color=plots.PALETTE["red"], lw=1)
        axes.axhline(len(found) - 1.5, color=plots.PALETTE["grey"], lw=1)
        axes.set_xlim(ranges[outcome])
        axes.locator_params(axis="x", nbins=5)
    for axes in panels[1:]:
        axes.set_yticklabels([])
    rows = tuple(
        (
            task,
            *(found[task].text(percent=False, digits=2, sign=True) for found in outcomes.values()),
        )
        for task in next(iter(outcomes.values()))
    )
    *_, mean = rows
    told = "; ".join(f"{outcome} {text}" for outcome, text in zip(outcomes, mean[1:], strict=True))
    whole = (f"{o}: {plots.describe(s, percent=False, digits=2)}" for o, s in outcomes.items())
    alt = f"Changes with 95 % intervals. {'. '.join(whole)}."
    drawn = plots.picture(figure, alt).svg
    return Frame(drawn, alt, f"{read}, {mean[0]}: {told}.", Table(("task", *outcomes), rows))


def _ends(point: Gain) -> str:
    return "–" if np.isnan(point.low) else f"{point.low:+.2f} to {point.high:+.2f}"


def _drawn(axes: plots.Axes) -> str:
    """The axes' figure as SVG; it is closed."""
    return plots.picture(axes, "drawn").svg
