"""The experiment on selective masking: which tokens are hidden, at one budget.

``python -m ulmfit_lib run selective_masking --task mr`` writes its run
record. Arms share seeds, labelled examples, domain text, updates, test set,
and, but for one, the number of masks in every text. Introduced in the chapter
*Selective masking*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from ulmfit_lib.models.encoder_classifier import EncoderClassifier
from ulmfit_lib.models.pretrained_encoder import PretrainedEncoder, load_pretrained_encoder
from ulmfit_lib.models.token_labeller import TokenLabeller
from ulmfit_lib.papers.bert_experiment import OTHER_DOCSTRINGS, domain_texts, load_task
from ulmfit_lib.papers.bert_finetuning import EncoderTuning, classify, tune_encoder
from ulmfit_lib.papers.selective_masking import (
    Choice,
    Judging,
    LabellerTuning,
    judge_texts,
    lexicon_choice,
    pretrain_on_choice,
    random_choice,
    selective_choice,
    task_lexicon,
    token_scores,
    tune_labeller,
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
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.masking import MaskingConfig
from ulmfit_lib.training.fine_tuning import Documents
from ulmfit_lib.training.further_pretraining import FurtherPretraining, further_pretrain

TFIDF, NONE = "TF-IDF", "none"
SELECTIVE, RANDOM, LEXICON, FLAT = "selective", "random", "lexicon", "random, 15 %"
CHECK = "check of the labeller"  # the one stage that reads held-out labels; it chooses nothing
POLICIES = (RANDOM, SELECTIVE, LEXICON, FLAT)
# Corpora of each task's domain, each an arm of its own; as in the paper, section 3.1, or near it.
DOMAINS: Mapping[str, tuple[str, ...]] = {
    "pydocs": (OTHER_DOCSTRINGS,),
    "pydocs-roles": (OTHER_DOCSTRINGS,),
    "mr": ("amazon-mds", "yelp10k"),
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
        laptop=MaskingSizes(10, (50,), 1000, 4000, 64, 80, 60, 100),
        paper=MaskingSizes(10, (4000,), 25_000, 1_000_000, 256, 20_000, 3000, 3000),
        scale=scale,
    )


def arms(size: MaskingSizes, domains: Sequence[str]) -> dict[str, MaskingArm]:
    """Every arm by name, such as ``"selective, yelp10k"``.

    Introduced in the chapter *Selective masking*.

    Args:
        size: gives the number of labels.
        domains: corpora of the task's domain.
    """
    n = size.per_class[-1]
    found = {name: MaskingArm(n, name) for name in (TFIDF, NONE)}
    for domain in domains:
        found |= {f"{policy}, {domain}": MaskingArm(n, policy, domain) for policy in POLICIES}
    return found


class MaskingStudy(TaskStudy[MaskingArm]):
    """The study's data, and how an arm gets its answers.

    Introduced in the chapter *Selective masking*.

    Args:
        task: labelled texts with splits "train", "valid" and "test".
        size: how much of it to use.
        encoder: where every arm starts.
        domains: unlabelled texts, by the name of their corpus.
        bfloat16: compute products in bfloat16.
    """

    size: MaskingSizes

    def __init__(
        self,
        task: Corpus,
        size: MaskingSizes,
        encoder: PretrainedEncoder,
        domains: Mapping[str, Sequence[str]],
        bfloat16: bool = False,
    ) -> None:
        self.tuning = EncoderTuning(updates=size.updates, bfloat16=bfloat16)
        self.judging = Judging()
        self.labelling = LabellerTuning(updates=size.label_updates, bfloat16=bfloat16)
        self.reading = FurtherPretraining(
            size.text_updates, length=size.length, masking=MaskingConfig(), bfloat16=bfloat16
        )
        settings = {
            "tuning": self.tuning,
            "judging": self.judging,
            "labeller": self.labelling,
            "reading": self.reading,
        }
        super().__init__(task, size, arms(size, tuple(domains)), settings)
        self.encoder = encoder
        self.test_documents = encoder.encode(self.test.texts)
        held_out = labelled(task, "valid", 100)
        self.valid = encoder.encode(held_out.texts), held_out.labels
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
        judged = arm.policy in (SELECTIVE, RANDOM, LEXICON)
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
            return tfidf_logistic_regression(shown.texts, shown.labels, self.test.texts), {}
        documents = self.encoder.encode(shown.texts)
        start, curves = self._start(arm, documents, shown.labels, seed)
        model = self._classifier(start, documents, shown.labels, seed)
        answers = classify(model, self.test_documents, bfloat16=self.tuning.bfloat16)
        return likeliest([answers]), curves

    def choice(
        self, policy: str, domain: str, documents: Documents, labels: Sequence[int], seed: int
    ) -> Choice:
        """Which tokens of a domain's texts ``policy`` hides.

        The control and the lexicon have the budget of the selective choice, or
        15 % of a text.

        Args:
            policy: RANDOM, SELECTIVE or LEXICON.
            domain: name of the corpus.
            documents: the labelled texts.
            labels: class of each.
            seed: the run's seed.
        """
        texts, length = self.domains[domain], self.size.length
        if policy == LEXICON:
            lexicon = task_lexicon(documents, labels)
            return lexicon_choice(texts, lexicon, self.encoder, seed=seed, max_length=length)

        def choose() -> Choice:
            """By the labeller."""
            labeller, _ = self._labeller(documents, labels, seed)
            return selective_choice(labeller, texts, self.encoder, max_length=length)

        chosen = self.once(seed, ("choice", domain), choose)
        if policy == SELECTIVE:
            return chosen
        return random_choice(texts, chosen, self.encoder, seed, length)

    def _start(
        self, arm: MaskingArm, documents: Documents, labels: Sequence[int], seed: int
    ) -> tuple[PretrainedEncoder, Curves]:
        """The encoder that ``arm`` tunes, and what is known of its masks."""
        if arm.policy == NONE:
            return self.encoder, {}
        texts, reading_seed = self.domains[arm.domain], derive(seed, "reading")
        if arm.policy == FLAT:
            return further_pretrain(self.encoder, texts, self.reading, reading_seed)[0], {}
        choice = self.choice(arm.policy, arm.domain, documents, labels, seed)
        curves = {"masked": [sum(map(sum, choice)) / sum(map(len, choice))]}
        if arm.policy == SELECTIVE:
            _, scores = self._labeller(documents, labels, seed)
            curves |= {f"labeller {name}": [value] for name, value in scores.items()}
        read = pretrain_on_choice(self.encoder, texts, choice, self.reading, reading_seed)
        return read, curves

    def _classifier(
        self, start: PretrainedEncoder, documents: Documents, labels: Sequence[int], seed: int
    ) -> EncoderClassifier:
        classes = len(self.task.label_names)
        return tune_encoder(
            start.model, documents, labels, classes, self.tuning, seed, special=start.special
        )[0]

    def _labeller(
        self, documents: Documents, labels: Sequence[int], seed: int
    ) -> tuple[TokenLabeller, dict[str, float]]:
        """The seed's token labeller, and how it does on judged texts of the validation split."""

        def train() -> tuple[TokenLabeller, dict[str, float]]:
            """A classifier, its judgements, and the labeller that learns them."""
            classifier = self._classifier(self.encoder, documents, labels, seed)
            rows, found = judge_texts(classifier, documents, labels, self.judging, self.stop_ids)
            judged, important = [documents[i] for i in rows], [list(f.important) for f in found]
            labeller, _ = tune_labeller(self.encoder, judged, important, self.labelling, seed)
            rows, found = judge_texts(classifier, *self.valid, self.judging, self.stop_ids)
            held_out = [self.valid[0][i] for i in rows]
            called = selective_choice(labeller, held_out, self.encoder, rate=1.0)
            right = [list(f.important) for f in found]
            return labeller, token_scores(called, right)._asdict()

        return self.once(seed, "labeller", train)

    def _cut(self, documents: Documents) -> Documents:
        """The first tokens of each, as many as are read; texts without any are dropped."""
        return [ids[: self.size.length - 2] for ids in documents if ids]


