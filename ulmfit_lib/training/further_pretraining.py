"""Further pre-training: a masked language model goes on reading, now the text of a task.

Whose text it is gives the kind its name: the task's own training text
(*within-task*), other text of the same domain (*in-domain*), text of another
domain (*cross-domain*). No label is looked at; reading the *test* set's text
as well is another thing, called transductive. Source: Sun et al. 2019,
sections 4.2 and 5.4. Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import ParamScheduler
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastcore.basics import noop

from ulmfit_lib.models.encoder import MaskedPositionsModel
from ulmfit_lib.models.pretrained_encoder import PretrainedEncoder, n_positions
from ulmfit_lib.text.masking import MaskingConfig
from ulmfit_lib.text.packing import HeldOutSequences, MaskedSequences, PackConfig
from ulmfit_lib.text.streams import join_documents
from ulmfit_lib.text.truncation import FRAME
from ulmfit_lib.training.learner import BFloat16
from ulmfit_lib.training.masked_lm import MaskedLMScore, masked_lm_loss, score_masked_lm
from ulmfit_lib.training.optimizers import adam
from ulmfit_lib.training.schedules import by_position, linear_warmup


@dataclass(frozen=True)
class FurtherPretraining:
    """How the encoder reads on. Introduced in the chapter *How to fine-tune BERT*."""

    updates: int = 200  # optimizer steps; 100,000 in the paper
    lr_max: float = 5e-4  # highest learning rate; 5e-5 in the paper, for a larger model
    warmup: float = 0.1  # share of the updates during which the rate rises
    batch_size: int = 32  # packed sequences; fewer where the text does not fill as many
    length: int = 128  # tokens of a sequence
    masking: MaskingConfig = MaskingConfig()  # drawn anew for every batch
    weight_decay: float = 0.01  # decoupled, per unit of learning rate
    clip: float = 1.0  # largest gradient norm
    bfloat16: bool = False  # matrix products in bfloat16: faster where the processor has them

    def __post_init__(self) -> None:
        if self.updates < 0 or not self.lr_max >= 0:
            raise ValueError(f"updates={self.updates}, lr_max={self.lr_max}: give 0 or more")


def further_pretrain(
    encoder: PretrainedEncoder,
    documents: Sequence[Sequence[int]],
    config: FurtherPretraining = FurtherPretraining(),
    seed: int = 0,
    quiet: bool = True,
    cbs: Sequence[Callback] = (),
) -> tuple[PretrainedEncoder, list[float]]:
    """A copy of ``encoder`` that has read ``documents``.

    Sequences are packed, so none of a batch is padding, and masks are drawn
    anew for every batch; the paper's code drew five fixed sets of masks and
    padded pairs of sentences. There is no next-sentence objective. The head
    that predicts the masks is trained along. Introduced in the chapter *How
    to fine-tune BERT*.

    Args:
        encoder: where to begin; left as it is.
        documents: token ids of the texts, without special tokens.
        config: updates, rate, batches, masks.
        seed: of order, cuts, masks and dropout.
        quiet: show nothing.
        cbs: more fastai callbacks, such as
            :class:`ulmfit_lib.training.loss_watch.LossWatch`.

    Returns:
        The encoder, in evaluation mode, and the smoothed training loss at
        every update.

    Raises:
        ValueError: sequences longer than the encoder has positions, or text
            that does not fill one of them.
    """
    if config.updates == 0:
        return replace(encoder, masked_lm=copy.deepcopy(encoder.masked_lm)), []
    batches = masked_batches(encoder, documents, config, seed)
    return read_on(encoder, batches, config, seed, quiet, cbs)


def read_on(
    encoder: PretrainedEncoder,
    batches: DataLoader,
    config: FurtherPretraining = FurtherPretraining(),
    seed: int = 0,
    quiet: bool = True,
    cbs: Sequence[Callback] = (),
) -> tuple[PretrainedEncoder, list[float]]:
    """A copy of ``encoder`` that has filled the masks of ``batches``, whoever chose them.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        encoder: where to begin; left as it is.
        batches: ``config.updates`` of them, what
            :class:`ulmfit_lib.models.encoder.MaskedPositionsModel` takes and
            then the targets.
        config: rate, clipping.
        seed: of dropout.
        quiet: show nothing.
        cbs: more fastai callbacks.

    Returns:
        The encoder, in evaluation mode, and the smoothed training loss at
        every update.
    """
    found = replace(encoder, masked_lm=copy.deepcopy(encoder.masked_lm))
    torch.manual_seed(seed)
    learn = _learner(MaskedPositionsModel(found.masked_lm), batches, config, quiet)
    rates = by_position(
        lambda t, T, lr: linear_warmup(t, T, lr, config.warmup), config.updates, [config.lr_max]
    )
    learn.fit(1, cbs=[ParamScheduler({"lr": rates}), *cbs])
    found.masked_lm.eval()
    return found, [float(loss) for loss in learn.recorder.losses]


def masked_batches(
    encoder: PretrainedEncoder,
    documents: Sequence[Sequence[int]],
    config: FurtherPretraining,
    seed: int = 0,
) -> MaskedSequences:
    """``config.updates`` packed and masked batches of ``documents``, in a random order.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        encoder: whose tokens they are.
        documents: token ids of the texts, without special tokens.
        config: batch size, length, masks.
        seed: of order, cuts and masks.

    Raises:
        ValueError: as :func:`further_pretrain`.
    """
    check_positions(config.length, encoder)
    order = np.random.default_rng(seed).permutation(len(documents))
    stream = join_documents([documents[i] for i in order], encoder.special.bos_id)
    most = max(1, len(stream) // (config.length - FRAME) - 1)
    return MaskedSequences(
        stream,
        PackConfig(min(config.batch_size, most), config.length, seed),
        encoder.vocabulary,
        config.masking,
        batches_per_epoch=config.updates,
        special=encoder.special,
    )


def check_positions(length: int, encoder: PretrainedEncoder) -> None:
    """Refuse sequences that are longer than the encoder can read.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        length: tokens of a sequence, special tokens included.
        encoder: that is to read it.

    Raises:
        ValueError: it has fewer positions.
    """
    if length > n_positions(encoder.model):
        raise ValueError(
            f"length={length}, but the encoder has {n_positions(encoder.model)} places: "
            "make shorter sequences"
        )


def masked_lm_score(
    encoder: PretrainedEncoder, documents: Sequence[Sequence[int]], length: int = 128
) -> MaskedLMScore:
    """How well ``encoder`` fills masks in ``documents``; the masks are always the same.

    Before and after training on labels it says what was forgotten, before and
    after further pre-training what was learned. Introduced in the chapter
    *How to fine-tune BERT*.

    Args:
        encoder: in which state ever; measured in evaluation mode.
        documents: token ids of held-out texts, without special tokens.
        length: tokens of a sequence.
    """
    stream = join_documents(documents, encoder.special.bos_id)
    held_out = HeldOutSequences(stream, length, encoder.vocabulary, special=encoder.special)
    return score_masked_lm(MaskedPositionsModel(encoder.masked_lm), held_out)


def _learner(
    model: MaskedPositionsModel, batches: DataLoader, config: FurtherPretraining, quiet: bool
) -> Learner:
    device = next(model.parameters()).device
    learn = Learner(
        DataLoaders(batches, batches, device=device),
        model,
        loss_func=masked_lm_loss,
        opt_func=adam((0.9, 0.999), config.weight_decay),
        cbs=[GradientClip(config.clip), *([BFloat16()] if config.bfloat16 else [])],
    )
    # Held-out text is measured by masked_lm_score, whose masks stay the same.
    learn._do_epoch_validate = lambda *_, **__: None
    learn.logger = noop
    if quiet:
        learn.remove_cbs(ProgressCallback)
    return learn
