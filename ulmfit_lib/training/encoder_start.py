"""Where the pre-training of an encoder starts: from counts over its text, or from an earlier run.

From random vectors a small encoder sits for thousands of updates where the
loss is that of the tokens' frequencies: attention has nothing worth averaging
yet, and vectors that nobody attends to learn slowly. Counting which tokens
stand near each other takes less than a minute over 70 million of them and
gives attention something to average from the first update. Introduced in the
chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from torch import Tensor
from transformers import BertForMaskedLM

from ulmfit_lib.models.encoder import EncoderConfig, build_encoder, encoder_card, load_encoder
from ulmfit_lib.text.masking import MaskingVocabulary

_BLOCK = 2**24  # tokens that are counted at once
_SMOOTHING = 0.75  # power of a context's frequency (Levy et al. 2015, section 3.2)


@dataclass(frozen=True)
class StartConfig:
    """Where an encoder starts. Introduced in the chapter *How to fine-tune BERT*."""

    window: int = 4  # tokens to either side that count as near
    token_std: float = 0.05  # root mean square of a token's vector
    position_std: float = 0.015  # root mean square of a position's vector, before centring

    def __post_init__(self) -> None:
        if self.window < 1 or self.token_std <= 0 or self.position_std < 0:
            raise ValueError(
                f"window={self.window}, token_std={self.token_std}, position_std="
                f"{self.position_std}: give a window of 1 or more and sizes above 0"
            )


@dataclass(frozen=True)
class EarlierRun:
    """A finished run to go on from. Introduced in the chapter *How to fine-tune BERT*."""

    folder: str  # of its encoder
    sha256: str  # of its weights, in half precision

    @classmethod
    def of(cls, folder: str | Path) -> EarlierRun:
        """The run that made the encoder in ``folder``.

        Raises:
            FileNotFoundError: no encoder there.
        """
        return cls(str(folder), encoder_card(folder)["sha256"])

    def facts(self) -> dict[str, Any]:
        """How that run went, as its card says: what a later run's card repeats."""
        card = encoder_card(self.folder)
        return {name: card[name] for name in _TOLD_OF_AN_EARLIER_RUN if name in card}


_TOLD_OF_AN_EARLIER_RUN = (
    "sha256",
    "command",
    "commit",
    "config",
    "tokens_seen",
    "training_seconds",
    "history",
    "hardware",
    "torch",
    "tokens_per_second",
    "utilisation",
    "energy",
    "earlier",
)


def go_on_from(run: EarlierRun, config: EncoderConfig) -> BertForMaskedLM:
    """The encoder of an earlier run, with the dropout of pre-training.

    Its optimizer's averages are not kept: the new run warms up again.
    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        run: the earlier one.
        config: sizes of the model in the new run.

    Raises:
        FileNotFoundError, DamagedFileError: no encoder there, or not whole.
        ValueError: it has other sizes, or is another one than the run's.
    """
    card = encoder_card(run.folder)
    if card["sha256"] != run.sha256:
        raise ValueError(
            f"the encoder in {run.folder} is another one than this run began with: restore it, "
            "or begin a run in another folder"
        )
    theirs, ours = card["model"], asdict(config)
    wrong = [n for n in ours if theirs[n] != ours[n] and "dropout" not in n]
    if wrong:
        told = ", ".join(f"{n} ({theirs[n]} there, {ours[n]} here)" for n in wrong)
        raise ValueError(f"the encoder in {run.folder} has other sizes: {told}")
    model = build_encoder(config)
    model.load_state_dict(load_encoder(run.folder).state_dict())
    return model


