"""Rules that turn a run record into a verdict on a claim.

A rule is data, not code: a kind and its operands, read from the claims
ledger. Effects are judged by superiority (does the interval leave out 0?),
claimed nulls by equivalence (does it lie within a margin?), a factor of labels
against the one that is claimed. Introduced in the
chapter *FitLaM*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import combinations
from typing import Any, ClassVar, TypeAlias

from scipy.stats import spearmanr

from ulmfit_lib.study.comparisons import arm_contrast, arm_difference, rise_difference
from ulmfit_lib.study.fields import (
    FieldError,
    as_choice,
    as_list,
    as_number,
    as_object,
    as_text,
    as_whole,
)
from ulmfit_lib.study.label_savings import label_saving
from ulmfit_lib.study.records import RecordError, RunRecord
from ulmfit_lib.study.statistics import METRICS, Summary, t_interval

MIN_SEEDS = 3  # below this no verdict: too few seeds to tell their spread
_SHARES = (*METRICS, "valid_error")  # told in points


class Verdict(StrEnum):
    """What our runs say about a claim. Introduced in the chapter *FitLaM*."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    TOO_SMALL = "too small to tell"
    NOT_RUN = "not yet run"


@dataclass(frozen=True)
class Comparison:
    """One difference that a rule looks at. Introduced in the chapter *FitLaM*."""

    what: str  # in words, "a - b"
    measured: str  # with its interval
    n: int  # seeds
    verdict: Verdict  # of this difference alone
    reason: str  # why, in words


@dataclass(frozen=True)
class Difference:
    """The first arm of every pair scores higher than the second.

    Introduced in the chapter *FitLaM*.
    """

    KIND: ClassVar[str] = "difference"
    metric: str  # of the record's cells; write the larger one first for a loss
    pairs: tuple[tuple[str, str], ...]  # arms
    worthwhile: float = 0.0  # an effect below this counts as none

    def compare(self, record: RunRecord) -> list[Comparison]:
        """Every pair's difference, judged."""
        return [
            _judge_effect(
                f"{first} \N{MINUS SIGN} {second}",
                arm_difference(record, first, second, self.metric),
                self,
            )
            for first, second in self.pairs
        ]


@dataclass(frozen=True)
class Interaction:
    """The first pair's difference is larger than the second pair's.

    Introduced in the chapter *FitLaM*.
    """

    KIND: ClassVar[str] = "interaction"
    metric: str  # of the record's cells
    larger: tuple[str, str]  # arms whose difference is claimed to be larger
    smaller: tuple[str, str]  # than the difference of these
    worthwhile: float = 0.0  # an effect below this counts as none

    def compare(self, record: RunRecord) -> list[Comparison]:
        """The difference of differences, judged."""
        (a, b), (c, d) = self.larger, self.smaller
        summary = arm_contrast(record, {a: 1.0, b: -1.0, c: -1.0, d: 1.0}, self.metric)
        minus = "\N{MINUS SIGN}"
        return [_judge_effect(f"({a} {minus} {b}) {minus} ({c} {minus} {d})", summary, self)]


@dataclass(frozen=True)
class Equivalence:
    """No two of the arms differ by as much as ``margin``: the rule of a claimed null.

    Introduced in the chapter *FitLaM*.
    """

    KIND: ClassVar[str] = "equivalence"
    metric: str  # of the record's cells
    arms: tuple[str, ...]  # two or more
    margin: float  # the smallest difference that would matter

    def compare(self, record: RunRecord) -> list[Comparison]:
        """Every two arms' difference, judged."""
        return [
            _judge_null(
                f"{first} \N{MINUS SIGN} {second}",
                arm_difference(record, first, second, self.metric),
                self,
            )
            for first, second in combinations(self.arms, 2)
        ]


