"""Unlabelled text of a domain, to read before a task is learned.

Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

from ulmfit_lib.text import pydocs
from ulmfit_lib.text.corpora import load

OTHER_DOCSTRINGS, SOURCE_CODE = "other docstrings", "source code"


def domain_texts(name: str) -> tuple[str, ...]:
    """All unlabelled and training text of a corpus; its test text never.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        name: a corpus of the catalogue, ``"other docstrings"`` or ``"source
            code"`` (both of the installed packages that are no class of pydocs).
    """
    if name == OTHER_DOCSTRINGS:
        return pydocs.other_docstrings()
    if name == SOURCE_CODE:
        return pydocs.source_code()
    splits = load(name).splits
    return tuple(t for part in ("train", "unsup") if part in splits for t in splits[part].texts)
