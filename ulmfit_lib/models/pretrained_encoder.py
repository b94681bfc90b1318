"""Any BERT-style checkpoint, with its tokenizer, by name or folder.

The shipped encoder is the default; ``"bert-base-uncased"``,
``"roberta-base"``, ``"distilbert-base-uncased"`` or a folder of one's own
takes its place by one argument. What differs between them (special tokens,
number of positions, names of the parts) is settled here, once. Introduced in
the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ulmfit_lib.models.encoder import SHIPPED_ENCODER, load_encoder
from ulmfit_lib.text.masking import MaskingVocabulary, masking_vocabulary
from ulmfit_lib.text.special_tokens import BOOK_TOKENS, SpecialTokens
from ulmfit_lib.text.tokenizer import MASK, encode, load_tokenizer


class EncoderParts(NamedTuple):
    """What an encoder is made of. Introduced in the chapter *How to fine-tune BERT*."""

    embeddings: nn.Module
    layers: nn.ModuleList  # from the bottom up
    pooler: nn.Module | None  # BERT's tanh layer over [CLS], where there is one


@dataclass(frozen=True, eq=False)
class PretrainedEncoder:
    """A checkpoint and its tokenizer. Introduced in the chapter *How to fine-tune BERT*."""

    masked_lm: PreTrainedModel  # the encoder with its masked-language-model head
    tokenizer: Tokenizer  # its vocabulary
    special: SpecialTokens  # ids of its special tokens
    mask: str = MASK  # its mask token
    name: str = ""  # on the hub, or of its folder; empty for the shipped one

    @property
    def model(self) -> PreTrainedModel:
        """The encoder alone."""
        found: Any = self.masked_lm.base_model
        base: PreTrainedModel = found
        return base

    @property
    def vocabulary(self) -> MaskingVocabulary:
        """What masking must know of the vocabulary."""
        return masking_vocabulary(self.tokenizer, self.mask)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        return encode(self.tokenizer, texts)

    def weight_hashes(self) -> dict[str, str]:
        """SHA-256 of its weights, by its name; empty for the shipped one, whose card has it."""
        if not self.name:
            return {}
        digest = hashlib.sha256()
        for name, weights in sorted(self.masked_lm.state_dict().items()):
            digest.update(name.encode())
            digest.update(weights.numpy().tobytes())
        return {self.name: digest.hexdigest()}


def load_pretrained_encoder(name: str | Path = SHIPPED_ENCODER) -> PretrainedEncoder:
    """A checkpoint with its masked-language-model head and its tokenizer, in 32 bits.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        name: a model's name on the hub, or a folder; the shipped one by default.

    Raises:
        FileNotFoundError: there is no such checkpoint, here or on the hub.
        TypeError: it has no fast tokenizer.
        ValueError: it is no masked language model, or its tokenizer has no mask or
            padding token.
    """
    if Path(name) == SHIPPED_ENCODER:
        return PretrainedEncoder(load_encoder(), load_tokenizer(), BOOK_TOKENS)
    try:
        model = AutoModelForMaskedLM.from_pretrained(name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(name)
    except OSError as error:
        raise FileNotFoundError(
            f"name={str(name)!r} is no checkpoint here and none that the hub gave: check the "
            "name, or the network, or give a folder written by save_pretrained"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"name={str(name)!r} is no masked language model that transformers can load: give "
            f"one of BERT's, RoBERTa's or DistilBERT's kind ({str(error).partition(chr(10))[0]})"
        ) from error
    return PretrainedEncoder(
        model.eval(),
        _fast(tokenizer),
        special_tokens(tokenizer),
        tokenizer.mask_token,
        Path(name).resolve().name if Path(name).is_dir() else str(name),
    )


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> SpecialTokens:
    """The ids of the tokens around a text, as ``tokenizer`` has them.

    In a stream its separator opens a document. Introduced in the chapter
    *How to fine-tune BERT*.

    Raises:
        ValueError: one of them, or the mask, is missing.
    """
    wanted = ("cls_token", "sep_token", "pad_token", "mask_token")
    missing = [name for name in wanted if getattr(tokenizer, name, None) is None]
    if missing:
        raise ValueError(
            f"the tokenizer has no {', '.join(missing)}: take the checkpoint of a masked "
            "language model"
        )
    ids: Any = tokenizer
    return SpecialTokens(ids.cls_token_id, ids.sep_token_id, ids.pad_token_id, ids.sep_token_id)


def encoder_parts(encoder: Any) -> EncoderParts:
    """Embeddings, layers and pooler of an encoder of BERT's, RoBERTa's or DistilBERT's kind.

    Introduced in the chapter *How to fine-tune BERT*.

    Raises:
        TypeError: the parts of this kind of model are not known.
    """
    stack = getattr(encoder, "encoder", None)
    layers = getattr(stack, "layer", None)
    if layers is None:  # DistilBERT's name for it
        layers = getattr(getattr(encoder, "transformer", None), "layer", None)
    if layers is None or not hasattr(encoder, "embeddings"):
        raise TypeError(
            f"the layers of {type(encoder).__name__} are not known: take an encoder of BERT's, "
            "RoBERTa's or DistilBERT's kind"
        )
    return EncoderParts(encoder.embeddings, layers, getattr(encoder, "pooler", None))


def n_positions(encoder: Any) -> int:
    """How many tokens a text may have, special tokens included.

    RoBERTa counts positions from the padding's id on, so two of its 514 are
    never used. Introduced in the chapter *How to fine-tune BERT*.
    """
    positions: Any = encoder_parts(encoder).embeddings.position_embeddings
    unused = 0 if positions.padding_idx is None else positions.padding_idx + 1
    return int(positions.num_embeddings) - unused


def _fast(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """The tokenizer of the library ``tokenizers``, which neither cuts nor pads."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise TypeError(f"{type(tokenizer).__name__} has no fast form: take one that has")
    own = Tokenizer.from_str(backend.to_str())
    own.no_truncation()
    own.no_padding()
    own.encode_special_tokens = True  # "[MASK]" in a text is text
    return own
