"""The experiment on selective masking: which tokens are hidden, at one budget.

``python -m ulmfit_lib run selective_masking --task mr`` writes its run
record. Arms share seeds, labelled examples, domain text, updates and test set;
the control hides as many tokens of every text. Introduced in the chapter
*Selective masking*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.models.pretrained_encoder import (
    PretrainedEncoder,
    load_pretrained_encoder,
    n_positions,
)
from ulmfit_lib.models.token_labeller import TokenLabeller
from ulmfit_lib.papers.bert_finetuning import EncoderTuning, classify, tune_encoder
from ulmfit_lib.papers.selective_masking import (
    Choice,
    Judged,
    Judging,
    LabellerTuning,
    judge_texts,
    merge_judgements,
    pretrain_on_choice,
    selective_choice,
    task_lexicon,
    token_scores,
    tune_labeller,
)
from ulmfit_lib.papers.three_stages import (
    LEXICON,
    NONE,
    POLICIES,
    RANDOM,
    SELECTIVE,
    hidden_by,
    stop_ids,
)
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
from ulmfit_lib.text.corpora import load, with_validation, without_class
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.domains import OTHER_DOCSTRINGS, domain_texts
from ulmfit_lib.text.truncation import FRAME
from ulmfit_lib.training.fine_tuning import Documents
from ulmfit_lib.training.further_pretraining import FurtherPretraining

TFIDF = "TF-IDF"
CONFLICT = "conflict"  # opinions both ways: a class of SemEval-2014 that the paper leaves out
CHECK = "check of the labeller"  # the one stage that reads held-out labels; it chooses nothing
# Corpora of each task's domain, the main one first; as in the paper, section 3.1, or near it.
DOMAINS: Mapping[str, tuple[str, ...]] = {
    "pydocs": (OTHER_DOCSTRINGS,),
    "pydocs-roles": (OTHER_DOCSTRINGS,),
    "mr": ("yelp10k", "amazon-mds"),
    "semeval14-restaurants-category": ("yelp10k", "amazon-mds"),
}


@dataclass(frozen=True)
class MaskingSizes(StudySizes):
    """How large this study is. Introduced in the chapter *Selective masking*."""

    texts: int  # of a domain, at most
    length: int  # tokens of a domain text, at most
    text_updates: int  # optimizer steps of task-guided pre-training
    label_updates: int  # of the token labeller
    updates: int  # of a classifier


@dataclass(frozen=True)
class MaskingArm(StudyArm):
    """One way to get a classifier. Introduced in the chapter *Selective masking*."""

    policy: str  # one of POLICIES, NONE or TFIDF
    domain: str = ""  # corpus whose masks are filled


def sizes(scale: Scale | None = None) -> MaskingSizes:
    """The study's sizes at ``scale``, by default the dial's."""
    return pick(
        smoke=MaskingSizes(1, (4,), 40, 30, 32, 2, 2, 2),
        laptop=MaskingSizes(10, (200,), 1000, 1280, 64, 40, 30, 40),
        paper=MaskingSizes(10, (4000,), 25_000, 1_000_000, 256, 20_000, 3000, 3000),
        scale=scale,
    )


def arms(
    size: MaskingSizes, domains: Sequence[str], policies: Sequence[str] = POLICIES
) -> dict[str, MaskingArm]:
    """Every arm by name, such as ``"selective, yelp10k"``.

    All policies read the first domain; in the others, the two that the paper
    compares are enough. Introduced in the chapter *Selective masking*.

    Args:
        size: gives the number of labels.
        domains: corpora of the task's domain, the paper's main one first.
        policies: how the masks of the first one are chosen.
    """
    n = size.per_class[-1]
    found = {name: MaskingArm(n, name) for name in (TFIDF, NONE)}
    for number, domain in enumerate(domains):
        chosen = policies if number == 0 else (RANDOM, SELECTIVE)
        found |= {f"{policy}, {domain}": MaskingArm(n, policy, domain) for policy in chosen}
    return found


class AsRead(NamedTuple):
    """Labelled texts as the encoder reads them. Introduced in the chapter *Selective masking*."""

    given: Documents  # of each text: the aspect it is asked about and [SEP]; nothing without one
    texts: Documents

    @property
    def whole(self) -> Documents:
        """What is given and the text, one after the other."""
        return [[*before, *ids] for before, ids in zip(self.given, self.texts, strict=True)]


class MaskingStudy(TaskStudy[MaskingArm]):
    """The study's data, and how an arm gets its answers.

    A pair is a text and the aspect that its opinion is about. Introduced in
    the chapter *Selective masking*.

    Args:
        task: labelled texts with splits "train", "valid" and "test".
        size: how much of it to use.
        encoder: where every arm starts.
        domains: unlabelled texts, by the name of their corpus.
        bfloat16: compute products in bfloat16.
        policies: how the masks of the first domain are chosen.
    """

    size: MaskingSizes
    reads_pairs: ClassVar[bool] = True

    def __init__(
        self,
        task: Corpus,
        size: MaskingSizes,
        encoder: PretrainedEncoder,
        domains: Mapping[str, Sequence[str]],
        bfloat16: bool = False,
        policies: Sequence[str] = POLICIES,
    ) -> None:
        self.tuning = EncoderTuning(updates=size.updates, bfloat16=bfloat16)
        self.judging = Judging(bfloat16=bfloat16)
        self.labelling = LabellerTuning(updates=size.label_updates, bfloat16=bfloat16)
        self.reading = FurtherPretraining(size.text_updates, length=size.length, bfloat16=bfloat16)
        settings = {
            "tuning": self.tuning,
            "judging": self.judging,
            "labeller": self.labelling,
            "reading": self.reading,
        }
        super().__init__(task, size, arms(size, tuple(domains), policies), settings)
        self.encoder = encoder
        self.test_documents = self.as_read(self.test).whole
        self.valid = labelled(task, "valid", 100, pairs=True)
        kept = {name: sample_texts(texts, size.texts, seed=0) for name, texts in domains.items()}
        self.domains = {name: self._cut(encoder.encode(texts)) for name, texts in kept.items()}
        self.stop_ids = stop_ids(encoder)

    def run(self, arm: MaskingArm, seed: int) -> CellResult:
        """As every study, with macro-F1 and what is known of the masks.

        Args:
            arm: one of ``self.arms``.
            seed: of everything random.
        """
        result = super().run(arm, seed)
        f1 = float(scores(np.array(self.test.labels), np.array(result.predictions), "macro_f1"))
        masks = {name: float(curve[0]) for name, curve in result.curves.items()}
        return replace(result, metrics={**result.metrics, "macro_f1": f1, **masks})

    def stages(self, arm: MaskingArm) -> tuple[Touched, ...]:
        """What each training stage of ``arm`` is shown of the task."""
        judged = arm.policy in POLICIES
        choice = (Touched("choice of masks", "train", True, True),) if judged else ()
        check = (Touched(CHECK, "valid", True, True),) if arm.policy == SELECTIVE else ()
        return (*choice, *check, Touched("classifier", "train", True, True))

    def answer(
        self, arm: MaskingArm, shown: LabelledTexts, seed: int
    ) -> tuple[Sequence[int], Curves]:
        """Train ``arm`` and classify the test set.

        Args:
            arm: one of :func:`arms`.
            shown: the labelled examples.
            seed: the run's seed.
        """
        if arm.policy == TFIDF:
            words = shown.in_one(), shown.labels, self.test.in_one()
            return tfidf_logistic_regression(*words), {}
        if arm.policy == NONE:
            model, curves = self._plain_classifier(shown, seed), Curves()
        else:
            start, curves = self._start(arm, shown, seed)
            model = self._classifier(start, shown, seed)
        special, fast = self.encoder.special, self.tuning.bfloat16
        answers = classify(model, self.test_documents, special=special, bfloat16=fast)
        return likeliest([answers]), curves

    def choice(self, policy: str, domain: str, shown: LabelledTexts, seed: int) -> Choice:
        """Which tokens of a domain's texts ``policy`` hides.

        The control and the lexicon have the budget of the selective choice,
        text by text.

        Args:
            policy: RANDOM, SELECTIVE or LEXICON.
            domain: name of the corpus.
            shown: the labelled texts.
            seed: the run's seed.
        """
        texts, length = self.domains[domain], self.size.length

        def choose() -> Choice:
            """By the labeller."""
            labeller, _ = self._labeller(shown, seed)
            fast = self.labelling.bfloat16
            return selective_choice(labeller, texts, self.encoder, max_length=length, bfloat16=fast)

        chosen = self.once(seed, ("choice", domain), choose)
        words: Collection[int] = ()
        if policy == LEXICON:
            words = task_lexicon(self.as_read(shown).texts, shown.labels, self.stop_ids)
        return hidden_by(policy, texts, chosen, self.encoder, seed, length, words)

    def as_read(self, shown: LabelledTexts) -> AsRead:
        """Token ids of ``shown``; the end of what is too long for the classifier is cut."""
        texts = self.encoder.encode(shown.texts)
        given: Documents = [[] for _ in texts]
        if shown.texts_b is not None:
            aspects = self.encoder.encode(shown.texts_b)
            given = [[*ids, self.encoder.special.sep_id] for ids in aspects]
        most = self.judging.max_length - FRAME
        cut = [ids[: max(0, most - len(before))] for before, ids in zip(given, texts, strict=True)]
        return AsRead(given, cut)

    def _start(
        self, arm: MaskingArm, shown: LabelledTexts, seed: int
    ) -> tuple[PretrainedEncoder, Curves]:
        """The encoder that ``arm`` tunes, and what is known of its masks."""
        texts, reading_seed = self.domains[arm.domain], derive(seed, "reading")
        choice = self.choice(arm.policy, arm.domain, shown, seed)
        curves = {"masked": [sum(map(sum, choice)) / sum(map(len, choice))]}
        if arm.policy == SELECTIVE:
            _, scores = self._labeller(shown, seed)
            curves |= {f"labeller {name}": [value] for name, value in scores.items()}
        read = pretrain_on_choice(self.encoder, texts, choice, self.reading, reading_seed)
        return read, curves

    def _classifier(
        self, start: PretrainedEncoder, shown: LabelledTexts, seed: int
    ) -> EncoderClassifier:
        documents, classes = self.as_read(shown).whole, len(self.task.label_names)
        return tune_encoder(
            start.model, documents, shown.labels, classes, self.tuning, seed, special=start.special
        )[0]

    def _plain_classifier(self, shown: LabelledTexts, seed: int) -> EncoderClassifier:
        """The seed's classifier without the middle stage: an arm, and the judge of the tokens."""

        def train() -> EncoderClassifier:
            """From the general encoder."""
            return self._classifier(self.encoder, shown, seed)

        return self.once(seed, "classifier", train)

    def _labeller(self, shown: LabelledTexts, seed: int) -> tuple[TokenLabeller, dict[str, float]]:
        """The seed's token labeller, and how it does on judged texts of the validation split."""

        def train() -> tuple[TokenLabeller, dict[str, float]]:
            """What the classifier says of the texts, and the labeller that learns it."""
            classifier = self._plain_classifier(shown, seed)
            judged = self._judged(classifier, shown)
            labeller, _ = tune_labeller(self.encoder, *judged, self.labelling, seed)
            texts, right = self._judged(classifier, self.valid)
            called = selective_choice(labeller, texts, self.encoder, rate=1.0)
            return labeller, token_scores(called, right)._asdict()

        return self.once(seed, "labeller", train)

    def _judged(
        self, classifier: EncoderClassifier, shown: LabelledTexts
    ) -> tuple[Documents, Choice]:
        """The texts of ``shown`` that ``classifier`` gets right, and their important tokens."""
        texts = self.as_read(shown).texts
        rows, found = self._judge(classifier, shown)
        return merge_judgements([texts[i] for i in rows], [list(f.important) for f in found])

    def _judge(self, classifier: EncoderClassifier, shown: LabelledTexts) -> Judged:
        given, texts = self.as_read(shown)
        special, stops = self.encoder.special, self.stop_ids
        return judge_texts(classifier, texts, shown.labels, self.judging, stops, given, special)

    def _cut(self, documents: Documents) -> Documents:
        """The first tokens of each, as many as are read; texts without any are dropped."""
        return [ids[: self.size.length - FRAME] for ids in documents if ids]


