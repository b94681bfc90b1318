"""Figures that move: one object for the printed page and for live Jupyter.

In a notebook with a kernel such a figure is ipywidgets controls over a
picture. On a page of the site it is plain HTML: native sliders and menus, all
states computed beforehand by the library, and a few lines of script that put
the chosen state in place, with no kernel and no network. Without scripts the
first state stands there as a still picture. :class:`Frames` shows pictures,
:class:`Curves` draws lines. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import math
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from matplotlib.ticker import MaxNLocator

from ulmfit_lib.study.plots import PALETTE, svg_address

State: TypeAlias = tuple[int, ...]  # the chosen option of every control
MAX_STATES = 400  # more make a page slow to load
_DASHES = ("", "8 4", "2 3", "10 3 2 3", "1 4")
_times_shown: Counter[str] = Counter()

STYLE = """
.explorable{margin:1.2rem 0;max-width:46rem}
.explorable figcaption{color:inherit;font-weight:600;margin:0 0 .4rem;padding:0;text-align:left}
.explorable-controls{display:flex;flex-wrap:wrap;gap:.4rem 1.8rem;margin-bottom:.5rem}
.explorable-controls[hidden]{display:none}
.explorable-control{align-items:center;display:flex;gap:.6rem;min-height:2rem}
.explorable-control input{accent-color:#2d68f0;height:1.6rem;width:10rem}
.explorable-control select{background:transparent;border:1px solid;border-radius:3px;
 color:inherit;font:inherit;padding:.15rem .3rem}
.explorable-control option{background:Canvas;color:CanvasText}
.explorable-value{font-variant-numeric:tabular-nums;min-width:3.5rem}
.explorable-stage img{background:#fff;border-radius:4px;display:block;height:auto;width:100%}
.explorable-stage svg{display:block;height:auto;width:100%}
.explorable-stage text{fill:currentColor;font-size:14px}
.explorable-axis{fill:none;stroke:currentColor}
.explorable-grid line{opacity:.25;stroke:currentColor}
.explorable-line{fill:none;stroke-linejoin:round;stroke-width:2.5}
.explorable-legend{display:flex;flex-wrap:wrap;gap:.1rem 1.4rem;list-style:none;
 margin:.2rem 0 .4rem;padding:0}
.explorable-legend svg{display:inline-block;height:.8rem;margin-right:.4rem;width:2.4rem}
.explorable-scroll{overflow-x:auto}
.explorable table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.explorable th,.explorable td{border-bottom:1px solid #8887;padding:.15rem .7rem;text-align:right}
.explorable th:first-child{text-align:left}
@media(max-width:600px){.explorable-stage text{font-size:20px}}
@media print{.explorable-controls,.explorable details{display:none}}
"""

SCRIPT = """
(function(root){
 var at=function(name){return document.getElementById(root.id+"-"+name)};
 var data=JSON.parse(at("data").textContent);
 var controls=data.controls.map(function(_,i){return at("control"+i)});
 function show(){
  var state=0;
  controls.forEach(function(control,i){
   var chosen=Number(control.value),text=data.controls[i][chosen];
   state=state*data.controls[i].length+chosen;
   if(control.type==="range"){
    control.setAttribute("aria-valuetext",text);at("value"+i).textContent=text}
  });
  data.parts.forEach(function(part){
   var element=at(part.element),value=part.values[part.states[state]];
   if(part.attribute==="text")element.textContent=value;
   else if(part.attribute==="html")element.innerHTML=value;
   else element.setAttribute(part.attribute,value);
  });
 }
 controls.forEach(function(control){control.addEventListener("input",show)});
 at("controls").hidden=false;
 show();
})
"""


@dataclass(frozen=True)
class Control:
    """A slider or menu. Introduced in the chapter *FitLaM*."""

    label: str  # what it sets
    options: tuple[str, ...]  # what can be chosen, as the reader sees it
    start: int = 0  # the option shown first
    kind: str = "slider"  # or "menu", for options without an order

    def __post_init__(self) -> None:
        if self.kind not in ("slider", "menu"):
            raise ValueError(f"kind={self.kind!r}: choose 'slider' or 'menu'")
        if len(self.options) < 2 or len(set(self.options)) < len(self.options):
            raise ValueError(f"options={self.options}: give two or more different ones")
        if not 0 <= self.start < len(self.options):
            raise ValueError(f"start={self.start}: there are options 0 .. {len(self.options) - 1}")


@dataclass(frozen=True)
class Table:
    """The numbers behind a picture. Introduced in the chapter *FitLaM*."""

    columns: tuple[str, ...]  # headers; the first column names the rows
    rows: tuple[tuple[str, ...], ...]  # one text per column each

    def html(self) -> str:
        """The table with headers for its columns and rows."""
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self.columns)
        body = "".join(
            f'<tr><th scope="row">{html.escape(name)}</th>'
            + "".join(f"<td>{html.escape(text)}</td>" for text in texts)
            + "</tr>"
            for name, *texts in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


@dataclass(frozen=True)
class Frame:
    """One state of :class:`Frames`. Introduced in the chapter *FitLaM*."""

    svg: str  # the picture, complete
    alt: str  # what it shows, in words
    readout: str  # the one thing to notice, below the picture
    table: Table | None = None  # the numbers


@dataclass(frozen=True)
class Line:
    """One line of a chart. Introduced in the chapter *FitLaM*."""

    name: str  # in the legend
    x: Sequence[float]  # ascending
    y: Sequence[float]  # of the same length


@dataclass(frozen=True)
class Chart:
    """One state of :class:`Curves`. Introduced in the chapter *FitLaM*."""

    lines: tuple[Line, ...]  # the same names in the same order in every state
    x_range: tuple[float, float]  # may change from state to state
    readout: str  # the one thing to notice, below the chart; also its alt text
    table: Table  # the numbers


class Explorable(ABC):
    """A figure with controls. Introduced in the chapter *FitLaM*.

    Args:
        title: what can be explored.
        controls: sliders and menus, one or more.

    Raises:
        ValueError: no title, no control, or more states than ``MAX_STATES``.
    """

    name: ClassVar[str]

    def __init__(self, title: str, controls: Sequence[Control]) -> None:
        count = math.prod(len(control.options) for control in controls)
        if not title.strip() or not controls:
            raise ValueError(f"title={title!r}, {len(controls)} controls: give both")
        if count > MAX_STATES:
            raise ValueError(f"{count} states are too many: at most {MAX_STATES}, offer less")
        self.title = title
        self.controls = tuple(controls)

    @property
    def start(self) -> State:
        """The state shown first."""
        return tuple(control.start for control in self.controls)

    def states(self) -> Iterator[State]:
        """Every state, the last control fastest."""
        return itertools.product(*(range(len(control.options)) for control in self.controls))

    def html(self) -> str:
        """A self-contained figure for a page: no kernel, no network.

        Every call gives ids of its own, so the figure can stand on a page
        more than once.
        """
        uid = self._new_id()
        pieces = [
            f"<style>{STYLE}</style>",
            f'<figure class="explorable" id="{uid}">',
            f"<figcaption>{html.escape(self.title)}</figcaption>",
            f'<div class="explorable-controls" id="{uid}-controls" hidden>',
            *(self._control(uid, i) for i in range(len(self.controls))),
            "</div>",
            "<noscript><p>This is a still picture: moving it needs JavaScript.</p></noscript>",
            self.still(uid, self.start),
            f'<script type="application/json" id="{uid}-data">{self._data()}</script>',
            f'<script>{SCRIPT.strip()}(document.getElementById("{uid}"))</script>',
            "</figure>",
        ]
        return "\n".join(pieces)

    def still(self, uid: str, state: State) -> str:
        """The picture of one state with its read-out and numbers, as HTML.

        Args:
            uid: start of every id in it.
            state: the option chosen for each control.
        """
        parts = self.parts(state)
        pieces = [
            f'<div class="explorable-stage">{self._stage(uid, parts)}</div>',
            f'<p id="{uid}-readout" role="status">{html.escape(parts["readout.text"])}</p>',
        ]
        if "table.html" in parts:
            label = f'role="region" tabindex="0" aria-label="{_quoted(self.title)}: numbers"'
            pieces.append(
                "<details><summary>The numbers</summary>"
                f'<div class="explorable-scroll" id="{uid}-table" {label}>{parts["table.html"]}'
                "</div></details>"
            )
        return "\n".join(pieces)

    @abstractmethod
    def parts(self, state: State) -> Mapping[str, str]:
        """What changes from state to state: ``"element.attribute"`` to its value.

        The attribute ``text`` is the element's text, ``html`` its content;
        ``readout.text`` is always there, ``table.html`` where there are numbers.
        """

    @abstractmethod
    def _stage(self, uid: str, parts: Mapping[str, str]) -> str:
        """The picture itself, with an id ``uid-element`` for each changing element."""

    def widget(self) -> Any:
        """The figure as ipywidgets, for a live notebook.

        Raises:
            ImportError: ipywidgets is not installed.
        """
        import ipywidgets

        view = ipywidgets.HTML()
        chosen = [_as_widget(ipywidgets, control) for control in self.controls]
        uid = self._new_id()

        def show(_: object = None) -> None:
            """Draw what the controls stand at."""
            state = tuple(int(one.index or 0) for one in chosen)
            view.value = (
                f'<style>{STYLE}</style><div class="explorable">{self.still(uid, state)}</div>'
            )

        for one in chosen:
            one.observe(show, names="index")
        show()
        caption = ipywidgets.HTML(f"<strong>{html.escape(self.title)}</strong>")
        return ipywidgets.VBox([caption, *chosen, view])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/html": self.html()}
        try:
            live = self.widget()._repr_mimebundle_()
        except ImportError:
            live = {}
        bundle.update(live)
        bundle["text/plain"] = f"{self.title}: {self.parts(self.start)['readout.text']}"
        return bundle

    def _control(self, uid: str, i: int) -> str:
        control = self.controls[i]
        label = f'<label for="{uid}-control{i}">{html.escape(control.label)}</label>'
        if control.kind == "menu":
            options = "".join(
                f'<option value="{k}"{" selected" if k == control.start else ""}>'
                f"{html.escape(text)}</option>"
                for k, text in enumerate(control.options)
            )
            field = f'<select id="{uid}-control{i}">{options}</select>'
        else:
            text = _quoted(control.options[control.start])
            field = (
                f'<input type="range" id="{uid}-control{i}" min="0" '
                f'max="{len(control.options) - 1}" step="1" value="{control.start}" '
                f'aria-valuetext="{text}"><span class="explorable-value" id="{uid}-value{i}" '
                f'aria-hidden="true">{text}</span>'
            )
        return f'<div class="explorable-control">{label}{field}</div>'

    def _data(self) -> str:
        """All states as JSON: every different value once, and which state shows which."""
        states = [self.parts(state) for state in self.states()]
        parts = []
        for key in states[0]:
            element, attribute = key.split(".")
            values = list(dict.fromkeys(parts[key] for parts in states))
            places = {value: i for i, value in enumerate(values)}
            parts.append(
                {
                    "element": element,
                    "attribute": attribute,
                    "values": values,
                    "states": [places[state[key]] for state in states],
                }
            )
        data = {"controls": [control.options for control in self.controls], "parts": parts}
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")

    def _new_id(self) -> str:
        """An id that no other figure of this process has, the same on every build."""
        slug = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")[:24].strip("-")
        digest = hashlib.sha256(self._data().encode()).hexdigest()[:6]
        uid = f"{self.name}-{slug}-{digest}"
        _times_shown[uid] += 1
        return uid if _times_shown[uid] == 1 else f"{uid}-{_times_shown[uid]}"


class Frames(Explorable):
    """A figure whose states are pictures. Introduced in the chapter *FitLaM*.

    Args:
        title: what can be explored.
        controls: sliders and menus, one or more.
        draw: the picture of a state; called once for each.

    Raises:
        ValueError: no title, no control, too many states, or a frame without
            alt text.

    Example:
        >>> def draw(state):
        ...     return Frame("<svg/>", f"picture {state[0]}", f"This is picture {state[0]}.")
        >>> "picture 0" in Frames("Two pictures", [Control("Which", ("a", "b"))], draw).html()
        True
    """

    name = "frames"

    def __init__(
        self, title: str, controls: Sequence[Control], draw: Callable[[State], Frame]
    ) -> None:
        super().__init__(title, controls)
        self._frames = {state: draw(state) for state in self.states()}
        for state, frame in self._frames.items():
            if not frame.alt.strip() or not frame.readout.strip():
                raise ValueError(f"the frame of state {state} needs alt text and a read-out")

    def parts(self, state: State) -> Mapping[str, str]:
        """Source and alt text of the image, read-out and numbers."""
        frame = self._frames[state]
        parts = {
            "image.src": svg_address(frame.svg),
            "image.alt": frame.alt,
            "readout.text": frame.readout,
        }
        return parts | ({"table.html": frame.table.html()} if frame.table else {})

    def _stage(self, uid: str, parts: Mapping[str, str]) -> str:
        alt = _quoted(parts["image.alt"])
        return f'<img id="{uid}-image" src="{_quoted(parts["image.src"])}" alt="{alt}">'


class Curves(Explorable):
    """A figure of lines, drawn in the page's own colours. Introduced in the chapter *FitLaM*.

    Args:
        title: what can be explored.
        controls: sliders and menus, one or more.
        compute: the chart of a state; called once for each.
        x_label, y_label: of the axes, with their units.
        y_range: lower and upper end of the vertical axis, the same in every state.

    Raises:
        ValueError: no title, no control, too many states, an empty
            ``y_range``, or states with different lines.
    """

    name = "curves"

    def __init__(
        self,
        title: str,
        controls: Sequence[Control],
        compute: Callable[[State], Chart],
        *,
        x_label: str,
        y_label: str,
        y_range: tuple[float, float],
    ) -> None:
        super().__init__(title, controls)
        if not y_range[0] < y_range[1]:
            raise ValueError(f"y_range={y_range}: give a lower and a larger upper end")
        self.x_label, self.y_label, self.y_range = x_label, y_label, y_range
        self._charts = {state: compute(state) for state in self.states()}
        self._names = tuple(line.name for line in self._charts[self.start].lines)
        for state, chart in self._charts.items():
            if tuple(line.name for line in chart.lines) != self._names:
                raise ValueError(f"state {state} has other lines than {self._names}")

    def parts(self, state: State) -> Mapping[str, str]:
        """Points of each line, horizontal axis, read-out and numbers."""
        chart = self._charts[state]
        parts = {
            "chart.aria-label": f"{self.title}. {chart.readout}",
            "across.html": _x_axis(chart.x_range),
            "readout.text": chart.readout,
            "table.html": chart.table.html(),
        }
        for i, line in enumerate(chart.lines):
            parts[f"line{i}.points"] = _points(line, chart.x_range, self.y_range)
        return parts

    def _stage(self, uid: str, parts: Mapping[str, str]) -> str:
        lines = "".join(
            f'<polyline class="explorable-line" id="{uid}-line{i}" {_stroke(i)} '
            f'points="{parts[f"line{i}.points"]}"/>'
            for i in range(len(self._names))
        )
        legend = "".join(
            f'<li><svg viewBox="0 0 48 12" aria-hidden="true" focusable="false">'
            f'<line class="explorable-line" x1="0" y1="6" x2="48" y2="6" {_stroke(i)}/></svg>'
            f"{html.escape(name)}</li>"
            for i, name in enumerate(self._names)
        )
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" id="{uid}-chart" '
            f'aria-label="{_quoted(parts["chart.aria-label"])}">{_y_axis(self.y_range)}'
            f'<g id="{uid}-across">{parts["across.html"]}</g>{_axis_names(self)}{lines}</svg>'
            f'<ul class="explorable-legend">{legend}</ul>'
        )


class Ask:
    """A box for the reader's own text in Jupyter; on a page, the answer to an example.

    Introduced in the chapter *FitLaM*.

    Args:
        example: the text that stands in the box at first.
        answer: text to HTML, called for every text that is entered.
        label: before the box.

    Raises:
        ValueError: the example is blank.
    """

    def __init__(
        self, example: str, answer: Callable[[str], str], label: str = "Sentence:"
    ) -> None:
        if not example.strip():
            raise ValueError(f"example={example!r} says nothing: give a text")
        self.example, self.answer, self.label = example, answer, label

    def widget(self) -> Any:
        """The box over its answer, as ipywidgets.

        Raises:
            ImportError: ipywidgets is not installed.
        """
        import ipywidgets

        box = ipywidgets.Text(self.example, description=self.label, continuous_update=False)
        box.layout.width = "38rem"
        view = ipywidgets.HTML(self.answer(self.example))

        def show(_: object) -> None:
            """Answer what stands in the box, unless it is blank."""
            if box.value.strip():
                view.value = self.answer(box.value)

        box.observe(show, names="value")
        return ipywidgets.VBox([box, view])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/html": self.answer(self.example)}
        try:
            bundle.update(self.widget()._repr_mimebundle_())
        except ImportError:
            pass
        return bundle


_WIDTH, _HEIGHT = 640, 320  # of a chart, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 22, 12, 56  # margins around the lines


def _across(x: float, x_range: tuple[float, float]) -> float:
    share = (x - x_range[0]) / (x_range[1] - x_range[0])
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _up(y: float, y_range: tuple[float, float]) -> float:
    share = (y - y_range[0]) / (y_range[1] - y_range[0])
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _points(line: Line, x_range: tuple[float, float], y_range: tuple[float, float]) -> str:
    return " ".join(
        f"{_across(x, x_range):.1f},{_up(y, y_range):.1f}"
        for x, y in zip(line.x, line.y, strict=True)
    )


def _ticks(ends: tuple[float, float]) -> list[float]:
    low, high = ends
    slack = 1e-9 * (high - low)
    ticks = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(t) for t in ticks if low - slack <= t <= high + slack]


def _x_axis(x_range: tuple[float, float]) -> str:
    base = _HEIGHT - _BOTTOM
    marks = "".join(
        f'<g class="explorable-grid"><line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{base}"/></g>'
        f'<text x="{x:.1f}" y="{base + 20}" text-anchor="middle">{tick:g}</text>'
        for tick in _ticks(x_range)
        for x in [_across(tick, x_range)]
    )
    return f'{marks}<path class="explorable-axis" d="M{_LEFT} {_TOP}V{base}H{_WIDTH - _RIGHT}"/>'


def _y_axis(y_range: tuple[float, float]) -> str:
    return "".join(
        f'<g class="explorable-grid"><line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" '
        f'y2="{y:.1f}"/></g><text x="{_LEFT - 8}" y="{y + 5:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in _ticks(y_range)
        for y in [_up(tick, y_range)]
    )


def _axis_names(figure: Curves) -> str:
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    return (
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"{html.escape(figure.x_label)}</text>"
        f'<text transform="translate(20 {middle}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(figure.y_label)}</text>"
    )


def _stroke(i: int) -> str:
    color = list(PALETTE.values())[i % len(PALETTE)]
    dash = _DASHES[i % len(_DASHES)]
    return f'stroke="{color}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _as_widget(ipywidgets: Any, control: Control) -> Any:
    kind = ipywidgets.Dropdown if control.kind == "menu" else ipywidgets.SelectionSlider
    return kind(
        options=list(control.options),
        index=control.start,
        description=control.label,
        style={"description_width": "initial"},
    )


def _quoted(text: str) -> str:
    return html.escape(text, quote=True)
