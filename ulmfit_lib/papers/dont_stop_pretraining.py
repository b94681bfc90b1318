"""Don't Stop Pretraining: Adapt Language Models to Domains and Tasks (Gururangan et al. 2020).

An encoder reads on before it is tuned on labels: text of the task's *domain*
(DAPT), the *task's* own training text (TAPT), or one after the other. The
controls read as much: text of an irrelevant domain, another task's text,
text from the domain drawn at random. Whatever the arm, the updates are the
same, so what differs is *what* was read. Introduced in the chapter *Don't
stop pre-training*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fastai.callback.core import Callback

from ulmfit_lib.models.pretrained_encoder import PretrainedEncoder
from ulmfit_lib.study.seeds import derive
from ulmfit_lib.training.fine_tuning import Documents
from ulmfit_lib.training.further_pretraining import FurtherPretraining, further_pretrain

# What an arm reads, phase by phase. Source: Tables 3, 5, 6, 7 and 8; TAPT before DAPT is only
# speculated about in section 4.1.
ARMS: Mapping[str, tuple[str, ...]] = {
    "base": (),
    "DAPT": ("domain",),
    "other domain": ("irrelevant",),
    "TAPT": ("task",),
    "DAPT, TAPT": ("domain", "task"),
    "TAPT, DAPT": ("task", "domain"),
    "transfer TAPT": ("other task",),
    "curated TAPT": ("curated",),
    "DAPT, curated TAPT": ("domain", "curated"),
    "kNN-TAPT": ("neighbours",),
    "random TAPT": ("random",),
}
PHASES = tuple(dict.fromkeys(phase for phases in ARMS.values() for phase in phases))


@dataclass(frozen=True)
class Adaptation:
    """How long an encoder reads on, whatever it reads.

    Introduced in the chapter *Don't stop pre-training*.
    """

    updates: int = 200  # optimizer steps of all phases together
    reading: FurtherPretraining = field(default_factory=FurtherPretraining)  # rate, batches, masks

    def __post_init__(self) -> None:
        if self.updates < 1:
            raise ValueError(f"updates={self.updates}: give 1 or more")


@dataclass(frozen=True)
class Cost:
    """What an adaptation takes, as in the paper's Table 9.

    Introduced in the chapter *Don't stop pre-training*.
    """

    updates: int  # optimizer steps
    tokens: int  # read, repeated ones counted again
    texts: int  # stored
    characters: int  # stored

    def __add__(self, other: Cost) -> Cost:
        """Of one phase after the other."""
        mine, theirs = vars(self).values(), vars(other).values()
        return Cost(*(a + b for a, b in zip(mine, theirs, strict=True)))


def phase_updates(n_phases: int, config: Adaptation) -> list[int]:
    """The updates of each phase: equal shares, what is left over goes to the last.

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        n_phases: phases of an arm.
        config: the updates of all together.

    Raises:
        ValueError: fewer updates than phases.
    """
    if n_phases > config.updates:
        raise ValueError(f"updates={config.updates} cannot be shared by {n_phases} phases")
    if n_phases == 0:
        return []
    share = config.updates // n_phases
    return [share] * (n_phases - 1) + [config.updates - share * (n_phases - 1)]


def adapt(
    encoder: PretrainedEncoder,
    phases: Sequence[Documents],
    config: Adaptation = Adaptation(),
    seed: int = 0,
    cbs: Sequence[Callback] = (),
) -> PretrainedEncoder:
    """A copy of ``encoder`` that has read the texts of each phase, one phase after the other.

    Each phase has a schedule of its own, from a rise of the rate to zero.
    Introduced in the chapter *Don't stop pre-training*.

    Args:
        encoder: where to begin; left as it is.
        phases: token ids of the texts of each.
        config: how long.
        seed: of order and masks.
        cbs: fastai callbacks of every phase.

    Raises:
        ValueError: fewer updates than phases, or text that does not fill a sequence.
    """
    for number, updates in enumerate(phase_updates(len(phases), config)):
        reading = replace(config.reading, updates=updates)
        documents = repeated(phases[number], reading)
        phase_seed = derive(seed, "phase", number)
        encoder, _ = further_pretrain(encoder, documents, reading, phase_seed, cbs=cbs)
    return encoder


def repeated(documents: Documents, reading: FurtherPretraining) -> Documents:
    """``documents`` as often as it takes to fill a batch: a task's few texts must last as long.

    Masks are drawn anew each time. Introduced in the chapter *Don't stop
    pre-training*.

    Args:
        documents: token ids of the texts.
        reading: batches.

    Raises:
        ValueError: no text at all.
    """
    tokens = sum(len(ids) + 1 for ids in documents)
    if not any(documents):
        raise ValueError("a phase without text cannot be read: give it documents")
    wanted = (reading.batch_size + 1) * reading.length
    return [*documents] * math.ceil(wanted / tokens)


def cost(texts: Sequence[Sequence[str]], config: Adaptation = Adaptation()) -> Cost:
    """What the phases of an arm take.

    Introduced in the chapter *Don't stop pre-training*.

    Args:
        texts: of each phase.
        config: how long they are read.

    Raises:
        ValueError: fewer updates than phases.
    """
    total = Cost(0, 0, 0, 0)
    for of_phase, updates in zip(texts, phase_updates(len(texts), config), strict=True):
        tokens = updates * config.reading.batch_size * config.reading.length
        total += Cost(updates, tokens, len(of_phase), sum(map(len, of_phase)))
    return total
