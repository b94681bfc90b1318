r"""Long texts in pieces: each read by the encoder on its own, then made one vector.

Nothing is cut off, however long the text. The pieces' vectors are combined
by their mean, their maximum, or self-attention:

.. math:: a = \operatorname{softmax}_j\big(w_2 \tanh(W_1 h_j)\big), \qquad v = \sum_j a_j h_j

Source: Sun et al. 2019, section 5.3.1 (the code of this part was not
released; the form of the attention is that of their model over layers).
Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from ulmfit_lib.models.encoder_classifier import EncoderClassifier, EncoderClassifierConfig
from ulmfit_lib.models.pooling import masked_mean
from ulmfit_lib.models.pretrained_encoder import n_positions

PIECE_POOLINGS = ("mean", "max", "attention")


@dataclass(frozen=True)
class HierarchicalConfig(EncoderClassifierConfig):
    """How pieces are read and combined. Introduced in the chapter *How to fine-tune BERT*."""

    piece_pooling: str = "mean"  # one of PIECE_POOLINGS
    piece_length: int = 128  # tokens of a piece, [CLS] and [SEP] included
    attention_size: int = 128  # rows of W1
    group_size: int = 32  # pieces that are in the encoder at once
    max_pieces: int | None = None  # of a longer document head and tail are kept; None: all

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.piece_pooling not in PIECE_POOLINGS:
            raise ValueError(f"piece_pooling={self.piece_pooling!r} must be in {PIECE_POOLINGS}")
        if self.piece_length < 3 or min(self.group_size, self.attention_size) < 1:
            raise ValueError(
                f"piece_length={self.piece_length}, group_size={self.group_size}, attention_size="
                f"{self.attention_size}: give pieces of 3 tokens or more and sizes of 1 or more"
            )


class AttentionPool(nn.Module):
    """One vector of several, weighted by what each of them says of itself.

    Source: Lin et al. 2017, with one row of attention. Introduced in the
    chapter *How to fine-tune BERT*.

    Args:
        size: features of a vector, H.
        attention_size: rows of :math:`W_1`.
    """

    def __init__(self, size: int, attention_size: int = 128) -> None:
        super().__init__()
        self.inner = nn.Linear(size, attention_size, bias=False)
        self.outer = nn.Linear(attention_size, 1, bias=False)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """(B, H) of ``vectors`` (B, k, H), those left out where ``mask`` (B, k) is False."""
        return (self.weights(vectors, mask).unsqueeze(-1) * vectors).sum(dim=1)

    def weights(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Weights (B, k) of ``vectors`` (B, k, H): 0 where ``mask`` is False; rows sum to 1."""
        scores = self.outer(torch.tanh(self.inner(vectors))).squeeze(-1).float()
        return scores.masked_fill(~mask, -torch.inf).softmax(dim=1)


class HierarchicalClassifier(EncoderClassifier):
    """Class logits of documents in pieces.

    They come as :class:`ulmfit_lib.text.pieces.PiecesDataset` lays them
    out. Pieces that are all padding never enter the encoder. The others go
    through it in groups of ``group_size``; in training only the vectors of a
    group are kept, and its inner states are computed again when the gradient
    comes back (gradient checkpointing), so memory does not grow with the
    length of a document beyond one vector per piece. A batch that fits one
    group is read at once. Source: Sun et al. 2019, section 5.3.1; Chen et al.
    2016 for the checkpoints. Introduced in the chapter *How to fine-tune
    BERT*.

    Args:
        encoder: as :class:`ulmfit_lib.models.encoder_classifier.EncoderClassifier` takes it.
        n_classes: number of logits, C.
        config: pieces, their combination, and everything else.

    Raises:
        ValueError: pieces longer than the encoder has positions, and whatever
            :class:`ulmfit_lib.models.encoder_classifier.EncoderClassifier` refuses.
    """

    config: HierarchicalConfig

    def __init__(
        self, encoder: PreTrainedModel, n_classes: int, config: HierarchicalConfig | None = None
    ) -> None:
        config = config if config is not None else HierarchicalConfig()
        super().__init__(encoder, n_classes, config)
        if config.piece_length > n_positions(self.encoder):
            raise ValueError(
                f"piece_length={config.piece_length}, but the encoder has "
                f"{n_positions(self.encoder)} places: make shorter pieces"
            )
        attention = config.piece_pooling == "attention"
        self.attention = (
            AttentionPool(self.n_features, config.attention_size) if attention else None
        )

    def pooled(self, ids: Tensor) -> Tensor:
        """The vector (B, F) that stands for each document of ``ids`` (B, T)."""
        vectors, mask = self.piece_vectors(ids)
        if self.attention is not None:
            return self.attention(vectors, mask)
        if self.config.piece_pooling == "mean":
            return masked_mean(vectors, mask)
        return vectors.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=1)

    def piece_weights(self, ids: Tensor) -> Tensor:
        """Share (B, k) of each piece of ``ids`` (B, T) in the attention; 0 where there is none.

        Raises:
            TypeError: the pieces are combined otherwise.
        """
        if self.attention is None:
            raise TypeError(f"piece_pooling={self.config.piece_pooling!r} gives no weights")
        return self.attention.weights(*self.piece_vectors(ids))

    def piece_vectors(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (B, k, F) of the pieces of ``ids`` (B, T), and which of them exist, (B, k)."""
        pieces = self._split(ids)
        mask = (pieces != self.config.pad_id).any(dim=-1)
        read = torch.cat(self._in_groups(pieces[mask]))
        vectors = read.new_zeros(*mask.shape, read.shape[-1])
        vectors[mask] = read
        return vectors, mask

    def layer_groups(self) -> list[nn.Module]:
        """As for a classifier of single texts; the attention belongs to the top."""
        *below, top = super().layer_groups()
        if self.attention is None:
            return [*below, top]
        return [*below, nn.ModuleList([self.attention, top])]

    def _split(self, ids: Tensor) -> Tensor:
        """Pieces (B, k, P) of the rows of ``ids`` (B, T), filled up with padding."""
        length = self.config.piece_length
        missing = -ids.shape[1] % length
        filled = nn.functional.pad(ids, (0, missing), value=self.config.pad_id)
        return filled.view(len(ids), -1, length)

    def _in_groups(self, pieces: Tensor) -> list[Tensor]:
        """Vectors of ``pieces`` (N, P), group by group."""
        groups = [self._trimmed(group) for group in pieces.split(self.config.group_size)]
        if len(groups) == 1 or not torch.is_grad_enabled():
            return [super(HierarchicalClassifier, self).pooled(group) for group in groups]
        read = super().pooled
        return [checkpoint(read, group, use_reentrant=False) for group in groups]

    def _trimmed(self, group: Tensor) -> Tensor:
        """``group`` (n, P) without the columns that hold padding alone."""
        longest = int((group != self.config.pad_id).sum(dim=1).max())
        return group[:, :longest]
