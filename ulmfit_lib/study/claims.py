"""The claims ledger: what the papers say, and the verdict that our runs give.

``book/claims.yml`` holds one row per claim: the paper's number with its
source, the run record that tests it, the rule, and the outcome we expected
before we looked. Verdicts are computed here, never typed. Introduced in the
chapter *FitLaM*.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ulmfit_lib.study.fields import FieldError, as_choice, as_list, as_object, as_text
from ulmfit_lib.study.records import load_record, runs_dir
from ulmfit_lib.study.rules import (
    Asserted,
    Comparison,
    Equivalence,
    Rule,
    Verdict,
    as_rule,
    combined,
    combined_reason,
)

CLAIMS_FILE = Path(__file__).parents[2] / "book" / "claims.yml"
SOURCES: Mapping[str, str] = {
    "P": "read in the paper",
    "C": "read in the authors' code",
    "S": "told by an article about the paper",
    "D": "derived by arithmetic or simulation",
    "2": "second-hand: quoted by another summary",
    "-": "the paper gives no number",
}
EXPECTED: Mapping[str, str] = {
    "+": "the claimed effect",
    "0": "no difference",
    "?": "open",
}
_REQUIRED = ("id", "paper", "claim", "paper_number", "source", "expected", "rule")


class LedgerError(ValueError):
    """A row of the ledger that cannot be judged. Introduced in the chapter *FitLaM*."""


@dataclass(frozen=True)
class Claim:
    """One row of the ledger. Introduced in the chapter *FitLaM*."""

    id: str  # "F1"
    paper: str  # name of the paper's module, "fitlam"
    claim: str  # one sentence
    paper_number: str  # what the paper reports, in its own units
    source: str  # a key of SOURCES
    expected: str  # a key of EXPECTED, written down before the run
    rule: Rule  # decides
    record: str | None = None  # name of the run record; None for an asserted claim
    where: str = ""  # where the number stands, "ULMFiT (v5), Table 7"

    @property
    def records(self) -> tuple[str, ...]:
        """Every run record that its rule compares."""
        return (*([self.record] if self.record else []), *getattr(self.rule, "others", ()))


@dataclass(frozen=True)
class Judgement:
    """A claim with its verdict: one row of the book's table.

    Introduced in the chapter *FitLaM*.
    """

    claim: Claim
    verdict: Verdict
    ours: str  # our numbers with intervals
    reason: str  # why this verdict
    comparisons: tuple[Comparison, ...] = ()  # empty where nothing was run

    @property
    def papers_number(self) -> str:
        """The paper's number and where it comes from, spelled out."""
        source = SOURCES[self.claim.source]
        told = f"{self.claim.where}; {source}" if self.claim.where else source
        return f"{self.claim.paper_number} ({told})"

    @property
    def expected(self) -> str:
        """What we expected before the run, spelled out."""
        return EXPECTED[self.claim.expected]


def load_claims(path: str | Path | None = None) -> tuple[Claim, ...]:
    """All rows of the ledger, checked field by field.

    Introduced in the chapter *FitLaM*.

    Args:
        path: the YAML file; by default ``book/claims.yml``.

    Raises:
        FileNotFoundError: no such file.
        LedgerError: a wrong row (says which field), or an id that occurs twice.
    """
    file = Path(path) if path is not None else CLAIMS_FILE
    if not file.is_file():
        raise FileNotFoundError(f"no claims ledger at {file}: work in a clone of the project")
    try:
        rows = yaml.safe_load(file.read_text(encoding="utf-8"))
        claims = as_list(file.name, rows, _claim)
    except (yaml.YAMLError, FieldError) as error:
        raise LedgerError(f"{file.name} cannot be read: {error}") from error
    ids = [claim.id for claim in claims]
    repeated = sorted({name for name in ids if ids.count(name) > 1})
    if repeated:
        raise LedgerError(f"{file.name}: the ids {repeated} occur more than once")
    return claims


