"""ULMFiT for a reader's own texts: a table in, a classifier folder and a report out.

``python -m ulmfit_lib fit`` and ``predict`` are these functions on the command
line. Introduced in the chapter *ULMFiT*.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from numpy.typing import NDArray
from tqdm import tqdm

from ulmfit_lib.models.classifier import TextClassifier
from ulmfit_lib.models.classifier_folder import (
    SavedClassifier,
    check_target,
    open_classifier,
    save_classifier,
)
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.papers.ulmfit import (
    PAPER,
    ClassifierTuning,
    LMTuning,
    Recipe,
    fine_tune,
    probabilities,
)
from ulmfit_lib.study.baselines import tfidf_logistic_regression
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.seeds import HeldOut, hold_out
from ulmfit_lib.study.validation_report import ValidationReport, validation_report
from ulmfit_lib.text.examples import Examples, cautions, read_examples
from ulmfit_lib.text.streams import DIRECTIONS
from ulmfit_lib.text.tokenizer import encode, load_tokenizer

LIMITS = (
    "The language model behind it was pre-trained on English encyclopaedia text. The report speaks "
    "for texts like the held-out ones; each answer comes with a probability, also where no class "
    "fits."
)
_PACKAGES = ("torch", "fastai", "tokenizers", "numpy")
_COUNTS = (
    *("lm_updates", "lm_epochs", "lm_tokens", "updates", "thaw_updates", "many_batches"),
    *("max_tokens", "max_batch_tokens", "batch_size", "valid_most"),
)


@dataclass(frozen=True)
class FitConfig:
    """What a user may choose; the recipe follows from it and from the data.

    Introduced in the chapter *ULMFiT*.
    """

    both_directions: bool = False  # train a backward model too, and average: twice the time
    lm_updates: int = 100  # optimizer steps of the language model, at least, in whole epochs
    lm_epochs: int = 15  # passes over the text that this may take, at most
    lm_tokens: int = 2_000_000  # tokens of the text that it reads, at most
    updates: int = 200  # optimizer steps of the classifier, all stages, in whole epochs
    thaw_updates: int = 20  # of each stage in which layers thaw; a tenth of updates at most
    many_batches: int = 500  # batches of an epoch from which on two stages thaw instead of all
    max_tokens: int = 1400  # last tokens of a text that are read: as many as are pooled
    max_batch_tokens: int = 24_000  # padded tokens of a batch: bounds the memory
    batch_size: int = 32  # texts, and rows of the stream
    lr_max: float = 0.02  # of the head: twice the paper's, for a model a tenth of its size
    drop_mult: float = 0.3  # factor of the paper's dropouts: small model, few texts
    valid_share: float = 0.2  # of the examples that is held out
    valid_most: int = 5000  # examples that are held out, at most
    seed: int = 0  # of everything random

    def __post_init__(self) -> None:
        if not 0 < self.valid_share < 1:
            raise ValueError(f"valid_share={self.valid_share}: give a share in (0, 1), such as 0.2")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.lr_max <= 0 or self.drop_mult < 0:
            raise ValueError(
                f"lr_max={self.lr_max} must be above 0, drop_mult={self.drop_mult} at least 0"
            )


class Predictor:
    """A fine-tuned classifier that takes texts.

    Introduced in the chapter *ULMFiT*.

    Args:
        saved: models, vocabulary and labels.

    Example:
        >>> load_classifier("my-classifier").predict(["A fine film."])  # doctest: +SKIP
        ['positive']
    """

    def __init__(self, saved: SavedClassifier) -> None:
        self.saved = saved

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return self.saved.label_names

    @property
    def card(self) -> Mapping[str, Any]:
        """How it was made, and how good it is."""
        return self.saved.card

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities (N, C) of the classes, one row per text.

        An empty text gets the answer to no text at all: what the model
        believes beforehand.

        Raises:
            TypeError: one string instead of a list of them.
            ValueError: a text holds half a surrogate pair.
        """
        if isinstance(texts, str):
            raise TypeError("texts is one string: pass a list of texts, [text]")
        if not len(texts):
            return np.zeros((0, len(self.label_names)))
        documents = encode(self.saved.tokenizer, list(texts))
        found = probabilities(self.saved.classifiers, documents, self.saved.max_tokens)
        return found.double().numpy()

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable class of each text, by name.

        Raises:
            TypeError: one string instead of a list of them.
            ValueError: a text holds half a surrogate pair.
        """
        return [self.label_names[i] for i in self.predict_proba(texts).argmax(axis=1)]


def load_classifier(folder: str | Path) -> Predictor:
    """The classifier that ``fit`` wrote to ``folder``.

    Introduced in the chapter *ULMFiT*.

    Raises:
        FileNotFoundError: no such folder.
        ClassifierFolderError: the folder is of another kind, or damaged.
    """
    return Predictor(open_classifier(folder))


@dataclass(frozen=True)
class Fitted:
    """A classifier, and how good it is. Introduced in the chapter *ULMFiT*."""

    predictor: Predictor  # takes texts
    report: ValidationReport  # on examples that no stage was trained on


def fit(
    examples: Examples,
    config: FitConfig = FitConfig(),
    report: Callable[[str], None] = print,
) -> Fitted:
    """Fine-tune the shipped language model into a classifier of ``examples``.

    A fifth of the examples, class by class, is held out: neither stage is
    trained on it, and nothing is chosen on it. Introduced in the chapter *ULMFiT*.

    Args:
        examples: labelled texts, each once, and unlabelled ones.
        config: sizes, rates, directions, seed.
        report: takes one line of progress at a time.
    """
    tokenizer = load_tokenizer()
    documents = encode(tokenizer, examples.texts)
    split = split_examples(examples.labels, config)
    train = [documents[i] for i in split.train]
    labels = [examples.labels[i] for i in split.train]
    unlabelled = encode(tokenizer, examples.unlabelled)
    recipe = recipe_for(train, unlabelled, config)
    report(recipe_text(recipe, len(train), len(split.valid)))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tuned = fine_tune(
        train,
        labels,
        len(examples.label_names),
        recipe,
        unlabelled,
        config.seed,
        ([documents[i] for i in split.valid], [examples.labels[i] for i in split.valid]),
        {d: load_language_model(d).to(device) for d in recipe.directions},
        lambda stage: [StageProgress(stage, report)],
    )
    saved = SavedClassifier(
        _for_use(tuned.classifiers), tokenizer, examples.label_names, config.max_tokens
    )
    predictor = Predictor(saved)
    found = _validate(predictor, examples, split)
    card = _card(examples, config, recipe, found)
    return Fitted(Predictor(replace(saved, card=card)), found)


def fit_file(
    path: str | Path,
    text: str,
    label: str,
    out: str | Path,
    config: FitConfig = FitConfig(),
    encoding: str | None = None,
    drop_rare: bool = False,
    overwrite: bool = False,
    report: Callable[[str], None] = print,
) -> Fitted:
    """Read a table, fine-tune, validate, and save the classifier to a folder.

    Introduced in the chapter *ULMFiT*.

    Args:
        path: CSV or JSON lines, as :func:`ulmfit_lib.text.tables.read_table` takes it.
        text: column of the texts.
        label: column of the classes.
        out: the folder to write.
        config: sizes, rates, directions, seed.
        encoding: of the file, where it is neither UTF-8 nor marked.
        drop_rare: leave classes with too few examples out, instead of refusing.
        overwrite: replace a classifier that is in ``out`` already.
        report: takes one line of progress at a time.

    Raises:
        FileNotFoundError: no file at ``path``.
        TableError: the table cannot be used; says why, and what to do.
        ClassifierFolderError: ``out`` must not be written to.
    """
    check_target(out, overwrite)
    examples = read_examples(path, text, label, encoding, drop_rare=drop_rare)
    report(examples.cleaning.text())
    for caution in cautions(examples):
        report(f"note: {caution}")
    fitted = fit(examples, config, report)
    source = {
        "file": Path(path).name,
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "columns": {"text": text, "label": label},
    }
    saved = replace(fitted.predictor.saved, card={"source": source, **fitted.predictor.card})
    save_classifier(saved, out, overwrite)
    return replace(fitted, predictor=Predictor(saved))


def split_examples(labels: Sequence[int], config: FitConfig) -> HeldOut:
    """Positions to train on and to hold out, class by class.

    Introduced in the chapter *ULMFiT*.

    Args:
        labels: class of each example; no text may stand there twice.
        config: share and most of the held-out ones, seed.

    Raises:
        ValueError: a class has one example only.
    """
    share = min(config.valid_share, config.valid_most / max(1, len(labels)))
    return hold_out(list(labels), share, config.seed)


def recipe_for(
    train: Sequence[Sequence[int]], unlabelled: Sequence[Sequence[int]], config: FitConfig
) -> Recipe:
    """The paper's recipe at the size of the data.

    Few texts are read many times, until the optimizer has made its steps;
    many texts are read once per stage, and then only two stages thaw, as in
    the released scripts. Introduced in the chapter *ULMFiT*.

    Args:
        train: token ids of the labelled texts.
        unlabelled: token ids of the others.
        config: steps, rates, directions.
    """
    n_tokens = min(config.lm_tokens, sum(len(ids) + 1 for ids in [*train, *unlabelled]))
    steps_per_epoch = max(1, n_tokens // (config.batch_size * PAPER.lm.bptt))
    lm_epochs = min(config.lm_epochs, max(1, math.ceil(config.lm_updates / steps_per_epoch)))
    many = len(train) // config.batch_size >= config.many_batches
    fast = has_fast_bfloat16()
    return Recipe(
        lm=replace(
            LMTuning(),
            epochs=lm_epochs,
            max_tokens=config.lm_tokens,
            batch_size=config.batch_size,
            dropouts=PAPER.lm.dropouts.scaled(config.drop_mult),
            steps=replace(PAPER.lm.steps, bfloat16=fast),
        ),
        classifier=replace(
            ClassifierTuning(),
            lr_max=config.lr_max,
            unfreezing="two-stage" if many else "gradual",
            updates=config.updates,
            thaw_updates=min(config.thaw_updates, config.updates // 10),
            batch_size=config.batch_size,
            max_batch_tokens=config.max_batch_tokens,
            max_tokens=config.max_tokens,
            dropouts=PAPER.classifier.dropouts.scaled(config.drop_mult),
            steps=replace(PAPER.classifier.steps, bfloat16=fast),
        ),
        directions=DIRECTIONS if config.both_directions else DIRECTIONS[:1],
    )


def recipe_text(recipe: Recipe, n_train: int, n_valid: int) -> str:
    """One line on what is about to happen.

    Introduced in the chapter *ULMFiT*.

    Args:
        recipe: of :func:`recipe_for`.
        n_train: examples to train on.
        n_valid: examples held out.
    """
    stages = {"gradual": "one more layer thaws at a time", "two-stage": "the head, then one layer"}
    return (
        f"{n_train:,} examples to train on, {n_valid:,} held out; language model: "
        f"{recipe.lm.epochs} epochs; classifier: {stages[recipe.classifier.unfreezing]}, then all; "
        f"{' and '.join(recipe.directions)}"
    )


class StageProgress(Callback):
    """A progress bar per stage on a terminal, and one line when a stage is done.

    Introduced in the chapter *ULMFiT*.

    Args:
        title: of the bar and the line.
        report: takes the line.
    """

    def __init__(self, title: str, report: Callable[[str], None]) -> None:
        self.title, self.report, self.stage = title, report, 0

    def before_fit(self) -> None:
        """Open the bar."""
        self.stage += 1
        total = self.n_epoch * len(self.dls.train)
        self.bar = tqdm(total=total, desc=self.title, unit="step", disable=None, leave=False)

    def after_batch(self) -> None:
        """One step further."""
        if self.training:
            self.bar.update()

    def after_fit(self) -> None:
        """Close the bar and report the last epoch."""
        self.bar.close()
        names = self.recorder.metric_names[1:-1]
        values = zip(names, map(float, self.recorder.values[-1]), strict=True)
        measured = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in values)
        self.report(f"{self.title}, stage {self.stage}: {self.n_epoch} epochs, {measured}")

    def after_cancel_fit(self) -> None:
        """Close the bar of an interrupted stage."""
        self.bar.close()


def answers_as_json(predictor: Predictor, texts: Sequence[str]) -> str:
    """One JSON object per text: text, label, probability, and the probability of each class.

    Introduced in the chapter *ULMFiT*.

    Args:
        predictor: of :func:`load_classifier`.
        texts: to classify.
    """
    lines = []
    for text, row in zip(texts, predictor.predict_proba(texts), strict=True):
        best = int(row.argmax())
        answer = {
            "text": text,
            "label": predictor.label_names[best],
            "probability": _rounded(row[best]),
            "probabilities": dict(zip(predictor.label_names, map(_rounded, row), strict=True)),
        }
        lines.append(json.dumps(answer, ensure_ascii=False) + "\n")
    return "".join(lines)


def answers_as_csv(predictor: Predictor, texts: Sequence[str]) -> str:
    """A table with a row per text: text, label, probability, and a column per class.

    Introduced in the chapter *ULMFiT*.

    Args:
        predictor: of :func:`load_classifier`.
        texts: to classify.
    """
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(["text", "label", "probability", *(f"p({n})" for n in predictor.label_names)])
    for text, row in zip(texts, predictor.predict_proba(texts), strict=True):
        best = int(row.argmax())
        shares = [_rounded(p) for p in row]
        writer.writerow([text, predictor.label_names[best], shares[best], *shares])
    return target.getvalue()


def _rounded(probability: float) -> float:
    return round(float(probability), 6)


def _for_use(classifiers: Mapping[str, TextClassifier]) -> dict[str, TextClassifier]:
    return {direction: model.cpu().eval() for direction, model in classifiers.items()}


def _validate(predictor: Predictor, examples: Examples, split: HeldOut) -> ValidationReport:
    """The report on the held-out examples, beside baselines that saw the same training part."""
    texts = [[examples.texts[i] for i in rows] for rows in split]
    train_labels, gold = ([examples.labels[i] for i in rows] for rows in split)
    answers = [int(i) for i in predictor.predict_proba(texts[1]).argmax(axis=1)]
    commonest = Counter(train_labels).most_common(1)[0][0]
    baselines = {"commonest class": float(np.mean(np.equal(gold, commonest)))}
    try:
        words = tfidf_logistic_regression(texts[0], train_labels, texts[1])
        baselines["TF-IDF + logistic regression"] = float(np.mean(np.equal(words, gold)))
    except ValueError:  # no text holds a word, as with emoji alone: there is no such baseline
        pass
    return validation_report(gold, answers, examples.label_names, baselines)


def _card(
    examples: Examples, config: FitConfig, recipe: Recipe, found: ValidationReport
) -> dict[str, Any]:
    """What the folder says about its classifier."""
    return {
        "what": "a text classifier, ULMFiT on the AWD-LSTM that comes with ulmfit_lib",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "examples": {"classes": examples.counts, "cleaning": asdict(examples.cleaning)},
        "cautions": cautions(examples),
        "validation": asdict(found),
        "settings": asdict(config),
        "recipe": asdict(recipe),
        "versions": {package: metadata.version(package) for package in _PACKAGES},
        "limits": LIMITS,
    }
