"""The experiment on domains: what an encoder reads before it meets the labels, at one budget.

``python -m ulmfit_lib run dont_stop --task acl-arc`` writes its run record.
Arms share seeds, labelled examples, updates and test set. Introduced in the
chapter *Don't stop pre-training*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ulmfit_lib.models.encoder import SHIPPED_ENCODER
from ulmfit_lib.models.pretrained_encoder import PretrainedEncoder, load_pretrained_encoder
from ulmfit_lib.papers.bert_experiment import load_task
from ulmfit_lib.papers.bert_finetuning import EncoderTuning, classify, rates_for, tune_encoder
from ulmfit_lib.papers.dont_stop_pretraining import ARMS, Adaptation, adapt
from ulmfit_lib.study.baselines import tfidf_logistic_regression
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.records import CellResult, Touched
from ulmfit_lib.study.scale import Scale, pick
from ulmfit_lib.study.seeds import derive
from ulmfit_lib.study.statistics import scores
from ulmfit_lib.study.task_study import (
    Curves,
    LabelledTexts,
    StudyArm,
    StudySizes,
    TaskStudy,
    labelled,
    likeliest,
    sample_texts,
)
from ulmfit_lib.text.corpora import without_class
from ulmfit_lib.text.corpus import Corpus, Split, fingerprint
from ulmfit_lib.text.domains import OTHER_DOCSTRINGS, SOURCE_CODE, domain_texts
from ulmfit_lib.text.general_text import general_documents
from ulmfit_lib.text.near_copies import unlike
from ulmfit_lib.text.neighbours import Pool
from ulmfit_lib.text.vocabulary_overlap import general_words, overlap, top_words
from ulmfit_lib.training.further_pretraining import FurtherPretraining, masked_lm_score

TFIDF = "TF-IDF"
DOMAIN, IRRELEVANT, OTHER_TASK, CURATED = "domain", "irrelevant", "other task", "curated"
TASK, NEIGHBOURS, RANDOM = "task", "neighbours", "random"
GENERAL = "general"  # text to measure forgetting on; no arm reads it
KNN = "kNN-TAPT"
OWN_TEXT = (TASK, NEIGHBOURS, RANDOM)  # phases whose text follows from the labelled examples


@dataclass(frozen=True)
class Setting:
    """Where a task's texts come from. Introduced in the chapter *Don't stop pre-training*."""

    domain: tuple[str, ...]  # corpora of its domain
    irrelevant: tuple[str, ...]  # of the domain that the paper takes as the wrong one
    other: str  # another task of the same domain


_REVIEWS, _NEWS = ("amazon-mds", "yelp10k"), ("bbc-news",)
_CS, _BIOMEDICAL = ("arxiv-ai-abstracts",), ("arxiv-bio-abstracts",)
_EMBEDDED = (OTHER_DOCSTRINGS,), (SOURCE_CODE,)
# Source of the irrelevant domains: Gururangan et al. 2020, section 3.3. Their corpora are larger;
# those of one's own data folder stand in for them.
SETTINGS: Mapping[str, Setting] = {
    "pydocs": Setting(*_EMBEDDED, "pydocs-roles"),
    "pydocs-roles": Setting(*_EMBEDDED, "pydocs"),
    "imdb": Setting(_REVIEWS, _BIOMEDICAL, "mr"),
    "acl-arc": Setting(_CS, _NEWS, "scierc-relation"),
    "scierc-relation": Setting(_CS, _NEWS, "acl-arc"),
    "chemprot": Setting(_BIOMEDICAL, _REVIEWS, "ohsumed23"),
    "rct": Setting(_BIOMEDICAL, _REVIEWS, "chemprot"),
    "ohsumed23": Setting(_BIOMEDICAL, _REVIEWS, "chemprot"),
    "ag-news": Setting(_NEWS, _CS, "hyperpartisan"),
    "hyperpartisan": Setting((*_NEWS, "ag-news"), _CS, "ag-news"),
}


@dataclass(frozen=True)
class DontStopSizes(StudySizes):
    """How large this study is. Introduced in the chapter *Don't stop pre-training*."""

    middle: int  # labelled examples of each class where every arm is run
    texts: int  # of a phase, at most
    held_out: int  # texts of each kind on which filling masks is measured
    text_updates: int  # optimizer steps of reading on, all phases together
    neighbours: tuple[int, ...]  # of each task text, one arm for each; the first also at random
    updates: int  # optimizer steps of the classifier, in whole epochs
    batch_size: int  # sequences that are read, or documents that are classified, at once
    length: int  # tokens of either, with [CLS] and [SEP]