def start_encoder(
    model: BertForMaskedLM,
    tokens: NDArray[np.uint16],
    vocabulary: MaskingVocabulary,
    config: StartConfig,
    seed: int = 0,
) -> None:
    """Set the embeddings and the output bias of a new encoder from counts over ``tokens``.

    Token vectors are :func:`token_vectors`; positions are sines of many wave
    lengths (Vaswani et al. 2017, section 3.5), turned at random so that they
    do not crowd the vectors' strongest dimensions; the output bias is the log
    of the tokens' frequencies. Everything is trained on from there. Special
    tokens, and tokens that never occur, keep their random vectors. Introduced
    in the chapter *How to fine-tune BERT*.

    Args:
        model: changed in place.
        tokens: the text to be learned, (N,).
        vocabulary: says which of its V tokens are special.
        config: window and sizes.
        seed: of the factorisation and of the turn.
    """
    embeddings = model.bert.embeddings
    size, special = model.config.hidden_size, vocabulary.special.numpy()
    vectors = token_vectors(tokens, special, size, config.window, seed)
    positions = sinusoids(model.config.max_position_embeddings, size, seed)
    frequencies = np.bincount(tokens, minlength=len(special)) + 1.0
    with torch.no_grad():
        known = torch.from_numpy(vectors.any(axis=1))
        rows = torch.from_numpy(vectors)[known]
        rows *= config.token_std / rows.square().mean(dim=1, keepdim=True).sqrt()
        embeddings.word_embeddings.weight[known] = rows
        embeddings.position_embeddings.weight.copy_(config.position_std * positions)
        embeddings.token_type_embeddings.weight.zero_()
        log_frequencies = np.log(frequencies / frequencies.sum())
        model.cls.predictions.bias.copy_(torch.from_numpy(log_frequencies))


def token_vectors(
    tokens: NDArray[np.uint16], special: NDArray[np.bool_], size: int, window: int, seed: int = 0
) -> NDArray[np.float32]:
    """One vector per token such that tokens with similar neighbours have similar vectors.

    Positive pointwise mutual information of tokens that stand near each
    other, and its truncated singular value decomposition, each side given
    half of the singular values. Source: Levy and Goldberg 2014, section 5;
    Levy et al. 2015, sections 2 and 3. Introduced in the chapter *How to
    fine-tune BERT*.

    Args:
        tokens: token ids, (N,).
        special: (V,), True for tokens that are no text; their counts are left out.
        size: features of a vector, at most V.
        window: tokens to either side that count as near.
        seed: of the randomised decomposition.

    Returns:
        (V, size), centred; zeros for special tokens and those that never occur.
    """
    counts = neighbour_counts(tokens, len(special), window)
    counts[special, :] = 0.0
    counts[:, special] = 0.0
    contexts = counts.sum(axis=0) ** _SMOOTHING
    expected = np.outer(counts.sum(axis=1), contexts / contexts.sum())
    seen = counts > 0
    information = np.zeros_like(counts)
    information[seen] = np.maximum(np.log(counts[seen] / expected[seen]), 0.0)
    left, strengths, _ = randomized_svd(information, size, n_iter=3, random_state=seed)
    known = counts.sum(axis=1) > 0
    vectors = np.where(known[:, None], left * np.sqrt(strengths), 0.0)
    vectors[known] -= vectors[known].mean(axis=0)
    return vectors.astype(np.float32)


def neighbour_counts(
    tokens: NDArray[np.uint16], vocab_size: int, window: int
) -> NDArray[np.float32]:
    """How often two tokens stand at most ``window`` apart, (V, V) and symmetric.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        tokens: token ids, (N,).
        vocab_size: V.
        window: tokens to either side that count as near.
    """
    counts = np.zeros(vocab_size * vocab_size, dtype=np.float32)
    for start in range(0, len(tokens), _BLOCK):
        block = np.asarray(tokens[start : start + _BLOCK + window], dtype=np.int64)
        for distance in range(1, window + 1):
            first = block[: max(0, min(_BLOCK, len(block) - distance))]
            pairs = first * vocab_size + block[distance : distance + len(first)]
            counts += np.bincount(pairs, minlength=len(counts))
    square = counts.reshape(vocab_size, vocab_size)
    return square + square.T


def sinusoids(n: int, size: int, seed: int = 0) -> Tensor:
    """Vectors (n, size) of positions: sines and cosines of many wave lengths, turned at random.

    Root mean square 1, then centred over the positions. Source: Vaswani et al. 2017, section 3.5.
    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        n: positions.
        size: features of a vector; even.
        seed: of the turn.
    """
    rates = 10_000.0 ** (-torch.arange(0, size, 2) / size)
    angles = torch.arange(n)[:, None] * rates
    waves = 2**0.5 * torch.cat([angles.sin(), angles.cos()], dim=1)  # root mean square 1
    generator = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(size, size, generator=generator))
    return (waves - waves.mean(dim=0)) @ turn
