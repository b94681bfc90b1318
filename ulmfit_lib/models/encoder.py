"""The small BERT-style encoder: its sizes, its MLM head, and the folder it is kept in.

Stock ``BertForMaskedLM`` of ``transformers`` without the next-sentence
objective, on the book's own tokenizer. A saved folder is an ordinary one of
``transformers``: ``AutoModelForMaskedLM.from_pretrained(folder)`` and
``AutoTokenizer.from_pretrained(folder)`` read it offline. Source: Devlin et
al. 2019, section 3. Introduced in the chapter *How to fine-tune BERT*.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from ulmfit_lib.models.pretrained import SHIPPED_WEIGHTS, intact_weights, model_card, write_card
from ulmfit_lib.text.cache import write_atomically
from ulmfit_lib.text.tokenizer import BOS, CLS, CLS_ID, MASK, PAD, PAD_ID, SEP, SEP_ID

SHIPPED_ENCODER = SHIPPED_WEIGHTS / "bert"
WEIGHTS_STEM = "model"  # of model.safetensors, as transformers wants it, and of the card beside it


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder. Introduced in the chapter *How to fine-tune BERT*."""

    vocab_size: int = 8192  # token types, V
    hidden_size: int = 256  # width of every layer, H
    n_layers: int = 4  # transformer layers
    n_heads: int = 4  # attention heads per layer; they share the width evenly
    feed_forward_size: int = 1024  # width between the two matrices of a layer
    max_length: int = 128  # positions; a longer text does not go in
    dropout: float = 0.0  # in pre-training: less than a few passes over a corpus cannot overfit
    fine_tuning_dropout: float = 0.1  # what a loaded model has

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "n_layers", "feed_forward_size", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("dropout", "fine_tuning_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in [0, 1)")
        if self.n_heads < 1 or self.hidden_size % self.n_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be a multiple of n_heads={self.n_heads}"
            )

    @classmethod
    def of_width(
        cls, hidden_size: int, n_layers: int, max_length: int, dropout: float = 0.0
    ) -> EncoderConfig:
        """BERT's proportions: 64 numbers a head, a feed-forward layer of four times the width.

        Args:
            hidden_size: width; a multiple of 64, or less than 128.
            n_layers: transformer layers.
            max_length: positions.
            dropout: in pre-training.
        """
        heads = max(1, hidden_size // 64)
        return cls(
            hidden_size=hidden_size,
            n_layers=n_layers,
            n_heads=heads,
            feed_forward_size=4 * hidden_size,
            max_length=max_length,
            dropout=dropout,
        )


class MaskedPositionsOutput(NamedTuple):
    """What :class:`MaskedPositionsModel` returns.

    Introduced in the chapter *How to fine-tune BERT*.
    """

    logits: Tensor  # (M, V) of the positions asked for


class MaskedPositionsModel(nn.Module):
    """An encoder whose MLM head reads only the positions that are to be predicted.

    The head of a small model costs as much as several of its layers, and
    training asks for a seventh to a third of the positions. The logits are
    those that the whole model gives there. Source: ``gather_indexes`` in
    BERT's released code. Introduced in the chapter *How to fine-tune BERT*.

    Args:
        model: the encoder with its head; of BERT's, RoBERTa's or DistilBERT's
            kind.

    Raises:
        TypeError: no such kind; the message names those it may be.
    """

    model: Any  # transformers leaves the types of its models' parts open

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        mlm_head(model)  # says so where the kind is not known
        self.model = model
        self.training = model.training

    def forward(
        self, ids: Tensor, positions: Tensor, attention_mask: Tensor | None = None
    ) -> MaskedPositionsOutput:
        """Logits (M, V) at ``positions`` of ``ids``.

        Args:
            ids: token ids (B, T).
            positions: (M,), counted through the rows: row * T + column.
            attention_mask: (B, T), False at padding; None without any.
        """
        hidden = self.model.base_model(ids, attention_mask=attention_mask).last_hidden_state
        return MaskedPositionsOutput(mlm_head(self.model)(hidden.flatten(0, 1)[positions]))


def mlm_head(model: Any) -> Callable[[Tensor], Tensor]:
    """The masked-language-model head of ``model``: from states (M, H) to logits (M, V).

    Introduced in the chapter *How to fine-tune BERT*.

    Raises:
        TypeError: the head of this kind of model is not known.
    """
    for name in ("cls", "lm_head"):  # BERT's and RoBERTa's
        if hasattr(model, name):
            head: Callable[[Tensor], Tensor] = getattr(model, name)
            return head
    if not hasattr(model, "vocab_projector"):
        raise TypeError(
            f"the head of {type(model).__name__} is not known: take a masked language model of "
            "BERT's, RoBERTa's or DistilBERT's kind"
        )
    parts = model.vocab_transform, model.activation, model.vocab_layer_norm, model.vocab_projector

    def distilbert_head(states: Tensor) -> Tensor:
        """DistilBERT keeps the parts of its head apart."""
        for part in parts:
            states = part(states)
        return states

    return distilbert_head


def build_encoder(config: EncoderConfig) -> BertForMaskedLM:
    """A new encoder with MLM head, its weights drawn from torch's global generator.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        config: sizes.
    """
    return BertForMaskedLM(
        BertConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            intermediate_size=config.feed_forward_size,
            max_position_embeddings=config.max_length,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
            pad_token_id=PAD_ID,
        )
    )


