"""Prose out of docstring markup: paragraphs, plain words, sentences.

Code, tables, formulas and directives are not prose and are dropped; inline
markup (roles, back-quotes, links) gives way to the words inside it, so that a
library's habits of formatting tell nothing. Introduced in the chapter *Text
and language models*.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

# Directives whose indented body is text; the body of any other one is dropped with it.
TEXT_DIRECTIVES = frozenset(
    "note warning tip important caution attention hint admonition seealso".split()
)
# Words that hold English sentences together; code and bare lists have few of them.
FUNCTION_WORDS = frozenset(
    "a an the this that these those it its is are was be been being has have had do does did "
    "will would can could may might must should not no if then else when where which who what "
    "how of in on at to from by for with without as into than and or but so such any all each "
    "other only also both more most same there their they you we he she one two".split()
)

_DIRECTIVE = re.compile(r"^\.\.\s+([\w:-]+)::")
_COMMENT = re.compile(r"^\.\.(\s|$)")
_RULE = re.compile(r"^\s*([-=~^\"'`#*+|_:. ])\1{2,}[-=~^+| ]*$")
_TABLE_ROW = re.compile(r"^\s*(\||\+[-=]+\+|[-=]{2,}\s+[-=]{2,})")
_FIELD = re.compile(r"^:[a-z]\w*( [^:]+)?:(\s|$)")
_BULLET = re.compile(r"^\s*([-*+•]|\(?(\d{1,2}|[a-z])[.)])\s+")
_WORDLIKE = re.compile(r"[(\"']*[\w'’-]+[)\"'.,;:!?]*$")
# "name (type): " and "name -- " in front of the text of a list's item.
_ENTRY_NAME = re.compile(
    r"^[\w.*]+(?:, [\w.*]+)* ?\((?:[^()]|\([^()]*\))*\): +|^[\w.*]{1,40} --? +"
)
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\s+(?=[\"'(\[]*[A-Z_])")
_ABBREVIATION = re.compile(
    r"\b(?:(?i:e\.g|i\.e|etc|vs|cf|al|eqs?|figs?|sec|refs?|no|resp|approx|ch|vol|pp|dr)|[A-Z])\.$"
)

# Inline markup and what stands in its place, in this order.
_INLINE = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r":math:`[^`]*`|\$\$?[^$]{1,200}\$\$?|\\\([^)]*\\\)", "formula"),
        (r"!?\[([^\]\[]*)\]\([^)\s]*\)", r"\1"),
        (r":[\w:+-]+:`!?~?([^`<]*?)\s*<[^`>]*>`", r"\1"),
        (r":[\w:+-]+:`[!~]?\.?([^`]*)`", r"\1"),
        (r"`([^`<]+?)(?:\s*<[^`>]*>)?`_{1,2}", r"\1"),
        (r"<?\b(?:https?|ftp)://[^\s>)`\]]*[^\s>)`\].,;:]>?|\bwww\.[^\s>)`\]]+", "URL"),
        (r"`{1,3}", ""),
        (r"</?[A-Za-z][^<>]{0,60}>", " "),
        (r"\s*\[[#\d*\w]{1,12}\]_", ""),
        (r"(?<![\w*\\])(\*{1,2})(?=[^*\s])([^*]{0,200}?[^*\s\\])\1(?![\w*])", r"\2"),
        (r"\|([\w. ]{1,40})\|", r"\1"),
        (r"\\([*_|`\\])", r"\1"),
        (r"\[\s*([^\[\]]*?)\s*\]", r"[\1]"),
        (r"\s+", " "),
    )
)


def paragraphs(lines: Sequence[str]) -> Iterator[str]:
    """The paragraphs of prose in ``lines``, each on one line, without markup.

    Literal blocks, doctests, fenced code, tables, field lists, headings with
    their rules and the bodies of directives other than notes are dropped;
    every item of a list is a paragraph of its own. Introduced in the chapter
    *Text and language models*.
    """
    for block in _text_blocks(lines):
        for item in _list_items(block):
            text = _ENTRY_NAME.sub("", plain(" ".join(line.strip() for line in item)))
            if text:
                yield text


def plain(text: str) -> str:
    """``text`` with its inline markup replaced by the words that it marks.

    >>> plain("See :func:`~os.path.join` and ``x``, [1]_.")
    'See os.path.join and x,.'
    """
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return text.strip()


def words(text: str) -> list[str]:
    """The words of ``text``: runs of two or more letters, or ``a``/``A``/``I``."""
    return re.findall(r"[^\W\d_]{2,}|\b[aAI]\b", text)


def is_prose(text: str, min_words: int) -> bool:
    """Whether ``text`` reads as English sentences rather than as code or a list.

    It has ``min_words`` words or more, a fifth of them function words, mostly
    words between its blanks, and it starts and ends like a sentence.
    Introduced in the chapter *Text and language models*.
    """
    found = words(text)
    pieces = text.split()
    if len(found) < min_words or len(pieces) < min_words:
        return False
    function_words = sum(word.lower() in FUNCTION_WORDS for word in found)
    return (
        function_words >= 0.2 * len(found)
        and is_wordlike(text)
        and (text[0].isalpha() or text[0] in "(\"'_")
        and text.rstrip("\"')]")[-1:] in (".", "!", "?", ":")
    )


def is_wordlike(text: str) -> bool:
    """Whether four fifths of what stands between the blanks of ``text`` are words."""
    pieces = text.split()
    return sum(bool(_WORDLIKE.match(piece)) for piece in pieces) >= 0.8 * len(pieces)


def sentences(text: str) -> list[str]:
    """``text`` cut after the full stop, question or exclamation mark of each sentence.

    >>> sentences("Use it, e.g. Here. It works.")
    ['Use it, e.g. Here.', 'It works.']
    """
    found: list[str] = []
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        piece = text[start:end].strip()
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] += " " + piece
        else:
            found.append(piece)
    return found


def indentation(line: str) -> int:
    """The number of blanks that ``line`` starts with."""
    return len(line) - len(line.lstrip())


def _text_blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Runs of adjoining text lines, with everything that is not text dropped."""
    block: list[str] = []
    for line in [*_without_code(lines), ""]:
        if line.strip():
            block.append(line)
        elif block:
            if not _is_markup(block):
                yield block
            block = []


