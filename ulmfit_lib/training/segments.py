"""Long runs in segments, with checkpoints: what every pre-training shares.

A run is divided into *segments* of a fixed number of updates. At the end of
each the held-out loss is measured and a checkpoint written; a segment is a
pure function of the checkpoint before it and its number, so a run killed at
any moment and started again ends with the same numbers: on as many threads of
the same CPU to the last digit, on a GPU up to the rounding of kernels that add
in no fixed order.
Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback  # noqa: F401  (gives Learner.no_bar)
from fastai.callback.schedule import ParamScheduler
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import Tensor, nn

from ulmfit_lib.text.token_files import TokenFile
from ulmfit_lib.training.checkpoints import (
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from ulmfit_lib.training.learner import BFloat16
from ulmfit_lib.training.memory import give_large_blocks_back
from ulmfit_lib.training.optimizers import adam
from ulmfit_lib.training.processes import (
    is_first_process,
    on_all_processes,
    process_count,
    shared_out,
    totals,
    training_device,
)
from ulmfit_lib.training.schedules import linear_warmup

CHECKPOINT_NAME = "checkpoint.safetensors"
UPDATES_PER_LINE = 50  # of the report


@dataclass(frozen=True)
class RunConfig:
    """What every pre-training run decides. Introduced in the chapter *Text and language models*."""

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


class Segments(Callback):
    """Carry, save and restore whatever a segment needs from the one before.

    A kind of model says in a subclass how it is measured, and what it carries
    from segment to segment beside weights and optimizer. Introduced in the
    chapter *Text and language models*.

    Args:
        config: the run.
        model: the model itself, however the learner may wrap it.
        train: text to learn from.
        valid: held-out text.
        held_out: batches of it, which every checkpoint is measured on.
        folder: where the checkpoint lives; one run per folder.
        report: receives one line of progress at a time, in one process only.
    """

    order = 70  # after the scheduler and the recorder

    def __init__(
        self,
        config: RunConfig,
        model: nn.Module,
        train: TokenFile,
        valid: TokenFile,
        held_out: Iterable[Any],
        folder: Path,
        report: Callable[[str], None],
    ) -> None:
        self.config, self.bare_model, self.held_out = config, model, held_out
        self.report = report if is_first_process() else _say_nothing
        self.train_text, self.valid_text = train, valid
        self.path = folder / CHECKPOINT_NAME
        self.progress = Progress()

    def measure(self) -> dict[str, float]:
        """Measurements on held-out text for the history, ``valid_loss`` among them."""
        raise NotImplementedError

    def describe(self, row: dict[str, float]) -> str:
        """The measurements of ``row`` in words, for the report."""
        return f"held-out {row['valid_loss']:.4f}"

    def take_up(self) -> None:
        """Give the model what it carries into a segment; nothing by default."""

    def put_down(self) -> None:
        """Take from the model what it carries out of a segment; nothing by default."""

    def carried(self) -> dict[str, Tensor]:
        """What is carried, as named tensors for the checkpoint; called in every process."""
        return {}

    def restore_carried(self, tensors: dict[str, Tensor]) -> None:
        """Put back what :meth:`carried` gave, among all ``tensors`` of a checkpoint."""

    def resume(self, learn: Learner) -> bool:
        """Restore ``learn`` from the checkpoint; False where there is none.

        Raises:
            ValueError: the checkpoint belongs to another run.
        """
        if not self.path.is_file():
            return False
        tensors, facts = load_checkpoint(self.path)
        if facts["identity"] != (identity := self._identity()):
            raise ValueError(_difference(self.path, facts["identity"], identity))
        self._check_end(facts)
        learn.create_opt()
        _load_weights(self.bare_model, _without_prefix(tensors, "model."))
        restore_optimizer(learn.opt.opt, tensors)
        self.restore_carried(tensors)
        self.progress = Progress(**facts["progress"])
        return True

    def before_train(self) -> None:
        """Start the next segment where the last one ended."""
        number = self.progress.segments
        torch.manual_seed(_segment_seed(self.config.seed, number))
        self.dls.train.set_epoch(number)
        self.take_up()
        self._started, self._loss_sum, self._tokens = time.monotonic(), 0.0, 0
        self._unread: list[tuple[Tensor, int]] = []

    def after_batch(self) -> None:
        """Note loss and tokens; report every 50 updates."""
        if not self.training:
            return
        self._unread.append((self.loss.detach(), self.xb[0].numel()))
        if (self.iter + 1) % UPDATES_PER_LINE == 0:
            self._sum_up()
            self.report(self._line())

    def after_train(self) -> None:
        """Keep what is carried, measure the held-out loss, write the checkpoint."""
        self._sum_up()
        self.put_down()
        self._advance(time.monotonic() - self._started)
        tensors = self._tensors()
        if is_first_process():
            save_checkpoint(self.path, tensors, self._facts())

    def _sum_up(self) -> None:
        """Read the losses noted so far; one wait for the device instead of one per batch."""
        if not self._unread:
            return
        losses = torch.stack([loss for loss, _ in self._unread]).tolist()
        for loss, (_, n) in zip(losses, self._unread, strict=True):
            self._tokens += n
            self._loss_sum += loss * n
        self._unread = []

    def _advance(self, seconds: float) -> None:
        p = self.progress
        loss_sum, tokens = totals(self._loss_sum, self._tokens)
        p.segments += 1
        p.tokens += round(tokens)
        p.seconds += seconds
        row = {
            "updates": p.segments * self.config.segment,
            "tokens": p.tokens,
            "seconds": round(p.seconds, 1),
            "train_loss": loss_sum / tokens,
        } | self.measure()
        p.history.append(row)
        self.report(
            f"segment {p.segments}/{self.config.segments}: train {row['train_loss']:.4f}, "
            f"{self.describe(row)}"
        )

    def _line(self) -> str:
        seconds = time.monotonic() - self._started
        done = self.progress.segments * self.config.segment + self.iter + 1
        rate = self._tokens * process_count() / seconds
        left = (self.config.updates - done) * seconds / (self.iter + 1)
        return (
            f"update {done}/{self.config.updates}: loss {self._loss_sum / self._tokens:.4f}, "
            f"{rate:,.0f} tokens/s, {left / 60:.0f} min left"
        )

    def _identity(self) -> dict[str, Any]:
        """What two runs must share for one to go on from the other's checkpoint."""
        config = json.loads(json.dumps(asdict(self.config)))
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
        tensors = {f"model.{k}": v for k, v in _weights(self.bare_model).items()}
        return tensors | optimizer_tensors(self.opt.opt) | self.carried()