def encoder_tokenizer(tokenizer: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    """The book's tokenizer as ``transformers`` has it: ``[CLS] text [SEP]``, or two texts.

    Unlike :func:`ulmfit_lib.text.tokenizer.encode` it takes "[MASK]" in a
    text for the mask, as every tokenizer of ``transformers`` does. Introduced
    in the chapter *How to fine-tune BERT*.

    Args:
        tokenizer: the vocabulary.
        max_length: tokens at which ``truncation=True`` cuts.
    """
    own = Tokenizer.from_str(tokenizer.to_str())
    own.post_processor = TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(CLS, CLS_ID), (SEP, SEP_ID)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        pad_token=PAD,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
        bos_token=BOS,
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def save_encoder(
    model: BertForMaskedLM,
    config: EncoderConfig,
    tokenizer: Tokenizer,
    card: Mapping[str, Any],
    folder: str | Path,
) -> Path:
    """Write weights in half precision, configuration, tokenizer and card into ``folder``.

    The saved configuration loads in full precision, with the dropout of
    fine-tuning. Pre-training never sees a second segment (there are no
    sentence pairs), so its embedding is saved as a copy of the first one's.
    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        model: the trained encoder; left as it is.
        config: its sizes.
        tokenizer: its vocabulary.
        card: facts about its making that JSON can say.
        folder: made where it is missing; a model in it is replaced.

    Returns:
        ``folder``.
    """
    with tempfile.TemporaryDirectory() as temporary:
        new = Path(temporary)
        with _no_progress_bars():
            _half(model).save_pretrained(new)
        _loading_config(model.config, config).save_pretrained(new)
        encoder_tokenizer(tokenizer, config.max_length).save_pretrained(new)
        for file in sorted(new.iterdir()):
            write_atomically(Path(folder) / file.name, file.read_bytes())
    parameters = sum(p.numel() for p in model.parameters())
    facts = {"name": SHIPPED_ENCODER.name, "parameters": parameters, "model": asdict(config)}
    write_card(Path(folder) / f"{WEIGHTS_STEM}.safetensors", facts | dict(card))
    return Path(folder)


def load_encoder(folder: str | Path = SHIPPED_ENCODER) -> BertForMaskedLM:
    """The pre-trained encoder with its MLM head, in full precision and evaluation mode.

    Introduced in the chapter *How to fine-tune BERT*.

    Args:
        folder: of :func:`save_encoder`; the shipped one by default.

    Raises:
        FileNotFoundError: no encoder there.
        DamagedFileError: the weights are not what their card says.
    """
    path = _checked(folder)
    with _no_progress_bars():
        return BertForMaskedLM.from_pretrained(path, dtype=torch.float32, local_files_only=True)


def encoder_card(folder: str | Path = SHIPPED_ENCODER) -> dict[str, Any]:
    """The card of the encoder in ``folder``: how it was made, and how good it is.

    Introduced in the chapter *How to fine-tune BERT*.

    Raises:
        FileNotFoundError: no encoder there; the message says how to make one.
    """
    names = (f"{WEIGHTS_STEM}.json", f"{WEIGHTS_STEM}.safetensors", "config.json", "tokenizer.json")
    missing = [name for name in names if not (Path(folder) / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"no encoder in {folder} (missing: {', '.join(missing)}): restore the folder from the "
            "repository, or make one with 'python -m ulmfit_lib pretrain bert', "
            f"which writes it to OUT/{SHIPPED_ENCODER.name}"
        )
    return model_card(WEIGHTS_STEM, folder)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """A small file is read or written before a bar could show anything."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _checked(folder: str | Path) -> Path:
    encoder_card(folder)
    return intact_weights(WEIGHTS_STEM, folder).parent


def _half(model: BertForMaskedLM) -> BertForMaskedLM:
    """A copy in 16 bits whose second segment embedding is that of the first."""
    half = copy.deepcopy(model).cpu().half()
    segments = half.bert.embeddings.token_type_embeddings.weight
    with torch.no_grad():
        segments[1:] = segments[:1]
    return half


def _loading_config(trained: BertConfig, config: EncoderConfig) -> BertConfig:
    """What a loaded model is to be: in 32 bits, with the dropout of fine-tuning."""
    loading = copy.deepcopy(trained)
    loading.dtype = torch.float32
    loading.architectures = [BertForMaskedLM.__name__]
    loading.hidden_dropout_prob = config.fine_tuning_dropout
    loading.attention_probs_dropout_prob = config.fine_tuning_dropout
    return loading
