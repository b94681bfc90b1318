"""The masked language model's loss on several kinds of text, watched while it reads on.

Introduced in the chapter *Don't stop pre-training*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastai.callback.core import Callback

from ulmfit_lib.models.pretrained_encoder import PretrainedEncoder
from ulmfit_lib.text.packing import HeldOutSequences
from ulmfit_lib.text.streams import join_documents
from ulmfit_lib.training.masked_lm import score_masked_lm


class LossWatch(Callback):
    """Measures held-out texts before the first update and after every ``every`` of them.

    The masks are frozen, and measuring draws no random number, so a training
    that is watched is the same as one that is not. Over several phases the
    updates are counted on. Introduced in the chapter *Don't stop
    pre-training*.

    Args:
        encoder: whose tokens they are; the model measured is the one in training.
        held_out: token ids of texts that are never read, by kind.
        every: updates between two measurements.
        length: tokens of a sequence.

    Raises:
        ValueError: ``every`` is below 1, or a kind has no text.
    """

    def __init__(
        self,
        encoder: PretrainedEncoder,
        held_out: Mapping[str, Sequence[Sequence[int]]],
        every: int,
        length: int = 128,
    ) -> None:
        if every < 1:
            raise ValueError(f"every={every}: measure after 1 update or more")
        self.every, self.n_updates = every, 0
        self.updates: list[int] = []
        self.losses: dict[str, list[float]] = {kind: [] for kind in held_out}
        self._texts = {
            kind: HeldOutSequences(
                join_documents(documents, encoder.special.bos_id),
                length,
                encoder.vocabulary,
                special=encoder.special,
            )
            for kind, documents in held_out.items()
        }

    def before_fit(self) -> None:
        """Measure where training begins; a later phase begins where the one before ended."""
        if not self.updates:
            self._measure()

    def after_batch(self) -> None:
        """Count an update, and measure when it is time."""
        if not self.learn.training:
            return
        self.n_updates += 1
        if self.n_updates % self.every == 0:
            self._measure()

    def _measure(self) -> None:
        self.updates.append(self.n_updates)
        for kind, texts in self._texts.items():
            self.losses[kind].append(score_masked_lm(self.learn.model, texts).loss)
