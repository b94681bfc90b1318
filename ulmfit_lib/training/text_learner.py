"""For those who come from fastai: a Learner for texts, as its tutorials use one.

The same model, loaders and optimizer as everywhere in the book, behind
fastai's own methods: ``fit_one_cycle``, ``freeze_to``, ``unfreeze``,
``validate``, ``get_preds`` and a ``predict`` that takes a string. Introduced in
the chapter *ULMFiT*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from tokenizers import Tokenizer
from torch import Tensor

from ulmfit_lib.models.awd_lstm import AWDLSTM, CLASSIFIER_DROPOUTS
from ulmfit_lib.models.classifier import ClassifierConfig, TextClassifier, classifier_encoder
from ulmfit_lib.models.pretrained import load_language_model
from ulmfit_lib.text.batches import BatchConfig, TextDataset, TextLoader
from ulmfit_lib.text.streams import check_direction
from ulmfit_lib.text.tokenizer import encode, load_tokenizer
from ulmfit_lib.training.evaluation import accuracy
from ulmfit_lib.training.fine_tuning import free_order
from ulmfit_lib.training.groups import check_partition, classifier_groups
from ulmfit_lib.training.optimizers import adam

TextsAndClasses = tuple[Sequence[str], Sequence[str]]  # texts, and the name of the class of each


class TextDataLoaders(DataLoaders):
    """fastai's ``DataLoaders`` over texts: knows the classes, and makes loaders of new texts.

    Introduced in the chapter *ULMFiT*.

    Args:
        train: labelled texts to train on.
        valid: labelled texts to validate with.
        tokenizer: the model's vocabulary.
        direction: "backward" reverses the texts.
        batches: batch size, token budget, seed; by default 64 texts, bucketed
            by length only within an eighth of them.
        device: where the batches go.

    Raises:
        ValueError: a class of ``valid`` that ``train`` has not, or fewer than
            two texts to train on.
    """

    def __init__(
        self,
        train: TextsAndClasses,
        valid: TextsAndClasses,
        tokenizer: Tokenizer,
        direction: str = "forward",
        batches: BatchConfig | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.vocab = sorted(set(train[1]))
        self.tokenizer, self.direction = tokenizer, check_direction(direction)
        self.batches = batches if batches is not None else free_order(len(train[0]), 64, seed=0)
        unknown = sorted(set(valid[1]) - set(self.vocab))
        if unknown:
            raise ValueError(f"valid has the class {unknown[0]!r}, which no training text has")
        super().__init__(
            TextLoader(self._dataset(*train), self.batches, shuffle=True),
            TextLoader(self._dataset(*valid), self.batches),
            device=torch.device(device),
        )

    def test_dl(self, texts: Sequence[str], **_: Any) -> TextLoader:
        """A loader of new texts without labels; ``learn.get_preds(dl=...)`` keeps their order."""
        return TextLoader(self._dataset(texts, None), self.batches, device=self.device)

    def _dataset(self, texts: Sequence[str], labels: Sequence[str] | None) -> TextDataset:
        classes = [self.vocab.index(name) for name in labels] if labels is not None else None
        documents = encode(self.tokenizer, list(texts))
        return TextDataset(documents, classes, self.direction == "backward")


class TextLearner(Learner):
    """fastai's ``Learner`` with a ``predict`` that takes a string.

    fastai's own recipe works::

        learn = text_classifier_learner(train, valid)
        learn.fit_one_cycle(1, 2e-2)
        learn.freeze_to(-2)
        learn.fit_one_cycle(1, slice(1e-2 / 2.6**4, 1e-2))
        learn.unfreeze()
        learn.fit_one_cycle(2, slice(1e-3 / 2.6**4, 1e-3))

    Introduced in the chapter *ULMFiT*.
    """

    def predict(self, item: str, **_: Any) -> tuple[str, Tensor, Tensor]:
        """As in fastai: the class by name, its index, and the probabilities (C,)."""
        with self.no_bar(), self.no_logging():
            probabilities = self.get_preds(dl=self.dls.test_dl([item]))[0][0]
        index = probabilities.argmax()
        return self.dls.vocab[int(index)], index, probabilities


def text_classifier_learner(
    train: TextsAndClasses,
    valid: TextsAndClasses,
    *,
    direction: str = "forward",
    drop_mult: float = 0.5,
    encoder: AWDLSTM | None = None,
    tokenizer: Tokenizer | None = None,
    batches: BatchConfig | None = None,
    head: ClassifierConfig | None = None,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> TextLearner:
    """fastai's function of this name, on the book's AWD-LSTM.

    Five layer groups, so that ``slice(lr / 2.6**4, lr)`` is the paper's rule; frozen up to the
    head, as in fastai (recipe: :class:`TextLearner`). ``learn.export`` would pickle: keep the model
    with :func:`ulmfit_lib.models.classifier_folder.save_classifier`. Introduced in the chapter
    *ULMFiT*.

    Args:
        train: texts and the names of their classes.
        valid: the same, to validate with.
        direction: how the encoder reads.
        drop_mult: factor of the paper's dropouts, 0.5 in fastai.
        encoder: tuned on the task's text, best; by default the shipped one.
        tokenizer: the encoder's vocabulary; by default the shipped encoder's.
        batches: as :class:`TextDataLoaders` takes it.
        head: pooling, BPT3C, head.
        device: where model and batches go.
        **settings: whatever else fastai's ``Learner`` takes.

    Raises:
        ValueError: as :class:`TextDataLoaders`, unknown ``direction``, foreign ``tokenizer``.
    """
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer()
    encoder = encoder if encoder is not None else load_language_model(direction).encoder
    _check_vocabulary(encoder, tokenizer)
    dls = TextDataLoaders(train, valid, tokenizer, direction, batches, device)
    dropped = classifier_encoder(encoder, CLASSIFIER_DROPOUTS, drop_mult)
    model = TextClassifier(dropped, len(dls.vocab), head).to(device)
    check_partition(model, classifier_groups(model))
    learn = TextLearner(dls, model, **(_defaults() | settings))
    learn.freeze()
    return learn


def _check_vocabulary(encoder: AWDLSTM, tokenizer: Tokenizer) -> None:
    """Ids of another vocabulary would be read as other words, and nothing else would tell."""
    rows, tokens = encoder.config.vocab_size, tokenizer.get_vocab_size()
    if rows != tokens:
        raise ValueError(
            f"tokenizer has {tokens:,} tokens, encoder {rows:,} embeddings: pass the tokenizer of "
            "this encoder (the shipped one is taken unless tokenizer= names another)"
        )


def _defaults() -> dict[str, Any]:
    """What fastai's ``Learner`` is given unless the caller says otherwise."""
    return {
        "loss_func": CrossEntropyLossFlat(),
        "splitter": classifier_groups,
        "opt_func": adam(),
        "metrics": [accuracy],
        "cbs": [GradientClip(25.0)],
    }
