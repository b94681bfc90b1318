"""Directives that show the models that come with the book: their cards, and how they transfer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from docutils import nodes

from book_build.directive import BookDirective
from book_build.wording import duration, size

if TYPE_CHECKING:
    from ulmfit_lib.study.records import RunRecord

NAMES = {
    "awd_lstm_forward": "AWD-LSTM, forward",
    "awd_lstm_backward": "AWD-LSTM, backward",
    "bert": "Encoder",
}
ARM_NAMES = {
    "tfidf": "TF-IDF, logistic regression",
    "forward": "AWD-LSTM, forward",
    "backward": "AWD-LSTM, backward",
    "encoder": "Encoder",
    "forward scratch": "AWD-LSTM from random weights",
    "encoder scratch": "Encoder from random weights",
}
ARMS = {"awd_lstm_forward": "forward", "awd_lstm_backward": "backward", "bert": "encoder"}
READINGS = {"probe": "frozen", "tuned": "tuned"}


class ShippedModels(BookDirective):
    """``{shipped-models}``: a column per model with what its card says."""

    def run(self) -> list[nodes.Node]:
        """One row per fact, one column per model."""
        from ulmfit_lib.models.pretrained import SHIPPED_WEIGHTS

        cards = cards_of(self)
        columns = [_facts(card, SHIPPED_WEIGHTS) for card in cards]
        rows = [[fact, *(column[fact] for column in columns)] for fact in columns[0]]
        return [
            self.table(["", *(NAMES[card["name"]] for card in cards)], rows, widths=[3, 4, 4, 4])
        ]


class TransferTable(BookDirective):
    """``{transfer-table} transfer-mr-laptop``: models, frozen and tuned, by number of labels."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One row per model and reading, one column per number of labels."""
        from ulmfit_lib.study.records import load_record

        path = self.layout.book / "runs" / f"{self.arguments[0]}.json"
        self.depends_on(path)
        try:
            record = load_record(path.stem, path.parent)
        except (FileNotFoundError, ValueError) as error:
            raise self.error(f"transfer-table: {error}") from error
        arms = record.config["arms"].values()
        counts = sorted({arm["per_class"] for arm in arms})
        stems = dict.fromkeys(name.rpartition("/")[0] for name in record.arms)
        rows = [[_arm_name(stem), *_scores(record, stem, counts)] for stem in stems]
        heads = [f"{n} labels a class" for n in counts]
        return [self.table(["", *heads], rows, widths=[4] + [3] * len(counts))]


class TransferVerdicts(BookDirective):
    """``{transfer-verdicts}``: where each model wins against its rivals, and where it does not."""

    def run(self) -> list[nodes.Node]:
        """A table for each rival: from random weights, TF-IDF, and the other models."""
        cards = cards_of(self)
        rivals = (("scratch", "against random weights"), ("tfidf", "against TF-IDF"))
        return [
            *(self._grid(title, _against(cards, rival)) for rival, title in rivals),
            self._grid("against each other", _against_each_other(cards)),
        ]

    def _grid(self, title: str, found: Mapping[str, Mapping[str, str]]) -> nodes.table:
        """One row per model and reading, one column per task and number of labels."""
        settings = list(next(iter(found.values())))
        rows = [[name, *(said[setting] for setting in settings)] for name, said in found.items()]
        return self.table([title, *settings], rows, widths=[5] + [2] * len(settings))


def _against(cards: Sequence[Mapping[str, Any]], rival: str) -> dict[str, dict[str, str]]:
    return {
        f"{NAMES[card['name']]}, {reading}": _standing(card, method, rival)
        for card in cards
        for method, reading in READINGS.items()
    }


