"""Perplexity per token and per word, and its measurement on a stream."""

import math

import pytest
import torch

from ulmfit_lib.training.perplexity import (
    Perplexity,
    perplexity_per_token,
    perplexity_per_word,
    stream_perplexity,
)


def test_a_uniform_guess_has_the_vocabulary_as_its_perplexity():
    nll = 30 * math.log(8192)
    assert perplexity_per_token(nll, 30) == pytest.approx(8192)
    assert perplexity_per_word(nll, 15) == pytest.approx(8192**2)


def test_the_perplexity_per_word_does_not_depend_on_the_cut():
    """The same text and total likelihood in 40 tokens or in 60: 20 words either way."""
    fine, coarse = Perplexity(100.0, 60, 20.0), Perplexity(100.0, 40, 20.0)
    assert fine.per_token < coarse.per_token
    assert fine.per_word == coarse.per_word == pytest.approx(math.exp(5))
    assert coarse.loss == 2.5


def test_a_perplexity_beyond_floating_point_is_infinite():
    assert perplexity_per_word(1e6, 1) == math.inf


@pytest.mark.parametrize("count", [0, -1, float("nan")])
def test_an_empty_count_is_named(count):
    with pytest.raises(ValueError, match="n_tokens="):
        perplexity_per_token(1.0, count)
    with pytest.raises(ValueError, match="n_words="):
        perplexity_per_word(1.0, count)


def test_every_token_of_a_stream_weighs_the_same(language_model, make_stream):
    """Chunks of 10 and a short last one must measure as one long chunk does."""
    short, whole = make_stream(200, bptt=20), make_stream(200, bptt=49)
    assert [x.shape[1] for x, _ in short] == [20, 20, 9]
    assert [x.shape[1] for x, _ in whole] == [49]
    one = stream_perplexity(language_model, short, 0.5)
    other = stream_perplexity(language_model, whole, 0.5)
    assert one.nll_sum == pytest.approx(other.nll_sum, rel=1e-5)
    assert one.n_tokens == other.n_tokens == 4 * 49
    assert one.n_words == 98.0


def test_it_is_the_exponential_of_the_mean_loss(language_model, make_stream):
    language_model.eval()
    ((x, y),) = make_stream(200, bptt=49)
    measured = stream_perplexity(language_model, [(x, y)], 1.0)
    loss = torch.nn.functional.cross_entropy(language_model(x).logits.flatten(0, 1), y.flatten())
    assert measured.loss == pytest.approx(loss.item(), rel=1e-5)
    assert measured.per_token == pytest.approx(loss.exp().item(), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_goes_on_as_if_nothing_had_been_measured(language_model, make_stream, training):
    language_model.train(training)
    fresh = stream_perplexity(language_model, make_stream(200), 1.0)
    language_model(torch.randint(5, 20, (4, 3)))
    state = language_model.state
    assert stream_perplexity(language_model, make_stream(200), 1.0) == fresh
    assert language_model.state is state and language_model.training is training
    assert all(p.grad is None for p in language_model.parameters())


def test_an_empty_stream_is_refused(language_model):
    with pytest.raises(ValueError, match="batches is empty"):
        stream_perplexity(language_model, [], 1.0)
