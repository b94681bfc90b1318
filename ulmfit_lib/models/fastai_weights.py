"""fastai's AWD-LSTM format: the published WikiText-103 weights in, our weights out.

Nothing is unpickled that could run code: weights are read as bare tensors, and
a vocabulary only from JSON or text. Introduced in the chapter *FitLaM*.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from ulmfit_lib.models.awd_lstm import (
    AWDLSTM,
    NO_DROPOUT,
    AWDLSTMConfig,
    Dropouts,
    LanguageModel,
)
from ulmfit_lib.text.tokenizer import CLS, MASK, PAD_ID, SEP, SPECIAL_TOKENS

FASTAI_PAD_ID = 1  # xxpad in fastai's vocabularies
_TIED = ("0.encoder_dp.emb.weight", "1.decoder.weight")  # copies of 0.encoder.weight
_LAYER_TENSORS = {
    "weight_hh": "weight_hh_l0_raw",
    "weight_ih": "module.weight_ih_l0",
    "bias_ih": "module.bias_ih_l0",
    "bias_hh": "module.bias_hh_l0",
}


def read_fastai_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a fastai ``.pth`` file, such as the published ``wt103-fwd``.

    Files that were saved with their optimizer are understood too. Introduced
    in the chapter *FitLaM*.

    Raises:
        FileNotFoundError: no file at ``path``.
        ValueError: the file is damaged, or holds anything but tensors.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(
            f"no weights at {file}: download wt103-fwd.tgz or wt103-bwd.tgz of fastai's model "
            "zoo, unpack it and pass the .pth file"
        )
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever it stumbles over in damaged bytes
        raise ValueError(
            f"{file} is damaged or holds Python objects, which this library never unpickles: "
            "save it in fastai with torch.save(learn.model.state_dict(), ...)"
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not all(torch.is_tensor(t) for t in content.values()):
        raise ValueError(f"{file} is no state dict: pass the .pth file of a language model")
    return dict(content)


def read_vocabulary(path: str | Path) -> list[str]:
    """Words by id, from a JSON list or a text file with one word per line.

    fastai publishes its vocabularies as pickles; opening one can run any code,
    so it is the reader who converts it, once, if its source is trusted.
    Introduced in the chapter *FitLaM*.

    Raises:
        FileNotFoundError: no file at ``path``.
        ValueError: the file is a pickle, or no list of words.
    """
    file = Path(path)
    if file.suffix in {".pkl", ".pickle"}:
        raise ValueError(
            f"{file} is a pickle, which this library never opens: if you trust it, convert it "
            f"with: python -c \"import json, pickle; json.dump(list(pickle.load(open('{file}', "
            f"'rb'))), open('{file.with_suffix('.json')}', 'w'))\""
        )
    if not file.is_file():
        raise FileNotFoundError(f"no vocabulary at {file}: pass a .json list or a .txt file")
    try:
        text = file.read_text(encoding="utf-8")
        words = json.loads(text) if file.suffix == ".json" else text.removesuffix("\n").split("\n")
    except ValueError as error:
        raise ValueError(f"{file} is no UTF-8 text or no JSON list of words: {error}") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{file} is no vocabulary: a JSON list of strings is expected")
    return words


def language_model_from_fastai(
    state: Mapping[str, Tensor], dropouts: Dropouts = NO_DROPOUT, pad_id: int = FASTAI_PAD_ID
) -> LanguageModel:
    """A language model with the sizes and weights of a fastai state dict.

    Introduced in the chapter *FitLaM*.

    Args:
        state: as :func:`read_fastai_checkpoint` returns it.
        dropouts: of the new model.
        pad_id: the padding token of the state dict's vocabulary.

    Raises:
        ValueError: a tensor is missing, unknown, of a wrong shape, or not
            tied as it should be; the message names it.
    """
    model = LanguageModel(AWDLSTM(_sizes(state, pad_id), dropouts))
    load_fastai_state_dict(model, state)
    return model


def load_fastai_state_dict(model: LanguageModel, state: Mapping[str, Tensor]) -> None:
    """Copy a fastai state dict into ``model``, by name and with every shape checked.

    (fastai itself copies by position, whatever the names.) Either all tensors
    are copied or none. Introduced in the chapter *FitLaM*.

    Raises:
        ValueError: as for :func:`language_model_from_fastai`.
    """
    names = _fastai_names(model)
    ours = model.state_dict()
    for name, theirs in names.items():
        _check_tensor(theirs, state, ours[name].shape)
    _check_copies(state)
    _check_nothing_is_left(state, names.values(), len(model.encoder.layers))
    model.load_state_dict({name: state[theirs] for name, theirs in names.items()})
    model.reset()


def to_fastai_state_dict(model: LanguageModel) -> dict[str, Tensor]:
    """``model``'s weights under fastai's names; ``learn.model.load_state_dict`` takes them.

    The inverse of :func:`language_model_from_fastai`. Introduced in the
    chapter *FitLaM*.
    """
    ours = model.state_dict()
    state = {theirs: ours[name].clone() for name, theirs in _fastai_names(model).items()}
    for tied in _TIED:
        state[tied] = state["0.encoder.weight"].clone()
    return state


def transfer_vocabulary(
    old_vocab: Sequence[str], new_vocab: Sequence[str], weight: Tensor
) -> Tensor:
    """Rows of ``weight`` for another vocabulary: a known word's own, else the mean.

    Source: ULMFiT's released code; fastai does the same with the embedding,
    the tied decoder and the decoder's bias. Introduced in the chapter *FitLaM*.

    Args:
        old_vocab: words by row of ``weight``; of a repeated one the last counts.
        new_vocab: words by row of the result.
        weight: (V,) or (V, E).

    Returns:
        (V', ...) with V' = ``len(new_vocab)``, sharing no memory with ``weight``.

    Raises:
        ValueError: ``weight`` hasn't one row per word of ``old_vocab``.
    """
    if len(old_vocab) != len(weight):
        raise ValueError(
            f"old_vocab has {len(old_vocab)} words for a weight of {len(weight)} rows: "
            "pass the vocabulary that the weights were trained with"
        )
    row_of = {word: row for row, word in enumerate(old_vocab)}
    rows = torch.tensor([row_of.get(word, -1) for word in new_vocab], device=weight.device)
    known = (rows >= 0).view(-1, *[1] * (weight.dim() - 1))
    return torch.where(known, weight[rows.clamp(min=0)], weight.mean(dim=0, keepdim=True))


def transfer_language_model(
    model: LanguageModel, old_vocab: Sequence[str], new_vocab: Sequence[str], pad_id: int
) -> LanguageModel:
    """A copy of ``model`` for another vocabulary: same LSTM layers, transferred rows.

    Introduced in the chapter *FitLaM*.

    Args:
        model: a language model over ``old_vocab``.
        old_vocab: its words by id.
        new_vocab: the new words by id.
        pad_id: id of the padding token in ``new_vocab``.

    Raises:
        ValueError: ``old_vocab`` is not the model's.
    """
    sizes = replace(model.encoder.config, vocab_size=len(new_vocab), pad_id=pad_id)
    copy = LanguageModel(AWDLSTM(sizes, model.encoder.dropouts))
    state = model.state_dict()
    for name in ("encoder.embedding.weight", "decoder_bias"):
        state[name] = transfer_vocabulary(old_vocab, new_vocab, state[name])
    copy.load_state_dict(state)
    return copy.to(model.decoder_bias.device)


def language_model_from_wikitext103(
    weights: str | Path, vocabulary: str | Path, dropouts: Dropouts = NO_DROPOUT
) -> tuple[LanguageModel, Tokenizer]:
    """fastai's published WikiText-103 model, ready for every recipe of the book.

    The model is put on a vocabulary that begins with the library's special
    tokens (padding and beginning take the rows of ``xxpad`` and ``xxbos``,
    the others the mean row), and comes with a tokenizer of that vocabulary.
    It splits at white space and punctuation and lower-cases; fastai's rules
    also write ``xxmaj``, ``xxup`` and ``xxrep`` into the text, which this one
    does not. The archive's ``.pkl`` vocabulary must be converted first:
    :func:`read_vocabulary` says how. Introduced in the chapter *ULMFiT*.

    Args:
        weights: the ``.pth`` file of ``wt103-fwd`` or ``wt103-bwd``.
        vocabulary: its words by id, ``.json`` or ``.txt``.
        dropouts: of the model.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, a pickle, or the two do not belong
            together; or the words lack ``xxunk``, ``xxpad`` or ``xxbos``.
    """
    words = read_vocabulary(vocabulary)
    missing = [word for word in ("xxunk", "xxpad", "xxbos") if word not in words]
    if missing:
        raise ValueError(f"{vocabulary} lacks {missing}: it is no vocabulary of fastai 1 or 2")
    state = read_fastai_checkpoint(weights)
    model = language_model_from_fastai(state, dropouts, pad_id=words.index("xxpad"))
    others = dict.fromkeys(word for word in words if word not in ("xxpad", "xxbos"))
    taken = ["xxpad", CLS, SEP, MASK, "xxbos", *others]
    tokens = [*SPECIAL_TOKENS, *others]
    moved = transfer_language_model(model, words, taken, PAD_ID)
    return moved, _word_tokenizer(tokens)


def _word_tokenizer(tokens: Sequence[str]) -> Tokenizer:
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="xxunk"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def _fastai_names(model: LanguageModel) -> dict[str, str]:
    """Our name -> fastai's, for every tensor of the model."""
    names = {"encoder.embedding.weight": "0.encoder.weight", "decoder_bias": "1.decoder.bias"}
    for i in range(len(model.encoder.layers)):
        for ours, theirs in _LAYER_TENSORS.items():
            names[f"encoder.layers.{i}.{ours}"] = f"0.rnns.{i}.{theirs}"
    return names


def _sizes(state: Mapping[str, Tensor], pad_id: int) -> AWDLSTMConfig:
    for name in ("0.encoder.weight", "0.rnns.0.weight_hh_l0_raw"):
        _check_tensor(name, state)
    layers = {match[1] for match in map(re.compile(r"0\.rnns\.(\d+)\.").match, state) if match}
    vocab_size, embedding_size = state["0.encoder.weight"].shape
    # A single layer ends in the embedding size; hidden_size then belongs to no layer.
    hidden_size = state["0.rnns.0.weight_hh_l0_raw"].shape[1]
    return AWDLSTMConfig(vocab_size, embedding_size, hidden_size, len(layers), pad_id)


def _check_tensor(name: str, state: Mapping[str, Tensor], shape: torch.Size | None = None) -> None:
    if name not in state:
        raise ValueError(f"{name} is missing: this is no state dict of fastai's AWD_LSTM LM")
    found = state[name].shape
    if shape is not None and found != shape:
        raise ValueError(
            f"{name} has shape {tuple(found)}, the model needs {tuple(shape)}: build the model "
            "with language_model_from_fastai, which reads the sizes from the file"
        )
    if shape is None and len(found) != 2:
        raise ValueError(f"{name} has shape {tuple(found)}, a matrix is expected")


def _check_copies(state: Mapping[str, Tensor]) -> None:
    """fastai stores the embedding up to three times; the copies must agree."""
    for name in _TIED:
        if name in state and not state[name].equal(state["0.encoder.weight"]):
            raise ValueError(
                f"{name} differs from 0.encoder.weight: this library ties the decoder to the "
                "embedding (fastai: tie_weights=True)"
            )


def _check_nothing_is_left(state: Mapping[str, Tensor], used: Iterable[str], n_layers: int) -> None:
    # Older files also hold the recurrent matrix as it was last dropped: of no use.
    ignored = {f"0.rnns.{i}.module.weight_hh_l0" for i in range(n_layers)}
    left = sorted(set(state) - set(used) - ignored - set(_TIED))
    if left:
        raise ValueError(f"{left[0]} belongs to no layer of an AWD-LSTM with {n_layers} layers")
