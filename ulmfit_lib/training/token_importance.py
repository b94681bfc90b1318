"""Which tokens of a text its class hangs on, found by asking a classifier.

A token is important if, with it, a classifier is about as sure of the right
class as it is of the whole text. The published algorithm asks about one growing
prefix of a text after the other. :func:`important_tokens` asks about many texts
side by side, and so does the released code, in batches of 32 that are each padded
to 128 tokens; here a batch holds prefixes of like lengths. Leaving one token out at
a time is the plain alternative (:func:`leave_one_out`). Source: Gu et al. 2020,
section 2.2, and its released code. Introduced in the chapter *Selective masking*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ulmfit_lib.text.batches import BatchConfig, TextLoader
from ulmfit_lib.text.framing import FramedDataset
from ulmfit_lib.text.special_tokens import BOOK_TOKENS, SpecialTokens
from ulmfit_lib.text.truncation import FRAME
from ulmfit_lib.training.evaluation import predict_probabilities

_HELD = 65_536  # tokens of questions that are written out at once, whatever the texts' lengths
_CALL = 48  # tokens of padding that take about as long as another call of a small encoder
Texts = Sequence[Sequence[int]]  # token ids of each text, without special tokens
Confidence = Callable[[Texts, Sequence[int]], Tensor]  # texts and their classes -> p(class), (N,)


@dataclass(frozen=True)
class ImportanceConfig:
    """When a token is important. Introduced in the chapter *Selective masking*."""

    delta: float = 0.05  # missing confidence below which it is; a difference of probabilities
    keeps_important: bool = False  # an important token stays in the buffer, unlike in the code
    guarded: bool = False  # only where the buffer alone is less sure: see `important_tokens`


class TokenImportance(NamedTuple):
    """What was found out about the tokens of a text.

    Introduced in the chapter *Selective masking*.
    """

    missing: tuple[float, ...]  # per token: S, the confidence still missing with it, P - p(y | ..)
    important: tuple[bool, ...]  # per token


class TokenTally(NamedTuple):
    """How often a token was important. Introduced in the chapter *Selective masking*."""

    important: int  # times
    seen: int  # times

    @property
    def share(self) -> float:
        """Of its occurrences that are important."""
        return self.important / self.seen


def class_confidence(
    model: nn.Module,
    max_length: int,
    batch_tokens: int = 8192,
    batch_size: int = 256,
    bfloat16: bool = False,
    special: SpecialTokens = BOOK_TOKENS,
) -> Confidence:
    """How sure a classifier is of given classes, in batches of bounded memory.

    Equal texts are read once: many texts begin alike. Introduced in the chapter
    *Selective masking*.

    Args:
        model: framed ids (B, T) to logits (B, C); asked in evaluation mode.
        max_length: tokens of a text, ``[CLS]`` and ``[SEP]`` included; what
            is longer is cut.
        batch_tokens: padded tokens at once, at most.
        batch_size: texts at once, at most.
        bfloat16: compute matrix products in bfloat16. Faster where the
            processor has them, but where a single token turns the answer a
            score may be off by tenths.
        special: ids of the classifier's special tokens.
    """
    batches = BatchConfig(batch_size, max_tokens=batch_tokens, max_padding=_CALL)

    def ask(texts: Texts, classes: Sequence[int]) -> Tensor:
        """Probability (N,) of each text's class."""
        if not texts:
            return torch.zeros(0)
        row = {ids: i for i, ids in enumerate(dict.fromkeys(map(tuple, texts)))}
        loader = TextLoader(FramedDataset(list(row), max_length, special=special), batches)
        device = next(model.parameters()).device.type
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            probabilities = predict_probabilities(model, loader)
        return probabilities[[row[tuple(ids)] for ids in texts], list(classes)]

    return ask


@dataclass
class _Reading:
    """A text that is being read token by token."""

    ids: Sequence[int]
    label: int
    whole: float  # P: confidence in the class of the whole text
    before: float  # confidence given the buffer alone
    buffer: list[int]  # what was kept, after what is given
    missing: list[float] = field(default_factory=list)
    important: list[bool] = field(default_factory=list)

    @property
    def read(self) -> bool:
        """Whether every token is judged."""
        return len(self.missing) == len(self.ids)

    def next_prefix(self) -> list[int]:
        """The buffer and the next token."""
        return [*self.buffer, self.ids[len(self.missing)]]

    def hear(self, confidence: float, config: ImportanceConfig) -> None:
        """Judge the next token by the confidence in :meth:`next_prefix`."""
        token, missing = self.ids[len(self.missing)], self.whole - confidence
        far_before = self.whole - self.before >= config.delta
        important = missing < config.delta and (far_before or not config.guarded)
        self.missing.append(missing)
        self.important.append(important)
        if config.keeps_important or not important:
            self.buffer.append(token)
            self.before = confidence