@dataclass(frozen=True)
class DontStopArm(StudyArm):
    """One way to get a classifier. Introduced in the chapter *Don't stop pre-training*."""

    reads: str  # one of the paper's ARMS, or TFIDF
    neighbours: int  # of each task text, where those are read, or as many random texts


def sizes(scale: Scale | None = None) -> DontStopSizes:
    """The study's sizes at ``scale``, by default the dial's."""
    return pick(
        smoke=DontStopSizes(1, (2, 4), 40, 4, 60, 6, 2, (2, 3), 2, 4, 16),
        laptop=DontStopSizes(5, (5, 20), 500, 20, 10_000, 60, 60, (10,), 100, 16, 128),
        paper=DontStopSizes(
            5, (20, 100, 500), 25_000, 20, 1_000_000, 500, 12_500, (50, 150, 500), 2000, 32, 128
        ),
        scale=scale,
    )


def fitting(size: DontStopSizes, labels: Sequence[int]) -> DontStopSizes:
    """``size`` without the numbers of labels that the rarest class has not.

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        size: of the study.
        labels: class of each training example.

    Raises:
        ValueError: the rarest class has too few examples for any of them.
    """
    rarest = min(Counter(labels).values())
    kept = tuple(n for n in size.per_class if n <= rarest)
    if not kept:
        raise ValueError(f"the rarest class has {rarest} examples, fewer than {size.per_class}")
    return replace(size, per_class=kept, middle=min(size.middle, kept[-1]))


def arms(size: DontStopSizes) -> dict[str, DontStopArm]:
    """Every arm by name, such as ``"DAPT/20"``: all at the middle number of labels, four at each.

    Introduced in the chapter *Don't stop pre-training*.
    """
    everywhere = ("base", "DAPT", "DAPT, TAPT", TFIDF)
    first, *more = size.neighbours
    found = {
        f"{name}/{n}": DontStopArm(n, name, first)
        for n in size.per_class
        for name in (*ARMS, TFIDF)
        if n == size.middle or name in everywhere
    }
    n = size.middle
    return found | {f"{KNN}, {k} each/{n}": DontStopArm(n, KNN, k) for k in more}


