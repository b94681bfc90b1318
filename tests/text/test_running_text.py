"""Running text is read whole or refused, with the place and the remedy."""

import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.text.running_text import (
    DamagedFileError,
    read_documents,
    read_lines,
)

TWO_DOCUMENTS = "Title\nFirst paragraph.\n\nSecond title\nEin Café, 咖啡, 🙂.\n\n"


def pack(path: Path, content: bytes) -> Path:
    path.write_bytes(lzma.compress(content))
    return path


def plain(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("name", "write"), [("a.txt", plain), ("a.txt.xz", pack)])
def test_documents_of_plain_and_packed_files(tmp_path: Path, name: str, write) -> None:
    path = write(tmp_path / name, TWO_DOCUMENTS.encode())
    assert list(read_documents(path)) == [
        "Title\nFirst paragraph.",
        "Second title\nEin Café, 咖啡, 🙂.",
    ]
    assert list(read_lines(path)) == TWO_DOCUMENTS.splitlines()


def test_several_blank_lines_and_a_missing_last_one(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.txt", b"\n\none\n\n \t\n\ntwo\nthree")
    assert list(read_documents(path)) == ["one", "two\nthree"]


def test_windows_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\n\r\ntwo\r\n")
    assert list(read_documents(path)) == ["one", "two"]


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    text = "a\u2028b\u0085c\n"
    assert list(read_lines(plain(tmp_path / "a.txt", text.encode()))) == [text[:-1]]


@pytest.mark.parametrize("kept", [0, 1, 6, 11, 12, 40, -1, -2, -13])
def test_a_truncated_packed_file_is_refused_at_once(tmp_path: Path, kept: int) -> None:
    whole = lzma.compress(TWO_DOCUMENTS.encode() * 10)
    path = plain(tmp_path / "a.txt.xz", whole[:kept])
    for reader in (read_lines, read_documents):
        with pytest.raises(DamagedFileError, match="download it again"):
            reader(path)


def test_a_flipped_bit_is_noticed_while_reading(tmp_path: Path) -> None:
    whole = bytearray(lzma.compress(bytes(range(32, 127)) * 100))
    whole[len(whole) // 2] ^= 1
    path = plain(tmp_path / "a.txt.xz", bytes(whole))
    with pytest.raises(DamagedFileError, match=r"a\.txt\.xz is damaged"):
        list(read_lines(path))


def test_a_web_page_named_xz_is_refused(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.txt.xz", b"<html>404 Not Found</html>")
    with pytest.raises(DamagedFileError, match="not an xz file"):
        read_lines(path)


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\n\t\n"])
@pytest.mark.parametrize(("name", "write"), [("a.txt", plain), ("a.txt.xz", pack)])
def test_no_text_at_all(tmp_path: Path, name: str, write, content: bytes) -> None:
    with pytest.raises(DamagedFileError, match="is empty|blank lines only"):
        list(read_documents(write(tmp_path / name, content)))


@pytest.mark.parametrize(
    "content", ["naïve".encode("latin-1"), "naïve".encode("utf-16"), b"\xed\xa0\x80"]
)
def test_another_encoding_names_file_line_and_remedy(tmp_path: Path, content: bytes) -> None:
    path = plain(tmp_path / "a.txt", b"fine\n" + content + b"\n")
    with pytest.raises(DamagedFileError, match=r"a\.txt, line 2: .*iconv"):
        list(read_lines(path))


@pytest.mark.parametrize("control", ["\x00", "\x01", "\x0b", "\x0c", "\x1b", "\x7f", "\r"])
def test_control_characters_name_file_line_and_remedy(tmp_path: Path, control: str) -> None:
    path = plain(tmp_path / "a.txt", f"fine\nnot {control} fine\n".encode())
    with pytest.raises(DamagedFileError, match=r"a\.txt, line 2: control character"):
        list(read_documents(path))


def test_a_missing_file_is_told_at_the_call(tmp_path: Path) -> None:
    for reader in (read_lines, read_documents):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            reader(tmp_path / "nowhere.txt")


PARAGRAPH = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=20
).filter(lambda text: not text.startswith("\ufeff"))


@given(st.lists(st.lists(PARAGRAPH, min_size=1, max_size=3), min_size=1, max_size=4))
def test_what_is_written_is_read(tmp_path_factory, documents: list[list[str]]) -> None:
    texts = ["\n".join(paragraphs) for paragraphs in documents]
    path = tmp_path_factory.mktemp("text") / "a.txt.xz"
    pack(path, "".join(text + "\n\n" for text in texts).encode())
    assert list(read_documents(path)) == texts
