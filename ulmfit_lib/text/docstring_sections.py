"""The sections of a docstring, in NumPy and in Google style.

A docstring comes apart into *blocks*: a role (summary, parameters, returns,
...) and the lines of text that play it. What only marks the role is removed
on the way: headings, ``x : int`` and ``x (int):`` in front of a description,
the type before what is returned or raised, indentation. Introduced in the
chapter *Text and language models*.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ulmfit_lib.text.prose import indentation

# Heading (lower case) -> role. "skip" holds no prose of its own.
HEADINGS = {
    **dict.fromkeys(["parameters", "args", "arguments", "params", "kwargs"], "parameters"),
    **dict.fromkeys(["other parameters", "keyword args", "keyword arguments"], "parameters"),
    **dict.fromkeys(["returns", "return", "yields", "yield"], "returns"),
    **dict.fromkeys(["raises", "raise"], "raises"),
    **dict.fromkeys(["notes", "note"], "notes"),
    **dict.fromkeys(["examples", "example"], "examples"),
    **dict.fromkeys(["attributes", "methods", "warns", "receives"], "entries"),
    **dict.fromkeys(["see also", "references", "reference", "todo", "shape"], "skip"),
}

_RULE = re.compile(r"^\s*[-=~^]{3,}\s*$")
_GOOGLE_HEADING = re.compile(r"^([A-Z][a-z]+(?: [a-z]+)?) ?::?\s*$")
_INLINE_HEADING = re.compile(r"^(Returns?|Raises?|Yields?|Notes?|NOTE): +(\S.*)$")

_NAMES = r"[`*\\]*[\w.]+[`*]*(?:, *[`*\\]*[\w.]+[`*]*)*"
_BRACKETED = r"\((?:[^()]|\([^()]*\))*\)"
# "x (int, optional): what it is", "x: what it is" or "ValueError: when".
_NAMED_ENTRY = re.compile(rf"^{_NAMES}(?: *{_BRACKETED})? *:(?: +|$)(?P<text>.*)$")
# The same with a type, which is an entry even where no heading precedes it.
_TYPED_ENTRY = re.compile(rf"^{_NAMES} +{_BRACKETED} *:(?: |$)")
# "int: the sum", "(Tensor, optional): the mask", "Dict[str, int]: counts".
_TYPE_PREFIX = re.compile(
    rf"^[`~*:]*(?:[\w.]+(?:`?\[.*?\])?|{_BRACKETED})[`*]*(?: (?:of|or|and) \S+)? *: +(?P<text>.*)$"
)
# A header of NumPy style: "out : ndarray, shape (n,)".
_NUMPY_HEADER = re.compile(rf"^{_NAMES} +: *\S")


@dataclass(frozen=True)
class Block:
    """Some lines of a docstring that play one role.

    Introduced in the chapter *Text and language models*.
    """

    role: str  # "summary", "description", or a value of HEADINGS
    lines: tuple[str, ...]  # the text, without common indentation


@dataclass(frozen=True)
class _Section:
    role: str  # as in Block, or "opening": what stands before the first heading
    style: str  # "numpy", "google" or "inline" (text beside the heading)
    lines: tuple[str, ...]


def parse_docstring(docstring: str) -> tuple[Block, ...]:
    """The blocks of ``docstring`` in the order in which they stand.

    The summary is the first paragraph; what follows before the first heading
    is ``"description"``. A section of entries (parameters, returns, raises)
    gives one block per entry. Introduced in the chapter *Text and language
    models*.
    """
    lines = inspect.cleandoc(docstring).expandtabs().splitlines()
    blocks = (block for section in _sections(lines) for block in _blocks(section))
    return tuple(block for block in blocks if block.lines)


def _sections(lines: Sequence[str]) -> Iterator[_Section]:
    starts = [(0, 0, "opening", "numpy", "")]
    starts += [(i, *found) for i in range(len(lines)) if (found := _heading_at(lines, i))]
    ends = [start[0] for start in starts[1:]] + [len(lines)]
    for (start, used, role, style, rest), end in zip(starts, ends, strict=True):
        body = lines[start + used : end]
        own = len(body) if style == "numpy" else _end_of_body(body, style)
        yield _Section(role, style, (*([rest] if rest else []), *body[:own]))
        if own < len(body):
            yield _Section("description", "numpy", tuple(body[own:]))


def _heading_at(lines: Sequence[str], i: int) -> tuple[int, str, str, str] | None:
    """(lines used, role, style, text beside the heading) of a heading at line ``i``."""
    line = lines[i]
    ruled = i + 1 < len(lines) and _RULE.match(lines[i + 1]) and not _RULE.match(line)
    if ruled and line.strip():
        return 2, HEADINGS.get(line.strip(" :").lower(), "description"), "numpy", ""
    match = _GOOGLE_HEADING.match(line)
    if match and match.group(1).lower() in HEADINGS:
        return 1, HEADINGS[match.group(1).lower()], "google", ""
    if match := _INLINE_HEADING.match(line):
        return 1, HEADINGS[match.group(1).lower()], "inline", match.group(2)
    return None


def _end_of_body(body: Sequence[str], style: str) -> int:
    """How many lines belong to the heading above: the indented ones, or up to a blank."""
    if style == "inline":
        return next((i for i, line in enumerate(body) if not line.strip()), len(body))
    flush = (i for i, line in enumerate(body) if line.strip() and indentation(line) == 0)
    return next(flush, len(body))


def _blocks(section: _Section) -> Iterator[Block]:
    lines = _dedented(section.lines)
    if section.role in ("opening", "description") and lines and _TYPED_ENTRY.match(lines[0]):
        yield from (Block("parameters", entry) for entry in _google_entries(lines))
    elif section.role == "opening":
        end = next((i for i, line in enumerate(lines) if not line), len(lines))
        yield Block("summary", lines[:end])
        yield Block("description", _dedented(lines[end:]))
    elif section.role in ("parameters", "raises", "entries") and section.style != "inline":
        entries = _numpy_entries if section.style == "numpy" else _google_entries
        yield from (Block(section.role, entry) for entry in entries(lines))
    elif section.role == "returns":
        yield from (Block("returns", entry) for entry in _returned(lines, section.style))
    else:
        yield Block(section.role, lines)


def _returned(lines: Sequence[str], style: str) -> Iterator[tuple[str, ...]]:
    """What a Returns section says, without the names and types before it."""
    if style == "numpy" and any(indentation(line) for line in lines):
        yield from _numpy_entries(lines)
    elif lines and not _NUMPY_HEADER.match(lines[0]):
        match = _TYPE_PREFIX.match(lines[0])
        yield _dedented([match["text"] if match else lines[0], *lines[1:]])


def _numpy_entries(lines: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The indented text below each flush header; headers alone give nothing."""
    yield from (_dedented(below) for _, below in _hanging(lines))


def _google_entries(lines: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The text after each ``name (type):``, with the lines that hang below it."""
    for first, below in _hanging(lines):
        if match := _NAMED_ENTRY.match(first):
            yield _dedented([*([match["text"]] if match["text"] else []), *_dedented(below)])


def _hanging(lines: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """(flush line, lines indented below it) for each flush line of ``lines``."""
    starts = [i for i, line in enumerate(lines) if line and indentation(line) == 0]
    for start, end in zip(starts, [*starts, len(lines)][1:], strict=True):
        yield lines[start], lines[start + 1 : end]


def _dedented(lines: Sequence[str]) -> tuple[str, ...]:
    """``lines`` without common indentation and outer blank lines."""
    depth = min((indentation(line) for line in lines if line.strip()), default=0)
    text = "\n".join(line[depth:].rstrip() for line in lines).strip("\n")
    return tuple(text.split("\n")) if text else ()
