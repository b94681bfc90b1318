"""Finished models are measured on more text, and their cards gain that and nothing else."""

import json
import math
import shutil

import pytest
import torch

from ulmfit_lib.models.awd_lstm import AWDLSTM, AWDLSTMConfig, LanguageModel
from ulmfit_lib.models.encoder import EncoderConfig, build_encoder, save_encoder
from ulmfit_lib.models.pretrained import load_language_model, save_language_model, weight_hashes
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.held_out import (
    check_held_out,
    language_model_row,
    measure_shipped,
    read_held_out,
    summary,
)

PARAGRAPH = "The river flows past the old mill , and the <unk> turns . \n"
WIKITEXT = f" \n = River = \n \n {PARAGRAPH * 20}"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A folder of untrained models with cards as publication writes them."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("shipped")
    card = {"direction": "forward", "config": {"stream": {"bptt": 10}}, "held_out": {"test": {}}}
    sizes = AWDLSTMConfig(embedding_size=8, hidden_size=8, n_layers=1)
    save_language_model(LanguageModel(AWDLSTM(sizes)), card, "awd_lstm_forward", folder)
    config = EncoderConfig(8192, 16, 1, 2, 32, max_length=12)
    card = {"config": {"packing": {"length": 12}}, "held_out": {"test": {}}, "limits": "tiny"}
    save_encoder(build_encoder(config), config, load_tokenizer(), card, folder / "bert")
    return folder


@pytest.fixture
def folder(shipped, tmp_path):
    return shutil.copytree(shipped, tmp_path / "models")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "test.txt"
    path.write_text(WIKITEXT, "utf-8")
    return path


def cards(folder):
    paths = [folder / "awd_lstm_forward.json", folder / "bert" / "model.json"]
    return [json.loads(path.read_text()) for path in paths]


def test_every_model_of_a_folder_is_measured_and_nothing_else_changes(folder, text):
    before, lines = cards(folder), []
    weights = weight_hashes(folder), weight_hashes(folder / "bert")
    measure_shipped({"wt2": text}, True, folder, lines.append)
    after = cards(folder)
    for old, new in zip(before, after, strict=True):
        row = new["held_out"].pop("wt2")
        assert list(new.items()) == list(old.items())
        assert row["words"] == len(WIKITEXT.split()) + 23 and row["unknown_words"] == 20
        assert "as in the literature" in row["counting"]
    assert (weight_hashes(folder), weight_hashes(folder / "bert")) == weights
    assert "wt2: loss" in lines[0] and "wt2: MLM loss" in lines[1]


def test_a_measurement_can_be_made_again(folder, text):
    measure_shipped({"wt2": text}, True, folder, lambda _: None)
    first = cards(folder)
    measure_shipped({"wt2": text}, True, folder, lambda _: None)
    assert cards(folder) == first


def test_the_perplexity_per_word_spreads_the_total_over_the_literatures_words(folder, text):
    held = read_held_out(text, load_tokenizer(), wikitext=True)
    model = load_language_model(folder=folder)
    row = language_model_row(model, held.text, 10, "forward")
    total = row["loss_per_token"] * len(held.text.tokens)
    assert row["perplexity_per_word"] == pytest.approx(math.exp(total / held.facts["words"]))
    # Sixteen rows of equal length, whose first tokens are not predicted.
    assert row["tokens"] == 16 * (len(held.text.tokens) // 16 - 1)


def test_plain_running_text_is_counted_by_its_blanks(folder, tmp_path):
    path = tmp_path / "plain.txt"
    path.write_text("one two three four\n" * 30, "utf-8")
    measure_shipped({"plain": path}, False, folder, lambda _: None)
    row = cards(folder)[0]["held_out"]["plain"]
    assert row["words"] == 120 and "counting" not in row
    assert "plain: loss" in summary({"plain": row})


def test_a_measurement_on_another_text_is_never_replaced(folder, text):
    before = cards(folder)
    with pytest.raises(ValueError, match=r"awd_lstm_forward.json has a measurement 'test' on ano"):
        measure_shipped({"new": text, "test": text}, True, folder, lambda _: None)
    assert cards(folder) == before


def test_what_cannot_be_measured_is_explained(folder, tmp_path, text):
    small = tmp_path / "small.txt"
    small.write_text("Too short.\n", "utf-8")
    with pytest.raises(ValueError, match=r"small.txt: \d+ tokens are too few to measure on"):
        measure_shipped({"small": small}, False, folder)
    with pytest.raises(FileNotFoundError, match="no model in .*: name the folder"):
        measure_shipped({"wt2": text}, True, tmp_path)
    check_held_out(read_held_out(text, load_tokenizer()).text, "here")
