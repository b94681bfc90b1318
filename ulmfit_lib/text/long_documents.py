"""Long documents with a telling part somewhere in them, made of short ones.

A document is one labelled text among others that belong to no class, in a
random order: nobody knows beforehand where to look. Introduced in the
chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ulmfit_lib.text.corpus import Corpus, Split


@dataclass(frozen=True)
class LongDocumentConfig:
    """How long documents are made. Introduced in the chapter *How to fine-tune BERT*."""

    fillers: int = 3  # texts that say nothing of the class, in each document
    seed: int = 0  # of the choice of fillers and of the order

    def __post_init__(self) -> None:
        if self.fillers < 1:
            raise ValueError(f"fillers={self.fillers}: a long document needs 1 or more")


@dataclass(frozen=True)
class LongDocument:
    """A document that hides its class. Introduced in the chapter *How to fine-tune BERT*."""

    parts: tuple[str, ...]  # in their order
    place: int  # which of them is the labelled one

    @property
    def text(self) -> str:
        """The parts, one paragraph after the other."""
        return "\n".join(self.parts)


def long_documents(
    texts: Sequence[str],
    fillers: Sequence[str],
    config: LongDocumentConfig = LongDocumentConfig(),
) -> list[LongDocument]:
    """Hide each of ``texts`` among fillers, at a place drawn at random.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        texts: labelled texts.
        fillers: what to hide them among.
        config: how many fillers, and the seed.

    Returns:
        One document per text, in the texts' order.

    Raises:
        ValueError: fewer fillers than a document takes.
    """
    if len(fillers) < config.fillers:
        raise ValueError(
            f"{len(fillers)} fillers, but each document takes {config.fillers}: give more text"
        )
    rng = np.random.default_rng(config.seed)
    found = []
    for text in texts:
        chosen = [fillers[i] for i in rng.choice(len(fillers), config.fillers, replace=False)]
        place = int(rng.integers(config.fillers + 1))
        found.append(LongDocument((*chosen[:place], text, *chosen[place:]), place))
    return found


def fillers_of_splits(task: Corpus, fillers: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Which of ``fillers`` each labelled split of ``task`` takes: no two splits share one.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        task: a classification task.
        fillers: texts that belong to none of its classes.
    """
    labelled = sorted(name for name, split in task.splits.items() if split.labels is not None)
    return {name: tuple(fillers[i :: len(labelled)]) for i, name in enumerate(labelled)}


def long_task(
    task: Corpus, fillers: Sequence[str], config: LongDocumentConfig = LongDocumentConfig()
) -> Corpus:
    """``task`` with long documents for texts, under the name ``NAME-long``.

    Each split has fillers of its own: none that training has seen stands in a
    test document. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        task: a classification task.
        fillers: texts that belong to none of its classes.
        config: how many fillers, and the seed.

    Raises:
        ValueError: fewer fillers for a split than a document takes.
    """
    splits = {}
    for name, own in fillers_of_splits(task, fillers).items():
        split = task.splits[name]
        hidden = long_documents(split.texts, own, config)
        splits[name] = Split(tuple(document.text for document in hidden), split.labels)
    return Corpus(
        f"{task.name}-long",
        splits,
        task.label_names,
        task.licence,
        task.citation,
        f"{task.provenance}; each text among {config.fillers} others that belong to no class",
    )
