"""Layer for layer the same as fastai, there and back."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from fastai.text.learner import match_embeds
from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config
from fastai.text.models.core import SequentialRNN, get_language_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig, LanguageModel
from ulmfit_lib.models.fastai_weights import (
    language_model_from_fastai,
    language_model_from_wikitext103,
    load_fastai_state_dict,
    read_fastai_checkpoint,
    read_vocabulary,
    to_fastai_state_dict,
    transfer_language_model,
    transfer_vocabulary,
)
from ulmfit_lib.text.tokenizer import BOS_ID, PAD_ID, encode

SIZES = [(1, 4, 6), (2, 4, 6), (3, 5, 7), (3, 8, 3)]  # layers, embedding, hidden


def fastai_model(n_layers: int = 3, e: int = 4, h: int = 6, vocab: int = 20) -> SequentialRNN:
    torch.manual_seed(0)
    sizes = {"emb_sz": e, "n_hid": h, "n_layers": n_layers}
    model = get_language_model(AWD_LSTM, vocab, {**awd_lstm_lm_config, **sizes})
    torch.nn.init.normal_(model[1].decoder.bias)
    torch.nn.init.normal_(model[0].encoder.weight)
    return model.eval()


def batches(n: int = 2, vocab: int = 20) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, vocab, (3, 9), generator=generator) for _ in range(n)]


def state_dict(**changes: Tensor | None) -> dict[str, Tensor]:
    """A small fastai state dict, with tensors replaced or (None) removed."""
    state: dict[str, Any] = {**fastai_model().state_dict(), **changes}
    return {name: tensor for name, tensor in state.items() if tensor is not None}


# Equality


@pytest.mark.parametrize(("n_layers", "e", "h"), SIZES)
def test_outputs_equal_fastais_over_several_batches_of_a_stream(
    n_layers: int, e: int, h: int
) -> None:
    theirs = fastai_model(n_layers, e, h)
    theirs[0].bs = 3
    theirs.reset()
    ours = language_model_from_fastai(theirs.state_dict()).eval()
    for ids in batches(3):
        logits, raw, dropped = theirs(ids)
        output = ours(ids)
        torch.testing.assert_close(output.logits, logits, atol=1e-5, rtol=0)
        torch.testing.assert_close(output.raw, raw, atol=1e-5, rtol=0)
        torch.testing.assert_close(output.dropped, dropped, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("n_layers", "e", "h"), SIZES)
def test_gradients_equal_fastais(n_layers: int, e: int, h: int) -> None:
    theirs = fastai_model(n_layers, e, h)
    theirs[0].bs = 3
    theirs.reset()
    ours = language_model_from_fastai(theirs.state_dict()).eval()
    for ids in batches():  # the second with a carried, detached state
        torch.nn.functional.cross_entropy(theirs(ids)[0].flatten(0, 1), ids.flatten()).backward()
        torch.nn.functional.cross_entropy(ours(ids).logits.flatten(0, 1), ids.flatten()).backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    converted = to_fastai_state_dict(_model_of_gradients(ours))
    for name, gradient in gradients.items():
        torch.testing.assert_close(converted[name], gradient, atol=1e-5, rtol=0)
        assert gradient.abs().sum() > 0


def _model_of_gradients(model: LanguageModel) -> LanguageModel:
    """A model whose weights are the gradients of ``model``."""
    copy = LanguageModel(AWDLSTM(model.encoder.config))
    copy.load_state_dict({name: p.grad for name, p in model.named_parameters()})
    return copy


def test_every_tensor_lands_under_its_own_name() -> None:
    """Biases too: the two of a layer are added, so no output would tell them apart."""
    state = {name: tensor + i for i, (name, tensor) in enumerate(state_dict().items())}
    for tied in ("0.encoder_dp.emb.weight", "1.decoder.weight"):
        state[tied] = state["0.encoder.weight"]
    layers = language_model_from_fastai(state).encoder.layers
    for i, layer in enumerate(layers):
        assert layer.weight_hh.equal(state[f"0.rnns.{i}.weight_hh_l0_raw"])
        for name in ("weight_ih", "bias_ih", "bias_hh"):
            assert getattr(layer, name).equal(state[f"0.rnns.{i}.module.{name}_l0"])


@pytest.mark.parametrize(("n_layers", "e", "h"), SIZES)
def test_there_and_back_changes_nothing(n_layers: int, e: int, h: int) -> None:
    state = fastai_model(n_layers, e, h).state_dict()
    ours = language_model_from_fastai(state)
    back = to_fastai_state_dict(ours)
    assert set(back) == set(state)
    assert all(back[name].equal(state[name]) for name in state)
    again = language_model_from_fastai(back)
    assert again.encoder.config == ours.encoder.config
    assert again.encoder.config.n_layers == n_layers


def test_fastai_takes_our_weights() -> None:
    ours = LanguageModel(AWDLSTM(AWDLSTMConfig(20, 4, 6, 3, pad_id=1))).eval()
    theirs = fastai_model()
    theirs.load_state_dict(to_fastai_state_dict(ours), strict=True)
    ids = batches(1)[0]
    torch.testing.assert_close(theirs(ids)[0], ours(ids).logits, atol=1e-5, rtol=0)


def test_exported_weights_share_no_memory() -> None:
    ours = LanguageModel(AWDLSTM(AWDLSTMConfig(20, 4, 6, 3)))
    for tensor in to_fastai_state_dict(ours).values():
        tensor.zero_()
    assert all(p.abs().sum() > 0 for name, p in ours.named_parameters() if "weight" in name)


# What is checked


@pytest.mark.parametrize("name", sorted(set(state_dict()) - {"0.encoder_dp.emb.weight"}))
def test_a_missing_tensor_is_named(name: str) -> None:
    if name == "1.decoder.weight":  # tied: the embedding says it all
        language_model_from_fastai(state_dict(**{name: None}))
        return
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        language_model_from_fastai(state_dict(**{name: None}))


@pytest.mark.parametrize("name", sorted(set(state_dict()) - {"0.encoder_dp.emb.weight"}))
def test_a_tensor_of_another_shape_is_named(name: str) -> None:
    model = language_model_from_fastai(state_dict())
    wrong = torch.zeros(*(n + 1 for n in state_dict()[name].shape))
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        load_fastai_state_dict(model, state_dict(**{name: wrong}))


def test_a_refused_state_dict_leaves_the_model_as_it_was() -> None:
    model = language_model_from_fastai(state_dict())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    changed = {name: tensor + 1 for name, tensor in state_dict().items()}
    del changed["1.decoder.bias"]
    with pytest.raises(ValueError, match="is missing"):
        load_fastai_state_dict(model, changed)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["0.encoder_dp.emb.weight", "1.decoder.weight"])
def test_an_untied_copy_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} differs"):
        language_model_from_fastai(state_dict(**{name: torch.zeros(20, 4)}))


@pytest.mark.parametrize("name", ["0.rnns.0.layers.0.linear.weight", "1.layers.0.weight"])
def test_an_unknown_tensor_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} belongs to no layer"):
        language_model_from_fastai(state_dict(**{name: torch.zeros(1)}))


def test_the_stale_dropped_matrix_of_older_files_is_ignored() -> None:
    stale = {f"0.rnns.{i}.module.weight_hh_l0": torch.zeros(1) for i in range(3)}
    model = language_model_from_fastai(state_dict(**stale))
    assert model.encoder.layers[0].weight_hh.equal(state_dict()["0.rnns.0.weight_hh_l0_raw"])


def test_a_model_of_other_sizes_is_refused_by_name() -> None:
    model = LanguageModel(AWDLSTM(AWDLSTMConfig(20, 4, 8, 3)))
    with pytest.raises(ValueError, match=r"weight_hh_l0_raw has shape \(24, 6\).*\(32, 8\)"):
        load_fastai_state_dict(model, state_dict())


# Files


@pytest.mark.parametrize("with_optimizer", [False, True])
def test_a_file_that_fastai_saved(tmp_path: Path, with_optimizer: bool) -> None:
    state = fastai_model().state_dict()
    torch.save(
        {"model": state, "opt": {"hypers": [0.1]}} if with_optimizer else state, tmp_path / "f"
    )
    read = read_fastai_checkpoint(tmp_path / "f")
    assert set(read) == set(state)
    assert all(read[name].equal(state[name]) for name in state)


class Malicious:
    """Unpickling this would create a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.file),)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "code was run"
    torch.save({"0.encoder.weight": Malicious(mark)}, tmp_path / "lm.pth")
    (tmp_path / "itos.pkl").write_bytes(pickle.dumps([Malicious(mark)]))
    with pytest.raises(ValueError, match="never unpickles"):
        read_fastai_checkpoint(tmp_path / "lm.pth")
    with pytest.raises(ValueError, match="never opens"):
        read_vocabulary(tmp_path / "itos.pkl")
    assert not mark.exists()


