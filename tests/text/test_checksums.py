"""A file that differs from its checksum is refused; a verified one is not read twice."""

import hashlib
import os
from pathlib import Path

import pytest

from ulmfit_lib.text import cache, checksums
from ulmfit_lib.text.checksums import check_file, read_table
from ulmfit_lib.text.running_text import DamagedFileError

CONTENT = b"some text\n" * 9


@pytest.fixture()
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one file and a table that describes it."""
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    folder = tmp_path / "data"
    (folder / "set").mkdir(parents=True)
    (folder / "set" / "train.txt").write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    table = (
        f"# Data\n\n| file | bytes | sha256 |\n|---|---|---|\n| `set/train.txt` | 90 | `{digest}` |"
    )
    (folder / "README.md").write_text(table + f"\n| `set/big.xz` | 1,234,567 | `{digest}` |\n")
    return folder


def test_the_table(data_dir: Path) -> None:
    table = read_table(data_dir / "README.md")
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert table == {"set/train.txt": (90, digest), "set/big.xz": (1_234_567, digest)}
    assert read_table(data_dir / "nothing.md") == {}


def test_a_whole_file_passes_and_is_read_once(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    verify = checksums._verify
    monkeypatch.setattr(checksums, "_verify", lambda *a: reads.append(a) or verify(*a))
    check_file(data_dir / "set" / "train.txt", data_dir)
    check_file(data_dir / "set" / "train.txt", data_dir)
    assert len(reads) == 1


def test_a_truncated_file(data_dir: Path) -> None:
    path = data_dir / "set" / "train.txt"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(DamagedFileError, match=r"train\.txt has 89 bytes.* says 90.*copy it again"):
        check_file(path, data_dir)


def test_a_changed_file_of_the_same_size_and_after_it_was_verified(data_dir: Path) -> None:
    path = data_dir / "set" / "train.txt"
    check_file(path, data_dir)
    path.write_bytes(CONTENT.upper())
    os.utime(path, ns=(1, 1))
    for _ in range(2):
        with pytest.raises(DamagedFileError, match=r"train\.txt has the SHA-256 .*copy it again"):
            check_file(path, data_dir)


def test_files_without_a_row_and_folders_without_a_table(data_dir: Path) -> None:
    other = data_dir / "set" / "dev.txt"
    other.write_bytes(b"x")
    check_file(other, data_dir)
    (data_dir / "README.md").unlink()
    check_file(data_dir / "set" / "train.txt", data_dir)
