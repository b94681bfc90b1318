"""One encoder, several tasks: shared layers, a head for each task.

Source: Sun et al. 2019, sections 4.3 and 5.5. Introduced in the chapter *How to
fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from transformers import PreTrainedModel

from ulmfit_lib.models.encoder_classifier import EncoderClassifier, EncoderClassifierConfig


class MultiTaskClassifier(EncoderClassifier):
    """Class logits of framed texts of several tasks; a batch belongs to one of them.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        encoder: as :class:`ulmfit_lib.models.encoder_classifier.EncoderClassifier` takes it;
            shared by all tasks.
        n_classes: number of classes of each task.
        config: pooling, layers and dropout.

    Raises:
        ValueError: no task, or whatever the class above it refuses.
    """

    head: nn.ModuleList  # type: ignore[assignment]  # one for each task

    def __init__(
        self,
        encoder: PreTrainedModel,
        n_classes: Sequence[int],
        config: EncoderClassifierConfig | None = None,
    ) -> None:
        if not n_classes:
            raise ValueError("n_classes=() names no task: give the number of classes of each")
        super().__init__(encoder, n_classes[0], config)
        others = [self.new_head(n) for n in n_classes[1:]]
        self.head = nn.ModuleList([self.head, *others])

    def forward(self, ids: Tensor, task: Tensor | int = 0) -> Tensor:
        """Logits (B, C of the task) of framed texts.

        Args:
            ids: token ids (B, T), padded after the text.
            task: which task the batch belongs to, counted from 0.
        """
        return self.head[int(task)](self.dropout(self.pooled(ids)))
