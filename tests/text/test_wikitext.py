"""WikiText's files become plain text, and their words are counted as the literature does."""

import os
from pathlib import Path

import pytest

from ulmfit_lib.text.running_text import DamagedFileError
from ulmfit_lib.text.wikitext import plain_text, read_wikitext

LINES = [
    "",
    "= Robert <unk> =",
    "",
    "Robert <unk> is a co @-@ star , born in 1950 .",
    "",
    "= = Career = =",
    "",
    "He 's paid $ 1 @,@ 950 .",
    "= 1 <unk> and C =",
    "",
    "= Du Fu ( poet ) =",
    "",
    'A " great " poet .',
]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "test.txt").write_text("".join(f" {line} \n" for line in LINES), "utf-8")
    return tmp_path / "test.txt"


def test_articles_are_plain_documents(path):
    assert read_wikitext(path).documents == [
        "Robert <unk>\nRobert <unk> is a co-star, born in 1950.\nCareer.\nHe's paid $1,950.\n"
        "= 1 <unk> and C =",
        'Du Fu (poet)\nA "great" poet.',
    ]


def test_words_are_tokens_of_the_file_and_ends_of_lines(path):
    read = read_wikitext(path)
    tokens = sum(len(line.split()) for line in LINES)
    assert read.n_words == tokens + 13
    assert read.n_unknown == 3
    assert read.n_layout == 6 + 2 + 4 + 2  # blank lines, then the signs of three headings


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("two @-@ part , 1 @.@ 5 % of 8 @,@ 000", "two-part, 1.5% of 8,000"),
        ("it ( the <unk> ) isn 't ; they 've : yes !", "it (the <unk>) isn't; they've: yes!"),
        ('" A " and " B " .', '"A" and "B".'),
        ("the readers ' choice", "the readers' choice"),
        ("at 8 : 30 , 1950 – 1960 , north – south", "at 8:30, 1950–1960, north – south"),
        ('a lone " stays', 'a lone " stays'),
        ("", ""),
        ("naïve 你好 😀 . . .", "naïve 你好 😀..."),
    ],
)
def test_the_cut_into_words_is_undone(cut, whole):
    assert plain_text(cut) == whole


def test_other_files_are_refused(tmp_path):
    plain = tmp_path / "plain.txt"
    plain.write_text("No title.\n\nNone here.\n", "utf-8")
    with pytest.raises(DamagedFileError, match=r"plain.txt has no title.*without --wikitext"):
        read_wikitext(plain)
    plain.write_text("\n \n\n", "utf-8")
    with pytest.raises(DamagedFileError, match="has no title"):
        read_wikitext(plain)


@pytest.mark.needs_data
def test_wikitext_2_has_the_words_that_the_literature_states():
    folder = Path(os.environ["ULMFIT_LIB_DATA"]) / "wikitext-2"
    read = read_wikitext(folder / "test.txt.xz")
    assert (read.n_words, len(read.documents), read.n_unknown) == (245_569, 60, 15_218)
    assert len(read_wikitext(folder / "valid.txt.xz").documents) == 60