class DontStopStudy(TaskStudy[DontStopArm]):
    """The study's data, and how an arm gets its answers.

    Every seed reads anew, so that the luck of the reading is in the
    intervals; the paper has one model of each domain, whatever the seed. What
    does not follow from the labelled examples is read once a seed. Introduced
    in the chapter *Don't stop pre-training*.

    Args:
        task: labelled texts with splits "train", "valid" and "test".
        size: how much of it to use.
        encoder: where every arm starts; its rates are those of
            :func:`ulmfit_lib.papers.bert_finetuning.rates_for`.
        texts: unlabelled texts of "domain", "irrelevant" and "other task".
        bfloat16: compute products in bfloat16.
    """

    size: DontStopSizes

    def __init__(
        self,
        task: Corpus,
        size: DontStopSizes,
        encoder: PretrainedEncoder,
        texts: Mapping[str, Sequence[str]],
        bfloat16: bool = False,
    ) -> None:
        size = fitting(size, labelled(task, "train").labels)
        self.adaptation = _adaptation(size, encoder, bfloat16)
        self.tuning = EncoderTuning(
            lr_max=rates_for(encoder.model).tuning,
            updates=size.updates,
            batch_size=size.batch_size,
            max_length=size.length,
            bfloat16=bfloat16,
        )
        settings = {"adaptation": self.adaptation, "tuning": self.tuning}
        super().__init__(task, size, arms(size), settings)
        self.encoder, self.checkpoint = encoder, encoder.name
        self.test_documents = encoder.encode(self.test.texts)
        own = (*task.splits["train"].texts, *_unsupervised(task))
        held_back = _held_back(task)
        split = {kind: _split(found, size, held_back) for kind, found in texts.items()}
        split[CURATED] = _split(own, size)
        self.texts = {kind: found for kind, (found, _) in split.items()}
        self._known: dict[str, list[int]] = {}
        self.held_out = {k: encoder.encode(split[k][1]) for k in (DOMAIN, IRRELEVANT)}
        self.held_out[TASK] = encoder.encode(labelled(task, "valid", size.held_out).texts)
        self.held_out[GENERAL] = encoder.encode(general_documents("measure"))
        self.overlap = overlap(top_words(self.texts[DOMAIN]), general_words())
        self.pool = Pool(self.texts[DOMAIN])

    def data_hashes(self) -> dict[str, str]:
        """Fingerprints of the task and of every kind of text that is at hand to be read."""
        kinds = {kind: fingerprint({kind: Split(tuple(t))}) for kind, t in self.texts.items()}
        return super().data_hashes() | kinds

    def weight_hashes(self) -> dict[str, str]:
        """Those of the shipped weights, and of the checkpoint that every arm starts from."""
        return super().weight_hashes() | self.encoder.weight_hashes()

    def run(self, arm: DontStopArm, seed: int) -> CellResult:
        """As every study, with macro-F1, the losses before the labels, and the domain's overlap.

        ``mlm loss, general`` against that of the arm "base" is what was
        forgotten of general text, ``overlap`` the share of words that the
        domain has in common with what the encoder was pre-trained on.

        Args:
            arm: one of ``self.arms``.
            seed: of everything random.
        """
        result = super().run(arm, seed)
        f1 = float(scores(np.array(self.test.labels), np.array(result.predictions), "macro_f1"))
        losses = {name: curve[0] for name, curve in result.curves.items()}
        more = {"macro_f1": f1, "overlap": self.overlap, **losses}
        return replace(result, metrics={**result.metrics, **more})

    def stages(self, arm: DontStopArm) -> tuple[Touched, ...]:
        """What each training stage of ``arm`` is shown of the task."""
        phases, reading = set(ARMS.get(arm.reads, ())), []
        if phases & {*OWN_TEXT, CURATED}:
            reading.append(Touched("reading on", "train", True, False))
        if CURATED in phases and _unsupervised(self.task):
            reading.append(Touched("reading on", "unsup", True, False))
        return (*reading, Touched("classifier", "train", True, True))

    def answer(
        self, arm: DontStopArm, shown: LabelledTexts, seed: int
    ) -> tuple[Sequence[int], Curves]:
        """Train ``arm`` and classify the test set.

        Args:
            arm: one of :func:`arms`.
            shown: the labelled examples.
            seed: the run's seed.
        """
        if arm.reads == TFIDF:
            return tfidf_logistic_regression(shown.texts, shown.labels, self.test.texts), {}
        encoder = self.adapted(ARMS[arm.reads], shown, seed, arm.neighbours)
        masks = self.once(seed, ("losses", encoder), lambda: self._losses(encoder))
        model, _ = tune_encoder(
            encoder.model,
            encoder.encode(shown.texts),
            shown.labels,
            len(self.task.label_names),
            self.tuning,
            seed,
            special=encoder.special,
        )
        length, fast, special = self.size.length, self.tuning.bfloat16, encoder.special
        answers = classify(model, self.test_documents, length, special=special, bfloat16=fast)
        return likeliest([answers]), masks

    def adapted(
        self, phases: Sequence[str], shown: LabelledTexts, seed: int, neighbours: int = 1
    ) -> PretrainedEncoder:
        """The encoder that has read ``phases``; kept where other cells read the same.

        Args:
            phases: kinds of text, one after the other.
            shown: the labelled examples.
            seed: the run's seed.
            neighbours: of each task text, where those are read.
        """

        def read() -> PretrainedEncoder:
            """All phases."""
            texts = [self.phase_texts(phase, shown, seed, neighbours) for phase in phases]
            found = [self._encoded(of_phase) for of_phase in texts]
            return adapt(self.encoder, found, self.adaptation, derive(seed, "reading"))

        if not phases:
            return self.encoder
        own = (len(shown.labels), neighbours) if set(phases) & set(OWN_TEXT) else ()
        return self.once(seed, ("encoder", tuple(phases), own), read)

    def phase_texts(
        self, phase: str, shown: LabelledTexts, seed: int, neighbours: int = 1
    ) -> Sequence[str]:
        """What is read in a phase.

        Args:
            phase: one of ``dont_stop_pretraining.PHASES``.
            shown: the labelled examples.
            seed: the run's seed.
            neighbours: of each task text, where those are read.
        """
        if phase not in OWN_TEXT:
            return self.texts[phase]
        if phase == TASK:
            return shown.texts
        near = self.pool.neighbours(shown.texts, neighbours)
        if phase == RANDOM:
            near = self.pool.at_random(len(near), derive(seed, "random texts"))
        return [*shown.texts, *near]

    def _losses(self, encoder: PretrainedEncoder) -> Curves:
        """Loss of a masked token in every kind of held-out text."""
        length = self.size.length
        return {
            f"mlm loss, {kind}": [masked_lm_score(encoder, documents, length).loss]
            for kind, documents in self.held_out.items()
        }

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text; a text is encoded once, however many arms and seeds read it."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        self._known |= dict(zip(new, self.encoder.encode(new), strict=True))
        return [self._known[text] for text in texts]