@dataclass(frozen=True)
class Rise:
    """After its best epochs, the curve of each pair's first arm rises by more than the second's.

    That is what a U looks like to a number; one arm alone would not do, since
    the lowest point of any noisy curve lies below its end. Introduced in the
    chapter *ULMFiT*.
    """

    KIND: ClassVar[str] = "rise"
    metric: str  # name of the curve in the record's cells, such as "valid_error"
    pairs: tuple[tuple[str, str], ...]  # arms
    worthwhile: float = 0.0  # an effect below this counts as none

    def compare(self, record: RunRecord) -> list[Comparison]:
        """Every pair's rises, judged."""
        return [
            _judge_effect(
                f"rise of {first} \N{MINUS SIGN} rise of {second}",
                rise_difference(record, first, second, self.metric),
                self,
            )
            for first, second in self.pairs
        ]


@dataclass(frozen=True)
class Saving:
    """From so many labels a class, transfer saves a factor of labels, or more.

    Introduced in the chapter *ULMFiT*.
    """

    KIND: ClassVar[str] = "saving"
    transfer: str  # name of the arms NAME/LABELS that start from a language model
    baseline: str  # name of those they are compared with
    per_class: int  # labels of each class that transfer has
    at_least: float  # labels that the baseline needs for the same accuracy, over those

    def compare(self, record: RunRecord) -> list[Comparison]:
        """The saving, judged."""
        return [_judge_saving(record, self)]


@dataclass(frozen=True)
class Ranking:
    """Over several records, the arms' difference falls as ``predictor`` rises.

    Spearman's correlation over the records, its sign turned, once for each
    seed. The interval counts the luck of the seeds, not that of choosing
    these records: few of them illustrate and prove nothing. Introduced in the
    chapter *Don't stop pre-training*.
    """

    KIND: ClassVar[str] = "ranking"
    metric: ClassVar[str] = "rank correlation"  # what is judged
    score: str  # metric of the records' cells
    pair: tuple[str, str]  # arms whose difference is ranked
    predictor: str  # metric that is the same in every cell of a record
    others: tuple[str, ...]  # the records besides the claim's own
    worthwhile: float = 0.0  # a correlation below this counts as none

    def compare(self, *records: RunRecord) -> list[Comparison]:
        """The correlation over all records, judged.

        Raises:
            RecordError: the arms share no seed.
        """
        first, second = self.pair
        seeds = sorted(set.intersection(*(set(r.cells(arm)) for r in records for arm in self.pair)))
        if not seeds:
            names = ", ".join(r.experiment for r in records)
            raise RecordError(f"{names}: the arms {first!r} and {second!r} share no seed")
        places = [r.values(first, self.predictor, seeds[:1])[0] for r in records]
        gains = [
            r.values(first, self.score, seeds) - r.values(second, self.score, seeds)
            for r in records
        ]
        found = [-_rank_correlation(places, of_seed) for of_seed in zip(*gains, strict=True)]
        minus = "\N{MINUS SIGN}"
        what = (
            f"{minus}rank correlation of {self.predictor} and {first} {minus} {second}, "
            f"{len(records)} records"
        )
        return [_judge_effect(what, t_interval(found), self)]


@dataclass(frozen=True)
class Asserted:
    """A chapter's cell asserts it, so the book is not built where it fails.

    Introduced in the chapter *FitLaM*.
    """

    KIND: ClassVar[str] = "asserted"
    notebook: str  # file name in book/
    tag: str  # tag of the cell


Effect: TypeAlias = Difference | Interaction | Rise | Ranking
Rule: TypeAlias = Effect | Equivalence | Saving | Asserted


def as_rule(where: str, raw: Any) -> Rule:
    """The rule that ``raw``, fields of a YAML file, describes.

    Introduced in the chapter *FitLaM*.

    Args:
        where: the path of ``raw`` in its file, for messages.
        raw: its field ``kind`` says which rule it is.

    Raises:
        FieldError: an unknown kind, or an operand missing, unknown or wrong.
    """
    kind = as_choice(f"{where}.kind", as_object(where, raw).get("kind"), _READERS)
    return _READERS[kind](where, raw)


def combined(verdicts: Sequence[Verdict]) -> Verdict:
    """All must hold; one that fails decides; otherwise nobody can tell.

    Introduced in the chapter *FitLaM*.
    """
    if all(v is Verdict.REPRODUCED for v in verdicts):
        return Verdict.REPRODUCED
    failed = Verdict.NOT_REPRODUCED in verdicts
    return Verdict.NOT_REPRODUCED if failed else Verdict.TOO_SMALL


