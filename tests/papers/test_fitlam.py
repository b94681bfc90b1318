"""FitLaM's plans are the paper's, and its stages learn."""

import pytest
import torch

from ulmfit_lib.models.awd_lstm import NO_DROPOUT, AWDLSTMConfig
from ulmfit_lib.models.classifier import ClassifierConfig
from ulmfit_lib.papers import fitlam
from ulmfit_lib.text.tokenizer import encode, load_tokenizer

QUICK = fitlam.ClassifierTuning(
    ratio=1.0, updates=60, head_updates=10, batch_size=8, dropouts=NO_DROPOUT
)


def texts():
    """Two classes that differ in their words."""
    good = [f"the {w} film was great and lovely" for w in ("new", "old", "long", "short")]
    bad = [f"the {w} film was dull and awful" for w in ("new", "old", "long", "short")]
    return encode(load_tokenizer(), good * 4 + bad * 4), [1] * 16 + [0] * 16


def test_the_lm_thaws_from_the_top_and_then_rises_and_falls():
    plan = fitlam.lm_plan(4, fitlam.LMTuning(epochs=3, lr_max=0.01))
    assert [s.trainable for s in plan] == [(3,), (2, 3), (1, 2, 3), (0, 1, 2, 3)]
    assert [s.epochs for s in plan] == [1, 1, 1, 3]
    rates = [plan[-1].schedule(t, 40, 0.01) for t in range(40)]
    assert rates[0] == 0.0
    assert max(rates) == pytest.approx(rates[10]) == pytest.approx(0.01)
    assert all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))
    falling = [plan[0].schedule(t, 40, 0.01) for t in range(40)]
    assert falling[0] == pytest.approx(0.01)
    assert falling == sorted(falling, reverse=True)


def test_the_classifier_starts_with_its_head():
    config = fitlam.ClassifierTuning(updates=100, head_updates=30, schedule="stlr")
    plan = fitlam.classifier_plan(5, 10, config)
    assert [(s.trainable, s.epochs) for s in plan] == [((4,), 3), ((0, 1, 2, 3, 4), 10)]
    assert plan[1].schedule(0, 100, 0.32) == pytest.approx(0.01)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="schedule='linear' must be one of .*cosine"):
        fitlam.ClassifierTuning(schedule="linear")


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_classifier_learns_and_answers_in_order(direction):
    documents, labels = texts()
    small = AWDLSTMConfig(embedding_size=16, hidden_size=16, n_layers=2)
    encoder = fitlam.untrained_encoder(small, seed=0)
    model, rows = fitlam.tune_classifier(encoder, documents, labels, 2, QUICK, direction, seed=0)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    probabilities = fitlam.classify(model, documents, direction, batch_size=5)
    assert probabilities.argmax(dim=1).tolist() == labels
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(len(labels)))


def test_the_same_seed_gives_the_same_classifier():
    documents, labels = texts()
    encoder = fitlam.untrained_encoder(AWDLSTMConfig(embedding_size=8, hidden_size=8), seed=1)
    one, other = (
        fitlam.classify(
            fitlam.tune_classifier(encoder, documents, labels, 2, QUICK, seed=s)[0], documents
        )
        for s in (3, 3)
    )
    assert torch.equal(one, other)


def test_the_encoder_given_stays_as_it_was():
    documents, labels = texts()
    encoder = fitlam.untrained_encoder(AWDLSTMConfig(embedding_size=8, hidden_size=8), seed=1)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    fitlam.tune_classifier(encoder, documents, labels, 2, QUICK)
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())


def test_a_label_out_of_range_is_refused():
    documents, labels = texts()
    encoder = fitlam.untrained_encoder(AWDLSTMConfig(embedding_size=8, hidden_size=8), seed=1)
    with pytest.raises(ValueError, match=r"label 1 is outside 0 \.\. 0"):
        fitlam.tune_classifier(encoder, documents, labels, 1, QUICK)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_tuning_the_shipped_language_model_lowers_its_loss(direction):
    documents = encode(
        load_tokenizer(),
        [f"Returns the {w} of the given array along an axis." for w in ("sum", "mean", "rank")]
        * 60,
    )
    config = fitlam.LMTuning(epochs=1, batch_size=4, dropouts=NO_DROPOUT)
    _, rows = fitlam.tune_language_model(
        documents[:150], direction, config, seed=0, valid=documents[150:]
    )
    assert [row["stage"] for row in rows] == [0, 1, 2, 3]
    assert rows[-1]["valid_loss"] < rows[0]["valid_loss"] - 0.5


def test_the_classifier_config_reaches_the_model():
    documents, labels = texts()
    encoder = fitlam.untrained_encoder(AWDLSTMConfig(embedding_size=8, hidden_size=8), seed=1)
    config = fitlam.ClassifierTuning(
        updates=2, head_updates=1, head=ClassifierConfig(bptt=3, hidden_sizes=(7,))
    )
    model, _ = fitlam.tune_classifier(encoder, documents, labels, 2, config)
    assert model.config.bptt == 3
    assert any(p.shape == (7, 24) for p in model.parameters())