def _adaptation(size: DontStopSizes, encoder: PretrainedEncoder, bfloat16: bool) -> Adaptation:
    reading = FurtherPretraining(
        lr_max=rates_for(encoder.model).reading,
        batch_size=size.batch_size,
        length=size.length,
        bfloat16=bfloat16,
    )
    return Adaptation(size.text_updates, reading)


def _held_back(task: Corpus) -> tuple[str, ...]:
    return tuple(t for name in ("valid", "test") for t in task.splits[name].texts)


def _unsupervised(task: Corpus) -> tuple[str, ...]:
    return task.splits["unsup"].texts if "unsup" in task.splits else ()


def _split(
    texts: Sequence[str], size: DontStopSizes, held_back: Sequence[str] = ()
) -> tuple[Sequence[str], Sequence[str]]:
    """A random sample to read, and held-out texts of the same kind to measure on.

    Of what a domain or another task brings, near copies of the task's
    ``held_back`` texts are left out.
    """
    drawn = sample_texts(texts, size.texts + size.held_out, seed=0)
    drawn = [drawn[i] for i in unlike(drawn, held_back)]
    held_out = min(size.held_out, len(drawn) // 2)
    return drawn[held_out:], drawn[:held_out]


def without_rare_classes(task: Corpus, at_least: int) -> Corpus:
    """``task`` with the classes alone that have ``at_least`` training examples.

    A few labels of *each* class are drawn, and a class with four examples (as
    ChemProt's rarest) has no few. What is left out is said in ``provenance``.
    Introduced in the chapter *Don't stop pre-training*.

    Args:
        task: single texts with classes.
        at_least: training examples of a class that stays.
    """
    counts = Counter(labelled(task, "train").labels)
    for c, name in enumerate(task.label_names):
        if counts[c] < at_least:
            task = without_class(task, name)
    return task


def without_copies(task: Corpus) -> Corpus:
    """``task`` without the training and unlabelled texts that are copies of held-out ones.

    Near copies go too. What is left out is said in ``provenance``. Introduced
    in the chapter *Don't stop pre-training*.

    Args:
        task: with splits "valid" and "test", and "train" or "unsup" or both.
    """
    splits, gone = dict(task.splits), 0
    for name in splits.keys() & {"train", "unsup"}:
        kept = unlike(splits[name].texts, _held_back(task))
        gone += len(splits[name]) - len(kept)
        splits[name] = splits[name].take(kept)
    note = f"without {gone} copies of held-out texts"
    return replace(task, splits=splits, provenance=f"{task.provenance}; {note}") if gone else task


def study(task_name: str, scale: Scale, checkpoint: str | Path = SHIPPED_ENCODER) -> DontStopStudy:
    """The study of a task, with the texts that its :data:`SETTINGS` name.

    Copies of held-out texts are left out, and classes that have too few
    examples for the middle number of labels.

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        task_name: one of :data:`SETTINGS`.
        scale: sets the sizes.
        checkpoint: where every arm starts, such as ``"roberta-base"``; its
            rates follow from it.

    Raises:
        ValueError: no domain is known for the task.
    """
    if task_name not in SETTINGS:
        raise ValueError(f"task={task_name!r} has no domain here: one of {sorted(SETTINGS)}")
    setting = SETTINGS[task_name]
    texts = {
        DOMAIN: [text for name in setting.domain for text in domain_texts(name)],
        IRRELEVANT: [text for name in setting.irrelevant for text in domain_texts(name)],
        OTHER_TASK: load_task(setting.other).splits["train"].texts,
    }
    size, encoder = sizes(scale), load_pretrained_encoder(checkpoint)
    task = without_rare_classes(without_copies(load_task(task_name)), size.middle)
    return DontStopStudy(task, size, encoder, texts, has_fast_bfloat16())
