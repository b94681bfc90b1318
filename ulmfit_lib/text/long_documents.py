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


def long_task(
    task: Corpus, classes: Sequence[str], config: LongDocumentConfig = LongDocumentConfig()
) -> Corpus:
    """Some classes of ``task``, their texts hidden among those of all others: ``NAME-long``.

    The fillers of a split are its own texts: none that training has seen
    stands in a test document. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        task: a classification task.
        classes: names of those that are to be told apart.
        config: how many fillers, and the seed.

    Raises:
        ValueError: a class that the task has not, or a split has fewer other
            texts than a document takes.
    """
    if unknown := sorted(set(classes) - set(task.label_names)):
        raise ValueError(f"no classes {unknown} in {task.name!r}: it has {task.label_names}")
    number = {task.label_names.index(name): i for i, name in enumerate(classes)}
    splits = {}
    for name, split in task.splits.items():
        if split.labels is None:
            continue
        pairs = [(t, int(y)) for t, y in zip(split.texts, split.labels, strict=True)]
        told = [(text, number[label]) for text, label in pairs if label in number]
        others = [text for text, label in pairs if label not in number]
        hidden = long_documents([text for text, _ in told], others, config)
        splits[name] = Split(tuple(d.text for d in hidden), tuple(label for _, label in told))
    return Corpus(
        f"{task.name}-long",
        splits,
        tuple(classes),
        task.licence,
        task.citation,
        f"{task.provenance}; each text among {config.fillers} of other classes",
    )
