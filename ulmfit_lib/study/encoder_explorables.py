"""Figures that move, of the BERT chapter: which tokens survive, and what a rate destroys.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ulmfit_lib.study.interactive import Control, Frame, Frames, State, Table
from ulmfit_lib.study.plots import PALETTE
from ulmfit_lib.text.pieces import pieces
from ulmfit_lib.text.truncation import FRAME, TRUNCATIONS, truncate

LIMITS = (32, 64, 128, 256, 512)
_COLUMNS, _SIDE, _TOP = 50, 13, 8  # cells in a row, their size, and the room above, in own units


def truncation_explorer(lengths: Mapping[str, int], limits: Sequence[int] = LIMITS) -> Frames:
    """Which tokens of a document an encoder sees, by way of cutting and limit.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        lengths: name of a document to its number of tokens.
        limits: tokens that the encoder takes, ``[CLS]`` and ``[SEP]`` included.

    Raises:
        ValueError: fewer than two documents or limits, or a limit that leaves
            no token of a text.
    """
    ways = (*TRUNCATIONS, "in pieces")

    def draw(state: State) -> Frame:
        """The document's tokens, those that are read filled."""
        name, way, limit = list(lengths)[state[0]], ways[state[1]], limits[state[2]]
        return _tokens_frame(name, lengths[name], way, limit)

    controls = (
        Control("document", tuple(lengths), kind="menu"),
        Control("way", ways, ways.index("head+tail"), kind="menu"),
        Control("limit", tuple(str(limit) for limit in limits), min(1, len(limits) - 1)),
    )
    return Frames("Which tokens survive", controls, draw)


@dataclass(frozen=True)
class RateOutcome:
    """What training at one rate came to. Introduced in the chapter *How to fine-tune BERT*."""

    losses: tuple[float, ...]  # training loss of each epoch, mean over the seeds
    accuracy: float  # share of right answers on the test set, mean over the seeds
    mlm_loss: float  # of held-out masked tokens after the tuning, mean over the seeds


def forgetting_explorer(
    outcomes: Mapping[float, RateOutcome], before: float, chance: float
) -> Frames:
    """Training loss, accuracy and forgetting at several learning rates.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        outcomes: by learning rate, ascending.
        before: loss of the masked tokens before any tuning.
        chance: training loss of a model that knows the classes' shares alone.

    Raises:
        ValueError: fewer than two rates.
    """
    rates = list(outcomes)

    def draw(state: State) -> Frame:
        """The losses at the chosen rate."""
        return _rate_frame(rates[state[0]], outcomes, before, chance)

    controls = (Control("learning rate", tuple(f"{rate:g}" for rate in rates)),)
    return Frames("What a learning rate destroys", controls, draw)


def _tokens_frame(name: str, n: int, way: str, limit: int) -> Frame:
    body, every = limit - FRAME, list(range(n))
    found = pieces(every, body) if way == "in pieces" else [truncate(every, body, way)]
    kept = {place for piece in found for place in piece}
    first = {piece[0] for piece in found if piece}
    share = f"{len(kept)} of {n} tokens ({100 * len(kept) / n:.0f} %)"
    copies = "one copy" if len(found) == 1 else f"{len(found)} pieces, each with its own frame"
    readout = f"{way}, limit {limit}: {share} are read, in {copies}."
    gap = [place for place in every if place not in kept]
    lost = f" Not read: tokens {gap[0] + 1} to {gap[-1] + 1}." if gap else " Nothing is lost."
    alt = f"{name}: {n} tokens as cells, {_COLUMNS} in a row; filled ones are read. {readout}{lost}"
    rows = tuple((str(i + 1), str(len(piece))) for i, piece in enumerate(found))
    table = Table(("piece", "tokens of the text"), rows)
    return Frame(_tokens_svg(n, kept, first), alt, readout + lost, table)


def _tokens_svg(n: int, kept: set[int], first: set[int]) -> str:
    """Cells, filled where they are read, with a dark edge where a piece begins."""
    rows = -(-n // _COLUMNS)
    width, height = _COLUMNS * _SIDE + 10, rows * _SIDE + 2 * _TOP
    cut = [place for place in range(n) if place not in kept]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><rect width="{width}" height="{height}" fill="#fff"/>'
        f'<path fill="none" stroke="{PALETTE["grey"]}" d="{_cells(cut, _SIDE - 2)}"/>'
        f'<path fill="{PALETTE["blue"]}" d="{_cells(sorted(kept), _SIDE - 2)}"/>'
        f'<path fill="#1a1a1a" d="{_cells(sorted(first), 4)}"/></svg>'
    )


def _cells(places: Sequence[int], width: int) -> str:
    """A path of one rectangle a token."""
    high = _SIDE - 2
    corners = ((5 + p % _COLUMNS * _SIDE, _TOP + p // _COLUMNS * _SIDE) for p in places)
    return "".join(f"M{x} {y}h{width}v{high}h-{width}z" for x, y in corners)


def _rate_frame(
    rate: float, outcomes: Mapping[float, RateOutcome], before: float, chance: float
) -> Frame:
    chosen = outcomes[rate]
    readout = (
        f"Rate {rate:g}: training loss {chosen.losses[-1]:.2f} after {len(chosen.losses)} epochs "
        f"(chance {chance:.2f}), {100 * chosen.accuracy:.0f} % right, and a masked token costs "
        f"{chosen.mlm_loss:.2f} nats (before the tuning {before:.2f})."
    )
    bars = {
        "training loss": (chosen.losses[-1], chance, "chance"),
        "cost of a masked token": (chosen.mlm_loss, before, "before"),
    }
    most = 1.05 * max(chance, before, *(max(o.losses[-1], o.mlm_loss) for o in outcomes.values()))
    rows = tuple(
        (f"{r:g}", f"{o.losses[-1]:.2f}", f"{100 * o.accuracy:.0f} %", f"{o.mlm_loss:.2f}")
        for r, o in outcomes.items()
    )
    table = Table(("rate", "training loss", "right", "masked token"), rows)
    return Frame(_bars_svg(bars, most), f"Two bars with a mark each. {readout}", readout, table)


def _bars_svg(bars: Mapping[str, tuple[float, float, str]], most: float) -> str:
    """Horizontal bars, each with a mark that it is to be compared with."""
    width, height, left, room = 640, 70 * len(bars) + 10, 200, 400
    drawn = []
    for i, (name, (value, mark, what)) in enumerate(bars.items()):
        y, end, at = 20 + 70 * i, room * value / most, left + room * mark / most
        drawn.append(
            f'<text x="{left - 10}" y="{y + 22}" text-anchor="end">{html.escape(name)}</text>'
            f'<rect x="{left}" y="{y}" width="{end:.1f}" height="32" fill="{PALETTE["blue"]}"/>'
            f'<text x="{left + 6}" y="{y + 22}" fill="#fff">{value:.2f}</text>'
            f'<path d="M{at:.1f} {y - 6}v44" stroke="#1a1a1a" stroke-width="3"/>'
            f'<text x="{at:.1f}" y="{y + 52}" font-size="14" text-anchor="middle">'
            f"{html.escape(what)} {mark:.2f}</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="16">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(drawn)}</svg>'
    )
