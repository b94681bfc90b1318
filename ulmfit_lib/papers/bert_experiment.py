"""The BERT chapter's experiment: what each choice of the paper is worth, one change at a time.

``python -m ulmfit_lib run bert --task imdb`` writes its run record. Arms share
seeds, labelled examples, updates and test set. Introduced in the chapter *How
to fine-tune BERT*.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn
from transformers import PreTrainedModel

from ulmfit_lib.models.encoder import SHIPPED_ENCODER
from ulmfit_lib.models.encoder_classifier import EncoderClassifierConfig
from ulmfit_lib.models.hierarchical import PIECE_POOLINGS, HierarchicalConfig
from ulmfit_lib.models.layer_features import COMBINATIONS, layer_by_layer
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.models.pretrained_encoder import (
    PretrainedEncoder,
    encoder_parts,
    load_pretrained_encoder,
    n_positions,
)
from ulmfit_lib.papers import ulmfit
from ulmfit_lib.papers.bert_finetuning import (
    EncoderTuning,
    LabelledDocuments,
    as_read,
    classify,
    rates_for,
    tune_encoder,
    tune_on_tasks,
    tuning_for,
    under_its_old_head,
)
from ulmfit_lib.study.baselines import linear_probe, tfidf_logistic_regression
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.records import TRANSDUCTIVE, CellResult, Touched
from ulmfit_lib.study.scale import Scale, pick
from ulmfit_lib.study.seeds import derive, few_labels
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
from ulmfit_lib.text import pydocs
from ulmfit_lib.text.corpora import load, with_validation
from ulmfit_lib.text.corpus import Corpus, Split, fingerprint
from ulmfit_lib.text.domains import OTHER_DOCSTRINGS, SOURCE_CODE, domain_texts
from ulmfit_lib.text.long_documents import LongDocumentConfig, long_task
from ulmfit_lib.text.truncation import FRAME, TRUNCATIONS
from ulmfit_lib.training.fine_tuning import Documents, class_probabilities
from ulmfit_lib.training.further_pretraining import (
    FurtherPretraining,
    further_pretrain,
    masked_lm_score,
)
from ulmfit_lib.training.groups import layer_decay

LONG = "pydocs-long"  # texts of these libraries, each among two of the others
LIBRARIES = ("sympy", "networkx", "matplotlib", "pandas")
TUNED, TFIDF, PROBE, TASKS = "FiT", "TF-IDF", "frozen encoder", "multi-task"
ULMFIT = (
    "ULMFiT's classifier, LM as shipped"  # no LM tuning; the chapter before has the whole method
)
WITHIN, IN_DOMAIN, CROSS_DOMAIN = "within-task", "in-domain", "cross-domain"
WITH_TEST = f"within-task, {TRANSDUCTIVE}"
RATES = (0.2, 1.0, 5.0, 20.0)  # times the base rate; in the paper the largest is 20 times the best
DECAYS = (1.0, 0.95, 0.9, 0.85)  # the paper's, section 5.3.4
# Arms that claims of the ledger name: every seed runs them, the others have fewer.
CLAIMED = frozenset(
    {TUNED, TFIDF, TASKS, "few labels", f"few labels, {TFIDF}", f"few labels, {WITHIN}"}
    | {f"text={kind}" for kind in (WITHIN, CROSS_DOMAIN)}
    | {f"truncation={how}" for how in TRUNCATIONS}
    | {f"layer={i}" for i in (0, 1, 2, "last")}
    | {f"layers=last-2 {combination}" for combination in COMBINATIONS}
    | {"hierarchical=attention", "lr=1x", "lr=20x", "decay=1", "decay=0.95"}
)
# Corpora whose text is of the task's domain, of another one, and tasks to be learned along.
DOMAINS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "imdb": (("yelp10k", "amazon-mds"), ("ag-news",), ("ag-news", "trec6")),
    "ag-news": (("bbc-news",), ("imdb",), ("imdb", "trec6")),
    "trec6": ((), ("ag-news",), ("ag-news", "imdb")),
    "arxiv-cs39": (("arxiv-ai-abstracts",), ("arxiv-bio-abstracts",), ("ag-news", "trec6")),
}
# What the other tasks answer as well: with 39 classes a classifier takes four times the updates.
LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    "arxiv-cs39": ("layer", "decay", "schedule", "hierarchical=mean", "hierarchical=max")
}
EMBEDDED = ((OTHER_DOCSTRINGS,), (SOURCE_CODE,), ("pydocs", "pydocs-roles"))


@dataclass(frozen=True)
class BertSizes(StudySizes):
    """How large this study is. Introduced in the chapter *How to fine-tune BERT*."""

    unclaimed_seeds: int  # runs of an arm that no claim names
    labels: int  # labelled examples, of all classes together
    least: int  # of each class nevertheless, where there are many classes
    few: int  # labelled examples of all classes in the arms with few labels
    updates: int  # optimizer steps of a classifier, in whole epochs
    batch_size: int  # documents
    # tokens of a document or piece, [CLS] and [SEP] included; as many as the encoder has at most
    max_length: int
    max_pieces: int  # of a longer document
    texts: int  # texts that the encoder reads on, at most
    text_updates: int  # optimizer steps of further pre-training
    text_batch: int  # sequences of a batch
    text_length: int  # tokens of a sequence
    held_out: int  # texts on which filling masks is measured


@dataclass(frozen=True)
class BertArm(StudyArm):
    """One way to get a classifier. Introduced in the chapter *How to fine-tune BERT*."""

    method: str = TUNED  # or TFIDF, PROBE, ULMFIT, TASKS
    tuning: EncoderTuning = EncoderTuning()  # how the encoder is tuned
    text: str = ""  # what it reads before: WITHIN, IN_DOMAIN, CROSS_DOMAIN, WITH_TEST; "": nothing
    text_updates: int = 0  # for so many steps


_SMOKE = BertSizes(
    seeds=1,
    per_class=(2, 4),
    test_documents=20,
    unclaimed_seeds=1,
    labels=8,
    least=1,
    few=4,
    updates=4,
    batch_size=4,
    max_length=16,
    max_pieces=2,
    texts=40,
    text_updates=4,
    text_batch=4,
    text_length=16,
    held_out=8,
)
_LAPTOP = BertSizes(
    seeds=5,
    per_class=(10, 50),
    test_documents=1000,
    unclaimed_seeds=3,
    labels=400,
    least=40,
    few=100,
    updates=100,
    batch_size=16,
    max_length=64,
    max_pieces=12,
    texts=4000,
    text_updates=60,
    text_batch=16,
    text_length=128,
    held_out=40,
)
_PAPER = BertSizes(
    seeds=5,
    per_class=(50, 2500),
    test_documents=25_000,
    unclaimed_seeds=5,
    labels=25_000,
    least=40,
    few=100,
    updates=4000,
    batch_size=24,
    max_length=512,
    max_pieces=24,
    texts=100_000,
    text_updates=100_000,
    text_batch=32,
    text_length=128,
    held_out=1000,
)


def sizes(scale: Scale | None = None) -> BertSizes:
    """The study's sizes at ``scale``, by default the dial's; label counts follow from the task."""
    return pick(smoke=_SMOKE, laptop=_LAPTOP, paper=_PAPER, scale=scale)


def fitting(size: BertSizes, labels: Sequence[int]) -> BertSizes:
    """``size`` with this task's labels of each class, in all, and updates for as many epochs.

    A class that has fewer than the others gives all it has. Introduced in the
    chapter *How to fine-tune BERT*.

    Args:
        size: of the study.
        labels: class of each training example.
    """
    counts = Counter(labels).values()
    many = max(size.least, size.labels // len(counts))
    few = max(1, many * size.few // size.labels)
    per_class = (min(few, max(counts)), min(many, max(counts)))
    in_all = [sum(min(n, each) for n in counts) for each in per_class]
    epochs = round(size.updates * size.batch_size / size.labels)
    updates = epochs * math.ceil(in_all[1] / size.batch_size)
    return replace(size, per_class=per_class, few=in_all[0], labels=in_all[1], updates=updates)


def base_tuning(size: BertSizes, encoder: PreTrainedModel, bfloat16: bool = False) -> EncoderTuning:
    """The paper's recipe at the rate that fits ``encoder``; every arm changes one thing in it.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        size: updates, batches, lengths.
        encoder: what is to be tuned.
        bfloat16: compute products in bfloat16.
    """
    return replace(
        tuning_for(encoder),
        updates=size.updates,
        batch_size=size.batch_size,
        max_length=size.max_length,
        ratio=layer_decay(len(encoder_parts(encoder).layers), 0.95),
        truncation="head+tail",
        bfloat16=bfloat16,
    )


def arms(size: BertSizes, base: EncoderTuning, n_layers: int) -> dict[str, BertArm]:
    """Every arm of the study by name.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        size: label counts, and steps of further pre-training.
        base: what the arms change one thing in.
        n_layers: of the encoder.
    """
    few, many = size.per_class
    whole, n = BertArm(many, tuning=base), size.text_updates
    found = {
        method: replace(whole, method=method) for method in (TUNED, TFIDF, PROBE, ULMFIT, TASKS)
    }
    found |= {name: replace(whole, tuning=t) for name, t in _tunings(size, base, n_layers).items()}
    for text in (WITHIN, IN_DOMAIN, CROSS_DOMAIN, WITH_TEST):
        found[f"text={text}"] = replace(whole, text=text, text_updates=n)
    for share, parts in (("a quarter", 4), ("half", 2)):
        found[f"text={WITHIN}, {share}"] = replace(whole, text=WITHIN, text_updates=n // parts)
    scarce = replace(whole, per_class=few)
    found["few labels"] = scarce
    found[f"few labels, {WITHIN}"] = replace(scarce, text=WITHIN, text_updates=n)
    for method in (TFIDF, PROBE):
        found[f"few labels, {method}"] = replace(scarce, method=method)
    return found


def _tunings(size: BertSizes, base: EncoderTuning, n_layers: int) -> dict[str, EncoderTuning]:
    """One change in ``base`` each: long texts, layers, rates, schedules."""
    found = {f"truncation={t}": replace(base, truncation=t) for t in TRUNCATIONS}
    for pooling in PIECE_POOLINGS:
        in_pieces = HierarchicalConfig(
            piece_pooling=pooling,
            piece_length=size.max_length,
            max_pieces=size.max_pieces,
            group_size=128,
        )
        found[f"hierarchical={pooling}"] = replace(base, head=in_pieces)
    for name, layers in _layer_choices(n_layers).items():
        kept = replace(base, ratio=layer_decay(max(i % n_layers for i in layers) + 1, 0.95))
        for combination in COMBINATIONS if len(layers) > 1 else COMBINATIONS[:1]:
            head = EncoderClassifierConfig(layers=layers, combination=combination)
            label = f"layers={name} {combination}" if len(layers) > 1 else f"layer={name}"
            found[label] = replace(kept, head=head)
    for factor in RATES:
        found[f"lr={factor:g}x"] = replace(base, lr_max=base.lr_max * factor)
    for decay in DECAYS:
        found[f"decay={decay:g}"] = replace(base, ratio=layer_decay(n_layers, decay))
    released = layer_decay(n_layers, 0.95, embeddings=2.5, head=2.5)  # 5e-5 beside 2e-5
    found["decay=0.95, as released"] = replace(base, ratio=released)
    found["schedule=released"] = replace(base, schedule="released")
    found["schedule=stlr"] = replace(base, schedule="stlr")
    # All epochs but the last thaw, from the head down: as far as so few epochs go.
    thawing = max(0, round(size.updates * size.batch_size / size.labels) - 1)
    found["schedule=stlr, gradual"] = replace(base, schedule="stlr", thaw_stages=thawing)
    return found


def _layer_choices(n_layers: int) -> dict[str, tuple[int, ...]]:
    """Single layers; the first four, the last four and all of BERT's twelve.

    Of four layers the first two, the last two and all.
    """
    some = 4 if n_layers >= 12 else max(2, n_layers // 2)
    return {
        **{str(i): (i,) for i in range(n_layers - 1)},
        "last": (-1,),
        f"first-{some}": tuple(range(some)),
        f"last-{some}": tuple(range(-some, 0)),
        "all": tuple(range(n_layers)),
    }


class BertStudy(TaskStudy[BertArm]):
    """The study's data, and how an arm is trained.

    An encoder that has read on serves every arm of its seed; so does one and
    the same classifier. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        task: labelled texts with splits "train", "valid" and "test".
        size: how much of it to use.
        encoder: where every arm starts.
        texts: unlabelled texts by kind (in-domain, cross-domain) and by corpus;
            a kind without any has no arm.
        others: tasks to be learned along.
        bfloat16: compute products in bfloat16.
    """

    size: BertSizes
    rare_classes: ClassVar[bool] = True

    def __init__(
        self,
        task: Corpus,
        size: BertSizes,
        encoder: PretrainedEncoder,
        texts: Mapping[str, Mapping[str, Sequence[str]]],
        others: Sequence[Corpus],
        bfloat16: bool = False,
    ) -> None:
        places = min(size.max_length, n_positions(encoder.model))
        size = fitting(replace(size, max_length=places), labelled(task, "train").labels)
        self.base = base_tuning(size, encoder.model, bfloat16)
        rate, batch, length = rates_for(encoder.model).reading, size.text_batch, size.text_length
        reading = FurtherPretraining(size.text_updates, rate, 0.1, batch, length, bfloat16=bfloat16)
        own = task.splits["train"].texts
        self.texts: dict[str, Mapping[str, Sequence[str]]] = {WITHIN: {task.name: own}}
        self.texts |= {kind: found for kind, found in texts.items() if found}
        self.texts[WITH_TEST] = {task.name: (*own, *task.splits["test"].texts)}
        found = arms(size, self.base, len(encoder_parts(encoder.model).layers))
        left_out = LEFT_OUT.get(task.name, ())
        kept = {
            name: arm
            for name, arm in found.items()
            if (not arm.text or arm.text in self.texts) and not name.startswith(left_out)
        }
        super().__init__(task, size, kept, {"base": self.base, "reading": reading})
        self.encoder, self.others, self.reading = encoder, others, reading
        self.checkpoint = encoder.name
        self.test_documents = encoder.encode(self.test.texts)
        self.held_out = encoder.encode(labelled(task, "valid", size.held_out).texts)

    def seeds_of(self, name: str) -> int:
        """All seeds for the arms of a claim, fewer for the others.

        Args:
            name: one of :func:`arms`.
        """
        return self.size.seeds if name in CLAIMED else self.size.unclaimed_seeds

    def run(self, arm: BertArm, seed: int) -> CellResult:
        """As every study; with the last training loss, and what masks cost after the tuning.

        Args:
            arm: one of ``self.arms``.
            seed: of everything random.
        """
        result = super().run(arm, seed)
        last = {name: float(curve[-1]) for name, curve in result.curves.items() if len(curve)}
        return replace(result, metrics={**result.metrics, **last})

    def stages(self, arm: BertArm) -> tuple[Touched, ...]:
        """What each training stage of ``arm`` is shown, of the task and of every other corpus."""
        names = self.texts.get(arm.text, {})
        stages = [Touched(f"further pre-training on {n}", "train", True, False) for n in names]
        if arm.text == WITH_TEST:
            stages.append(replace(stages[0], split="test"))
        if arm.method == TASKS:
            others = (f"tuning on {other.name} along" for other in self.others)
            stages += [Touched(stage, "train", True, True) for stage in others]
        stages.append(Touched("classifier", "train", True, True))
        if arm.method in (TUNED, TASKS):
            stages.append(Touched("masks filled after the tuning", "valid", True, False))
        return tuple(stages)

    def data_hashes(self) -> dict[str, str]:
        """Fingerprints of the task, of its companions and of the texts that are read."""
        hashes = super().data_hashes() | {c.name: c.fingerprint for c in self.others}
        for kind in (IN_DOMAIN, CROSS_DOMAIN):
            for name, read in self.texts.get(kind, {}).items():
                hashes[f"texts of {name}"] = fingerprint({"train": Split(tuple(read))})
        return hashes

    def weight_hashes(self) -> dict[str, str]:
        """Those of the shipped weights, and of the checkpoint that every arm starts from."""
        return super().weight_hashes() | self.encoder.weight_hashes()

    def answer(self, arm: BertArm, shown: LabelledTexts, seed: int) -> tuple[Sequence[int], Curves]:
        """Train ``arm`` and classify the test set.

        Args:
            arm: one of :func:`arms`.
            shown: the labelled examples.
            seed: the run's seed.
        """
        if arm.method == TFIDF:
            return tfidf_logistic_regression(shown.texts, shown.labels, self.test.texts), {}
        documents = self.once(
            seed, ("documents", arm.per_class), lambda: self.encoder.encode(shown.texts)
        )
        if arm.method == PROBE:
            return self._probe(documents, shown.labels), {}
        if arm.method == ULMFIT:
            return likeliest([self._ulmfit(documents, shown.labels, seed)]), {}
        probabilities, curves = self.once(
            seed, arm, lambda: self._tuned(arm, documents, shown.labels, seed)
        )
        return likeliest([probabilities]), curves

    def _probe(self, documents: Documents, labels: Sequence[int]) -> list[int]:
        """Logistic regression on the frozen encoder's last layer."""
        train, test = (
            layer_by_layer(self.encoder.model, as_read(d, None, self.base, self.encoder.special))
            for d in (documents, self.test_documents)
        )
        return linear_probe(train[-1].numpy(), labels, test[-1].numpy())

    def _ulmfit(self, documents: Documents, labels: Sequence[int], seed: int) -> Tensor:
        """The chapter before's classifier, on the shipped language model as it is."""
        recipe = ulmfit.at_size(
            ulmfit.PAPER, 1, self.size.updates, 1, self.size.batch_size, drop_mult=0.3
        )
        tokens = self.size.max_length - FRAME  # as many as the encoder reads, the last ones
        steps = replace(recipe.classifier.steps, bfloat16=self.base.bfloat16)
        config = replace(recipe.classifier, lr_max=0.02, max_tokens=tokens, steps=steps)
        start, classes = load_language_model("forward").encoder, len(self.task.label_names)
        model, _ = ulmfit.tune_classifier(start, documents, labels, classes, config, seed=seed)
        return class_probabilities(model, self.test_documents, max_tokens=tokens)

    def _tuned(
        self, arm: BertArm, documents: Documents, labels: Sequence[int], seed: int
    ) -> tuple[Tensor, Curves]:
        """Test probabilities (N, C) of the tuned encoder, and its curves."""
        start, tuning, head = self._start(arm, seed), arm.tuning, None
        special, classes = start.special, len(self.task.label_names)
        encoder = start.model
        if arm.method == TASKS:
            encoder, head = self._with_other_tasks(tuning, documents, labels, seed)
            tuning = replace(tuning, updates=tuning.updates // 2, lr_max=tuning.lr_max / 2)
        model, rows = tune_encoder(
            encoder, documents, labels, classes, tuning, seed, special=special, head=head
        )
        answers = classify(
            model,
            self.test_documents,
            tuning.max_length,
            truncation=tuning.truncation,
            special=special,
            bfloat16=tuning.bfloat16,
        )
        masks = masked_lm_score(
            under_its_old_head(model, start), self.held_out, self.size.text_length
        )
        losses = [row["train_loss"] for row in rows]
        return answers, {"train_loss": losses, "mlm_loss": [masks.loss]}

    def _start(self, arm: BertArm, seed: int) -> PretrainedEncoder:
        """The encoder that ``arm`` tunes, once it has read what it reads; kept for its seed."""

        def read() -> PretrainedEncoder:
            """Further pre-training on a sample of the texts."""
            documents = self.once(seed, ("texts", arm.text), lambda: self._sample(arm.text, seed))
            config = replace(self.reading, updates=arm.text_updates)
            order = derive(seed, "further pre-training")
            return further_pretrain(self.encoder, documents, config, order)[0]

        if not arm.text:
            return self.encoder
        return self.once(seed, (arm.text, arm.text_updates), read)

    def _sample(self, kind: str, seed: int) -> list[list[int]]:
        """A sample of the texts of a kind, as tokens."""
        texts = [text for of_corpus in self.texts[kind].values() for text in of_corpus]
        return self.encoder.encode(sample_texts(texts, self.size.texts, seed))

    def _with_other_tasks(
        self, tuning: EncoderTuning, documents: Documents, labels: Sequence[int], seed: int
    ) -> tuple[PreTrainedModel, nn.Linear]:
        """The encoder, and the task's own head, after half of the task's updates among others.

        The other half comes after it, alone, so that the task itself is seen
        as often as where it is tuned on from the start.
        """
        own = LabelledDocuments(documents, labels, len(self.task.label_names))
        tasks = [own, *self._other_tasks(seed)]
        batches = [math.ceil(len(task.documents) / tuning.batch_size) for task in tasks]
        updates = round(tuning.updates / 2 * sum(batches) / batches[0])
        config, special = replace(tuning, updates=updates), self.encoder.special
        shared, _ = tune_on_tasks(self.encoder.model, tasks, config, seed, special)
        return shared.encoder, _linear(shared.head[0])

    def _other_tasks(self, seed: int) -> list[LabelledDocuments]:
        """As many labelled examples of each other task as of the task itself."""
        found = []
        for other in self.others:
            every = labelled(other, "train")
            size = fitting(self.size, every.labels)
            chosen = every.take(few_labels(every.labels, size.per_class[-1], seed, or_all=True))
            documents = self.encoder.encode(chosen.texts)
            found.append(LabelledDocuments(documents, chosen.labels, len(other.label_names)))
        return found


def _linear(head: nn.Module) -> nn.Linear:
    if not isinstance(head, nn.Linear):
        raise TypeError(f"a task's head is a linear layer, not {type(head).__name__}")
    return head


def joined_pairs(task: Corpus) -> Corpus:
    """``task`` with both segments of a row as one text, such as a title and its abstract.

    Introduced in the chapter *How to fine-tune BERT*.
    """
    splits = {}
    for name, split in task.splits.items():
        pairs = zip(split.texts, split.texts_b or (), strict=split.texts_b is not None)
        texts = tuple(f"{a}. {b}" for a, b in pairs) if split.texts_b else split.texts
        splits[name] = Split(texts, split.labels)
    return replace(task, splits=splits)


def load_task(name: str) -> Corpus:
    """A task of the study: one of the catalogue, its pairs joined, or ``pydocs-long``.

    Without a validation split a tenth of the training set becomes one.
    Introduced in the chapter *How to fine-tune BERT*.
    """
    if name == LONG:
        return long_task(pydocs.load(), LIBRARIES, LongDocumentConfig(fillers=2))
    task = joined_pairs(load(name))
    return task if "valid" in task.splits else with_validation(task, 0.1, seed=0)


def study(task_name: str, scale: Scale, checkpoint: str | Path = SHIPPED_ENCODER) -> BertStudy:
    """The study of a task, with text of its domain and of another, and tasks to learn along.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        task_name: a corpus with splits "train" and "test", or ``pydocs-long``.
        scale: sets the sizes.
        checkpoint: where every arm starts, such as ``"bert-base-uncased"``; rates
            and length follow from it.
    """
    near, far, others = DOMAINS.get(task_name, EMBEDDED)
    texts = {
        kind: {name: domain_texts(name) for name in names}
        for kind, names in ((IN_DOMAIN, near), (CROSS_DOMAIN, far))
    }
    companions = [load_task(name) for name in others if name != task_name]
    encoder = load_pretrained_encoder(checkpoint)
    return BertStudy(
        load_task(task_name), sizes(scale), encoder, texts, companions, has_fast_bfloat16()
    )