def combined_reason(found: Sequence[Comparison], verdict: Verdict) -> str:
    """The reasons that decided, with the comparison's name where there are several.

    Introduced in the chapter *FitLaM*.

    Args:
        found: the comparisons of one rule.
        verdict: what they gave together.
    """
    if len(found) == 1:
        return found[0].reason
    deciding = [c for c in found if c.verdict is verdict]
    if len(deciding) == len(found) and len({c.reason for c in found}) == 1:
        return f"each time {found[0].reason}"
    return "; ".join(f"{c.what}: {c.reason}" for c in deciding)


def in_points(summary: Summary, metric: str) -> str:
    """A difference with its interval: in points for a share, else in the metric's unit.

    Introduced in the chapter *FitLaM*.

    Args:
        summary: of the difference.
        metric: what was compared.
    """
    if metric in _SHARES:
        return f"{summary.text(sign=True)} points"
    return summary.text(percent=False, digits=3, sign=True)


def _points_of(value: float, metric: str) -> str:
    return f"{100 * value:.3g} points" if metric in _SHARES else f"{value:.3g}"


def _judge_effect(what: str, summary: Summary, rule: Effect) -> Comparison:
    """Superiority: the interval against 0 and against the smallest effect worth having."""
    found = partial(Comparison, what, in_points(summary, rule.metric), summary.n)
    worth = _points_of(rule.worthwhile, rule.metric)
    if summary.n < MIN_SEEDS:
        return found(Verdict.TOO_SMALL, _too_few(summary.n))
    if summary.high <= rule.worthwhile:
        bound = f"leaves out an effect of {worth} or more" if rule.worthwhile else "lies below 0"
        return found(Verdict.NOT_REPRODUCED, f"the interval {bound}")
    if summary.low > 0:
        return found(Verdict.REPRODUCED, "the interval lies above 0")
    return found(Verdict.TOO_SMALL, "the interval holds 0")


def _judge_null(what: str, summary: Summary, rule: Equivalence) -> Comparison:
    """Equivalence: the interval against the margin on both sides."""
    found = partial(Comparison, what, in_points(summary, rule.metric), summary.n)
    margin = f"\N{PLUS-MINUS SIGN}{_points_of(rule.margin, rule.metric)}"
    if summary.n < MIN_SEEDS:
        return found(Verdict.TOO_SMALL, _too_few(summary.n))
    if -rule.margin < summary.low and summary.high < rule.margin:
        return found(Verdict.REPRODUCED, f"the interval lies within {margin}")
    if summary.low >= rule.margin or summary.high <= -rule.margin:
        return found(Verdict.NOT_REPRODUCED, f"the interval lies outside {margin}")
    return found(Verdict.TOO_SMALL, f"the interval is not within {margin}")


def _judge_saving(record: RunRecord, rule: Saving) -> Comparison:
    """The interval of the saving against the factor that is claimed."""
    saving = label_saving(record, rule.transfer, rule.baseline, rule.per_class)
    what = f"{rule.transfer} against {rule.baseline}, {rule.per_class} labels a class"
    found = partial(Comparison, what, f"{saving.text()} times the labels", saving.n)
    claimed = f"a saving of {rule.at_least:g} times"
    if saving.n < MIN_SEEDS:
        return found(Verdict.TOO_SMALL, _too_few(saving.n))
    if saving.low >= rule.at_least:
        return found(Verdict.REPRODUCED, f"the interval lies above {claimed}")
    if saving.high < rule.at_least:
        return found(Verdict.NOT_REPRODUCED, f"the interval lies below {claimed}")
    return found(Verdict.TOO_SMALL, f"the interval holds {claimed}")


def _rank_correlation(places: Sequence[float], gains: Sequence[float]) -> float:
    """Spearman's, in [-1, 1]; 0 where one side never changes, so that nothing can be ranked."""
    if len(set(places)) == 1 or len(set(gains)) == 1:
        return 0.0
    return float(spearmanr(places, gains).statistic)


