"""Weights are what their cards say, or refused; the shipped ones load and have learned."""

import json
from pathlib import Path

import pytest
import torch

from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig, LanguageModel
from ulmfit_lib.models.pretrained import (
    load_language_model,
    model_card,
    save_language_model,
    weight_hashes,
)
from ulmfit_lib.text.running_text import DamagedFileError
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.held_out import language_model_row, read_held_out

SAMPLE = Path(__file__).with_name("sample.txt")  # written for this purpose


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    config = AWDLSTMConfig(vocab_size=30, embedding_size=4, hidden_size=6, n_layers=2)
    model = LanguageModel(AWDLSTM(config))
    save_language_model(model, {"seed": 0}, "awd_lstm_forward", tmp_path)
    return model, tmp_path


def test_a_model_comes_back_in_full_precision_with_half_the_digits(saved):
    model, folder = saved
    loaded = load_language_model("forward", folder=folder)
    for (name, new), old in zip(
        loaded.state_dict().items(), model.state_dict().values(), strict=True
    ):
        assert new.dtype == torch.float32, name
        assert torch.equal(new, old.half().float()), name


def test_the_card_says_what_the_file_is(saved):
    _, folder = saved
    card = model_card("awd_lstm_forward", folder)
    assert card["model"]["hidden_size"] == 6
    assert card["seed"] == 0
    assert weight_hashes(folder) == {"awd_lstm_forward": (card["sha256"], card["sha256"])}


def test_an_altered_file_is_refused(saved):
    _, folder = saved
    path = folder / "awd_lstm_forward.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError, match="restore both from the repository"):
        load_language_model("forward", folder=folder)
    actual, stated = weight_hashes(folder)["awd_lstm_forward"]
    assert actual != stated


def test_unknown_models_are_named(saved):
    _, folder = saved
    with pytest.raises(ValueError, match="direction='sideways'"):
        load_language_model("sideways", folder=folder)
    with pytest.raises(FileNotFoundError, match="there: awd_lstm_forward"):
        load_language_model("backward", folder=folder)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_shipped_model_has_the_loss_that_its_card_says(direction):
    card = model_card(f"awd_lstm_{direction}")
    held = read_held_out(SAMPLE, load_tokenizer())
    bptt = card["config"]["stream"]["bptt"]
    row = language_model_row(load_language_model(direction), held.text, bptt, direction)
    stated = card["held_out"]["sample"]
    assert stated["corpus"] == held.text.fingerprint
    assert row["tokens"] == stated["tokens"]
    assert row["loss_per_token"] == pytest.approx(stated["loss_per_token"], abs=1e-3)
    assert row["loss_per_token"] < 6.5  # the unigram entropy of its training text is 7.26


def test_the_cards_name_everything_needed_to_make_the_models_again():
    for direction in ("forward", "backward"):
        card = json.loads(json.dumps(model_card(f"awd_lstm_{direction}")))
        needed = {"command", "corpus", "commit", "config", "tokens_seen", "held_out", "hardware"}
        assert needed <= set(card)
        assert card["tokens_seen"] == card["history"][-1]["tokens"]


def test_all_shipped_files_are_what_their_cards_say():
    hashes = weight_hashes()
    assert set(hashes) == {"awd_lstm_forward", "awd_lstm_backward", "bert/model"}
    assert all(actual == stated for actual, stated in hashes.values())
