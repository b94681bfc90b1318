"""Directives that show evidence: the claims with their verdicts, and run records."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives

from book_build.directive import BookDirective
from book_build.wording import duration, size

if TYPE_CHECKING:
    from ulmfit_lib.study.claims import Judgement
    from ulmfit_lib.study.records import RunRecord

VERDICT_CLASSES = {"reproduced": "verdict-good", "not reproduced": "verdict-bad"}
PAPER_NAMES = {
    "awd_lstm": "AWD-LSTM",
    "fitlam": "FitLaM",
    "ulmfit": "ULMFiT",
    "bert_finetuning": "How to Fine-Tune BERT",
    "dont_stop_pretraining": "Don't Stop Pretraining",
    "selective_masking": "Train No Evil",
    "recadam": "RecAdam",
}
_MARKUP = re.compile(r"([\\`*_{}\[\]<>$|~])")


class ClaimsTable(BookDirective):
    """``{claims-table} fitlam``: each claim of a paper, its number, ours, the verdict.

    Without a paper: a section for every paper of the ledger.
    """

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One row per claim; the verdicts are computed here."""
        from ulmfit_lib.study.claims import judge_all, load_claims

        ledger, runs = self.layout.book / "claims.yml", self.layout.book / "runs"
        self.depends_on(ledger)
        try:
            claims = load_claims(ledger)
            for name in {name for claim in claims for name in claim.records}:
                self.depends_on(runs / f"{name}.json")
            if self.arguments:
                return self._shown(judge_all(claims, self.arguments[0], runs))
            papers = dict.fromkeys(claim.paper for claim in claims)
            return [self._section(name, judge_all(claims, name, runs)) for name in papers]
        except ValueError as error:
            raise self.error(f"claims-table: {error}") from error

    def _section(self, paper: str, judgements: Sequence[Judgement]) -> nodes.section:
        title = PAPER_NAMES.get(paper, paper)
        section = nodes.section("", nodes.title(title, title), ids=[nodes.make_id(title)])
        self.state.document.note_explicit_target(section)
        section += self._shown(judgements)
        return section

    def _shown(self, judgements: Sequence[Judgement]) -> list[nodes.Node]:
        """A table; the same claim on a further task has a row once its study was run."""
        headers = ["Claim", "The paper's number", "Ours", "Verdict"]
        waiting = [j.claim.id for j in judgements if _waits(j)]
        rows = [_claim_row(judgement) for judgement in judgements if not _waits(judgement)]
        shown: list[nodes.Node] = [self.table(headers, rows, ["claims-table"], [7, 6, 6, 5])]
        if waiting:
            names = ", ".join(waiting)
            shown += self.markdown(f"The same on further tasks, not yet run: {names}.")
        return shown


