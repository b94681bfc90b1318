"""Tables of every make are read whole, or refused with the place and the remedy."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.tables import TableError, column, read_table, read_texts

CONTENT = 'text,label\n"Good, really ""good"".",pos\n"two\nlines",neg\n'


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marked_encodings_are_recognised(tmp_path: Path, encoding: str) -> None:
    table = read_table(written(tmp_path, "text,label\nnaïve 日本 🙂,pos\n".encode(encoding)))
    assert table.columns == ("text", "label")
    assert column(table, "text") == ["naïve 日本 🙂"]


def test_quotes_separators_and_line_breaks_inside_a_text(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, CONTENT))
    assert column(table, "text") == ['Good, really "good".', "two\nlines"]
    assert table.lines == (2, 4)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(tmp_path: Path, separator: str, end: str) -> None:
    lines = [f"id{separator}text{separator}label", f"1{separator}fine{separator}pos", ""]
    table = read_table(written(tmp_path, end.join(lines)))
    assert [column(table, name) for name in table.columns] == [["1"], ["fine"], ["pos"]]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_packed_files(tmp_path: Path, suffix: str, pack: object) -> None:
    packed = pack(CONTENT.encode())  # type: ignore[operator]
    assert len(read_table(written(tmp_path, packed, f"t.csv{suffix}")).rows) == 2
    with pytest.raises(TableError, match="damaged or not packed"):
        read_table(written(tmp_path, packed[:-9], f"t.csv{suffix}"))


def test_another_encoding_is_refused_with_its_possible_readings(tmp_path: Path) -> None:
    file = written(tmp_path, "text,label\nplain,a\ncafé,b\n".encode("cp1252"))
    with pytest.raises(TableError, match=r"t\.csv, line 3: this is not utf-8.*cp1252 'café,b'"):
        read_table(file)
    assert column(read_table(file, "cp1252"), "text") == ["plain", "café"]
    chinese = written(tmp_path, "text,label\n很好,a\n".encode("gb18030"))
    with pytest.raises(TableError, match="gb18030 '很好,a'"):
        read_table(chinese)


def test_utf_16_without_a_mark_and_unknown_encodings(tmp_path: Path) -> None:
    file = written(tmp_path, "text,label\na,b\n".encode("utf-16-le"))
    with pytest.raises(TableError, match="utf-16-le"):
        read_table(file)
    assert len(read_table(file, "utf-16-le").rows) == 1
    with pytest.raises(TableError, match="encoding='klingon' is unknown"):
        read_table(file, "klingon")


def test_a_missing_column_names_those_there_are(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "Text,label\na,b\n"))
    with pytest.raises(TableError, match="no column 'text', only 'Text', 'label'; did you mean 'T"):
        column(table, "text")
    with pytest.raises(TableError, match="2 columns 'a'"):
        column(read_table(written(tmp_path, "a,a\n1,2\n")), "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\na,b,c\n", "line 2: 3 values for the 2 columns 'text', 'label'"),
        ("text,label\n\na\n", "line 3: 1 values for the 2 columns"),
        ('text,label\na,b\n"open,c\n', "line 3: .*each opened one is closed"),
        ('text,label\n"a"b,c\n', "line 2: .*written twice"),
        ("text,label\n", "no rows"),
        ("", "no rows"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_table(written(tmp_path, content))


def test_a_document_of_100_000_words_and_the_limit_put_back(tmp_path: Path) -> None:
    long = "word " * 100_000
    before = csv.field_size_limit()
    table = read_table(written(tmp_path, f"text,label\n{long},a\n"))
    assert column(table, "text") == [long.strip()]
    assert csv.field_size_limit() == before


LINES = '{"text": "a", "label": 1}\n\n{"text": null, "label": true, "id": 7}\n'


@pytest.mark.parametrize("content", [LINES, f"[{LINES.strip().replace(chr(10) * 2, ',')}]"])
def test_json_lines_and_lists(tmp_path: Path, content: str) -> None:
    table = read_table(written(tmp_path, content, "t.json"))
    assert table.columns == ("text", "label", "id")
    assert column(table, "text") == ["a", None]
    assert column(table, "label") == ["1", "true"]
    assert column(table, "id") == [None, "7"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"text": \n', "line 2: no whole JSON"),
        ('"a"\n', "line 1: expected an object"),
        ('[{"text": "a"}, 3]', "expected an object"),
        ('{"text": ["a"]}', "line 1, 'text': .* is no text"),
    ],
)
def test_broken_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        column(read_table(written(tmp_path, content, "t.jsonl")), "text")


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, '{"text": "cut \\ud83d", "n": NaN}', "t.jsonl"))
    assert column(table, "text") == ["cut \ufffd"]
    assert column(table, "n") == [None]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"t\.xlsx ends in none of \.csv"):
        read_table(written(tmp_path, b"PK", "t.xlsx"))
    with pytest.raises(FileNotFoundError, match="no file at"):
        read_table(tmp_path / "none.csv")


def test_texts_to_classify_keep_their_rows(tmp_path: Path) -> None:
    assert read_texts(written(tmp_path, "a\n\nb\x85c\r\n", "t.txt")) == ["a", "", "b\x85c"]
    assert read_texts(written(tmp_path, "text\nfine\n")) == ["fine"]
    two = written(tmp_path, "text,id\n ,1\nb,2\n")
    assert read_texts(two, "text") == ["", "b"]
    with pytest.raises(TableError, match="say which one is the text"):
        read_texts(two)


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_what_csv_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], separator: str
) -> None:
    target = io.StringIO()
    csv.writer(target, delimiter=separator, quoting=csv.QUOTE_ALL).writerows(
        [("text", "label"), *rows]
    )
    file = written(tmp_path_factory.mktemp("t"), target.getvalue())
    kept = [row for row in rows if any(cell.strip() for cell in row)]
    if kept:
        table = read_table(file)
        assert column(table, "text") == [text.strip() or None for text, _ in kept]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_string_in_json_is_read_and_can_be_encoded(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    lines = "\n".join(json.dumps({"text": text}) for text in texts)
    found = column(read_table(written(tmp_path_factory.mktemp("t"), lines, "t.jsonl")), "text")
    assert len(found) == len(texts)
    assert all(text is None or text.encode() for text in found)


@given(st.binary(max_size=200), st.sampled_from(["t.csv", "t.jsonl", "t.csv.gz", "t.json.xz"]))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    try:
        read_table(written(tmp_path_factory.mktemp("t"), content, name))
    except TableError as error:
        assert name in str(error)
