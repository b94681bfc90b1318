"""Figures that move for RecAdam: the weight of the target and its pull, and paths in a landscape.

Introduced in the chapter *RecAdam*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ulmfit_lib.study import plots
from ulmfit_lib.study.interactive import Chart, Control, Curves, Frame, Frames, Line, State, Table
from ulmfit_lib.training.anchors import Anchors
from ulmfit_lib.training.penalties import quadratic_penalty
from ulmfit_lib.training.recadam import Annealing, RecAdam

FAINT = 1e-3  # a pull below this share of the distance, per step, is called gone
Path = NDArray[np.float64]  # (steps + 1, 2)

LANDSCAPE = np.array([4.0, 0.05])  # curvature of the task's loss along either weight
OPTIMUM = np.array([1.0, 1.0])  # where it is smallest; the pre-trained weights are (0, 0)
STARTS: Mapping[str, tuple[float, float]] = {"pre-trained": (0.0, 0.0), "random": (-0.6, 1.6)}
ANNEALINGS: Mapping[str, Annealing] = {
    "slow sigmoid": Annealing("sigmoid", 0.05, 60),
    "fast sigmoid": Annealing("sigmoid", 0.5, 60),
    "constant (both at once)": Annealing("constant"),
}


def annealing_explorer(
    ks: Sequence[float] = (0.05, 0.1, 0.2, 0.5, 1.0),
    t0s: Sequence[int] = (100, 250, 500),
    pulls: Sequence[float] = (0.02, 0.1, 0.5),
    steps: int = 800,
) -> Curves:
    """The weight of the target, the pull on a weight, and what is left of a random start.

    Introduced in the chapter *RecAdam*.

    Args:
        ks: how fast the sigmoid turns, to choose from.
        t0s: where it is one half, to choose from.
        pulls: ``lr * gamma``, to choose from; 0.1 in the paper.
        steps: shown.
    """

    def compute(state: State) -> Chart:
        """The chart at the chosen k, t0 and strength."""
        annealing, pull = Annealing("sigmoid", ks[state[0]], t0s[state[1]]), pulls[state[2]]
        return _annealing_chart(annealing, pull, steps)

    controls = (
        Control("k", tuple(f"{k:g}" for k in ks), 1),
        Control("t0", tuple(str(t) for t in t0s), 1),
        Control("lr times gamma", tuple(f"{p:g}" for p in pulls), 1),
    )
    return Curves(
        "Learning and recalling, step by step",
        controls,
        compute,
        x_label="step t",
        y_label="share",
        y_range=(0.0, 1.0),
    )


def landscape_explorer(
    gammas: Sequence[float] = (1.0, 4.0, 10.0), lr: float = 0.05, steps: int = 240
) -> Frames:
    """Paths of Adam, of the coupled penalty and of RecAdam over a loss of two weights.

    Introduced in the chapter *RecAdam*.

    Args:
        gammas: strengths of the pull to choose from.
        lr: learning rate of all three.
        steps: of each path.
    """

    def draw(state: State) -> Frame:
        """The frame of the chosen start, annealing and strength."""
        start, name = list(STARTS)[state[0]], list(ANNEALINGS)[state[1]]
        paths = paths_of(STARTS[start], ANNEALINGS[name], gammas[state[2]], lr, steps)
        return _landscape_frame(paths, f"{start} start, {name}, gamma {gammas[state[2]]:g}")

    controls = (
        Control("start", tuple(STARTS), 1, kind="menu"),
        Control("annealing", tuple(ANNEALINGS), 1, kind="menu"),
        Control("gamma", tuple(f"{g:g}" for g in gammas), 1),
    )
    return Frames("Three ways to the task's optimum", controls, draw)


def paths_of(
    start: tuple[float, float], annealing: Annealing, gamma: float, lr: float, steps: int
) -> dict[str, Path]:
    """Where each optimizer goes over the two-weight loss, (steps + 1, 2) by name.

    Introduced in the chapter *RecAdam*.

    Args:
        start: the first point.
        annealing: of the coupled penalty and of RecAdam.
        gamma: strength of their pull to (0, 0).
        lr: learning rate.
        steps: of each path.
    """
    return {
        name: _walk(name, start, annealing, gamma, lr, steps)
        for name in ("Adam", "coupled", "RecAdam")
    }


def _walk(
    name: str, start: tuple[float, float], annealing: Annealing, gamma: float, lr: float, steps: int
) -> Path:
    p = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    anchors: Anchors = {p: torch.zeros(2, dtype=torch.float64)}
    optimizer: torch.optim.Optimizer = torch.optim.Adam([p], lr)
    if name == "RecAdam":
        optimizer = RecAdam([p], anchors, lr, gamma, annealing)
    path = [p.detach().numpy().copy()]
    for t in range(1, steps + 1):
        gap = p - torch.from_numpy(OPTIMUM)
        loss = (torch.from_numpy(LANDSCAPE) * gap * gap).sum() / 2
        if name == "coupled":
            weight = annealing(t)
            loss = weight * loss + (1 - weight) * gamma * quadratic_penalty(anchors)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        path.append(p.detach().numpy().copy())
    return np.array(path)


def _annealing_chart(annealing: Annealing, pull: float, steps: int) -> Chart:
    t = np.arange(1, steps + 1)
    weight = np.array([annealing(int(i)) for i in t])
    shrink = (1 - weight) * pull
    left = np.cumprod(1 - shrink)
    shown = np.unique(np.linspace(0, steps - 1, 120).round().astype(int))
    columns = {
        "weight of the target, lambda": weight,
        "pull: share of the distance taken back": shrink,
        "distance left of a random start": left,
    }
    lines = tuple(Line(n, t[shown].tolist(), c[shown].tolist()) for n, c in columns.items())
    gone = t[shrink < FAINT]
    until = f"from step {gone[0]}" if len(gone) else f"not within {steps} steps"
    at = min(annealing.t0, steps) - 1
    readout = (
        f"k {annealing.k:g}, t0 {annealing.t0}, lr times gamma {pull:g}: at t0 a random start has "
        f"{left[at]:.1g} of its distance left; the pull is gone (below {FAINT:g} per step) {until}."
    )
    rows = [(str(t[i]), *(f"{c[i]:.3g}" for c in columns.values())) for i in shown[::12]]
    return Chart(lines, (0.0, float(steps)), readout, Table(("step", *columns), tuple(rows)))


def _landscape_frame(paths: Mapping[str, Path], setting: str) -> Frame:
    axes = plots.new_axes()
    x, y = np.meshgrid(np.linspace(-0.9, 1.7, 40), np.linspace(-0.5, 1.9, 40))
    loss = (LANDSCAPE[0] * (x - OPTIMUM[0]) ** 2 + LANDSCAPE[1] * (y - OPTIMUM[1]) ** 2) / 2
    axes.contour(x, y, loss, levels=[0.02, 0.2, 1, 3, 5], colors="#b9b9b9", linewidths=0.8)
    for i, (name, path) in enumerate(paths.items()):
        every = path[:: max(1, len(path) // 30)]
        axes.plot(*every.T, ls=plots.LINE_STYLES[i], marker=plots.MARKERS[i], ms=3, label=name)
    for place, text in (((0.0, 0.0), "pre-trained"), (tuple(OPTIMUM), "task's optimum")):
        axes.annotate(text, place, (6, -14), textcoords="offset points")
        axes.plot(*place, marker="*", ms=13, color="#1a1a1a", ls="none")
    axes.set(xlabel="weight 1 (steep)", ylabel="weight 2 (flat)")
    axes.legend(loc="lower left")
    nearest = {name: float(np.linalg.norm(path, axis=1)[1:].min()) for name, path in paths.items()}
    ends = {name: path[-1] for name, path in paths.items()}
    told = "; ".join(
        f"{n} ends at ({e[0]:.2f}, {e[1]:.2f}), nearest to the pre-trained weights {nearest[n]:.2f}"
        for n, e in ends.items()
    )
    alt = (
        f"Paths over the contours of a loss that is steep in one weight, flat in the other. {told}."
    )
    rows = [(n, f"{e[0]:.3f}", f"{e[1]:.3f}", f"{nearest[n]:.3f}") for n, e in ends.items()]
    columns = ("path", "last weight 1", "last weight 2", "nearest to pre-trained")
    svg = plots.figure_svg(axes.figure)  # type: ignore[arg-type]
    plots.plt.close(axes.figure)  # type: ignore[arg-type]
    return Frame(svg, alt, f"{setting}: {told}.", Table(columns, tuple(rows)))
