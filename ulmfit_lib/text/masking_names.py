"""The names of the eleven libraries, replaced by one neutral word.

A paragraph that says ``numpy`` is too easy to place. Names, aliases and every
dotted path or identifier that holds one become :data:`LIBRARY`, in the text of
all classes alike. Introduced in the chapter *Text and language models*.
"""

from __future__ import annotations

import re

LIBRARY = "LIBRARY"

# Anywhere inside an identifier, in any case: TorchScript, is_scipy_sparse, NumPy.
NAMES = tuple(
    "torch transformers sympy pandas scipy matplotlib sklearn scikit numpy networkx ipython "
    "huggingface pyplot pylab stdlib cpython".split()
)
# As a whole part of an identifier, in any case: np.array, mpl_toolkits, HF.
ALIASES = tuple("np pd plt mpl nx hf".split())
# Before a dot only: nn.Module, F.relu, sp.linalg.
MODULE_ALIASES = ("nn", "F", "sp")

_PHRASES = re.compile(
    r"scikit[- ]{1,2}learn|hugging[ -]face|(?:python )?standard library",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(r"\w+(?:\.\w+)*")
_NAME = re.compile("|".join(NAMES), re.IGNORECASE)
_ALIAS = re.compile(rf"(?<![^\W_])(?:{'|'.join(ALIASES)})(?![^\W_])", re.IGNORECASE)
_MODULE = re.compile(rf"(?:{'|'.join(MODULE_ALIASES)})\.[A-Za-z_]")
_STARTS = (*NAMES, *ALIASES, "hugging", "standard", "sci-kit", "sci kit", LIBRARY.lower())
_REPEATED = re.compile(rf"{LIBRARY}(?:[ .-]{LIBRARY})+")


def mask_names(text: str) -> str:
    """``text`` with every library name and alias replaced by ``LIBRARY``.

    >>> mask_names("Like np.sum, but for PyTorch's tensors.")
    "Like LIBRARY, but for LIBRARY's tensors."

    Introduced in the chapter *Text and language models*.
    """
    if not _may_name(text):
        return text
    text = _PHRASES.sub(LIBRARY, text)
    return _REPEATED.sub(LIBRARY, _IDENTIFIER.sub(_masked, text))


def names_a_library(identifier: str) -> bool:
    """Whether a (dotted) ``identifier`` gives away one of the eleven libraries.

    >>> names_a_library("torch.nn.Module"), names_a_library("npz")
    (True, False)
    """
    found = _NAME.search(identifier) or _ALIAS.search(identifier) or _MODULE.match(identifier)
    return bool(found)


def _may_name(text: str) -> bool:
    """A quick look: False only where nothing in ``text`` can be a name."""
    lowered = text.lower()
    return any(start in lowered for start in _STARTS) or bool(_MODULE.search(text))


def _masked(match: re.Match[str]) -> str:
    return LIBRARY if names_a_library(match.group()) else match.group()