@settings(max_examples=15)
@given(st.binary(max_size=300), st.integers(0, 2_000))
def test_a_damaged_file_is_refused(tmp_path_factory: Any, content: bytes, keep: int) -> None:
    file = tmp_path_factory.mktemp("damaged") / "lm.pth"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        read_fastai_checkpoint(file)
    torch.save(state_dict(), file)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match="damaged"):
        read_fastai_checkpoint(file)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"a": 1}, torch.zeros(2)])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "f.pth")
    with pytest.raises(ValueError, match="no state dict"):
        read_fastai_checkpoint(tmp_path / "f.pth")


def test_missing_files_say_where_to_find_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="wt103-fwd"):
        read_fastai_checkpoint(tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match="no vocabulary"):
        read_vocabulary(tmp_path / "none.json")


WORDS = ["xxunk", "xxpad", "naïve", "日本", " ", ""]


def test_a_vocabulary_from_json_or_text(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps(WORDS), encoding="utf-8")
    (tmp_path / "v.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    assert read_vocabulary(tmp_path / "v.json") == WORDS
    assert read_vocabulary(tmp_path / "v.txt") == WORDS


@pytest.mark.parametrize("content", [b'{"a": 1}', b"[1, 2]", b"[", b'["\xff"]'])
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"v\.json is no"):
        read_vocabulary(tmp_path / "v.json")


