"""Random checkpoints of three kinds, each with a tokenizer of its own, in folders."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

WORDS = ("the", "mill", "river", "stone", "bridge", "old", "new", "##s", "rises", "falls", "a")
POSITIONS = 16  # tokens that a text may have, with its frame
_SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}


def save_checkpoint(kind: str, folder: Path) -> Path:
    """Write model and tokenizer of ``kind`` into ``folder``."""
    tokenizer = _roberta_tokenizer() if kind == "roberta" else _bert_tokenizer()
    torch.manual_seed(0)
    model = _model(kind, len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _model(kind: str, vocab_size: int):
    if kind == "distilbert":
        return DistilBertForMaskedLM(
            DistilBertConfig(
                vocab_size=vocab_size,
                dim=16,
                hidden_dim=32,
                n_layers=3,
                n_heads=2,
                max_position_embeddings=POSITIONS,
            )
        )
    if kind == "roberta":
        return RobertaForMaskedLM(
            RobertaConfig(
                vocab_size=vocab_size,
                intermediate_size=32,
                max_position_embeddings=POSITIONS + 2,
                pad_token_id=1,
                bos_token_id=0,
                eos_token_id=2,
                **_SIZES,
            )
        )
    return BertForMaskedLM(
        BertConfig(
            vocab_size=vocab_size,
            intermediate_size=32,
            max_position_embeddings=POSITIONS,
            **_SIZES,
        )
    )


def _bert_tokenizer() -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    own = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    own.normalizer = normalizers.Lowercase()
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def _roberta_tokenizer() -> PreTrainedTokenizerFast:
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {token: i for i, token in enumerate([*tokens, "<mask>"])}
    own = Tokenizer(models.BPE(vocabulary, []))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
    )
