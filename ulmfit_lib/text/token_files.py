"""Large corpora as token ids on disk: read once, then mapped into memory.

Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from ulmfit_lib.text.cache import cache_dir, write_atomically
from ulmfit_lib.text.running_text import read_documents
from ulmfit_lib.text.streams import join_documents
from ulmfit_lib.text.tokenizer import encode

DOCUMENTS_AT_ONCE = 256


class TokenFile(NamedTuple):
    """A corpus as one stream of token ids."""

    tokens: np.ndarray  # (N,) memory map, every document opened by [BOS]
    n_words: int  # blank-separated words of the text
    fingerprint: str  # SHA-256 over the text files' own digests


def corpus_fingerprint(files: Sequence[Path]) -> str:
    """SHA-256 over the names and contents of ``files``, in their order."""
    digest = hashlib.sha256()
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"there is no text file {file}: check the path")
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()


def tokenize_files(files: Sequence[str | Path], tokenizer: Tokenizer) -> TokenFile:
    """Token ids of all documents in ``files``, encoded once and kept in the cache.

    Args:
        files: running text (see :mod:`ulmfit_lib.text.running_text`).
        tokenizer: the vocabulary to encode with.

    Raises:
        ValueError: ``files`` is empty.
        FileNotFoundError, DamagedFileError: a file is missing or not whole.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise ValueError("files is empty: name at least one text file")
    fingerprint = corpus_fingerprint(paths)
    key = hashlib.sha256((fingerprint + tokenizer.to_str()).encode()).hexdigest()[:16]
    kept = cache_dir() / f"tokens-{key}.npy"
    words = kept.with_suffix(".words")
    if not (kept.is_file() and words.is_file()):
        _encode_to(kept, words, paths, tokenizer)
    return TokenFile(np.load(kept, mmap_mode="r"), int(words.read_text()), fingerprint)


def _encode_to(kept: Path, words: Path, paths: Sequence[Path], tokenizer: Tokenizer) -> None:
    n_words, streams = 0, []
    for documents in _batched(itertools.chain.from_iterable(map(read_documents, paths))):
        n_words += sum(len(text.split()) for text in documents)
        streams.append(join_documents(encode(tokenizer, documents)))
    content = io.BytesIO()
    np.save(content, np.concatenate(streams))
    write_atomically(words, str(n_words).encode())
    write_atomically(kept, content.getvalue())


def _batched(documents: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(documents)
    while batch := list(itertools.islice(iterator, DOCUMENTS_AT_ONCE)):
        yield batch