def _too_few(n: int) -> str:
    return f"{n} {'seed' if n == 1 else 'seeds'}; a verdict needs {MIN_SEEDS}"


def _of_pairs(kind: type[Difference | Rise], where: str, raw: Any) -> Rule:
    row = as_object(where, raw, ["kind", "metric", "pairs"], ["worthwhile"])
    pairs = as_list(f"{where}.pairs", row["pairs"], _pair)
    if not pairs:
        raise FieldError(f"{where}.pairs: name at least one pair of arms")
    return kind(as_text(f"{where}.metric", row["metric"]), pairs, _worthwhile(where, row))


def _saving(where: str, raw: Any) -> Rule:
    row = as_object(where, raw, ["kind", "transfer", "baseline", "per_class", "at_least"])
    transfer, baseline = (as_text(f"{where}.{k}", row[k]) for k in ("transfer", "baseline"))
    per_class = as_whole(f"{where}.per_class", row["per_class"])
    at_least = as_number(f"{where}.at_least", row["at_least"])
    if not at_least > 1:
        raise FieldError(f"{where}.at_least={at_least}: give a factor above 1")
    return Saving(transfer, baseline, per_class, at_least)


def _interaction(where: str, raw: Any) -> Rule:
    row = as_object(where, raw, ["kind", "metric", "larger", "smaller"], ["worthwhile"])
    metric = as_text(f"{where}.metric", row["metric"])
    larger, smaller = (_pair(f"{where}.{side}", row[side]) for side in ("larger", "smaller"))
    if {*larger} & {*smaller}:
        raise FieldError(f"{where}: the two pairs share an arm")
    return Interaction(metric, larger, smaller, _worthwhile(where, row))


def _ranking(where: str, raw: Any) -> Rule:
    row = as_object(where, raw, ["kind", "score", "pair", "predictor", "others"], ["worthwhile"])
    others = as_list(f"{where}.others", row["others"], as_text)
    if len(set(others)) < max(2, len(others)):
        raise FieldError(f"{where}.others: name two or more different records")
    score, predictor = (as_text(f"{where}.{key}", row[key]) for key in ("score", "predictor"))
    pair = _pair(f"{where}.pair", row["pair"])
    return Ranking(score, pair, predictor, others, _worthwhile(where, row))


def _equivalence(where: str, raw: Any) -> Rule:
    row = as_object(where, raw, ["kind", "metric", "arms", "margin"])
    arms = as_list(f"{where}.arms", row["arms"], as_text)
    if len(arms) < 2 or len(set(arms)) < len(arms):
        raise FieldError(f"{where}.arms: name two or more different arms")
    margin = as_number(f"{where}.margin", row["margin"])
    if not margin > 0:
        raise FieldError(f"{where}.margin={margin}: give the smallest difference that matters")
    return Equivalence(as_text(f"{where}.metric", row["metric"]), arms, margin)


def _asserted(where: str, raw: Any) -> Rule:
    row = as_object(where, raw, ["kind", "notebook", "tag"])
    return Asserted(*(as_text(f"{where}.{key}", row[key]) for key in ("notebook", "tag")))


_READERS: Mapping[str, Callable[[str, Any], Rule]] = {
    Difference.KIND: partial(_of_pairs, Difference),
    Interaction.KIND: _interaction,
    Equivalence.KIND: _equivalence,
    Rise.KIND: partial(_of_pairs, Rise),
    Saving.KIND: _saving,
    Ranking.KIND: _ranking,
    Asserted.KIND: _asserted,
}


def _pair(where: str, raw: Any) -> tuple[str, str]:
    arms = as_list(where, raw, as_text)
    if len(arms) != 2 or arms[0] == arms[1]:
        raise FieldError(f"{where}: expected two different arms, got {list(arms)}")
    return arms[0], arms[1]


def _worthwhile(where: str, row: Mapping[str, Any]) -> float:
    value = as_number(f"{where}.worthwhile", row.get("worthwhile", 0.0))
    if not value >= 0:
        raise FieldError(f"{where}.worthwhile={value}: give 0 or more")
    return value