def important_tokens(
    texts: Texts,
    classes: Sequence[int],
    confidence: Confidence,
    config: ImportanceConfig = ImportanceConfig(),
    given: Texts | None = None,
) -> list[TokenImportance]:
    """The tokens of each text that its class hangs on, by the published algorithm.

    Tokens are read from left to right. With the *buffer* of tokens kept so
    far and the next token ``w``, the missing confidence is ``S = P - p(y |
    buffer + w)``, where ``P = p(y | whole text)``; ``w`` is important if ``S <
    delta``. In the released code an important token leaves the buffer again, so
    that the next one is judged without its help. If the buffer alone is within
    delta of P, every token that takes nothing away is then important. As
    published, that can be the empty buffer only: a kept token leaves delta missing;
    ``guarded`` asks in addition that the buffer alone is not so near.

    The answers are those of the algorithm one prefix at a time; here
    prefixes of like lengths go through the model together, the shortest first,
    wherever in their texts they end. Source: Gu
    et al. 2020, section 2.2, equation 1. Introduced in the chapter *Selective
    masking*.

    Args:
        texts: token ids of each text, without special tokens.
        classes: the right class of each.
        confidence: of :func:`class_confidence`.
        config: threshold and variants.
        given: tokens that stand before each text whatever is asked, such as
            the aspect that an opinion is about; they are not judged.

    Raises:
        ValueError: texts, classes and what is given differ in number.
    """
    readings = _begin(texts, classes, confidence, given)
    while waiting := [reading for reading in readings if not reading.read]:
        asked = _of_like_length(waiting)
        prefixes = [reading.next_prefix() for reading in asked]
        heard = confidence(prefixes, [reading.label for reading in asked]).tolist()
        for reading, found in zip(asked, heard, strict=True):
            reading.hear(found, config)
    return [TokenImportance(tuple(r.missing), tuple(r.important)) for r in readings]


def _begin(
    texts: Texts, classes: Sequence[int], confidence: Confidence, given: Texts | None
) -> list[_Reading]:
    """Readings of ``texts`` before their first token."""
    _check_same_number(texts, classes)
    starts = [list(ids) for ids in given] if given is not None else [[] for _ in texts]
    _check_same_number(starts, classes)
    complete = [[*start, *ids] for start, ids in zip(starts, texts, strict=True)]
    whole, empty = confidence(complete, classes).tolist(), confidence(starts, classes).tolist()
    facts = zip(texts, classes, whole, empty, starts, strict=True)
    return [_Reading(*each) for each in facts]


def _of_like_length(waiting: Iterable[_Reading]) -> list[_Reading]:
    """Those with the shortest buffers, as many as cost no more padding than a call."""
    asked, kept = list[_Reading](), 0
    for reading in sorted(waiting, key=lambda each: len(each.buffer)):
        length = len(reading.buffer)
        if length * len(asked) - kept > _CALL:
            break
        asked.append(reading)
        kept += length
    return asked


def leave_one_out(
    texts: Texts, classes: Sequence[int], confidence: Confidence, delta: float = 0.05
) -> list[TokenImportance]:
    """The tokens without which a classifier is less sure of a text's class.

    Here ``missing`` is ``P - p(y | text without the token)``, and a token is
    important where that is *at least* ``delta``: it is missed. No question
    waits for the answer to another; they are asked in portions, since a text of n
    tokens has n of them with n - 1 tokens each. Introduced in the chapter
    *Selective masking*.

    Args:
        texts: token ids of each text, without special tokens.
        classes: the right class of each.
        confidence: of :func:`class_confidence`.
        delta: loss of confidence from which on a token is important.

    Raises:
        ValueError: texts and classes differ in number.
    """
    _check_same_number(texts, classes)
    whole = confidence(texts, classes).tolist()
    heard = _in_portions(_without_each(texts, classes), confidence)
    found = []
    for ids, sure in zip(texts, whole, strict=True):
        missing = tuple(sure - next(heard) for _ in ids)
        found.append(TokenImportance(missing, tuple(m >= delta for m in missing)))
    return found


