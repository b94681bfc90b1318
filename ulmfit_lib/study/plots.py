"""The one style of the book's pictures.

Colours keep a contrast of 3:1 to a white page, to a dark page and (by line
style and marker as well) to one another for colour-blind readers. Pictures
are drawn on a white card, so they stay legible in a dark page. Introduced in
the chapter *Text and language models*.
"""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ulmfit_lib.study.statistics import Summary

PALETTE: Mapping[str, str] = MappingProxyType(
    {
        "blue": "#2d68f0",
        "red": "#da2b07",
        "green": "#18aa5d",
        "purple": "#ac65ba",
        "grey": "#717171",
    }
)
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v")
SIZES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"single": (6.4, 3.6), "wide": (8.0, 3.6), "tall": (6.4, 5.6), "square": (4.8, 4.8)}
)  # width and height in inches
SEQUENTIAL = "cividis"  # for heat maps: even steps, also for colour-blind readers
_INK = "#1a1a1a"


@dataclass(frozen=True)
class Picture:
    """A figure with the text that says what it shows.

    A notebook shows it as an ``<img>`` with that text as its ``alt``.
    Introduced in the chapter *Text and language models*.
    """

    svg: str  # the figure
    alt: str  # what it shows, for readers who do not see it

    def _repr_html_(self) -> str:
        return f'<img class="book-picture" src="{svg_address(self.svg)}" alt="{_quoted(self.alt)}">'

    def __str__(self) -> str:
        """The text alone, for a terminal."""
        return self.alt


def use_book_style() -> None:
    """Make the book's style the default of matplotlib, and SVG that of the notebook.

    Introduced in the chapter *Text and language models*.
    """
    plt.rcParams.update(_style())
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("svg")


def new_axes(size: str = "single") -> Axes:
    """One empty plot in the book's style. Introduced in the chapter *Text and language models*.

    Args:
        size: a key of :data:`SIZES`.

    Raises:
        ValueError: an unknown ``size``.
    """
    if size not in SIZES:
        raise ValueError(f"size={size!r}: choose one of {', '.join(SIZES)}")
    with mpl.rc_context(_style()):
        _, axes = plt.subplots(figsize=SIZES[size], layout="constrained")
    return axes


def picture(figure: Figure | Axes, alt: str) -> Picture:
    """``figure`` as a picture with alt text; the figure is closed.

    Introduced in the chapter *Text and language models*.

    Args:
        figure: a figure, or the axes in it.
        alt: what it shows, with the numbers that matter.

    Raises:
        ValueError: ``alt`` is empty.
    """
    if not alt.strip():
        raise ValueError("alt is empty: say in words what the figure shows")
    owner = figure if isinstance(figure, Figure) else _figure_of(figure)
    svg = figure_svg(owner)
    plt.close(owner)
    return Picture(svg, alt)


def interval_bars(
    summaries: Mapping[str, Summary],
    axes: Axes | None = None,
    *,
    label: str = "accuracy (%)",
    percent: bool = True,
) -> Axes:
    """Means as points with their intervals, one row per name, the first on top.

    Introduced in the chapter *FitLaM*.

    Args:
        summaries: name to summary.
        axes: draw here; by default on a new figure.
        label: of the horizontal axis, with its unit.
        percent: draw 0.713 as 71.3.
    """
    axes = axes if axes is not None else new_axes()
    scale = 100.0 if percent else 1.0
    rows = range(len(summaries))
    means = [scale * s.mean for s in summaries.values()]
    axes.errorbar(means, rows, xerr=_reaches(list(summaries.values()), scale), fmt="o", capsize=3)
    axes.set_yticks(rows, list(summaries))
    axes.invert_yaxis()
    axes.margins(y=0.15)
    axes.set_xlabel(label)
    return axes


