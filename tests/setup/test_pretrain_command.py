"""``pretrain bert`` from text files to an encoder that transformers reads."""

import sys

from transformers import AutoModelForMaskedLM, AutoTokenizer
from typer.testing import CliRunner

from ulmfit_lib import __main__ as command_line
from ulmfit_lib.models.encoder import encoder_card

OPTIONS = "--updates 4 --segment 2 --batch-size 2 --length 16 --hidden-size 64 --n-layers 1".split()


def test_text_files_become_an_encoder_with_a_card(tmp_path, monkeypatch):
    for name in ("train", "valid", "test"):
        lines = [f"The {name} river number {i} flows past the old mill.\n\n" for i in range(30)]
        (tmp_path / f"{name}.txt").write_text("".join(lines), "utf-8")
    files = [str(tmp_path / "train.txt"), "--valid", str(tmp_path / "valid.txt")]
    files += ["--test", str(tmp_path / "test.txt"), "--licence", "CC0", "--out", str(tmp_path)]
    arguments = ["pretrain", "bert", *files, *OPTIONS]
    monkeypatch.setattr(sys, "argv", ["ulmfit_lib", *arguments])
    done = CliRunner().invoke(command_line.app, arguments)
    assert done.exit_code == 0, done.output
    assert "segment 2/2" in done.output and "test: MLM loss" in done.output
    card = encoder_card(tmp_path / "bert")
    assert card["command"] == ["python", "-m", "ulmfit_lib", *arguments]
    assert card["tokens_seen"] == 4 * 2 * 16 and set(card["held_out"]) == {"valid", "test"}
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "bert")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "bert")
    batch = tokenizer(["The [MASK] flows."], return_tensors="pt")
    assert model(**batch).logits.shape == (1, batch["input_ids"].shape[1], 8192)