def _against_each_other(cards: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    return {
        f"{NAMES[card['name']]} against {NAMES[other['name']]}, {reading}": _standing(
            card, method, f"{ARMS[other['name']]}/"
        )
        for other, card in itertools.combinations(cards, 2)
        for method, reading in READINGS.items()
    }


def _standing(card: Mapping[str, Any], method: str, rival: str) -> dict[str, str]:
    return verdicts([row for row in card["transfer"] if row["reading"] == method], rival)


def cards_of(directive: BookDirective) -> list[Mapping[str, Any]]:
    """The cards of the shipped models; a page with ``directive`` is read again when they change."""
    from ulmfit_lib.models.encoder import encoder_card
    from ulmfit_lib.models.pretrained import SHIPPED_WEIGHTS, model_card

    for path in SHIPPED_WEIGHTS.rglob("*.json"):
        directive.depends_on(path)
    return [*(model_card(name) for name in list(NAMES)[:2]), encoder_card()]


def verdicts(rows: Sequence[Mapping[str, Any]], rival: str) -> dict[str, str]:
    """Such as ``{"mr 200": "wins", "trec6 10": "level"}``.

    Args:
        rows: of a card, as :mod:`ulmfit_lib.papers.transfer_summary` writes them.
        rival: part of its name; every row has one such.
    """
    return {
        f"{row['task']} {row['labels_per_class']}": next(
            found["verdict"] for name, found in row["against"].items() if rival in name
        )
        for row in rows
    }


def runs(card: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The run that a card tells of, after those that it went on from: the first one first.

    Args:
        card: of a model.
    """
    return [*(runs(card["earlier"]) if "earlier" in card else ()), card]


def _facts(card: Mapping[str, Any], folder: Any) -> dict[str, str]:
    """The facts of a card that stand in the table, in words; its runs are taken together."""
    held_out, fall, made = card["held_out"], card["convergence"], runs(card)
    tokens, seconds = (sum(run[n] for run in made) for n in ("tokens_seen", "training_seconds"))
    kwh = sum(run["energy"]["kwh"] for run in made)
    return {
        "Parameters": f"{card['parameters'] / 1e6:.1f} million",
        "On disk": size(_file(card, folder).stat().st_size),
        "Text read": f"{tokens / 1e6:.0f} million tokens, {tokens / card['corpus_tokens']:.2f} "
        f"passes over {card['corpus_words'] / 1e6:.1f} million words",
        "Corpus, SHA-256": f"`{card['corpus'][:16]}`",
        "Runs": "; then ".join(map(_updates, made)),
        "Command": _where(card),
        "Wikipedia, test": _loss(held_out["test"]),
        "WikiText-2, test": _loss(held_out["wikitext-2-test"]),
        "Still falling": f"{fall['fall_in_nats']:.3f} nats, updates {fall['from_update']:,} to "
        f"{fall['to_update']:,}{_of_the_last(made)}",
        "Training": f"{duration(seconds)}, {tokens / seconds:,.0f} tokens a second",
        "Share of the machine's peak": f"{_utilisation(card)}{_of_the_last(made)}",
        "Energy, estimated": f"{1000 * kwh:.0f} Wh ({card['energy']['assumption']})",
        "Made by": "; then ".join(f"commit `{run['commit']}`, {run['hardware']}" for run in made),
        "Licence of the text": card["licence_of_text"],
    }


def _of_the_last(runs_of_a_card: Sequence[Mapping[str, Any]]) -> str:
    return " of the last run" if len(runs_of_a_card) > 1 else ""


def _file(card: Mapping[str, Any], folder: Any) -> Any:
    name = card["name"]
    return folder / name / "model.safetensors" if name == "bert" else folder / f"{name}.safetensors"


def _utilisation(card: Mapping[str, Any]) -> str:
    found = card.get("utilisation")
    if not found:
        return "not measured"
    note = f" ({found['peak_note']})" if "peak_note" in found else ""
    return f"{100 * found['share']:.0f} % of its matrix products{note}"


def _updates(run: Mapping[str, Any]) -> str:
    config = run["config"]
    said = f"{config['updates']:,} updates, seed {config['seed']}"
    if "first_rate" not in config:
        return said
    first, last = config["first_rate"], config["masking"]["rate"]
    end = first + min(1.0, config["updates"] / config["horizon"]) * (last - first)
    return f"{said}, {100 * first:.0f} % of tokens masked at first and {100 * end:.0f} % at the end"


def _where(card: Mapping[str, Any]) -> str:
    """The card's own path below the weights; a note where the command is not as it was typed."""
    path = f"{card['name']}.json" if card["name"] != "bert" else "bert/model.json"
    notes = [run["command_note"] for run in runs(card) if "command_note" in run]
    return "; ".join([f"in the card, `weights/{path}`", *map(_literal_options, notes)])


def _literal_options(note: str) -> str:
    """``'--start bert'`` as code, lest its two strokes become one dash."""
    return re.sub(r"'(--[^']+)'", r"`\1`", note)


def _loss(row: Mapping[str, Any]) -> str:
    if "mlm_loss" in row:
        return f"{row['mlm_loss']:.2f} nats a masked token, {100 * row['mlm_accuracy']:.0f} % right"
    return (
        f"{row['loss_per_token']:.2f} nats a token; perplexity {row['perplexity_per_token']:.0f} "
        f"a token, {row['perplexity_per_word']:,.0f} a word"
    )


def _arm_name(stem: str) -> str:
    model, _, reading = stem.partition("/")
    return ", ".join([ARM_NAMES[model], *([READINGS[reading]] if reading else [])])


def _scores(record: RunRecord, stem: str, counts: Sequence[int]) -> list[str]:
    from ulmfit_lib.papers.transfer_summary import METRIC
    from ulmfit_lib.study.comparisons import arm_summary

    metric = METRIC.get(record.config["task"], "accuracy")
    return [arm_summary(record, f"{stem}/{n}", metric).text() for n in counts]