def learning_curves(
    sizes: Sequence[float],
    series: Mapping[str, Sequence[Summary]],
    axes: Axes | None = None,
    *,
    size_label: str = "labelled examples per class",
    label: str = "accuracy (%)",
    percent: bool = True,
) -> Axes:
    """Means against the size of the training set, with intervals, sizes on a log scale.

    Introduced in the chapter *FitLaM*.

    Args:
        sizes: training-set sizes, length N.
        series: name of a line to its summaries, length N.
        axes: draw here; by default on a new figure.
        size_label, label: of the axes, with their units.
        percent: draw 0.713 as 71.3.

    Raises:
        ValueError: a line whose length is not that of ``sizes``.
    """
    axes = axes if axes is not None else new_axes()
    scale = 100.0 if percent else 1.0
    for i, (name, line) in enumerate(series.items()):
        if len(line) != len(sizes):
            raise ValueError(f"series[{name!r}] has {len(line)} points for {len(sizes)} sizes")
        means = [scale * s.mean for s in line]
        style, marker = LINE_STYLES[i % len(LINE_STYLES)], MARKERS[i % len(MARKERS)]
        reach = _reaches(list(line), scale)
        axes.errorbar(sizes, means, reach, ls=style, marker=marker, capsize=3, label=name)
    axes.set_xscale("log")
    axes.set_xticks(list(sizes), [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.set(xlabel=size_label, ylabel=label)
    axes.legend()
    return axes


def heat_map(
    values: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    axes: Axes | None = None,
    *,
    label: str,
    digits: int = 2,
) -> Axes:
    """A table of numbers as colours, every number written into its cell.

    Introduced in the chapter *FitLaM*.

    Args:
        values: shape (R, C).
        rows, columns: names, lengths R and C.
        axes: draw here; by default on a new figure.
        label: what the numbers are, with their unit.
        digits: digits after the point.

    Raises:
        ValueError: names that do not fit the shape of ``values``.
    """
    table = np.asarray(values, dtype=float)
    if table.shape != (len(rows), len(columns)):
        raise ValueError(
            f"values has shape {table.shape}, the names make {(len(rows), len(columns))}"
        )
    axes = axes if axes is not None else new_axes()
    image = axes.imshow(table, cmap=SEQUENTIAL, aspect="auto")
    for (r, c), value in np.ndenumerate(table):
        red, green, blue, _ = image.to_rgba(value)
        ink = ink_on(to_hex((red, green, blue)))
        axes.text(c, r, f"{value:.{digits}f}", ha="center", va="center", color=ink)
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(False)
    _figure_of(axes).colorbar(image, ax=axes, label=label)
    return axes


def ink_on(background: str) -> str:
    """Black or white, whichever stands out more from ``background`` (4.5:1 or better).

    Introduced in the chapter *FitLaM*.

    Args:
        background: a colour, ``"#rrggbb"``.
    """
    return "#000000" if luminance(background) > 0.179 else "#ffffff"


def luminance(color: str) -> float:
    """Relative luminance in [0, 1], as WCAG 2.1 defines it.

    Introduced in the chapter *FitLaM*.
    """
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot(channels, [0.2126, 0.7152, 0.0722]))


def describe(summaries: Mapping[str, Summary], *, percent: bool = True, digits: int = 1) -> str:
    """``"scratch 31.2 [30.1, 32.4]; pretrained 40.0 [...]"``, for alt text.

    Introduced in the chapter *FitLaM*.

    Args:
        summaries: name to summary.
        percent: write 0.713 as 71.3.
        digits: digits after the point.
    """
    texts = (f"{name} {s.text(percent=percent, digits=digits)}" for name, s in summaries.items())
    return "; ".join(texts)


def figure_svg(figure: Figure) -> str:
    """``figure`` as SVG text, the same for the same figure on every build.

    Introduced in the chapter *Text and language models*.
    """
    page = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "book"}):
        figure.savefig(page, format="svg", metadata={"Date": None, "Creator": None})
    text = page.getvalue()
    return text[text.index("<svg") :]


def svg_address(svg: str) -> str:
    """``svg`` as a data address for an ``<img>``.

    It stays readable, and is shorter than base64 once the page is compressed.
    Introduced in the chapter *Text and language models*.
    """
    return f"data:image/svg+xml,{quote(svg, safe='=;,()!*+-.@')}"


def _figure_of(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure any more: draw them again")
    return figure


def _style() -> dict[Any, Any]:
    return {
        "axes.edgecolor": _INK,
        "axes.grid": True,
        "axes.labelcolor": _INK,
        "axes.prop_cycle": cycler(color=list(PALETTE.values()), linestyle=LINE_STYLES),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.dpi": 100,
        "figure.facecolor": "white",
        "figure.figsize": SIZES["single"],
        "font.size": 11,
        "grid.color": "#d9d9d9",
        "image.cmap": SEQUENTIAL,
        "legend.frameon": False,
        "lines.linewidth": 2.0,
        "savefig.facecolor": "white",
        "text.color": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }


def _reaches(summaries: Sequence[Summary], scale: float) -> np.ndarray:
    """Distances from the means down and up to the interval's ends, shape (2, N)."""
    ends = [(s.mean - s.low, s.high - s.mean) for s in summaries]
    return scale * np.nan_to_num(np.array(ends)).clip(min=0).T


def _quoted(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=True)