class RunRecordSummary(BookDirective):
    """``{run-record} fitlam-laptop``: how an experiment was run, and what each stage saw.

    ``:metric: accuracy`` adds the result of every arm. With ``:optional:`` a record that is not
    there is said to be missing, instead of failing the build.
    """

    required_arguments = 1
    option_spec: ClassVar = {"metric": directives.unchanged_required, "optional": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Circumstances, results if asked for, the audit, and the settings folded away."""
        from ulmfit_lib.study.records import load_record

        path = self.layout.book / "runs" / f"{self.arguments[0]}.json"
        self.depends_on(path)
        if "optional" in self.options and not path.is_file():
            return self.markdown(f"*There is no record `{path.stem}` yet: the study was not run.*")
        try:
            record = load_record(path.stem, path.parent)
        except (FileNotFoundError, ValueError) as error:
            raise self.error(f"run-record: {error}") from error
        shown = [self.table(["Run", path.stem], _circumstances(record, path), widths=[1, 3])]
        if "metric" in self.options:
            shown.append(self._results(record, self.options["metric"]))
        shown.append(self.table(["Stage", "Split", "Texts", "Labels"], _audit(record)))
        settings = json.dumps(dict(record.config), indent=2, ensure_ascii=False)
        folded = f"````{{dropdown}} All settings\n```json\n{settings}\n```\n````"
        return [*shown, *self.markdown(folded)]

    def _results(self, record: RunRecord, metric: str) -> nodes.table:
        from ulmfit_lib.study.comparisons import arm_summary

        summaries = {arm: arm_summary(record, arm, metric) for arm in record.arms}
        rows = [[f"`{arm}`", str(found.n), found.text()] for arm, found in summaries.items()]
        return self.table(["Arm", "Seeds", f"{metric}, % [95 % interval]"], rows)


class ArmDifferences(BookDirective):
    """``{arm-differences} RECORD ...``: differences in accuracy, a line ``ARM − ARM`` each.

    One column per record, with intervals over seeds and test examples.
    """

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """One row per line of the content."""
        from ulmfit_lib.study.records import load_record

        paths = [self.layout.book / "runs" / f"{name}.json" for name in self.arguments[0].split()]
        for path in paths:
            self.depends_on(path)
        try:
            records = [load_record(path.stem, path.parent) for path in paths]
            rows = [[f"`{pair}`", *_differences(records, pair)] for pair in self.content]
        except (FileNotFoundError, ValueError) as error:
            raise self.error(f"arm-differences: {error}") from error
        heads = ["", *(f"`{path.stem}`" for path in paths)]
        return [self.table(heads, rows, widths=[4] + [3] * len(paths))]


def _differences(records: Sequence[RunRecord], pair: str) -> list[str]:
    from ulmfit_lib.study.comparisons import arm_difference

    first, _, second = pair.partition(" − ")
    found = [arm_difference(record, first, second) for record in records]
    return [f"{d.text(sign=True)}, {d.n} seeds" for d in found]


def plain(text: str) -> str:
    """``text`` as Markdown that shows every character as it is."""
    return _MARKUP.sub(r"\\\1", text)


def _waits(judgement: Judgement) -> bool:
    """Whether it is a claim on a further task, such as D2-imdb, without its record."""
    from ulmfit_lib.study.claims import Verdict

    return "-" in judgement.claim.id and judgement.verdict is Verdict.NOT_RUN


def _claim_row(judgement: Judgement) -> list[str]:
    """Claim, the paper's number, ours, and the verdict with what was expected before the run."""
    verdict = str(judgement.verdict)
    return [
        f"**{judgement.claim.id}** {plain(judgement.claim.claim)}",
        plain(judgement.papers_number),
        _ours(judgement),
        f"[{verdict}]{{.verdict .{VERDICT_CLASSES.get(verdict, 'verdict-open')}}}\\\n"
        f"{plain(judgement.reason)}. Expected: {plain(judgement.expected)}.",
    ]


def _ours(judgement: Judgement) -> str:
    """What we measured, a line each; of a claim that a chapter asserts, a link to the chapter."""
    notebook = getattr(judgement.claim.rule, "notebook", None)
    if notebook:
        return f"asserted in {{doc}}`/book/{Path(notebook).stem}`"
    return _lines(plain(part) for part in judgement.ours.split("; "))


def _lines(parts: Iterable[str]) -> str:
    """Each part on a line of its own, in one cell."""
    return "\\\n".join(parts)


def _circumstances(record: RunRecord, path: Path) -> list[list[str]]:
    """What a reader needs to judge or repeat a run."""
    seeds = sorted({seed for cells in record.arms.values() for seed in cells})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return [
        ["Scale", str(record.scale)],
        ["Arms", str(len(record.arms))],
        ["Seeds", ", ".join(map(str, seeds))],
        ["Time, memory", f"{duration(record.wall_time_s)}, {_peak(record)} at most"],
        ["Machine", ", ".join(f"{key} {value}" for key, value in record.machine.items())],
        ["Versions", ", ".join(f"{key} {value}" for key, value in record.versions.items())],
        ["Data", _hashes(record.data_hashes.items())],
        ["Weights", _hashes(record.weight_hashes.items())],
        ["Started", record.created.replace("T", " ").replace("+00:00", " UTC")],
        ["Record", f"`{path.name}`, SHA-256 `{digest[:16]}`"],
    ]


def _peak(record: RunRecord) -> str:
    return size(round(record.peak_memory_mb * 2**20))


def _hashes(items: Iterable[tuple[str, str]]) -> str:
    return _lines(f"{name} `{digest[:16]}`" for name, digest in items) or "none"


def _audit(record: RunRecord) -> list[list[str]]:
    """Each stage and split once: what was shown of it in any run."""
    runs = [cell for cells in record.arms.values() for cell in cells.values()]
    shown = [touched for run in runs for touched in run.touched]
    texts = {(t.stage, t.split) for t in shown if t.text}
    labels = {(t.stage, t.split) for t in shown if t.labels}
    places = dict.fromkeys((t.stage, t.split) for t in shown)
    return [[*place, _seen(place in texts), _seen(place in labels)] for place in places]


def _seen(flag: bool) -> str:
    return "seen" if flag else "not seen"
