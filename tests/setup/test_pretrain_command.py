"""``pretrain`` from text files to models with cards, its two scales, and what it refuses."""

import os
import subprocess
import sys

import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer
from typer.testing import CliRunner

from ulmfit_lib import __main__ as command_line
from ulmfit_lib.models.awd_lstm import FINE_TUNING_DROPOUTS, NO_DROPOUT, AWDLSTMConfig
from ulmfit_lib.models.encoder import EncoderConfig, encoder_card
from ulmfit_lib.models.pretrained import load_language_model, model_card
from ulmfit_lib.text.token_files import tokenize_files
from ulmfit_lib.text.tokenizer import load_tokenizer
from ulmfit_lib.training.mlm_pretraining import MLMPretrainConfig
from ulmfit_lib.training.pretraining import PretrainConfig

SMALL = {
    "bert": "--updates 4 --segment 2 --batch-size 2 --length 16 --hidden-size 64 --n-layers 1",
    "awd-lstm": "--updates 4 --segment 2 --batch-size 2 --bptt 8 --embedding-size 8 "
    "--hidden-size 8 --n-layers 1",
}
COST = {"tokens_per_second", "utilisation", "energy", "convergence"}


@pytest.fixture
def arguments(tmp_path):
    """Of a command of either kind, on small files."""
    for name in ("train", "valid", "test"):
        lines = [f"The {name} river number {i} flows past the old mill.\n\n" for i in range(30)]
        (tmp_path / f"{name}.txt").write_text("".join(lines), "utf-8")
    files = [str(tmp_path / "train.txt"), "--valid", str(tmp_path / "valid.txt")]
    files += ["--test", str(tmp_path / "test.txt"), "--licence", "CC0", "--out", str(tmp_path)]
    return lambda kind, *more: ["pretrain", kind, *files, *SMALL[kind].split(), *more]


def invoke(arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ulmfit_lib", *arguments])
    return CliRunner().invoke(command_line.app, arguments)


def test_text_files_become_an_encoder_with_a_card(tmp_path, monkeypatch, arguments):
    given = arguments("bert")
    done = invoke(given, monkeypatch)
    assert done.exit_code == 0, done.output
    assert "segment 2/2" in done.output and "test: MLM loss" in done.output
    card = encoder_card(tmp_path / "bert")
    assert card["command"] == ["python", "-m", "ulmfit_lib", *given]
    assert card["tokens_seen"] == 4 * 2 * 16 and set(card["held_out"]) == {"valid", "test"}
    assert set(card) >= COST
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "bert")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "bert")
    batch = tokenizer(["The [MASK] flows."], return_tensors="pt")
    assert model(**batch).logits.shape == (1, batch["input_ids"].shape[1], 8192)


def test_text_files_become_a_language_model_and_it_is_measured_on_more(
    tmp_path, monkeypatch, arguments
):
    done = invoke(arguments("awd-lstm", "--direction", "backward"), monkeypatch)
    assert done.exit_code == 0, done.output
    assert "segment 2/2" in done.output and "test: loss" in done.output
    card = model_card("awd_lstm_backward", tmp_path)
    assert set(card) >= COST | {"direction", "held_out", "limits", "hardware", "torch"}
    text = tokenize_files([tmp_path / "test.txt"], load_tokenizer())
    assert card["held_out"]["test"]["corpus"] == text.fingerprint
    assert card["passes"] == round(card["tokens_seen"] / card["corpus_tokens"], 2)
    assert not {"pass", "passes", "encyclopaedia"} & set(card["limits"].split())
    assert card["convergence"] == {
        "from_update": 2,
        "to_update": 4,
        "fall_in_nats": card["convergence"]["fall_in_nats"],
    }
    assert load_language_model("backward", folder=tmp_path).encoder.config.hidden_size == 8
    more = ["pretrain", "measure", f"more={tmp_path / 'train.txt'}", "--folder", str(tmp_path)]
    done = invoke(more, monkeypatch)
    assert done.exit_code == 0 and "more: loss" in done.output
    assert set(model_card("awd_lstm_backward", tmp_path)["held_out"]) == {"valid", "test", "more"}


def test_a_measurement_has_a_name_and_a_file(monkeypatch):
    for text in ("test.txt", "=test.txt", "wt2="):
        done = invoke(["pretrain", "measure", text], monkeypatch)
        assert f"{text!r} is not NAME=FILE" in str(done.exception)


def config_of(monkeypatch, kind, *options):
    """The run that a command line stands for; nothing is trained."""
    seen = []
    monkeypatch.setattr(command_line, "_publish", lambda kind, *_: seen.append(kind.config))
    files = "t.txt --valid v.txt --test t.txt --licence CC0 --out here".split()
    done = CliRunner().invoke(command_line.app, ["pretrain", kind, *files, *options])
    assert done.exit_code == 0, done.output
    return seen[0]


def test_the_scale_is_laptop_where_none_is_given(monkeypatch):
    plain = PretrainConfig(dropouts=NO_DROPOUT)
    run = config_of(monkeypatch, "awd-lstm")
    assert run.model == plain.model and run.dropouts == plain.dropouts
    assert (run.updates, run.segment, run.lr_max) == (27_500, 250, 2e-3)
    assert run == config_of(monkeypatch, "awd-lstm", "--scale", "laptop")
    assert config_of(monkeypatch, "bert").model == MLMPretrainConfig().model
    assert config_of(monkeypatch, "bert").lr_max == MLMPretrainConfig().lr_max == 1e-3


