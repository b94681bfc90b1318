"""The directive that draws how the shipped models' losses fell, from their cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from docutils import nodes

from book_build.directive import BookDirective
from book_build.models import NAMES, cards_of, runs

PICTURES = {
    ("awd_lstm_forward", "awd_lstm_backward"): "loss of the next token (nats)",
    ("bert",): "loss of a masked token (nats)",
}


class TrainingCurves(BookDirective):
    """``{training-curves}``: held-out loss by tokens read, a picture for each kind of model."""

    def run(self) -> list[nodes.Node]:
        """Two pictures; a model's further runs go on where the earlier one ended."""
        found = {card["name"]: card for card in cards_of(self)}
        return [
            nodes.raw("", _picture([found[name] for name in names], label), format="html")
            for names, label in PICTURES.items()
        ]


def _picture(cards: Sequence[Mapping[str, Any]], label: str) -> str:
    from ulmfit_lib.study import plots

    axes, told = plots.new_axes("wide"), []
    for card in cards:
        for i, line in enumerate(curves(card)):
            name = NAMES[card["name"]] + (f", run {i + 1}" if len(runs(card)) > 1 else "")
            axes.plot(*zip(*line, strict=True), label=name)
            told.append(f"{name}: from {line[0][1]:.2f} to {line[-1][1]:.2f}")
    axes.set(xlabel="million tokens read", ylabel=label, ylim=(None, 8))
    axes.legend(loc="upper right")
    alt = f"Held-out {label} by tokens read. {'; '.join(told)}."
    return plots.picture(axes, alt)._repr_html_()


def curves(card: Mapping[str, Any]) -> list[list[tuple[float, float]]]:
    """For every run of a card, (million tokens read so far, held-out loss) at its checkpoints.

    Args:
        card: of a model.
    """
    read, lines = 0, []
    for run in runs(card):
        rows = run["history"]
        lines.append([((read + row["tokens"]) / 1e6, row["valid_loss"]) for row in rows])
        read += run["tokens_seen"]
    return lines
