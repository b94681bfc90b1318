"""Figures that move, of selective masking: a text read token by token, masks, and telling words.

Introduced in the chapter *Selective masking*.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tokenizers import Tokenizer

from ulmfit_lib.study.interactive import Control, Frame, Frames, State, Table
from ulmfit_lib.study.plots import PALETTE
from ulmfit_lib.training.token_importance import TokenImportance, TokenTally

_WIDTH, _ROW, _HIGH, _CHARACTER, _EDGE = 640, 56, 26, 8.4, 10  # of a strip, in its own units
_INK, _PALE, _OPEN = "#1a1a1a", "#e8e8e8", "#ffffff"
_HIDDEN = PALETTE["blue"]  # what is important or masked


@dataclass(frozen=True)
class JudgedText:
    """A text whose tokens were judged. Introduced in the chapter *Selective masking*."""

    tokens: tuple[str, ...]  # as a reader sees them: of :func:`token_texts`
    whole: float  # P: confidence in the class, given the whole text
    found: TokenImportance  # of each token
    label: str  # name of the class

    def buffer(self, step: int, keeps_important: bool = False) -> list[str]:
        """What is kept of the first ``step`` tokens.

        Args:
            step: tokens that were read.
            keeps_important: the variant in which important tokens stay, too.
        """
        judged = zip(self.tokens[:step], self.found.important[:step], strict=True)
        return [token for token, important in judged if keeps_important or not important]


class _Box(NamedTuple):
    """A token of a strip."""

    text: str
    note: str  # below it
    fill: str
    framed: bool = False


def token_texts(tokenizer: Tokenizer, ids: Sequence[int]) -> tuple[str, ...]:
    """Tokens as a reader sees them; the piece of a word that goes on begins with a hyphen.

    Introduced in the chapter *Selective masking*.

    Args:
        tokenizer: whose ids they are.
        ids: of a text, without special tokens.
    """
    texts = [tokenizer.decode([i], skip_special_tokens=False) for i in ids]
    goes_on = [
        n > 0 and text[:1].isalnum() and texts[n - 1][-1:].isalnum() for n, text in enumerate(texts)
    ]
    pairs = zip(texts, goes_on, strict=True)
    return tuple(f"-{text}" if inner else text.strip() or "\N{OPEN BOX}" for text, inner in pairs)


def buffer_explorer(
    texts: Mapping[str, Mapping[str, JudgedText]], delta: float, keeping: str = ""
) -> Frames:
    """Texts read token by token: what is asked, what stays in the buffer, what is important.

    Introduced in the chapter *Selective masking*.

    Args:
        texts: name of a text to its judgements by variant of the algorithm, the same in each.
        delta: the threshold.
        keeping: the variant in which important tokens stay in the buffer.

    Raises:
        ValueError: fewer than two texts or variants.
    """
    variants = tuple(next(iter(texts.values())))
    longest = max(len(t.tokens) for named in texts.values() for t in named.values())

    def draw(state: State) -> Frame:
        """The chosen text after so many tokens."""
        variant = variants[state[1]]
        text = list(texts.values())[state[0]][variant]
        return _buffer_frame(text, min(state[2], len(text.tokens)), delta, variant == keeping)

    controls = (
        Control("text", tuple(texts), kind="menu"),
        Control("important tokens", variants, kind="menu"),
        Control("tokens read", tuple(map(str, range(longest + 1))), longest),
    )
    return Frames("Which tokens does the answer hang on?", controls, draw)


def judged_frame(text: JudgedText, delta: float) -> Frame:
    """A text that is read to its end. Introduced in the chapter *Selective masking*.

    Args:
        text: its tokens and judgements.
        delta: the threshold.
    """
    return _buffer_frame(text, len(text.tokens), delta, False)


def masks_explorer(
    texts: Sequence[Sequence[str]], choices: Mapping[str, Sequence[Sequence[bool]]]
) -> Frames:
    """The masks of several policies in the same text, one below the other.

    Introduced in the chapter *Selective masking*.

    Args:
        texts: tokens of each text, as a reader sees them.
        choices: policy to whether each token of each text is masked.

    Raises:
        ValueError: fewer than two texts, or choices of other lengths than the texts.
    """

    def draw(state: State) -> Frame:
        """One text under every policy."""
        rows = {name: rows[state[0]] for name, rows in choices.items()}
        return _masks_frame(texts[state[0]], rows)

    numbers = tuple(str(i + 1) for i in range(len(texts)))
    return Frames("The same text under other masks", (Control("text", numbers),), draw)


def words_explorer(tallies: Mapping[str, Sequence[tuple[str, TokenTally]]]) -> Frames:
    """The tokens that each class hangs on, and how often.

    Introduced in the chapter *Selective masking*.

    Args:
        tallies: name of a class to its tokens, the most telling first.

    Raises:
        ValueError: fewer than two classes.
    """

    def draw(state: State) -> Frame:
        """Bars of one class."""
        name = list(tallies)[state[0]]
        return _words_frame(name, tallies[name])

    return Frames("What a class hangs on", (Control("class", tuple(tallies), kind="menu"),), draw)


def _buffer_frame(text: JudgedText, step: int, delta: float, keeps: bool) -> Frame:
    important = text.found.important
    said = ["important" if yes else "kept" for yes in important]
    boxes = [
        _Box(
            token,
            said[i] if i < step else "",
            (_HIDDEN if important[i] else _PALE) if i < step else _OPEN,
            i == step - 1,
        )
        for i, token in enumerate(text.tokens)
    ]
    strip, height = _strip(boxes, 30)
    title = f"P({text.label} | whole text) = {text.whole:.2f}"
    sure = text.whole - text.found.missing[step - 1] if step else None
    marks = _confidence_svg(text.whole, delta, sure, height + 30)
    svg = _picture(f"{_words(title, 20)}{strip}{marks}", height + 84)
    readout = _buffer_readout(text, step, delta, keeps)
    listed = [t for t, yes in zip(text.tokens[:step], important, strict=False) if yes]
    alt = f"A strip of {len(boxes)} tokens, {step} of them read. {readout} Important so far: "
    rows = tuple(
        (f"{i + 1}: {text.tokens[i]}", f"{text.found.missing[i]:.3f}", said[i]) for i in range(step)
    )
    table = Table(("token", "missing confidence", "judged"), rows)
    return Frame(svg, alt + (", ".join(listed) or "none") + ".", readout, table)


def _buffer_readout(text: JudgedText, step: int, delta: float, keeps: bool) -> str:
    """What happened at the last token that was read."""
    after = f"Buffer now: {' '.join(text.buffer(step, keeps)) or '(empty)'}."
    if not step:
        return f"Nothing is read yet. {after}"
    token, missing = text.tokens[step - 1], text.found.missing[step - 1]
    yes = text.found.important[step - 1]
    asked = " ".join([*text.buffer(step - 1, keeps), token])
    stays = "important, but it stays" if keeps else "important, and leaves the buffer"
    verdict = stays if yes else "not important, and stays in the buffer"
    relation = "below" if missing < delta else "not below"
    return (
        f"Token {step}, \N{LEFT DOUBLE QUOTATION MARK}{token}\N{RIGHT DOUBLE QUOTATION MARK}: "
        f"asked about \N{LEFT DOUBLE QUOTATION MARK}{asked}\N{RIGHT DOUBLE QUOTATION MARK}, "
        f"{missing:.2f} of the confidence is missing, {relation} {delta:g}: {verdict}. {after}"
    )


def _confidence_svg(whole: float, delta: float, sure: float | None, y: float) -> str:
    """Confidence from 0 to 1: the range that counts as enough, and what the prefix gives."""
    left, room = _EDGE, _WIDTH - 2 * _EDGE
    enough = max(0.0, whole - delta)
    band = (
        f'<rect x="{left + room * enough:.1f}" y="{y}" width="{room * (1 - enough):.1f}" '
        f'height="16" fill="{_PALE}" stroke="{_INK}"/>'
        f'<path d="M{left} {y + 8}h{room}" stroke="{_INK}"/>'
    )
    if sure is None:
        return band + _words("confidence; enough is the box on the right", y + 40)
    x = left + room * min(1.0, max(0.0, sure))
    dot = f'<circle cx="{x:.1f}" cy="{y + 8}" r="7" fill="{PALETTE["red"]}"/>'
    told = f"confidence of buffer and token: {sure:.2f}; enough (the box) from {enough:.2f}"
    return band + dot + _words(told, y + 40)


def _masks_frame(tokens: Sequence[str], choices: Mapping[str, Sequence[bool]]) -> Frame:
    drawn, y, told = [], 20.0, []
    for name, chosen in choices.items():
        pairs = list(zip(tokens, chosen, strict=True))
        boxes = [_Box(t, "masked" if c else "", _HIDDEN if c else _PALE) for t, c in pairs]
        strip, height = _strip(boxes, y + 10)
        drawn.append(_words(f"{name}: {sum(chosen)} of {len(tokens)} masked", y) + strip)
        y = height + 24
        told.append(f"{name}: {', '.join(t for t, c in pairs if c) or 'nothing'}")
    readout = f"Masked, {'; '.join(told)}."
    alt = f"The same {len(tokens)} tokens {len(choices)} times, masked ones dark. {readout}"
    return Frame(_picture("".join(drawn), y), alt, readout)


def _words_frame(name: str, tallies: Sequence[tuple[str, TokenTally]]) -> Frame:
    drawn = [_words("share of its occurrences in which a token is important", 20)]
    left, room, high = 150, _WIDTH - 150 - 130, 26
    for i, (token, tally) in enumerate(tallies):
        y = 36 + i * high
        drawn.append(
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{html.escape(token)}</text>'
            f'<rect x="{left}" y="{y}" width="{room * tally.share:.1f}" height="20" '
            f'fill="{_HIDDEN}"/><text x="{left + room * tally.share + 6:.1f}" y="{y + 15}">'
            f"{tally.important} of {tally.seen}</text>"
        )
    listed = [f"{token} {tally.important} of {tally.seen}" for token, tally in tallies]
    readout = f"{name}: {', '.join(listed) or 'no token is important often enough'}."
    rows = tuple((t, str(c.important), str(c.seen), f"{c.share:.2f}") for t, c in tallies)
    table = Table(("token", "important", "seen", "share"), rows)
    svg = _picture("".join(drawn), 44 + high * max(1, len(tallies)))
    return Frame(svg, f"Bars, one a token. {readout}", readout, table)


def _strip(boxes: Sequence[_Box], top: float) -> tuple[str, float]:
    """Boxes from left to right in as many rows as it takes, and where they end."""
    drawn, x, y = [], float(_EDGE), top
    for box in boxes:
        width = max(_CHARACTER * len(box.text), 6.2 * len(box.note)) + 10
        if x + width > _WIDTH - _EDGE and x > _EDGE:
            x, y = float(_EDGE), y + _ROW
        drawn.append(_box_svg(box, x, y, width))
        x += width + 5
    return "".join(drawn), y + _ROW


def _box_svg(box: _Box, x: float, y: float, width: float) -> str:
    ink, edge = ("#fff" if box.fill == _HIDDEN else _INK), (3 if box.framed else 1)
    middle = x + width / 2
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_HIGH}" fill="{box.fill}" '
        f'stroke="{_INK}" stroke-width="{edge}"/>'
        f'<text x="{middle:.1f}" y="{y + 18:.1f}" text-anchor="middle" fill="{ink}">'
        f'{html.escape(box.text)}</text><text x="{middle:.1f}" y="{y + 40:.1f}" font-size="10" '
        f'text-anchor="middle">{box.note}</text>'
    )


def _words(text: str, y: float) -> str:
    return f'<text x="{_EDGE}" y="{y:.1f}">{html.escape(text)}</text>'


def _picture(inside: str, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {_WIDTH} {height:.0f}" font-family="monospace" font-size="14">'
        f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#fff"/>{inside}</svg>'
    )
