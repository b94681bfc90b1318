"""WikiText's files: the words that the literature counts, and plain text that models can read.

WikiText (Merity et al. 2016) is published one paragraph a line, cut into
words: ``he 's a co @-@ star , born in 1 @,@ 950 .`` Rare words are ``<unk>``,
headings stand between signs, ``= = Career = =``. Perplexities of the
literature are per word of that file. A model of sub-words reads the text as
it was written, and its total is spread over the literature's words. Introduced
in the chapter *Text and language models*.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import NamedTuple

from ulmfit_lib.text.running_text import DamagedFileError, read_lines

UNKNOWN = "<unk>"
COUNTING = (
    "words are counted as in the literature: blank-separated tokens of the published file, "
    "plus one for the end of every line. The model reads the text as it was before it was cut "
    "into words, blank lines and signs of headings left out; '<unk>' is read, and predicted, "
    "as these five characters."
)
_HEADING = re.compile(r"((?:= )+)(.+?)((?: =)+)")
_REPAIRS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r" @([-,.])@ ", r"\1"),  # co @-@ star, 1 @,@ 950, 1 @.@ 5
        (r"(?<=\d) ([:–]) (?=\d)", r"\1"),  # 8 : 30, 1950 – 1960
        (r'" ([^"]*) "', r'"\1"'),  # quotation marks in pairs
        (r" (?=[,.;:!?)\]%])", ""),
        (r"(?<=[(\[$£#]) ", ""),
        (r" (?='(?:s|t|d|m|re|ve|ll)\b)", ""),  # he 's, don 't
        (r"(?<=s) (?=' )", ""),  # the readers ' choice
    )
)


class WikiText(NamedTuple):
    """A file of WikiText. Introduced in the chapter *Text and language models*."""

    documents: list[str]  # one an article, as plain text, its paragraphs joined by "\n"
    n_words: int  # as the literature counts: tokens of the file and ends of lines
    n_unknown: int  # of these, "<unk>"
    n_layout: int  # of these, in no document: signs of headings and ends of blank lines


def read_wikitext(path: str | Path) -> WikiText:
    """The articles of a file of WikiText, plain or packed with xz, and its words.

    An article begins at a title, ``= Title =`` between two blank lines; what
    stands before the first title is an article too. Introduced in the chapter
    *Text and language models*.

    Raises:
        FileNotFoundError: no file at ``path``.
        DamagedFileError: as :func:`ulmfit_lib.text.running_text.read_lines`,
            and where no line is a title.
    """
    lines = [line.strip() for line in read_lines(path)]
    levels = [_level(lines, i) for i in range(len(lines))]
    starts = [i for i, level in enumerate(levels) if level == 1]
    if not starts:
        raise DamagedFileError(
            f"{path} has no title, '= Title =' between blank lines: it is not in the layout of "
            "WikiText; plain running text is read without --wikitext"
        )
    plain = [_plain_line(*line) for line in zip(lines, levels, strict=True)]
    articles = (plain[a:b] for a, b in itertools.pairwise([0, *starts, len(lines)]))
    documents = ["\n".join(filter(None, article)) for article in articles]
    words = [word for line in lines for word in line.split()]
    return WikiText(
        [text for text in documents if text],
        len(words) + len(lines),
        words.count(UNKNOWN),
        2 * sum(levels) + lines.count(""),
    )


def plain_text(line: str) -> str:
    """``line`` as it was before it was cut into words; ``<unk>`` stays.

    Where the cut has lost what stood there (single quotation marks, blanks
    around a stroke), the blanks stay. Introduced in the chapter *Text and
    language models*.
    """
    for pattern, replacement in _REPAIRS:
        line = pattern.sub(replacement, line)
    return line


def _level(lines: list[str], i: int) -> int:
    """1 of a title, 2 and more of the headings below it, 0 of any other line."""
    heading = _HEADING.fullmatch(lines[i])
    if heading is None:
        return 0
    level = min(sign.count("=") for sign in heading.group(1, 3))
    alone = not any(lines[max(0, i - 1) : i] + lines[i + 1 : i + 2])
    return level if level > 1 or alone else 0  # a formula may begin and end with "="


def _plain_line(line: str, level: int) -> str:
    """A heading below the title ends in a full stop, as in the shipped models' own text."""
    if level == 0:
        return plain_text(line)
    return plain_text(line.strip("= ")) + ("." if level > 1 else "")
