"""One sub-word tokenizer for every model of the book.

A byte-level BPE with case kept: any Unicode text goes in and comes out
unchanged, so no word is ever "unknown". Trained by
``python -m ulmfit_lib tokenizer``; introduced in the chapter
*Text and language models*.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, CLS, SEP, MASK, BOS = "[PAD]", "[CLS]", "[SEP]", "[MASK]", "[BOS]"
SPECIAL_TOKENS = (PAD, CLS, SEP, MASK, BOS)
PAD_ID, CLS_ID, SEP_ID, MASK_ID, BOS_ID = range(len(SPECIAL_TOKENS))
SHIPPED_TOKENIZER = Path(__file__).parents[1] / "models" / "weights" / "tokenizer.json"


def train_tokenizer(texts: Iterable[str], vocab_size: int = 8192) -> Tokenizer:
    """Learn a byte-level BPE vocabulary from ``texts`` (Sennrich et al. 2016).

    Args:
        texts: running text, any number of strings; consumed once.
        vocab_size: largest number of token types, special tokens and the 256 bytes
            included.

    Returns:
        A tokenizer whose ids ``0 .. 4`` are :data:`SPECIAL_TOKENS`.

    Raises:
        ValueError: ``vocab_size`` leaves no room for the 256 bytes.
    """
    smallest = 256 + len(SPECIAL_TOKENS)
    if vocab_size < smallest:
        raise ValueError(
            f"vocab_size={vocab_size} is too small: the {len(SPECIAL_TOKENS)} special tokens "
            f"and the 256 bytes need {smallest}"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _as_plain_text_reader(tokenizer)


def load_tokenizer(path: str | Path | None = None) -> Tokenizer:
    """Read a tokenizer from ``tokenizer.json``; the shipped one by default.

    Raises:
        FileNotFoundError: no file at ``path``.
    """
    file = Path(path) if path is not None else SHIPPED_TOKENIZER
    if not file.is_file():
        raise FileNotFoundError(
            f"no tokenizer at {file}: train one with 'python -m ulmfit_lib tokenizer'"
        )
    return _as_plain_text_reader(Tokenizer.from_file(str(file)))


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, without special tokens.

    Args:
        tokenizer: the vocabulary.
        texts: any Unicode strings.

    Raises:
        ValueError: a text holds a lone surrogate, which is no Unicode
            character and has no bytes to encode.
    """
    for i, text in enumerate(texts):
        _check_encodable(text, i)
    return [e.ids for e in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def decode(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text that ``ids`` stand for; the inverse of :func:`encode`.

    Args:
        tokenizer: the vocabulary.
        ids: token ids of one text.
    """
    return tokenizer.decode(list(ids), skip_special_tokens=False)


def _as_plain_text_reader(tokenizer: Tokenizer) -> Tokenizer:
    # A reader's text may contain "[MASK]": those six characters are text, not the mask.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _check_encodable(text: str, index: int) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text {index} holds a lone surrogate at character {error.start}: "
            "decode the source with errors='replace' first"
        ) from error
