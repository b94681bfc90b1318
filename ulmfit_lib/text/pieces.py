"""Long texts in pieces that an encoder can read one by one.

Source: Sun et al. 2019, section 5.3.1. Introduced in the chapter *How to
fine-tune BERT*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ulmfit_lib.text.batches import TokenDataset
from ulmfit_lib.text.special_tokens import BOOK_TOKENS, SpecialTokens
from ulmfit_lib.text.truncation import FRAME, truncate


def pieces(ids: Sequence[int], n: int) -> list[list[int]]:
    """A text in ``ceil(len(ids) / n)`` pieces of ``n`` tokens; the last may be shorter.

    The paper says ``k = L / 510``; rounded down, that would lose the end of
    the text. An empty text is one empty piece. Source: Sun et al. 2019,
    section 5.3.1. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        ids: token ids of a text.
        n: tokens of a piece.

    Raises:
        ValueError: ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"n={n} leaves no token: keep at least 1")
    count = max(1, math.ceil(len(ids) / n))
    return [list(ids[i * n : (i + 1) * n]) for i in range(count)]


class PiecesDataset(TokenDataset):
    """Documents in pieces, each with its own ``[CLS]`` and ``[SEP]``, and their labels.

    A document is one row, its pieces end to end: all but the last fill
    ``piece_length`` tokens, so piece ``i`` stands at ``i * piece_length`` and
    a row is padded only behind its end. So documents of all lengths make
    batches as everywhere else in the book, and
    :class:`ulmfit_lib.models.hierarchical.HierarchicalClassifier` finds the
    pieces again. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        documents: token ids of each text, without special tokens.
        piece_length: tokens of a piece, ``[CLS]`` and ``[SEP]`` included.
        labels: one class index per document, or None.
        special: ids of the special tokens.
        max_pieces: of a longer text the head and the tail are kept; None: all.

    Raises:
        ValueError: a piece leaves no room for text, ``max_pieces`` is below
            1, or labels and documents differ in number.
    """

    def __init__(
        self,
        documents: Sequence[Sequence[int]],
        piece_length: int,
        labels: Sequence[int] | None = None,
        special: SpecialTokens = BOOK_TOKENS,
        max_pieces: int | None = None,
    ) -> None:
        body = piece_length - FRAME
        if body < 1:
            raise ValueError(f"piece_length={piece_length} leaves no token of the text: give 3")
        if max_pieces is not None:
            documents = [truncate(ids, max_pieces * body, "head+tail") for ids in documents]
        rows = [
            [token for piece in pieces(ids, body) for token in _framed(piece, special)]
            for ids in documents
        ]
        super().__init__(rows, labels)
        self.pad_id = special.pad_id


def _framed(piece: Sequence[int], special: SpecialTokens) -> list[int]:
    return [special.cls_id, *piece, special.sep_id]