def _without_each(texts: Texts, classes: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """Every text without each of its tokens in turn, with its class."""
    for ids, label in zip(texts, classes, strict=True):
        for i in range(len(ids)):
            yield [*ids[:i], *ids[i + 1 :]], label


def _in_portions(
    questions: Iterable[tuple[list[int], int]], confidence: Confidence
) -> Iterator[float]:
    """The answers in order; at most ``_HELD`` tokens of framed questions exist at a time."""
    asked, classes, held = list[list[int]](), list[int](), 0
    for ids, label in questions:
        if asked and held + len(ids) + FRAME > _HELD:
            yield from confidence(asked, classes).tolist()
            asked, classes, held = [], [], 0
        asked.append(ids)
        classes.append(label)
        held += len(ids) + FRAME
    if asked:
        yield from confidence(asked, classes).tolist()


def without_stop_words(
    texts: Texts, found: Sequence[TokenImportance], stop_ids: Collection[int]
) -> list[TokenImportance]:
    """``found``, in which no stop-word is important.

    The released code labels none of them, whatever the classifier says.
    Introduced in the chapter *Selective masking*.

    Args:
        texts: as they were judged.
        found: of :func:`important_tokens` or :func:`leave_one_out`.
        stop_ids: token ids of stop-words.
    """

    def kept(ids: Sequence[int], important: Sequence[bool]) -> tuple[bool, ...]:
        """The judgement on each token that is no stop-word."""
        return tuple(i and t not in stop_ids for t, i in zip(ids, important, strict=True))

    pairs = zip(texts, found, strict=True)
    return [each._replace(important=kept(ids, each.important)) for ids, each in pairs]


def telling_tokens(
    texts: Texts, found: Sequence[TokenImportance], least: int = 3
) -> dict[int, TokenTally]:
    """How often each token was important in ``texts``, the one with the largest share first.

    Give the texts of one class to see what the classifier hangs that class on.
    Introduced in the chapter *Selective masking*.

    Args:
        texts: as they were judged.
        found: of :func:`important_tokens` or :func:`leave_one_out`.
        least: tokens that are seen less often are left out.
    """
    seen, important = Counter[int](), Counter[int]()
    for ids, judged in zip(texts, found, strict=True):
        seen.update(ids)
        important.update(token for token, i in zip(ids, judged.important, strict=True) if i)
    tallies = {t: TokenTally(important[t], n) for t, n in seen.items() if n >= least}
    best = sorted(tallies, key=lambda t: (-tallies[t].share, -tallies[t].important, t))
    return {token: tallies[token] for token in best if tallies[token].important}


def rightly_classified(
    texts: Texts, classes: Sequence[int], model_says: Sequence[int], sure: Tensor, share: float
) -> list[int]:
    """Positions of the texts that are worth asking about: the surest of the right answers.

    A wrongly classified text says what misleads the classifier. The released
    code splits documents into sentences and keeps the surest ``max(int(rate * n),
    1)`` of *each document* (``top_sen_rate``); where aspects are judged it has no
    such share. Here a text is not split, and the share is taken of all texts
    together. Our studies keep all that are right, as its scripts do. Introduced in
    the chapter *Selective masking*.

    Args:
        texts: any number of texts.
        classes: the right class of each.
        model_says: the class that the classifier gives it.
        sure: the classifier's confidence in the right class, (N,).
        share: of the rightly classified ones to keep, in (0, 1].

    Returns:
        Ascending positions.

    Raises:
        ValueError: ``share`` is no share, or the arguments differ in length.
    """
    _check_same_number(texts, classes)
    if not 0 < share <= 1:
        raise ValueError(f"share={share} must lie in (0, 1]")
    right = [i for i, (y, z) in enumerate(zip(classes, model_says, strict=True)) if y == z]
    best = sorted(right, key=lambda i: -float(sure[i]))
    return sorted(best[: max(1, round(share * len(best)))])


def _check_same_number(texts: Texts, classes: Sequence[int]) -> None:
    if len(texts) != len(classes):
        raise ValueError(f"{len(texts)} texts and {len(classes)} classes: give one class each")
