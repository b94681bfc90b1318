"""A toy task on which the papers' studies run in milliseconds."""

from __future__ import annotations

import pytest

from ulmfit_lib.text.corpus import Corpus, Split


def _split(name: str, n: int) -> Split:
    rows = [f"{name} {i} returns a {w}" for i in range(n) for w in ("list", "number")]
    return Split(tuple(rows), (0, 1) * n)


@pytest.fixture(scope="session")
def task() -> Corpus:
    """Two classes that one word tells apart."""
    splits = {name: _split(name, n) for name, n in (("train", 12), ("valid", 3), ("test", 10))}
    return Corpus("toy", splits, ("list", "number"), "none", "none", "made by the test")
