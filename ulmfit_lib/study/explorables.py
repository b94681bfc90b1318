"""The book's figures that move, drawn from the library's own functions.

:func:`schedule_explorer` compares learning-rate schedules,
:func:`unfreezing_explorer` shows which layers train when, and how fast,
:func:`rates_explorer` the same step by step.
Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ulmfit_lib.study.interactive import (
    Chart,
    Control,
    Curves,
    Frame,
    Frames,
    Line,
    State,
    Table,
)
from ulmfit_lib.study.plots import LINE_STYLES, SEQUENTIAL, figure_svg, ink_on
from ulmfit_lib.training import schedules, unfreezing
from ulmfit_lib.training.groups import FITLAM_RATIO, ULMFIT_RATIO, discriminative_lrs
from ulmfit_lib.training.unfreezing import Plan, Stage, rates_by_step

GROUP_NAMES = ("embedding", "LSTM 1", "LSTM 2", "LSTM 3", "head")


@dataclass(frozen=True)
class SlantSettings:
    """What the controls of :func:`schedule_explorer` set. Introduced in the chapter *FitLaM*."""

    share: float  # of the steps that rise: cut_frac or warmup
    ratio: float  # largest over smallest learning rate


ScheduleOf: TypeAlias = Callable[[np.ndarray, int, float, SlantSettings], np.ndarray]


def _slanted(t: np.ndarray, T: int, lr_max: float, s: SlantSettings) -> np.ndarray:
    return np.asarray(schedules.slanted_triangular(t, T, lr_max, s.share, s.ratio))


def _cosine(t: np.ndarray, T: int, lr_max: float, s: SlantSettings) -> np.ndarray:
    return np.asarray(schedules.cosine(t, T, lr_max))


def _reverse(t: np.ndarray, T: int, lr_max: float, s: SlantSettings) -> np.ndarray:
    return np.asarray(schedules.warmup_reverse_annealing(t, T, lr_max, s.share))


def _warmup(t: np.ndarray, T: int, lr_max: float, s: SlantSettings) -> np.ndarray:
    return np.asarray(schedules.linear_warmup(t, T, lr_max, s.share))


SCHEDULES: Mapping[str, ScheduleOf] = {
    "slanted triangular": _slanted,
    "cosine": _cosine,
    "reverse annealing, then cosine": _reverse,
    "linear warm-up": _warmup,
}


def schedule_explorer(
    shown: Mapping[str, ScheduleOf] | None = None,
    *,
    steps: Sequence[int] = (12, 30, 100, 300),
    shares: Sequence[float] = (0.05, 0.1, 0.2, 0.5),
    ratios: Sequence[float] = (2, 8, 32, 128),
    lr_max: float = 0.01,
) -> Curves:
    """Learning-rate schedules against the step, for several settings.

    Introduced in the chapter *FitLaM*.

    Args:
        shown: name to ``f(t, T, lr_max, settings)``, t an array; by default
            :data:`SCHEDULES`.
        steps: numbers of steps to choose from.
        shares: shares of rising steps to choose from.
        ratios: ratios of largest to smallest rate to choose from.
        lr_max: largest learning rate.

    Raises:
        ValueError: a number that a schedule refuses, or fewer than two choices.
    """
    functions = SCHEDULES if shown is None else shown

    def compute(state: State) -> Chart:
        """The chart at the chosen steps, share and ratio."""
        T, settings = steps[state[0]], SlantSettings(shares[state[1]], ratios[state[2]])
        rates = {name: f(np.arange(T), T, lr_max, settings) for name, f in functions.items()}
        return _schedule_chart(rates, T)

    controls = (
        Control("steps", tuple(str(T) for T in steps), _place(steps, 100)),
        Control("share of steps that rise", tuple(f"{s:g}" for s in shares), _place(shares, 0.1)),
        Control("slant: largest / smallest", tuple(f"{r:g}" for r in ratios), _place(ratios, 32)),
    )
    return Curves(
        "Learning-rate schedules",
        controls,
        compute,
        x_label="step",
        y_label="learning rate",
        y_range=(0.0, lr_max),
    )


def unfreezing_explorer(
    plans: Mapping[str, Plan] | None = None,
    group_names: Sequence[str] = GROUP_NAMES,
    *,
    ratios: Mapping[str, float] | None = None,
) -> Frames:
    """Which layer groups train in which epoch, and at what learning rate.

    Introduced in the chapter *FitLaM*.

    Args:
        plans: name to plan, all over the same number of epochs; by default
            gradual, chain-thaw, last only and full.
        group_names: the layer groups, bottom to top.
        ratios: name to ratio of a group's rate over that of the group above;
            by default 1, FitLaM's 0.3 and ULMFiT's 1/2.6.

    Raises:
        ValueError: plans of different lengths, or a plan with a group that has no name.
    """
    chosen = _default_plans(len(group_names)) if plans is None else plans
    rules = {"0.3 (FitLaM)": FITLAM_RATIO, "1/2.6 (ULMFiT)": ULMFIT_RATIO, "1 (equal)": 1.0}
    rules = rules if ratios is None else dict(ratios)
    tables = {name: _epochs(name, plan, len(group_names)) for name, plan in chosen.items()}
    lengths = {name: len(epochs) for name, epochs in tables.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"the plans last {lengths} epochs: give them the same length")
    n_epochs = next(iter(lengths.values()))

    def draw(state: State) -> Frame:
        """The frame of the chosen plan, rule and epoch."""
        epochs = list(tables.values())[state[0]]
        ratio = list(rules.values())[state[1]]
        rates = np.array([_rates(stage, len(group_names), ratio) for stage in epochs]).T
        return _plan_frame(list(chosen)[state[0]], rates, group_names, state[2])

    controls = (
        Control("plan", tuple(chosen), kind="menu"),
        Control("ratio between layers", tuple(rules), kind="menu"),
        Control("epoch", tuple(str(e + 1) for e in range(n_epochs))),
    )
    return Frames("Which layers train when, and how fast", controls, draw)


def rates_explorer(
    plans: Mapping[str, Plan],
    group_names: Sequence[str] = GROUP_NAMES,
    *,
    batches_per_epoch: Sequence[int] = (4, 20),
    ratios: Mapping[str, float] | None = None,
) -> Frames:
    """The learning rate of every layer group at every step of a plan.

    Introduced in the chapter *ULMFiT*.

    Args:
        plans: name to plan.
        group_names: the layer groups, bottom to top.
        batches_per_epoch: lengths of an epoch to choose from.
        ratios: name to ratio of a group's rate over that of the group above;
            by default ULMFiT's 1/2.6 and 1.

    Raises:
        ValueError: fewer than two plans, lengths or ratios, or a plan with a
            group that has no name.
    """
    rules = {"1/2.6": ULMFIT_RATIO, "1 (equal)": 1.0} if ratios is None else dict(ratios)
    for name, plan in plans.items():
        _epochs(name, plan, len(group_names))

    def draw(state: State) -> Frame:
        """The frame of the chosen plan, ratio and length of an epoch."""
        name, ratio = list(plans)[state[0]], list(rules)[state[1]]
        rates = rates_by_step(
            plans[name], len(group_names), rules[ratio], batches_per_epoch[state[2]]
        )
        return _rates_frame(f"{name}, ratio {ratio}", np.array(rates), group_names)

    controls = (
        Control("plan", tuple(plans), kind="menu"),
        Control("ratio between layers", tuple(rules), kind="menu"),
        Control("batches in an epoch", tuple(map(str, batches_per_epoch))),
    )
    return Frames("The rate of every layer at every step", controls, draw)


def _rates_frame(title: str, rates: np.ndarray, names: Sequence[str]) -> Frame:
    """The frame of one plan; ``rates`` has shape (steps, groups), nan where frozen."""
    told, rows = [], []
    for i in reversed(range(len(names))):
        trained = rates[~np.isnan(rates[:, i]), i]
        first = int(np.flatnonzero(~np.isnan(rates[:, i]))[0]) if len(trained) else None
        largest = f"{trained.max():.2g}" if len(trained) else "frozen"
        told.append(f"{names[i]} {len(trained)} steps, at most {largest}")
        start = "never" if first is None else str(first)
        rows.append((names[i], start, str(len(trained)), largest, f"{trained.sum():.2g}"))
    columns = ("layer group", "first step", "steps", "largest rate", "sum of its rates")
    readout = f"{title}, {len(rates)} steps. {'; '.join(told)}."
    alt = f"Learning rates on a log scale, a line per layer group. {readout}"
    return Frame(_rates_svg(rates, names), alt, readout, Table(columns, tuple(rows)))


def _rates_svg(rates: np.ndarray, names: Sequence[str]) -> str:
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.subplots()
    for i in reversed(range(len(names))):
        style = LINE_STYLES[(len(names) - 1 - i) % len(LINE_STYLES)]
        axes.plot(np.where(rates[:, i] > 0, rates[:, i], np.nan), ls=style, label=names[i])
    axes.set(yscale="log", xlabel="step", ylabel="learning rate", xlim=(0, len(rates)))
    axes.legend(fontsize=9, loc="lower left", bbox_to_anchor=(1, 0))
    return figure_svg(figure)


def _schedule_chart(rates: Mapping[str, np.ndarray], T: int) -> Chart:
    lines = []
    for name, rate in rates.items():
        kept = _worth_drawing(rate)
        lines.append(Line(name, kept.tolist(), rate[kept].tolist()))
    peaks = (
        f"{name}: {rate.max():.2g} at step {int(rate.argmax())}, {rate[-1]:.2g} at the end"
        for name, rate in rates.items()
    )
    return Chart(
        lines=tuple(lines),
        x_range=(0.0, float(T)),
        readout=f"{T} steps. Largest and last rate: {'; '.join(peaks)}.",
        table=_schedule_table(rates, T),
    )


def _schedule_table(rates: Mapping[str, np.ndarray], T: int) -> Table:
    steps = sorted({round(share * (T - 1)) for share in np.linspace(0, 1, 11)})
    rows = [(str(step), *(f"{rate[step]:.5f}" for rate in rates.values())) for step in steps]
    mean = ("mean", *(f"{rate.mean():.5f}" for rate in rates.values()))
    return Table(("step", *rates), (*rows, mean))


def _worth_drawing(rate: np.ndarray, most: int = 60) -> np.ndarray:
    """Steps that give the line its shape: evenly spaced ones, ends and corners."""
    last = len(rate) - 1
    even = np.linspace(0, last, min(len(rate), most)).round().astype(int)
    bends = np.abs(np.diff(rate, 2))
    corners = 1 + np.flatnonzero(bends > 0.02 * rate.max())
    return np.unique(np.concatenate([even, corners]))


def _place(choices: Sequence[float], wanted: float) -> int:
    """Where ``wanted`` stands among ``choices``; the first where it is missing."""
    return list(choices).index(wanted) if wanted in choices else 0


def _default_plans(n_groups: int) -> dict[str, Plan]:
    """Four plans of ``n_groups + 1`` epochs."""
    return {
        "gradual unfreezing": unfreezing.gradual(n_groups) + unfreezing.full(n_groups),
        "chain-thaw": unfreezing.chain_thaw(n_groups),
        "last layer only": unfreezing.last_only(n_groups, n_groups + 1),
        "everything at once": unfreezing.full(n_groups, n_groups + 1),
    }


def _epochs(name: str, plan: Plan, n_groups: int) -> list[Stage]:
    """The stage of every epoch."""
    for stage in plan:
        if max(stage.trainable) >= n_groups:
            raise ValueError(
                f"plans[{name!r}] trains group {max(stage.trainable)}, but there are names for "
                f"{n_groups} groups: name every group"
            )
    return [stage for stage in plan for _ in range(stage.epochs)]


def _rates(stage: Stage, n_groups: int, ratio: float) -> list[float]:
    """Largest learning rate of every group in a stage, nan where it is frozen."""
    lrs = discriminative_lrs(stage.lr_max, n_groups, ratio)
    return [lr if i in stage.trainable else math.nan for i, lr in enumerate(lrs)]


def _plan_frame(plan: str, rates: np.ndarray, names: Sequence[str], epoch: int) -> Frame:
    """The frame of one epoch; ``rates`` has shape (groups, epochs)."""
    training = [
        f"{names[i]} at {rates[i, epoch]:.2g}"
        for i in reversed(range(len(names)))
        if not math.isnan(rates[i, epoch])
    ]
    frozen = [name for name, rate in zip(names, rates[:, epoch], strict=True) if math.isnan(rate)]
    rest = f"; frozen: {', '.join(reversed(frozen))}" if frozen else "; nothing is frozen"
    readout = f"{plan}, epoch {epoch + 1}: {', '.join(training)}{rest}."
    alt = (
        f"Grid of {len(names)} layer groups, the top one in the first row, by {rates.shape[1]} "
        f"epochs; colours show learning rates. Marked is epoch {epoch + 1}: "
        f"{', '.join(training)}{rest}."
    )
    return Frame(_plan_svg(rates, names, epoch), alt, readout, _plan_table(rates, names))


def _plan_table(rates: np.ndarray, names: Sequence[str]) -> Table:
    columns = ("layer group", *(f"epoch {e + 1}" for e in range(rates.shape[1])))
    rows = [(names[i], *(_rate_text(r) for r in rates[i])) for i in reversed(range(len(names)))]
    return Table(columns, tuple(rows))


_CELL_WIDTH, _CELL_HEIGHT, _NAMES_WIDTH, _HEAD = 84, 40, 110, 36  # of the grid, in its own units


def _plan_svg(rates: np.ndarray, names: Sequence[str], epoch: int) -> str:
    """The grid: top group first, a frame around the present epoch."""
    n_groups, n_epochs = rates.shape
    width = _NAMES_WIDTH + n_epochs * _CELL_WIDTH + 10
    height = _HEAD + n_groups * _CELL_HEIGHT + 10
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="17" text-anchor="middle">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
    ]
    for row, i in enumerate(reversed(range(n_groups))):
        y = _HEAD + row * _CELL_HEIGHT
        label = html.escape(names[i])
        pieces.append(
            f'<text x="{_NAMES_WIDTH - 10}" y="{y + 25}" text-anchor="end">{label}</text>'
        )
        pieces.extend(_cell_svg(rates[i, e], e, y) for e in range(n_epochs))
    for e in range(n_epochs):
        weight = ' font-weight="bold"' if e == epoch else ""
        x = _NAMES_WIDTH + (e + 0.5) * _CELL_WIDTH
        pieces.append(f'<text x="{x:g}" y="22"{weight}>epoch {e + 1}</text>')
    x = _NAMES_WIDTH + epoch * _CELL_WIDTH
    pieces.append(
        f'<rect x="{x}" y="{_HEAD - 4}" width="{_CELL_WIDTH}" '
        f'height="{n_groups * _CELL_HEIGHT + 8}" fill="none" stroke="#000" stroke-width="3"/></svg>'
    )
    return "".join(pieces)


def _cell_svg(rate: float, epoch: int, y: float) -> str:
    x = _NAMES_WIDTH + epoch * _CELL_WIDTH
    fill, ink = ("#fff", "#595959") if math.isnan(rate) else _rate_colors(rate)
    return (
        f'<rect x="{x + 3}" y="{y + 2}" width="{_CELL_WIDTH - 6}" height="{_CELL_HEIGHT - 4}" '
        f'fill="{fill}" stroke="#8c8c8c"/>'
        f'<text x="{x + _CELL_WIDTH / 2:g}" y="{y + 25}" fill="{ink}">{_rate_text(rate)}</text>'
    )


def _rate_text(rate: float) -> str:
    return "frozen" if math.isnan(rate) else f"{rate:.2g}"


def _rate_colors(rate: float) -> tuple[str, str]:
    """Background and ink of a learning rate, on a log scale from 1e-6 to 1e-2."""
    place = min(max((math.log10(max(rate, 1e-12)) + 6) / 4, 0.0), 1.0)
    fill = to_hex(colormaps[SEQUENTIAL](place))
    return fill, ink_on(fill)
