"""The AWD-LSTM language model (Merity et al. 2017), substrate of FitLaM and ULMFiT.

Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulmfit_lib.models.dropout import (
    EmbeddingDropout,
    LockedDropout,
    LSTMState,
    WeightDropLSTM,
)
from ulmfit_lib.text.tokenizer import PAD_ID

EncoderState = list[LSTMState]


@dataclass(frozen=True)
class AWDLSTMConfig:
    """Sizes of an AWD-LSTM. Introduced in the chapter *Text and language models*."""

    vocab_size: int = 8192  # V, token types
    embedding_size: int = 192  # E, also the last layer's output size (tied softmax)
    hidden_size: int = 320  # H of the layers below the last
    n_layers: int = 3  # LSTM layers
    pad_id: int = PAD_ID  # padding token: starts at zero, learns nothing from the input side

    def __post_init__(self) -> None:
        for name in ("vocab_size", "embedding_size", "hidden_size", "n_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not 0 <= self.pad_id < self.vocab_size:
            raise ValueError(f"pad_id={self.pad_id} must be a token id below {self.vocab_size}")

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """(input, output) size of each LSTM layer: E -> H -> ... -> H -> E."""
        sizes = [self.embedding_size, *[self.hidden_size] * (self.n_layers - 1)]
        return list(zip(sizes, [*sizes[1:], self.embedding_size], strict=True))


@dataclass(frozen=True)
class Dropouts:
    """Dropout probabilities of an AWD-LSTM (defaults: Merity et al. 2017, section 5)."""

    embedding: float = 0.1  # whole word types
    input: float = 0.65  # embedding vectors, locked over time
    weight: float = 0.5  # recurrent matrices
    hidden: float = 0.3  # between LSTM layers, locked over time
    output: float = 0.4  # last layer's output, locked over time

    def scaled(self, factor: float) -> Dropouts:
        """All five probabilities times ``factor`` (fastai's ``drop_mult``)."""
        return replace(self, **{name: p * factor for name, p in vars(self).items()})


NO_DROPOUT = Dropouts(0.0, 0.0, 0.0, 0.0, 0.0)
FINE_TUNING_DROPOUTS = Dropouts(0.02, 0.25, 0.2, 0.15, 0.1)  # released ULMFiT scripts, LM
CLASSIFIER_DROPOUTS = Dropouts(0.05, 0.4, 0.5, 0.3, 0.4)  # ULMFiT, section 4.1


class EncoderOutput(NamedTuple):
    """What the encoder returns for a batch (B, T)."""

    raw: Tensor  # (B, T, E) last layer before dropout (TAR looks at this)
    dropped: Tensor  # (B, T, E) last layer after dropout (AR and the decoder)
    state: EncoderState  # per layer (h, c), each (1, B, size)


class LMOutput(NamedTuple):
    """What the language model returns for a batch (B, T)."""

    logits: Tensor  # (B, T, V)
    raw: Tensor  # (B, T, E)
    dropped: Tensor  # (B, T, E)


class AWDLSTM(nn.Module):
    """Embedding and a stack of weight-dropped LSTM layers.

    Source: Merity et al. 2017, sections 2 to 4. The module keeps no state:
    whoever reads a long text hands the state from call to call. Introduced in
    the chapter *Text and language models*.

    Args:
        config: sizes.
        dropouts: probabilities; used in training mode only.
    """

    def __init__(self, config: AWDLSTMConfig, dropouts: Dropouts = NO_DROPOUT) -> None:
        super().__init__()
        self.config, self.dropouts = config, dropouts
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, config.pad_id)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        with torch.no_grad():
            self.embedding.weight[config.pad_id] = 0.0
        self.layers = nn.ModuleList(
            WeightDropLSTM(i, o, dropouts.weight) for i, o in config.layer_sizes
        )
        self.embedding_dropout = EmbeddingDropout(dropouts.embedding)
        self.input_dropout = LockedDropout(dropouts.input)
        self.hidden_dropouts = nn.ModuleList(
            LockedDropout(dropouts.hidden) for _ in range(config.n_layers - 1)
        )
        self.output_dropout = LockedDropout(dropouts.output)

    def forward(self, ids: Tensor, state: EncoderState | None = None) -> EncoderOutput:
        """Encode ``ids`` (B, T), going on from ``state`` (zeros by default)."""
        x = self.input_dropout(self.embedding_dropout(ids, self.embedding))
        raw, new_state = x, []
        for i, layer in enumerate(self.layers):
            raw, layer_state = layer(x, state[i] if state is not None else None)
            new_state.append(layer_state)
            is_last = i == len(self.layers) - 1
            x = self.output_dropout(raw) if is_last else self.hidden_dropouts[i](raw)
        return EncoderOutput(raw, x, new_state)


def detach_state(state: EncoderState) -> EncoderState:
    """The same numbers without their history, so gradients stop here; always in 32 bits."""
    return [(h.detach().float(), c.detach().float()) for h, c in state]


class LanguageModel(nn.Module):
    """An AWD-LSTM that predicts the next token, softmax tied to the embedding.

    The hidden state is carried from call to call, detached, until
    :meth:`reset`: consecutive batches of a stream continue each other
    (truncated back-propagation through time). Introduced in the chapter
    *Text and language models*.

    Args:
        encoder: the AWD-LSTM; its embedding is the decoder's weight.
    """

    def __init__(self, encoder: AWDLSTM) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder_bias = nn.Parameter(torch.zeros(encoder.config.vocab_size))
        self.state: EncoderState | None = None

    def reset(self) -> None:
        """Forget the hidden state: the next call starts a new text."""
        self.state = None

    def forward(self, ids: Tensor) -> LMOutput:
        """Logits (B, T, V) of the token after each of ``ids`` (B, T)."""
        if self.state is not None and self.state[0][0].shape[1] != ids.shape[0]:
            self.reset()  # another batch size means another stream
        output = self.encoder(ids, self.state)
        self.state = detach_state(output.state)
        logits = F.linear(output.dropped, self.encoder.embedding.weight, self.decoder_bias)
        return LMOutput(logits, output.raw, output.dropped)