def test_the_scale_paper_has_the_sizes_of_the_papers(monkeypatch):
    run = config_of(monkeypatch, "awd-lstm", "--scale", "paper")
    assert run.model == AWDLSTMConfig(8192, 400, 1152, 3)
    assert (run.stream.batch_size, run.stream.bptt, run.lr_max) == (80, 70, 5e-3)
    assert run.dropouts == FINE_TUNING_DROPOUTS.scaled(0.1)
    run = config_of(monkeypatch, "bert", "--scale", "paper")
    assert run.model == EncoderConfig(8192, 768, 12, 12, 3072, 512, 0.1)
    assert (run.packing.batch_size, run.packing.length, run.lr_max) == (256, 512, 1e-4)
    assert run.mask_rate(0) == run.mask_rate(run.horizon) == 0.15
    # Devlin et al. 2019, appendix A.2: a rise over the first 10,000 steps, then to 0; Adam's betas
    assert run.lr(10_000) == pytest.approx(1e-4) and run.lr(5_000) == pytest.approx(5e-5)
    assert run.lr(run.updates) == 0 and run.betas == (0.9, 0.999)


@pytest.mark.parametrize("kind", ["awd-lstm", "bert"])
def test_the_rate_falls_to_zero_at_the_horizon_which_is_the_end_where_none_is_given(
    monkeypatch, kind
):
    short = config_of(monkeypatch, kind, "--updates", "1000")
    assert short.horizon == 1000 and short.lr(999) < 0.01 * short.lr_max
    first = config_of(monkeypatch, kind, "--updates", "1000", "--horizon", "4000")
    assert first.horizon == 4000 and first.lr(999) > 0.7 * first.lr_max


@pytest.mark.parametrize("last", [False, True])
def test_an_option_that_is_given_wins_over_the_scale(monkeypatch, last):
    scale, sizes = ["--scale", "paper"], ["--hidden-size", "320", "--lr", "0.001"]
    options = [*sizes, *scale] if last else [*scale, *sizes]
    run = config_of(monkeypatch, "awd-lstm", *options)
    assert (run.model.hidden_size, run.lr_max, run.model.embedding_size) == (320, 0.001, 400)


@pytest.mark.parametrize("kind", ["awd-lstm", "bert"])
def test_bad_text_is_refused_before_training(tmp_path, monkeypatch, arguments, kind):
    bad = {
        b"a\n": r"training text .*bad.txt: \d+ tokens are too few for batch_size=2",
        b"\n \n\n": "bad.txt holds blank lines only: expected one paragraph per line",
        b"": "bad.txt is empty: expected UTF-8 text",
        b"\x7fELF\x02\x01\x00\x00": "bad.txt, line 1: control character .*choose another file",
        b"\x89PNG\r\n\xff": "bad.txt, line 1: byte 0 is not UTF-8; convert the file",
    }
    for content, message in bad.items():
        (tmp_path / "bad.txt").write_bytes(content)
        given = arguments(kind)
        given[2] = str(tmp_path / "bad.txt")
        with pytest.raises(ValueError, match=message):
            raise invoke(given, monkeypatch).exception
    (tmp_path / "test.txt").write_text("Short.\n")
    with pytest.raises(ValueError, match=r"--test .*test.txt: \d+ tokens are too few to measure"):
        raise invoke(arguments(kind), monkeypatch).exception
    assert not list(tmp_path.glob("*.run"))


@pytest.mark.parametrize("kind", ["awd-lstm", "bert"])
def test_a_checkpoint_of_another_configuration_is_refused(monkeypatch, arguments, kind):
    assert invoke(arguments(kind), monkeypatch).exit_code == 0
    told = r"checkpoint .* belongs to another run: lr_max .* there, 0.5 here.*Choose another folder"
    with pytest.raises(ValueError, match=told):
        raise invoke(arguments(kind, "--lr", "0.5"), monkeypatch).exception


def test_two_processes_write_one_model_and_its_card_has_the_command_that_starts_them(
    tmp_path, arguments, monkeypatch
):
    command = ["accelerate", "launch", "--multi_gpu", "--num_processes", "2"]
    command += ["-m", "ulmfit_lib", *arguments("bert")]
    launcher = ["-m", "accelerate.commands.launch"]  # what the script "accelerate launch" runs
    done = subprocess.run(
        [sys.executable, *launcher, *command[2:]],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    card = encoder_card(tmp_path / "bert")
    assert card["command"] == command
    assert card["hardware"].startswith("2 processes, each: ")
    assert card["tokens_seen"] == card["history"][-1]["tokens"]
    assert done.stdout.count("segment 2/2") == 1
    assert invoke(arguments("bert", "--out", str(tmp_path / "one")), monkeypatch).exit_code == 0
    alone = encoder_card(tmp_path / "one" / "bert")["history"]
    for one, two in zip(alone, card["history"], strict=True):
        for name in ("train_loss", "valid_loss"):
            assert two[name] == pytest.approx(one[name], rel=2e-4), name