def judge(
    claim: Claim, folder: str | Path | None = None, book: str | Path | None = None
) -> Judgement:
    """The verdict on ``claim``; "not yet run" where its evidence is not there.

    Introduced in the chapter *FitLaM*.

    Args:
        claim: a row of the ledger.
        folder: where run records live; by default ``book/runs``.
        book: where notebooks live; by default the folder of ``book/claims.yml``.

    Raises:
        RecordError: the record is damaged, or lacks an arm or metric of the rule.
        LedgerError: the notebook has no such cell, or the cell asserts nothing.
    """
    if isinstance(claim.rule, Asserted):
        return _judge_asserted(claim, claim.rule, Path(book or CLAIMS_FILE.parent))
    home = Path(folder) if folder is not None else runs_dir()
    missing = [name for name in claim.records if not (home / f"{name}.json").is_file()]
    if missing:
        return Judgement(claim, Verdict.NOT_RUN, "\N{EM DASH}", f"no record {missing[0]!r} yet")
    found = tuple(claim.rule.compare(*(load_record(name, home) for name in claim.records)))
    verdict = combined([comparison.verdict for comparison in found])
    ours = "; ".join(f"{c.what}: {c.measured}" for c in found)
    return Judgement(claim, verdict, ours, combined_reason(found, verdict), found)


def judge_all(
    claims: Sequence[Claim], paper: str | None = None, folder: str | Path | None = None
) -> list[Judgement]:
    """The rows of the book's table: every claim of ``paper`` (or of all) with its verdict.

    Introduced in the chapter *FitLaM*.

    Args:
        claims: the ledger.
        paper: name of a paper's module; None takes all.
        folder: where run records live; by default ``book/runs``.

    Raises:
        LedgerError: no claim of that paper, or whatever :func:`judge` raises.
    """
    chosen = [claim for claim in claims if paper in (None, claim.paper)]
    if not chosen:
        papers = sorted({claim.paper for claim in claims})
        raise LedgerError(f"paper={paper!r} has no claim in the ledger; it holds {papers}")
    return [judge(claim, folder) for claim in chosen]


def markdown_table(judgements: Sequence[Judgement]) -> str:
    """The table of claims in Markdown. Introduced in the chapter *FitLaM*."""
    head = ("Claim", "The paper", "Ours", "Expected", "Verdict")
    rows = [
        (f"**{j.claim.id}** {j.claim.claim}", j.papers_number, j.ours, j.expected,
         f"**{j.verdict}**: {j.reason}")
        for j in judgements
    ]  # fmt: skip
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_in_cell(text) for text in line) + " |" for line in lines)


def _judge_asserted(claim: Claim, rule: Asserted, book: Path) -> Judgement:
    path = book / rule.notebook
    if not path.is_file():
        return Judgement(claim, Verdict.NOT_RUN, "\N{EM DASH}", f"no chapter {rule.notebook} yet")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if rule.tag in c.get("metadata", {}).get("tags", [])]
    if not any("assert " in "".join(cell["source"]) for cell in tagged):
        raise LedgerError(
            f"{claim.id}: {rule.notebook} has no cell tagged {rule.tag!r} that asserts the claim"
        )
    ours = f"asserted in {rule.notebook}"
    return Judgement(claim, Verdict.REPRODUCED, ours, "the book is not built where it fails")


def _in_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _claim(where: str, raw: Any) -> Claim:
    row = as_object(where, raw, _REQUIRED, ["record", "where"])
    name = as_text(f"{where}.id", row["id"])
    place = f"{where} ({name})"
    texts = {key: as_text(f"{place}.{key}", row[key]) for key in ("paper", "claim", "paper_number")}
    rule = as_rule(f"{place}.rule", row["rule"])
    expected = as_choice(f"{place}.expected", row["expected"], EXPECTED)
    if (expected == "0") != isinstance(rule, Equivalence):
        raise FieldError(f"{place}: expected '0' and the rule 'equivalence' belong together")
    if ("record" in row) == isinstance(rule, Asserted):
        raise FieldError(f"{place}: name a record, or an 'asserted' rule that needs none")
    return Claim(
        id=name,
        **texts,
        source=as_choice(f"{place}.source", str(row["source"]), SOURCES),
        expected=expected,
        rule=rule,
        record=as_text(f"{place}.record", row["record"]) if "record" in row else None,
        where=as_text(f"{place}.where", row["where"]) if "where" in row else "",
    )