def _is_markup(block: Sequence[str]) -> bool:
    if any(_RULE.match(line) for line in block):
        return True
    table = sum(bool(_TABLE_ROW.match(line) or re.search(r"\S {3,}\S", line)) for line in block)
    return table > len(block) / 2 or bool(_FIELD.match(block[0].strip()))


def _without_code(lines: Sequence[str]) -> Iterator[str]:
    """``lines`` with a blank in place of code, literal blocks and directives."""
    i = 0
    while i < len(lines):
        end = _end_of_code(lines, i)
        if end > i:
            yield ""
            i = end
            continue
        yield _without_literal_mark(lines[i])
        if lines[i].rstrip().endswith("::"):
            yield ""
            i = _end_of_body(lines, i)
        else:
            i += 1


def _end_of_code(lines: Sequence[str], i: int) -> int:
    """The index after the code or directive that starts at line ``i``; ``i`` for text."""
    stripped = lines[i].strip()
    if stripped.startswith((">>>", "...", "In [", "Out[")):
        return _first(lines, i, lambda line: not line.strip())
    if stripped.startswith("```"):
        return _first(lines, i + 1, lambda line: line.strip().startswith("```")) + 1
    if directive := _DIRECTIVE.match(stripped):
        return i + 1 if directive.group(1).lower() in TEXT_DIRECTIVES else _end_of_body(lines, i)
    return _end_of_body(lines, i) if _COMMENT.match(stripped) else i


def _end_of_body(lines: Sequence[str], i: int) -> int:
    """The index of the first line after ``i`` that is neither blank nor deeper than it."""
    depth = indentation(lines[i])
    return _first(lines, i + 1, lambda line: bool(line.strip()) and indentation(line) <= depth)


def _first(lines: Sequence[str], start: int, condition: Callable[[str], bool]) -> int:
    return next((i for i in range(start, len(lines)) if condition(lines[i])), len(lines))


def _without_literal_mark(line: str) -> str:
    if not line.rstrip().endswith("::"):
        return line
    body = line.rstrip()[:-2]
    return body + ":" if body and not body.endswith(" ") else body


def _list_items(block: Sequence[str]) -> Iterator[list[str]]:
    item: list[str] = []
    for line in block:
        if _BULLET.match(line):
            if item:
                yield item
            item = [_BULLET.sub("", line)]
        else:
            item.append(line)
    if item:
        yield item
