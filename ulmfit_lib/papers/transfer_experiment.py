"""What the shipped weights are worth: each model as a reader of a task, by number of labels.

``python -m ulmfit_lib run transfer --task mr`` writes its run record. Every model is compared with
the same network from random weights and with TF-IDF, frozen (a linear probe on its states) and
tuned. Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sklearn.metrics import matthews_corrcoef
from torch import Tensor
from transformers import PreTrainedModel

from ulmfit_lib.models.awd_lstm import AWDLSTM, NO_DROPOUT
from ulmfit_lib.models.classifier import ClassifierConfig
from ulmfit_lib.models.encoder import EncoderConfig, encoder_card, load_encoder
from ulmfit_lib.models.pooling import masked_mean
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.papers import bert_finetuning, fitlam
from ulmfit_lib.papers.bert_finetuning import EncoderTuning
from ulmfit_lib.papers.fitlam import ClassifierTuning
from ulmfit_lib.study.baselines import linear_probe, tfidf_logistic_regression
from ulmfit_lib.study.doctor import has_fast_bfloat16
from ulmfit_lib.study.records import CellResult, Touched
from ulmfit_lib.study.scale import Scale, pick
from ulmfit_lib.study.task_study import (
    Curves,
    LabelledTexts,
    StudyArm,
    StudySizes,
    TaskStudy,
    labelled,
    likeliest,
    measurable,
)
from ulmfit_lib.text.batches import TextDataset, TokenDataset
from ulmfit_lib.text.corpora import load
from ulmfit_lib.text.corpus import Corpus
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.text.tokenizer import PAD_ID, encode, load_tokenizer
from ulmfit_lib.training.document_vectors import document_vectors
from ulmfit_lib.training.fine_tuning import Documents

DIRECTIONS = ("forward", "backward")
MODELS = (*DIRECTIONS, "encoder")
PROBE, TUNED, TFIDF = "probe", "tuned", "tfidf"
FEWEST_OF_TWO = 200  # labelled examples of each class, where there are two
# The study asks what the weights are worth, not the papers' recipes. So few updates go further, on
# validation text, with a linear head, one rate for all layers and no dropout.
AWD_LSTM_TUNING = fitlam.one_rate(
    ClassifierTuning(
        dropouts=NO_DROPOUT, head=ClassifierConfig(hidden_sizes=(), head_dropouts=(0.0,))
    )
)
ENCODER_LR = 1e-3  # of its head: the better of 5e-4 and 1e-3 on validation text, in 90 updates
PROBE_TOKENS = 256  # of a document, that an AWD-LSTM's probe reads: the last ones


@dataclass(frozen=True)
class TransferSizes(StudySizes):
    """How large this study is. Introduced in the chapter *How to fine-tune BERT*."""

    updates: int  # optimizer steps with every layer open
    head_updates: int  # optimizer steps of an AWD-LSTM's head alone


@dataclass(frozen=True)
class TransferArm(StudyArm):
    """One way to read a task. Introduced in the chapter *How to fine-tune BERT*."""

    method: str  # PROBE, TUNED or TFIDF
    model: str = ""  # one of MODELS
    pretrained: bool = True  # False: the same network from random weights


def sizes(scale: Scale | None = None) -> TransferSizes:
    """The study's sizes at ``scale``, by default the dial's."""
    return pick(
        smoke=TransferSizes(1, (2, 4), 40, 4, 2),
        laptop=TransferSizes(5, (10, 50, 200), 1000, 70, 20),
        paper=TransferSizes(5, (10, 50, 200), 25_000, 1500, 300),
        scale=scale,
    )


def arms(size: TransferSizes) -> dict[str, TransferArm]:
    """Every arm of the study by name, such as ``"encoder/tuned/50"``.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        size: gives the label counts.
    """
    found = {}
    for n in size.per_class:
        found[f"{TFIDF}/{n}"] = TransferArm(n, TFIDF)
        for model in MODELS:
            for method in (PROBE, TUNED):
                found[f"{model}/{method}/{n}"] = TransferArm(n, method, model)
        for model in ("forward", "encoder"):
            for method in (PROBE, TUNED):
                found[f"{model} scratch/{method}/{n}"] = TransferArm(n, method, model, False)
    return found


class TransferStudy(TaskStudy[TransferArm]):
    """The study's data, and how an arm reads them.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        task: labelled texts with splits "train" and "test".
        size: how much of it to use.
        awd: how an AWD-LSTM is tuned.
        encoder: how the encoder is tuned.
    """

    def __init__(
        self, task: Corpus, size: TransferSizes, awd: ClassifierTuning, encoder: EncoderTuning
    ) -> None:
        super().__init__(task, size, arms(size), {"awd_lstm": awd, "encoder": encoder})
        self.awd, self.encoder, self.tokenizer = awd, encoder, load_tokenizer()
        self.test_documents = encode(self.tokenizer, self.test.texts)

    def run(self, arm: TransferArm, seed: int) -> CellResult:
        """As every study, with Matthews' correlation beside the accuracy (CoLA's measure).

        Args:
            arm: one of ``self.arms``.
            seed: of everything random.
        """
        result = super().run(arm, seed)
        matthews = float(matthews_corrcoef(self.test.labels, result.predictions))
        return replace(result, metrics={**result.metrics, "mcc": matthews})

    def stages(self, arm: TransferArm) -> tuple[Touched, ...]:
        """What training is shown: the labelled examples alone."""
        return (Touched("classifier", "train", True, True),)

    def answer(
        self, arm: TransferArm, shown: LabelledTexts, seed: int
    ) -> tuple[Sequence[int], Curves]:
        """Train ``arm`` and classify the test set.

        Args:
            arm: one of :func:`arms`.
            shown: the labelled examples.
            seed: the run's seed.
        """
        if arm.method == TFIDF:
            return tfidf_logistic_regression(shown.texts, shown.labels, self.test.texts), {}
        documents = encode(self.tokenizer, shown.texts)
        if arm.method == PROBE:
            train, test = (self._states(arm, seed, d) for d in (documents, self.test_documents))
            return linear_probe(train.numpy(), shown.labels, test.numpy()), {}
        tune = self._tuned_encoder if arm.model == "encoder" else self._tuned_awd_lstm
        return likeliest([tune(arm, documents, shown.labels, seed)]), {}

    def _states(self, arm: TransferArm, seed: int, documents: Documents) -> Tensor:
        """Mean last state (N, H) of each document; those of the test set are made once a seed."""

        def read() -> Tensor:
            """The states of ``documents``."""
            if arm.model == "encoder":
                bert = _encoder(arm, seed)
                framed = FramedDataset(documents, self.encoder.max_length)
                return mean_states(
                    lambda ids: bert(ids, attention_mask=ids != PAD_ID).last_hidden_state, framed
                )
            lstm = _awd_lstm(arm, seed)
            backward = arm.model == "backward"
            dataset = TextDataset(documents, backward=backward, max_tokens=PROBE_TOKENS)
            return mean_states(lambda ids: lstm(ids).raw, dataset)

        if documents is not self.test_documents:
            return read()
        return self.once(seed, (arm.model, arm.pretrained), read)

    def _tuned_awd_lstm(
        self, arm: TransferArm, documents: Documents, labels: Sequence[int], seed: int
    ) -> Tensor:
        config = self.awd if arm.pretrained else fitlam.without_transfer(self.awd)
        classes = len(self.task.label_names)
        lstm, direction = _awd_lstm(arm, seed), arm.model
        model, _ = fitlam.tune_classifier(lstm, documents, labels, classes, config, direction, seed)
        return fitlam.classify(model, self.test_documents, direction)

    def _tuned_encoder(
        self, arm: TransferArm, documents: Documents, labels: Sequence[int], seed: int
    ) -> Tensor:
        config = self.encoder if arm.pretrained else bert_finetuning.without_transfer(self.encoder)
        classes = len(self.task.label_names)
        model, _ = bert_finetuning.tune_encoder(
            _encoder(arm, seed), documents, labels, classes, config, seed
        )
        return bert_finetuning.classify(model, self.test_documents, config.max_length)


def mean_states(states: Callable[[Tensor], Tensor], dataset: TokenDataset) -> Tensor:
    """The mean state (N, H) of each document, without gradient, in the documents' order.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        states: from ids (B, T), padded after the text, to hidden states (B, T, H).
        dataset: the documents as the model reads them.
    """
    return document_vectors(states, dataset, masked_mean)


def study(task_name: str, scale: Scale) -> TransferStudy:
    """The study of a task.

    Label counts that the rarest class cannot fill are left out, and so are
    fewer than 200 of each of two classes, to keep the study short.
    A task whose test labels were never published (CoLA) is measured on its
    validation split. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        task_name: a corpus with a split "train" and a labelled "test" or "valid".
        scale: sets the sizes.

    Raises:
        ValueError: not such a corpus, or it has too few labels.
    """
    task, fast = measurable(load(task_name)), has_fast_bfloat16()
    size = _affordable(sizes(scale), task)
    awd = replace(
        AWD_LSTM_TUNING,
        updates=size.updates,
        head_updates=size.head_updates,
        bfloat16=fast,
    )
    steps = size.updates + size.head_updates
    encoder = EncoderTuning(lr_max=ENCODER_LR, updates=steps, bfloat16=fast)
    return TransferStudy(task, size, awd, encoder)


def _affordable(size: TransferSizes, task: Corpus) -> TransferSizes:
    """``size`` without the label counts that ``task`` is not to be learned from."""
    rarest = min(Counter(labelled(task, "train").labels).values())
    fewest = min(FEWEST_OF_TWO, size.per_class[-1]) if len(task.label_names) == 2 else 1
    counts = tuple(n for n in size.per_class if fewest <= n <= rarest)
    if not counts:
        raise ValueError(
            f"the rarest class of {task.name} has {rarest} labelled examples, and the study "
            f"takes {max(fewest, size.per_class[0])} of each class or more: choose another task"
        )
    return replace(size, per_class=counts)


def _awd_lstm(arm: TransferArm, seed: int) -> AWDLSTM:
    shipped = load_language_model(arm.model).encoder.eval()
    return shipped if arm.pretrained else fitlam.untrained_encoder(shipped.config, seed).eval()


def _encoder(arm: TransferArm, seed: int) -> PreTrainedModel:
    if arm.pretrained:
        return load_encoder().bert
    config = EncoderConfig(**encoder_card()["model"])
    return bert_finetuning.untrained_encoder(config, seed).eval()
