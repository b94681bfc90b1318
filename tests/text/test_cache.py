"""Cache entries are whole or built again."""

import logging
import os
from pathlib import Path

import pytest

from ulmfit_lib.text import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


class Builder:
    """Counts how often it is asked to build."""

    def __init__(self, content: bytes = b"content\nof two lines") -> None:
        self.content = content
        self.calls = 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.content


def test_cache_dir_is_the_stated_folder_and_exists(own_cache: Path) -> None:
    assert cache.cache_dir() == own_cache
    assert own_cache.is_dir()


def test_cache_dir_defaults_to_the_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(cache.CACHE_VARIABLE)
    monkeypatch.setattr(cache.platformdirs, "user_cache_path", lambda name, author: tmp_path / name)
    assert cache.cache_dir() == tmp_path / "ulmfit_lib"


def test_cache_dir_that_cannot_exist_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "file" / "below"))
    with pytest.raises(OSError, match="set ULMFIT_LIB_CACHE"):
        cache.cache_dir()


def test_an_entry_is_built_once_per_key() -> None:
    build = Builder()
    assert cache.cached("x", {"version": "1"}, build) == build.content
    assert cache.cached("x", {"version": "1"}, build) == build.content
    assert build.calls == 1
    cache.cached("x", {"version": "2"}, build)
    cache.cached("y", {"version": "1"}, build)
    assert build.calls == 3


def test_the_order_of_the_key_does_not_matter() -> None:
    assert cache.entry_path("x", {"a": "1", "b": "2"}) == cache.entry_path(
        "x", {"b": "2", "a": "1"}
    )


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "no digest"])
def test_a_damaged_entry_is_built_again(damage: str, caplog: pytest.LogCaptureFixture) -> None:
    build = Builder()
    cache.cached("x", {}, build)
    path = cache.entry_path("x", {})
    whole = path.read_bytes()
    damaged = {
        "cut": whole[:-1],
        "flipped": whole[:-1] + bytes([whole[-1] ^ 1]),
        "empty": b"",
        "no digest": build.content,
    }
    path.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING):
        assert cache.cached("x", {}, build) == build.content
    assert build.calls == 2
    assert str(path) in caplog.text
    assert path.read_bytes() == whole


def test_a_failed_build_leaves_no_entry() -> None:
    def fail() -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cache.cached("x", {}, fail)
    assert not list(cache.cache_dir().iterdir())


def test_write_atomically_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file"
    cache.write_atomically(target, b"one")
    cache.write_atomically(target, b"two")
    assert target.read_bytes() == b"two"
    assert [p.name for p in target.parent.iterdir()] == ["file"]


def test_an_interrupted_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    cache.write_atomically(target, b"old")

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
