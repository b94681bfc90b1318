"""The three dropouts of the AWD-LSTM (Merity et al. 2017, sections 3 and 4).

Each one draws a mask once per forward pass and holds it still: over time
(:class:`LockedDropout`), over a word type (:class:`EmbeddingDropout`), over
the recurrent matrix (:class:`WeightDropLSTM`). Introduced in the chapter
*Text and language models*.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LSTMState = tuple[Tensor, Tensor]
# Under autocast cuDNN's LSTM computes in float16, whatever type is asked for, and without a scaled
# loss small gradients would be lost there. So on these devices it is taken out of autocast.
FLOAT32_ON = ("cuda",)


def check_probability(name: str, p: float) -> float:
    """Return ``p`` unchanged if it is a dropout probability.

    Args:
        name: the argument's name, for the message.
        p: a probability in ``[0, 1)``.

    Raises:
        ValueError: ``p`` lies outside ``[0, 1)``.
    """
    if not 0.0 <= p < 1.0:
        raise ValueError(f"{name}={p} is not a dropout probability: give a value in [0, 1)")
    return p


class LockedDropout(nn.Module):
    """Variational dropout: one mask per example, the same at every time step.

    Source: Merity et al. 2017, section 4 (after Gal and Ghahramani 2016).
    Introduced in the chapter *Text and language models*.

    Args:
        p: probability of dropping a feature.

    Raises:
        ValueError: ``p`` lies outside ``[0, 1)``.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = check_probability("p", p)

    def forward(self, x: Tensor) -> Tensor:
        """Drop features of ``x`` (B, T, F) with a mask of shape (B, 1, F)."""
        if not self.training or self.p == 0.0:
            return x
        mask = x.new_empty(x.shape[0], 1, x.shape[2]).bernoulli_(1 - self.p)
        return x * (mask / (1 - self.p))


class EmbeddingDropout(nn.Module):
    """Drop whole word types: a dropped token is zero wherever it occurs.

    Source: Merity et al. 2017, section 4. The mask has shape (V, 1), so the
    same word vanishes everywhere in the batch. The table itself is never
    changed, and a decoder tied to it sees all rows. Introduced in the chapter
    *Text and language models*.

    Args:
        p: probability of dropping a word type.

    Raises:
        ValueError: ``p`` lies outside ``[0, 1)``.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = check_probability("p", p)

    def forward(self, ids: Tensor, embedding: nn.Embedding) -> Tensor:
        """Look up ``ids`` (B, T) in ``embedding`` (V, E); returns (B, T, E)."""
        vectors = embedding(ids)
        if not self.training or self.p == 0.0:
            return vectors
        kept = vectors.new_empty(embedding.num_embeddings).bernoulli_(1 - self.p)
        return vectors * (kept / (1 - self.p))[ids].unsqueeze(-1)


class WeightDropLSTM(nn.Module):
    """A one-layer LSTM with DropConnect on its hidden-to-hidden matrix.

    Source: Merity et al. 2017, section 2. One Bernoulli mask over the whole
    (4H, H) recurrent matrix is drawn per forward pass and used at every time
    step; the input-to-hidden matrix is left alone. The parameters are
    ordinary leaves: the dropped matrix is a fresh tensor each time, so nothing
    decays and nothing is registered twice. Introduced in the chapter
    *Text and language models*.

    Args:
        input_size: features coming in.
        hidden_size: features of the state, H.
        weight_p: probability of dropping a recurrent weight.

    Raises:
        ValueError: ``weight_p`` lies outside ``[0, 1)``.
    """

    def __init__(self, input_size: int, hidden_size: int, weight_p: float = 0.0) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_p = check_probability("weight_p", weight_p)
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.zeros(4 * hidden_size))
        self.bias_hh = nn.Parameter(torch.zeros(4 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier input weights, orthogonal recurrent weights, forget bias 1."""
        h = self.hidden_size
        nn.init.xavier_uniform_(self.weight_ih)
        nn.init.orthogonal_(self.weight_hh)
        nn.init.zeros_(self.bias_ih)
        nn.init.zeros_(self.bias_hh)
        with torch.no_grad():
            self.bias_ih[h : 2 * h] = 1.0

    def zero_state(self, batch_size: int) -> LSTMState:
        """The state before the first token: two zero tensors (1, B, H)."""
        shape = (1, batch_size, self.hidden_size)
        return self.weight_hh.new_zeros(shape), self.weight_hh.new_zeros(shape)

    def forward(self, x: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        """Run over ``x`` (B, T, I); returns outputs (B, T, H) and the last state."""
        if x.device.type in FLOAT32_ON and torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self.forward(x.float(), state)
        if state is None:
            state = self.zero_state(x.shape[0])
        # F.dropout scales the kept weights by 1 / (1 - p) and returns its input in evaluation.
        weight_hh = F.dropout(self.weight_hh, self.weight_p, self.training)
        weights = [self.weight_ih, weight_hh, self.bias_ih, self.bias_hh]
        outputs, h, c = torch.lstm(x, state, weights, True, 1, 0.0, self.training, False, True)
        return outputs, (h, c)

    def extra_repr(self) -> str:
        """Sizes and dropout, for ``print(model)``."""
        return f"{self.input_size}, {self.hidden_size}, weight_p={self.weight_p}"