def masking_task(name: str) -> Corpus:
    """A labelled task of the study, without opinions both ways.

    Without a validation split a tenth of the training set becomes one.
    Introduced in the chapter *Selective masking*.

    Args:
        name: of a corpus of the catalogue.
    """
    task = load(name)
    if CONFLICT in task.label_names:
        task = without_class(task, CONFLICT)
    return task if "valid" in task.splits else with_validation(task, 0.1, seed=0)


def fitting(size: MaskingSizes, task: Corpus, encoder: PretrainedEncoder) -> MaskingSizes:
    """``size`` for this task and encoder.

    No class gets more labels than the rarest one has, no text more tokens
    than the encoder has positions. Introduced in the chapter *Selective
    masking*.

    Args:
        size: of the study.
        task: with a labelled split "train".
        encoder: where every arm starts.
    """
    rarest = min(Counter(labelled(task, "train", pairs=True).labels).values())
    return replace(
        size,
        per_class=tuple(min(n, rarest) for n in size.per_class),
        length=min(size.length, n_positions(encoder.model)),
    )


def study(task_name: str, scale: Scale) -> MaskingStudy:
    """The study of a task, with the corpora that :data:`DOMAINS` names.

    Introduced in the chapter *Selective masking*.

    Args:
        task_name: one of :data:`DOMAINS`.
        scale: sets the sizes.

    Raises:
        ValueError: no domain is known for the task.
    """
    domains = {name: domain_texts(name) for name in domains_of(task_name)}
    task, encoder = masking_task(task_name), load_pretrained_encoder()
    size = fitting(sizes(scale), task, encoder)
    return MaskingStudy(task, size, encoder, domains, has_fast_bfloat16())


def domains_of(task_name: str) -> tuple[str, ...]:
    """Names of the corpora of a task's domain, the main one first.

    Introduced in the chapter *Selective masking*.

    Args:
        task_name: one of :data:`DOMAINS`.

    Raises:
        ValueError: no domain is known for the task.
    """
    if task_name not in DOMAINS:
        raise ValueError(f"task={task_name!r} has no domain here: one of {sorted(DOMAINS)}")
    return DOMAINS[task_name]
