"""Pre-training of the AWD-LSTM on running text, with checkpoints and resume.

The run is divided into *segments* of a fixed number of updates. At the end of
each the held-out loss is measured and a checkpoint written; a segment is a
pure function of the checkpoint before it and its number, so a run killed at
any moment and started again ends with the same numbers. Introduced in the
chapter *Text and language models*.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback  # noqa: F401  (gives Learner.no_bar)
from fastai.callback.schedule import ParamScheduler
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import Tensor

from ulmfit_lib.models.awd_lstm import AWDLSTM, NO_DROPOUT, AWDLSTMConfig, Dropouts, LanguageModel
from ulmfit_lib.text.streams import LMStream, StreamConfig
from ulmfit_lib.text.token_files import TokenFile
from ulmfit_lib.training.checkpoints import (
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from ulmfit_lib.training.learner import BFloat16, language_model_loss
from ulmfit_lib.training.optimizers import adam
from ulmfit_lib.training.perplexity import Perplexity, stream_perplexity
from ulmfit_lib.training.regularization import RescaleLearningRate
from ulmfit_lib.training.schedules import linear_warmup

CHECKPOINT_NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class PretrainConfig:
    """One pre-training run. Introduced in the chapter *Text and language models*."""

    model: AWDLSTMConfig = AWDLSTMConfig()  # sizes
    dropouts: Dropouts = NO_DROPOUT  # none: less than one pass over the corpus cannot overfit
    stream: StreamConfig = StreamConfig()  # rows, bptt, direction
    updates: int = 27_500  # optimizer steps of the whole run
    segment: int = 250  # optimizer steps between checkpoints
    lr_max: float = 2e-3  # highest learning rate
    horizon: int = 27_500  # optimizer steps over which the rate would fall to zero
    warmup: float = 0.01  # share of the horizon during which the rate rises
    decay_from: int | None = None  # step from which it falls faster, to be zero at the last one
    betas: tuple[float, float] = (0.9, 0.99)  # Adam's decay rates
    weight_decay: float = 0.01  # decoupled, per unit of learning rate
    clip: float = 0.5  # largest gradient norm
    bfloat16: bool = False  # matrix products in bfloat16 where the processor has them
    valid_tokens: int = 65_536  # held-out tokens read at every checkpoint
    seed: int = 0  # of the initial weights and of the dropout masks

    def __post_init__(self) -> None:
        if self.updates < 1 or self.segment < 1 or self.updates % self.segment:
            raise ValueError(
                f"updates={self.updates} must be a positive multiple of segment={self.segment}"
            )
        if not self.decay_start <= self.updates <= self.horizon:
            raise ValueError(
                f"decay_from={self.decay_from}, updates={self.updates}, horizon={self.horizon}: "
                "give them in ascending order"
            )

    @property
    def segments(self) -> int:
        """Number of checkpoints of the whole run."""
        return self.updates // self.segment

    @property
    def decay_start(self) -> int:
        """Step from which the rate falls to zero at the last one."""
        return self.updates if self.decay_from is None else self.decay_from

    def lr(self, t: int) -> float:
        """Learning rate of step ``t``, counted from 0.

        A linear rise and fall over the horizon. A run can be ended before its
        horizon: from ``decay_from`` on the rate falls to zero at ``updates``.
        """
        start = self.decay_start
        rate = linear_warmup(min(t, start), self.horizon, self.lr_max, self.warmup)
        return rate if t < start else rate * (self.updates - t) / max(1, self.updates - start)


@dataclass
class Progress:
    """How far a run has come; saved with every checkpoint."""

    segments: int = 0  # finished
    tokens: int = 0  # read
    seconds: float = 0.0  # spent training, over all resumptions
    history: list[dict[str, float]] = field(default_factory=list)  # one row per segment


def pretrain(
    config: PretrainConfig,
    train: TokenFile,
    valid: TokenFile,
    folder: str | Path,
    report: Callable[[str], None] = print,
) -> tuple[LanguageModel, Progress]:
    """Train an AWD-LSTM language model, resuming from ``folder`` if it holds a checkpoint.

    Args:
        config: the run.
        train: text to learn from.
        valid: held-out text.
        folder: where the checkpoint lives; one run per folder.
        report: receives one line of progress at a time.

    Returns:
        The trained model and the record of the run.

    Raises:
        ValueError: the checkpoint belongs to another configuration or corpus,
            or the corpus is too small for the batch.
    """
    torch.manual_seed(config.seed)
    model = LanguageModel(AWDLSTM(config.model, config.dropouts))
    stream = LMStream(train.tokens, config.stream, config.segment)
    held_out = held_out_stream(valid, config)
    learn = _learner(config, model, stream, held_out)
    keeper = Segments(config, train, valid, Path(folder), report)
    if keeper.resume(learn):
        report(f"resuming after {keeper.progress.segments} of {config.segments} segments")
    remaining = config.segments - keeper.progress.segments
    if remaining > 0:
        with learn.no_bar(), learn.no_logging():
            learn.fit(remaining, cbs=[keeper, _schedule(config, keeper.progress.segments)])
    return model, keeper.progress


def held_out_stream(valid: TokenFile, config: PretrainConfig) -> LMStream:
    """The held-out text that every checkpoint is measured on: its first tokens.

    Args:
        valid: held-out text.
        config: how many tokens, and the direction.
    """
    cut = StreamConfig(16, config.stream.bptt, False, config.stream.direction)
    return LMStream(valid.tokens[: config.valid_tokens], cut)


class Segments(Callback):
    """Carry, save and restore whatever a segment needs from the one before."""

    order = 70  # after the scheduler and the recorder

    def __init__(
        self,
        config: PretrainConfig,
        train: TokenFile,
        valid: TokenFile,
        folder: Path,
        report: Callable[[str], None],
    ) -> None:
        self.config, self.report = config, report
        self.train_text, self.valid_text = train, valid
        self.path = folder / CHECKPOINT_NAME
        self.progress = Progress()
        self._hidden: list[tuple[Tensor, Tensor]] | None = None

    def resume(self, learn: Learner) -> bool:
        """Restore ``learn`` from the checkpoint; False where there is none."""
        if not self.path.is_file():
            return False
        tensors, facts = load_checkpoint(self.path)
        if facts["identity"] != (identity := self._identity()):
            raise ValueError(_difference(self.path, facts["identity"], identity))
        self._check_end(facts)
        learn.create_opt()
        learn.model.load_state_dict(_without_prefix(tensors, "model."))
        restore_optimizer(learn.opt.opt, tensors)
        self._hidden = _hidden_from(tensors)
        self.progress = Progress(**facts["progress"])
        return True

    def before_train(self) -> None:
        """Start the next segment where the last one ended."""
        number = self.progress.segments
        torch.manual_seed(hash((self.config.seed, number)) % 2**63)
        self.dls.train.set_epoch(number)
        self.model.state = self._hidden
        self._started, self._loss_sum, self._tokens = time.monotonic(), 0.0, 0

    def after_batch(self) -> None:
        """Sum up loss and tokens; report every 50 updates."""
        if not self.training:
            return
        self._tokens += self.yb[0].numel()
        self._loss_sum += float(self.loss.detach()) * self.yb[0].numel()
        if (self.iter + 1) % 50 == 0:
            self.report(self._line())

    def after_train(self) -> None:
        """Keep the hidden state, and measure the held-out loss."""
        self._hidden = self.model.state
        seconds = time.monotonic() - self._started
        held_out = stream_perplexity(self.model, self.dls.valid, self._words_per_token())
        self._advance(seconds, held_out)
        save_checkpoint(self.path, self._tensors(), self._facts())

    def _advance(self, seconds: float, held_out: Perplexity) -> None:
        p = self.progress
        p.segments += 1
        p.tokens += self._tokens
        p.seconds += seconds
        row = {
            "updates": p.segments * self.config.segment,
            "tokens": p.tokens,
            "seconds": round(p.seconds, 1),
            "train_loss": self._loss_sum / self._tokens,
            "valid_loss": held_out.loss,
        }
        p.history.append(row)
        self.report(
            f"segment {p.segments}/{self.config.segments}: train {row['train_loss']:.4f}, "
            f"held-out {held_out.loss:.4f} (perplexity {held_out.per_token:.1f} a token, "
            f"{held_out.per_word:.0f} a word)"
        )

    def _line(self) -> str:
        seconds = time.monotonic() - self._started
        done = self.progress.segments * self.config.segment + self.iter + 1
        rate = self._tokens / seconds
        left = (self.config.updates - done) * seconds / (self.iter + 1)
        return (
            f"update {done}/{self.config.updates}: loss {self._loss_sum / self._tokens:.4f}, "
            f"{rate:,.0f} tokens/s, {left / 60:.0f} min left"
        )

    def _words_per_token(self) -> float:
        return self.valid_text.n_words / len(self.valid_text.tokens)

    def _identity(self) -> dict[str, Any]:
        """What two runs must share for one to go on from the other's checkpoint."""
        config = asdict(self.config) | {"betas": list(self.config.betas)}
        for name in ("updates", "decay_from"):
            del config[name]
        return {
            "config": config,
            "train": self.train_text.fingerprint,
            "valid": self.valid_text.fingerprint,
        }

    def _check_end(self, facts: dict[str, Any]) -> None:
        """A run may be given another end while its rate is the same under both."""
        done = facts["progress"]["segments"] * self.config.segment
        theirs, ours = facts["end"], self._end()
        if theirs != ours and done > min(theirs[0], ours[0]):
            raise ValueError(
                f"the checkpoint {self.path} has done {done} updates of a run that decays from "
                f"update {theirs[0]} to {theirs[1]}: it cannot decay from {ours[0]} to {ours[1]}. "
                "Choose a later decay_from, or another folder"
            )

    def _end(self) -> list[int]:
        return [self.config.decay_start, self.config.updates]

    def _facts(self) -> dict[str, Any]:
        progress = asdict(self.progress)
        return {"identity": self._identity(), "end": self._end(), "progress": progress}

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= optimizer_tensors(self.opt.opt)
        for i, (h, c) in enumerate(self._hidden or []):
            tensors |= {f"hidden.{i}.h": h, f"hidden.{i}.c": c}
        return tensors


