"""Token vectors from counts: counted right, near for like neighbours, and safe at the edges."""

import numpy as np
import pytest
import torch

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder
from ulmfit_lib.text.masking import MaskingVocabulary
from ulmfit_lib.training import encoder_start
from ulmfit_lib.training.encoder_start import (
    StartConfig,
    neighbour_counts,
    sinusoids,
    start_encoder,
    token_vectors,
)

SIZE = 30
SPECIAL = torch.arange(SIZE) < 5
VOCABULARY = MaskingVocabulary(3, SPECIAL, ~SPECIAL, ~SPECIAL)
MODEL = EncoderConfig(SIZE, 8, 1, 2, 16, max_length=12)


def two_topics(n=6000, seed=0):
    """Tokens 10..18 stand among themselves, and so do 20..28; 29 never occurs."""
    rng = np.random.default_rng(seed)
    topics = np.repeat(rng.integers(0, 2, n // 20), 20)
    return (10 + 10 * topics + rng.integers(0, 9, len(topics))).astype(np.uint16)


def counted_by_hand(tokens, size, window):
    counts = np.zeros((size, size))
    for i, a in enumerate(tokens):
        for b in tokens[max(0, i - window) : i + window + 1]:
            counts[a, b] += 1
        counts[a, a] -= 1  # a token is no neighbour of itself
    return counts


@pytest.mark.parametrize("n", [1, 2, 3, 40])
@pytest.mark.parametrize("window", [3, 4])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_counts_are_those_of_a_loop_whatever_the_blocks(n, window, block, monkeypatch):
    monkeypatch.setattr(encoder_start, "_BLOCK", block)
    tokens = np.random.default_rng(n).integers(0, 6, n).astype(np.uint16)
    expected = counted_by_hand(tokens.tolist(), 6, window)
    np.testing.assert_array_equal(neighbour_counts(tokens, 6, window), expected)


def test_tokens_of_one_topic_have_similar_vectors():
    vectors = token_vectors(two_topics(), SPECIAL.numpy(), size=4, window=4)
    unit = vectors[10:29] / np.maximum(1e-9, np.linalg.norm(vectors[10:29], axis=1, keepdims=True))
    similar = unit @ unit.T
    assert similar[:9, :9].mean() > 0.5
    assert similar[:9, 10:].mean() < 0.0


def test_special_and_unseen_tokens_have_no_counted_vector():
    tokens = two_topics()
    tokens[::50] = 4
    vectors = token_vectors(tokens, SPECIAL.numpy(), size=4, window=4)
    assert not vectors[:5].any() and not vectors[29].any()
    assert vectors[10:19].any(axis=1).all()


def test_start_sets_vectors_positions_and_bias():
    torch.manual_seed(0)
    model = build_encoder(MODEL)
    before = model.bert.embeddings.word_embeddings.weight.detach().clone()
    config = StartConfig(window=4, token_std=0.1, position_std=0.02)
    start_encoder(model, two_topics(), VOCABULARY, config)
    words = model.bert.embeddings.word_embeddings.weight.detach()
    assert torch.equal(words[:5], before[:5]) and torch.equal(words[29], before[29])
    rms = words[10:19].square().mean(dim=1).sqrt()
    torch.testing.assert_close(rms, torch.full((9,), 0.1))
    assert model.cls.predictions.decoder.weight.data_ptr() == words.data_ptr()
    frequencies = model.cls.predictions.bias.detach().exp()
    assert float(frequencies.sum()) == pytest.approx(1.0, abs=1e-5)
    assert bool((frequencies[10:19] > 10 * frequencies[29]).all())


def test_start_is_the_same_for_the_same_seed():
    weights = []
    for _ in range(2):
        torch.manual_seed(0)
        model = build_encoder(MODEL)
        start_encoder(model, two_topics(), VOCABULARY, StartConfig(), seed=1)
        weights.append(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(*(w.values() for w in weights), strict=True))


def test_positions_near_each_other_are_alike_wherever_they_are():
    waves = sinusoids(64, 32)
    products = waves @ waves.T
    assert waves.mean(dim=0).abs().max() < 1e-5
    steps = [torch.diagonal(products, offset=k).mean() for k in (0, 1, 4)]
    assert steps[0] > steps[1] > steps[2]


@pytest.mark.parametrize("wrong", [{"window": 0}, {"token_std": 0.0}, {"position_std": -1.0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StartConfig(**wrong)
