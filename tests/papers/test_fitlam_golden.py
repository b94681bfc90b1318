"""FitLaM's numbers stay what they are: losses of tiny models.

They were recorded when the paper's module still held its own training code. Of a classifier, the
first epochs are compared: later, max pooling and ReLU turn the last digit, which differs between
processors, into another path.
"""

import numpy as np
import pytest

from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig, Dropouts, LanguageModel
from ulmfit_lib.models.classifier import ClassifierConfig
from ulmfit_lib.papers import fitlam
from ulmfit_lib.study.seeds import seed_everything

SIZES = AWDLSTMConfig(vocab_size=60, embedding_size=6, hidden_size=8, n_layers=2)
LABELS = [i % 3 for i in range(40)]

LANGUAGE_MODEL = {  # direction to (training, validation) loss of each epoch
    "forward": [
        (4.092751, 4.093108),
        (4.086267, 4.09128),
        (4.08229, 4.089769),
        (4.080522, 4.088915),
    ],
    "backward": [
        (4.093307, 4.091656),
        (4.087235, 4.089224),
        (4.083896, 4.086906),
        (4.080708, 4.085501),
    ],
}
WITHOUT_VALIDATION = [(4.092138, 4.089507), (4.087308, 4.08515), (4.084372, 4.080607)]
CLASSIFIER = {
    "forward": [
        (1.313113, 1.092541),
        (1.291166, 1.090337),
        (1.166475, 1.090234),
    ],
    "backward": [
        (1.320312, 1.131897),
        (1.22801, 1.136228),
        (1.001688, 1.144289),
    ],
}


def documents() -> list[list[int]]:
    rng = np.random.default_rng(5)
    return [rng.integers(5, 60, size=rng.integers(3, 30)).tolist() for _ in range(40)]


def losses(rows: list[dict[str, float]]) -> list[tuple[float, float]]:
    return [(row["train_loss"], row["valid_loss"]) for row in rows]


def as_recorded(expected: list[tuple[float, float]]) -> list[object]:
    return [pytest.approx(pair, abs=2e-4) for pair in expected]


@pytest.fixture
def tiny_language_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(direction: str, dropouts: Dropouts) -> LanguageModel:
        return LanguageModel(AWDLSTM(SIZES, dropouts))

    monkeypatch.setattr(fitlam, "load_language_model", load)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_language_model(tiny_language_model: None, direction: str) -> None:
    config = fitlam.LMTuning(epochs=2, batch_size=4, bptt=12)
    texts = documents()
    _, rows = fitlam.tune_language_model(texts[8:], direction, config, seed=3, valid=texts[:8])
    assert losses(rows) == as_recorded(LANGUAGE_MODEL[direction])


def test_the_language_model_without_held_out_text(tiny_language_model: None) -> None:
    config = fitlam.LMTuning(epochs=1, batch_size=4, bptt=12)
    _, rows = fitlam.tune_language_model(documents()[8:], "forward", config, seed=4)
    assert losses(rows) == as_recorded(WITHOUT_VALIDATION)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_classifier(direction: str) -> None:
    seed_everything(9)
    encoder, texts = AWDLSTM(SIZES), documents()
    head = ClassifierConfig(bptt=7, max_pool_tokens=14)
    config = fitlam.ClassifierTuning(updates=20, head_updates=8, batch_size=8, head=head)
    valid = texts[:8], LABELS[:8]
    _, rows = fitlam.tune_classifier(
        encoder, texts[8:], LABELS[8:], 3, config, direction, seed=3, valid=valid
    )
    assert losses(rows)[:3] == as_recorded(CLASSIFIER[direction])
