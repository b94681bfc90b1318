"""Fine-tuning an encoder: it learns, repeats itself, and answers in the documents' order."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ulmfit_lib.models.encoder import EncoderConfig
from ulmfit_lib.papers.bert_finetuning import (
    EncoderTuning,
    classify,
    tune_encoder,
    untrained_encoder,
)

CONFIG = EncoderConfig(40, 16, 2, 2, 32, max_length=12)
TUNING = EncoderTuning(lr_max=1e-2, updates=60, batch_size=8, max_length=12)


def task(n=40, seed=0):
    """The class is which of two tokens stands somewhere in the text."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).tolist()
    documents = [rng.integers(10, 38, rng.integers(2, 9)).tolist() for _ in range(n)]
    for document, label in zip(documents, labels, strict=True):
        document[rng.integers(len(document))] = 38 + label
    return documents, labels


@pytest.fixture(scope="module")
def tuned():
    return tune_encoder(untrained_encoder(CONFIG, 0), *task(80), 2, TUNING)


def test_the_loss_falls_and_new_texts_are_told_apart(tuned):
    model, rows = tuned
    assert rows[-1]["train_loss"] < 0.3 < rows[0]["train_loss"]
    documents, labels = task(seed=1)
    answers = classify(model, documents, 12).argmax(dim=1).tolist()
    assert np.mean(np.equal(answers, labels)) > 0.8


def test_answers_come_in_the_documents_order(tuned):
    documents, _ = task(seed=2)
    together = classify(tuned[0], documents, 12, batch_size=7)
    alone = torch.cat([classify(tuned[0], [d], 12) for d in documents])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_classifier():
    short = replace(TUNING, updates=5)
    first, again, other = (
        tune_encoder(untrained_encoder(CONFIG, 0), *task(), 2, short, seed)[0] for seed in (3, 3, 4)
    )
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_an_untrained_encoder_drops_as_a_loaded_one_does():
    found = untrained_encoder(CONFIG, 0).config
    assert found.hidden_dropout_prob == CONFIG.fine_tuning_dropout != CONFIG.dropout
    assert found.attention_probs_dropout_prob == CONFIG.fine_tuning_dropout


def test_more_tokens_than_positions_are_refused():
    with pytest.raises(ValueError, match="max_length=13, but the encoder has 12 places"):
        longer = replace(TUNING, max_length=13)
        tune_encoder(untrained_encoder(CONFIG, 0), [[10], [11]], [0, 1], 2, longer)


def test_a_label_outside_the_classes_is_refused():
    with pytest.raises(ValueError, match="label 2 is outside"):
        tune_encoder(untrained_encoder(CONFIG, 0), [[10], [11]], [0, 2], 2, TUNING)