def _learner(
    config: PretrainConfig, model: LanguageModel, stream: LMStream, held_out: LMStream
) -> Learner:
    cbs = [GradientClip(config.clip), RescaleLearningRate(config.stream.bptt)]
    if config.bfloat16:
        cbs.append(BFloat16())
    learn = Learner(
        DataLoaders(stream, held_out),
        model,
        loss_func=language_model_loss,
        opt_func=adam(betas=config.betas, weight_decay=config.weight_decay),
        cbs=cbs,
    )
    # The held-out loss is measured by Segments, at the end of the training part of an epoch.
    learn._do_epoch_validate = lambda *_, **__: None
    return learn


def _schedule(config: PretrainConfig, segments_done: int) -> ParamScheduler:
    """The rates of the *whole* run, wherever this fit starts."""
    first = segments_done * config.segment
    remaining = config.updates - first
    return ParamScheduler({"lr": lambda position: config.lr(first + round(position * remaining))})


def _hidden_from(tensors: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]] | None:
    n = sum(name.startswith("hidden.") and name.endswith(".h") for name in tensors)
    return [(tensors[f"hidden.{i}.h"], tensors[f"hidden.{i}.c"]) for i in range(n)] or None


def _without_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _difference(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Say in which settings a checkpoint and this run differ."""
    a, b = theirs.pop("config") | theirs, ours.pop("config") | ours
    names = [f"{k} ({a.get(k)} there, {b[k]} here)" for k in b if a.get(k) != b[k]]
    return (
        f"the checkpoint {path} belongs to another run: {'; '.join(names)}. "
        "Choose another folder, or delete the checkpoint to start anew"
    )