def stop_ids(encoder: PretrainedEncoder) -> frozenset[int]:
    """Ids of the tokens that are stop-words, at the start of a text or after a blank.

    The released code compares single word pieces, too. Introduced in the
    chapter *Selective masking*.

    Args:
        encoder: whose vocabulary it is.
    """
    words = [form for word in sorted(ENGLISH_STOP_WORDS) for form in (word, word.capitalize())]
    forms = [f"{before}{word}" for word in words for before in ("", " ")]
    return frozenset(ids[0] for ids in encoder.encode(forms) if len(ids) == 1)


def study(task_name: str, scale: Scale) -> MaskingStudy:
    """The study of a task, with the corpora that :data:`DOMAINS` names.

    Introduced in the chapter *Selective masking*.

    Args:
        task_name: one of :data:`DOMAINS`.
        scale: sets the sizes.

    Raises:
        ValueError: no domain is known for the task.
    """
    if task_name not in DOMAINS:
        raise ValueError(f"task={task_name!r} has no domain here: one of {sorted(DOMAINS)}")
    domains = {name: domain_texts(name) for name in DOMAINS[task_name]}
    task, encoder = load_task(task_name), load_pretrained_encoder()
    return MaskingStudy(task, sizes(scale), encoder, domains, has_fast_bfloat16())
