"""Perplexity of a language model: per token, and per word to compare tokenizers.

A perplexity per token depends on how a tokenizer cuts the text; spread over
the words of the same text, the same total says the same of every tokenizer.
Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ulmfit_lib.models.awd_lstm import LanguageModel
from ulmfit_lib.training.evaluation import evaluation_mode

LMBatch = tuple[Tensor, Tensor]


def perplexity_per_token(nll_sum: float, n_tokens: float) -> float:
    """``exp(nll_sum / n_tokens)``: among how many tokens the model is torn.

    Introduced in the chapter *Text and language models*.

    Args:
        nll_sum: summed negative log-likelihood of the tokens, in nats.
        n_tokens: number of predicted tokens.

    Returns:
        The perplexity, infinite where it exceeds floating point.

    Raises:
        ValueError: ``n_tokens`` is not positive.
    """
    return _exp_mean(nll_sum, n_tokens, "n_tokens")


def perplexity_per_word(nll_sum: float, n_words: float) -> float:
    """``exp(nll_sum / n_words)``: the same total, spread over words.

    Introduced in the chapter *Text and language models*.

    Args:
        nll_sum: summed negative log-likelihood of the *tokens*, in nats.
        n_words: number of words that those tokens spell; may be a fraction
            where it was computed from a rate.

    Returns:
        The perplexity, infinite where it exceeds floating point.

    Raises:
        ValueError: ``n_words`` is not positive.
    """
    return _exp_mean(nll_sum, n_words, "n_words")


@dataclass(frozen=True)
class Perplexity:
    """How well a language model predicts a text.

    Introduced in the chapter *Text and language models*.
    """

    nll_sum: float  # summed negative log-likelihood of all targets, in nats
    n_tokens: int  # number of targets
    n_words: float  # words that the targets spell

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood of a token, in nats."""
        return self.nll_sum / self.n_tokens

    @property
    def per_token(self) -> float:
        """Perplexity per token."""
        return perplexity_per_token(self.nll_sum, self.n_tokens)

    @property
    def per_word(self) -> float:
        """Perplexity per word."""
        return perplexity_per_word(self.nll_sum, self.n_words)


def stream_perplexity(
    model: LanguageModel, batches: Iterable[LMBatch], words_per_token: float
) -> Perplexity:
    """Read ``batches`` from an empty state, in evaluation mode, and count every token once.

    The mode and the carried state of ``model`` are as before when it returns,
    so a training run can measure itself between two batches. Every token
    weighs the same; fastai's ``valid_loss`` is a mean over batches instead,
    in which a short last batch weighs as much as a long one. Introduced in
    the chapter *Text and language models*.

    Args:
        model: the language model.
        batches: consecutive (inputs (B, T), targets (B, T)) of a stream.
        words_per_token: words of the text divided by its tokens.

    Raises:
        ValueError: ``batches`` is empty.
    """
    state = model.state
    model.reset()
    try:
        with evaluation_mode(model):
            nll_sum, n_tokens = _sum_nll(model, batches)
    finally:
        model.state = state
    if n_tokens == 0:
        raise ValueError("batches is empty: a perplexity needs at least one token")
    return Perplexity(nll_sum, n_tokens, n_tokens * words_per_token)


def _sum_nll(model: LanguageModel, batches: Iterable[LMBatch]) -> tuple[float, int]:
    device = next(model.parameters()).device
    total, n_tokens = 0.0, 0
    for inputs, targets in batches:
        logits = model(inputs.to(device)).logits.flatten(0, 1).float()
        nll = F.cross_entropy(logits, targets.to(device).flatten(), reduction="none")
        total += nll.double().sum().item()
        n_tokens += targets.numel()
    return total, n_tokens


def _exp_mean(total: float, count: float, name: str) -> float:
    if not count > 0:
        raise ValueError(f"{name}={count}: a perplexity needs a positive count")
    try:
        return math.exp(total / count)
    except OverflowError:
        return math.inf