def test_the_remedy_for_a_pickled_vocabulary_works(tmp_path: Path) -> None:
    (tmp_path / "itos.pkl").write_bytes(pickle.dumps(WORDS))
    with pytest.raises(ValueError) as error:
        read_vocabulary(tmp_path / "itos.pkl")
    code = str(error.value).split('python -c "')[1].rstrip('"')
    exec(code)  # what the message tells a reader to run
    assert read_vocabulary(tmp_path / "itos.json") == WORDS


# Another vocabulary


OLD = ["xxunk", "xxpad", "the", "cat", "sat"]
NEW = ["xxpad", "dog", "cat", "the"]


def test_known_words_keep_their_rows_and_unknown_ones_get_the_mean() -> None:
    weight = torch.arange(10.0).reshape(5, 2)
    moved = transfer_vocabulary(OLD, NEW, weight)
    assert moved.tolist() == [[2, 3], [4, 5], [6, 7], [4, 5]]
    moved.zero_()
    assert weight.sum() == 45


def test_a_bias_is_moved_alike() -> None:
    assert transfer_vocabulary(OLD, NEW, torch.arange(5.0)).tolist() == [1, 2, 3, 2]


words = st.lists(st.text(max_size=3), min_size=1, max_size=12, unique=True)


@given(words, words)
def test_transfer_equals_fastais(old: list[str], new: list[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    state = {
        "0.encoder.weight": torch.randn(len(old), 3, generator=generator),
        "1.decoder.bias": torch.randn(len(old), generator=generator),
    }
    ours = {name: transfer_vocabulary(old, new, tensor) for name, tensor in state.items()}
    theirs = match_embeds(dict(state), old, new)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name])


@given(words)
def test_the_same_vocabulary_changes_nothing(vocab: list[str]) -> None:
    weight = torch.randn(len(vocab), 3)
    assert transfer_vocabulary(vocab, vocab, weight).equal(weight)


def test_a_vocabulary_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="old_vocab has 5 words for a weight of 4 rows"):
        transfer_vocabulary(OLD, NEW, torch.zeros(4, 2))


def test_a_transferred_model_says_the_same_about_words_that_both_know() -> None:
    model = language_model_from_fastai(fastai_model(vocab=len(OLD)).state_dict()).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    moved = transfer_language_model(model, OLD, NEW, pad_id=0).eval()
    assert moved.encoder.config == AWDLSTMConfig(len(NEW), 4, 6, 3, pad_id=0)
    text = ["the", "cat", "the"]
    old_logits = model(torch.tensor([[OLD.index(word) for word in text]])).logits[0]
    new_logits = moved(torch.tensor([[NEW.index(word) for word in text]])).logits[0]
    for word in ("xxpad", "cat", "the"):
        torch.testing.assert_close(new_logits[:, NEW.index(word)], old_logits[:, OLD.index(word)])
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


# The published model, whole


PUBLISHED = ["xxunk", "xxpad", "xxbos", "xxeos", "xxmaj", "the", "film", "."]


def published(folder: Path, words: list[str] = PUBLISHED) -> tuple[Path, Path]:
    """Files like those of the published archive, the vocabulary converted."""
    torch.save(fastai_model(vocab=len(PUBLISHED)).state_dict(), folder / "wt103.pth")
    (folder / "itos.json").write_text(json.dumps(words))
    return folder / "wt103.pth", folder / "itos.json"


def test_the_published_model_speaks_the_librarys_special_tokens(tmp_path: Path) -> None:
    weights, vocabulary = published(tmp_path)
    model, tokenizer = language_model_from_wikitext103(weights, vocabulary)
    theirs = language_model_from_fastai(read_fastai_checkpoint(weights)).eval()
    (ids,) = encode(tokenizer, ["The film. Unheard-of"])
    names = [tokenizer.id_to_token(i) for i in ids]
    assert names == ["the", "film", ".", "xxunk", "xxunk", "xxunk"]
    assert [tokenizer.id_to_token(i) for i in (PAD_ID, BOS_ID)] == ["[PAD]", "[BOS]"]
    assert model.encoder.config.pad_id == PAD_ID
    ours = model.eval()(torch.tensor([[BOS_ID, *ids]])).logits[0]
    same = theirs(torch.tensor([[2, *(PUBLISHED.index(name) for name in names)]])).logits[0]
    for word in ("xxunk", "the", "film", "."):
        column = tokenizer.token_to_id(word)
        torch.testing.assert_close(ours[:, column], same[:, PUBLISHED.index(word)])


def test_a_vocabulary_of_another_kind_or_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks .*xxbos"):
        language_model_from_wikitext103(*published(tmp_path, ["xxunk", "xxpad", "the"]))
    with pytest.raises(ValueError, match="old_vocab has 9 words for a weight of 8 rows"):
        language_model_from_wikitext103(*published(tmp_path, [*PUBLISHED, "more"]))