def run_segments(
    keeper: Segments,
    batches: DataLoader,
    loss: Callable[..., Tensor],
    callbacks: Iterable[Callback] = (),
) -> Progress:
    """Train to the end of the run, from the checkpoint where there is one.

    AdamW, gradient clipping and the run's learning rates, on the GPU where
    there is one, on all processes that were launched. Introduced in the
    chapter *Text and language models*.

    Args:
        keeper: of the run's checkpoints; it has the model and the config.
        batches: of the whole run, on one process; ``set_epoch(k)`` makes it
            yield the batches of segment ``k``.
        loss: of the model's output and the last part of a batch.
        callbacks: of the kind of model.

    Returns:
        The record of the run; the model is trained in place.

    Raises:
        ValueError: the checkpoint belongs to another run.
    """
    give_large_blocks_back()
    config = keeper.config
    learn = _learner(keeper, batches, loss, callbacks)
    if keeper.resume(learn):
        keeper.report(f"resuming after {keeper.progress.segments} of {config.segments} segments")
    remaining = config.segments - keeper.progress.segments
    if remaining > 0:
        schedule = _schedule(config, keeper.progress.segments)
        with learn.no_bar(), learn.no_logging(), on_all_processes(learn):
            learn.fit(remaining, cbs=[keeper, schedule])
    return keeper.progress


def _learner(
    keeper: Segments,
    batches: DataLoader,
    loss: Callable[..., Tensor],
    callbacks: Iterable[Callback],
) -> Learner:
    config, device = keeper.config, training_device()
    cbs = [GradientClip(config.clip), *callbacks]
    if config.bfloat16:
        cbs.append(BFloat16())
    shared = shared_out(batches)
    learn = Learner(
        DataLoaders(shared, shared),
        keeper.bare_model.to(device),  # before the optimizer: a restored state follows its weights
        loss_func=loss,
        opt_func=adam(betas=config.betas, weight_decay=config.weight_decay),
        cbs=cbs,
    )
    # The held-out loss is measured by Segments, at the end of the training part of an epoch.
    learn._do_epoch_validate = lambda *_, **__: None
    return learn


def _schedule(config: RunConfig, segments_done: int) -> ParamScheduler:
    """The rates of the *whole* run, wherever this fit starts."""
    first = segments_done * config.segment
    remaining = config.updates - first
    return ParamScheduler({"lr": lambda position: config.lr(first + round(position * remaining))})


def _segment_seed(seed: int, number: int) -> int:
    """Dropout differs from segment to segment, and from process to process."""
    rank = () if is_first_process() else (torch.distributed.get_rank(),)
    return hash((seed, number, *rank)) % 2**63


def _say_nothing(line: str) -> None:
    """The report of every process but the first."""


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """The state of ``model``; a tensor of several names (a tied decoder) under the first alone."""
    names: dict[int, str] = {}
    state = model.state_dict()
    return {k: v for k, v in state.items() if names.setdefault(v.data_ptr(), k) == k}


def _load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put back what :func:`_weights` took out; a tied tensor's other names follow the first."""
    model.load_state_dict(model.state_dict() | weights)


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
