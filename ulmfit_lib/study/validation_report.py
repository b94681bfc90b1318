"""How good a classifier is on held-out examples: one report, for a reader and for a file.

Accuracy comes with its interval, with the measures that uneven classes call
for, and beside the baselines that cost nothing. Introduced in the chapter
*ULMFiT*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ulmfit_lib.study.statistics import scores

_WIDEST_TABLE = 12  # classes up to which the confusion matrix is printed
_WORST = 10  # confusions listed instead, where there are more classes


@dataclass(frozen=True)
class ClassScore:
    """One class. Introduced in the chapter *ULMFiT*."""

    name: str  # of the class
    precision: float  # share of the answers "this class" that are right; 0 where there are none
    recall: float  # share of its examples that are found
    f1: float  # harmonic mean of the two
    n: int  # held-out examples of it


@dataclass(frozen=True)
class ValidationReport:
    """A classifier on held-out examples. Introduced in the chapter *ULMFiT*."""

    n: int  # held-out examples
    accuracy: float  # share of right answers
    low: float  # lower end of its 95 % interval (Wilson's, so that 40 of 40 is not certain)
    high: float  # upper end
    balanced_accuracy: float  # mean recall of the classes: each counts alike, however rare
    macro_f1: float  # mean F1 of the classes
    baselines: Mapping[str, float]  # name to accuracy on the same examples
    classes: tuple[ClassScore, ...]  # one per class
    confusion: tuple[tuple[int, ...], ...]  # true class (row) by answer (column)

    def text(self) -> str:
        """The report as plain text, for a terminal."""
        baselines = ", ".join(f"{name} {_percent(a)}" for name, a in self.baselines.items())
        head = (
            f"held-out examples: {self.n:,}\n"
            f"accuracy {_percent(self.accuracy)} [{_percent(self.low)}, {_percent(self.high)}], "
            f"balanced accuracy {_percent(self.balanced_accuracy)}, "
            f"macro-F1 {_percent(self.macro_f1)}\n"
            f"baselines, accuracy: {baselines or 'none'}\n"
        )
        return f"{head}\n{self._class_table()}\n\n{self._confusion_text()}"

    def _class_table(self) -> str:
        rows = [
            (s.name, *map(_percent, (s.precision, s.recall, s.f1)), f"{s.n:,}")
            for s in self.classes
        ]
        return _table([("class", "precision", "recall", "F1", "n"), *rows])

    def _confusion_text(self) -> str:
        names = [score.name for score in self.classes]
        if len(names) <= _WIDEST_TABLE:
            header = ("true class \\ answer", *names)
            rows = [(n, *map(str, row)) for n, row in zip(names, self.confusion, strict=True)]
            return _table([header, *rows])
        worst = sorted(
            (
                (count, names[i], names[j])
                for i, row in enumerate(self.confusion)
                for j, count in enumerate(row)
                if i != j and count
            ),
            reverse=True,
        )[:_WORST]
        lines = [f"{count:,} x {true!r} taken for {answer!r}" for count, true, answer in worst]
        return "\n".join(["most frequent confusions:", *lines])


def validation_report(
    gold: Sequence[int],
    predictions: Sequence[int],
    label_names: Sequence[str],
    baselines: Mapping[str, float] | None = None,
) -> ValidationReport:
    """Count right and wrong answers.

    Introduced in the chapter *ULMFiT*.

    Args:
        gold: true class of each held-out example, length N.
        predictions: answers, length N.
        label_names: name of each class.
        baselines: accuracy of other classifiers on the same examples.

    Raises:
        ValueError: no example, lengths that differ, or a class without a name.
    """
    _check(gold, predictions, label_names)
    size = len(label_names)
    confusion = np.zeros((size, size), dtype=np.int64)
    np.add.at(confusion, (np.asarray(gold), np.asarray(predictions)), 1)
    classes = tuple(_score(name, i, confusion) for i, name in enumerate(label_names))
    present = [score for score in classes if score.n]
    hits = int(np.trace(confusion))
    interval = stats.binomtest(hits, len(gold)).proportion_ci(0.95, method="wilson")
    return ValidationReport(
        n=len(gold),
        accuracy=hits / len(gold),
        low=float(interval.low),
        high=float(interval.high),
        balanced_accuracy=float(np.mean([score.recall for score in present])),
        macro_f1=float(scores(np.asarray(gold), np.asarray(predictions), "macro_f1")),
        baselines=dict(baselines or {}),
        classes=classes,
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
    )


def _check(gold: Sequence[int], predictions: Sequence[int], label_names: Sequence[str]) -> None:
    if not len(gold) or len(gold) != len(predictions):
        raise ValueError(
            f"{len(gold)} true classes and {len(predictions)} answers: give one answer per example"
        )
    largest = max(*gold, *predictions)
    if not 0 <= min(*gold, *predictions) <= largest < len(label_names):
        raise ValueError(f"class {largest} for {len(label_names)} label names: name every class")


def _score(name: str, i: int, confusion: NDArray[np.int64]) -> ClassScore:
    hits, answered, there = confusion[i, i], confusion[:, i].sum(), confusion[i].sum()
    return ClassScore(
        name=name,
        precision=float(hits / max(1, answered)),
        recall=float(hits / max(1, there)),
        f1=float(2 * hits / max(1, answered + there)),
        n=int(there),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
