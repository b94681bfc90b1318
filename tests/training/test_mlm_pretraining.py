"""MLM pre-training learns, resumes to the same numbers, and ends in a folder with a card."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ulmfit_lib.models.encoder import (
    EncoderConfig,
    MaskedPositionsModel,
    build_encoder,
    encoder_card,
    load_encoder,
)
from ulmfit_lib.text.masking import MaskingConfig, MaskingVocabulary
from ulmfit_lib.text.packing import PackConfig
from ulmfit_lib.text.token_files import TokenFile
from ulmfit_lib.text.tokenizer import BOS_ID, MASK_ID, SPECIAL_TOKENS
from ulmfit_lib.training.encoder_start import EarlierRun, StartConfig
from ulmfit_lib.training.held_out import summary
from ulmfit_lib.training.mlm_pretraining import MLMPretrainConfig, pretrain_encoder
from ulmfit_lib.training.mlm_publication import EncoderKind
from ulmfit_lib.training.publication import publish
from ulmfit_lib.training.segments import CHECKPOINT_NAME

SIZE = 25
SPECIAL = torch.arange(SIZE) < len(SPECIAL_TOKENS)
VOCABULARY = MaskingVocabulary(MASK_ID, SPECIAL, SPECIAL | (torch.arange(SIZE) % 2 == 0), SPECIAL)
CONFIG = MLMPretrainConfig(
    model=EncoderConfig(SIZE, 16, 1, 2, 32, max_length=12, dropout=0.1),
    packing=PackConfig(batch_size=8, length=12),
    updates=90,
    segment=30,
    lr_max=2e-2,
    horizon=90,
    valid_tokens=1500,
    start=None,  # a text of 20 words has no topics to count
)


def text(seed, n=3000):
    """A text in which thirty tokens in a row are the same, so that neighbours tell a masked one."""
    words = np.random.default_rng(seed).integers(len(SPECIAL_TOKENS), SIZE, n // 30 + 1)
    tokens = np.repeat(words, 30)[:n]
    tokens[::200] = BOS_ID
    return TokenFile(tokens.astype(np.uint16), n // 2, f"text {seed}")


def run(folder, config=CONFIG, report=lambda _: None):
    return pretrain_encoder(config, text(0), text(1), VOCABULARY, folder, report)


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def without_time(progress):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in progress.history]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unbroken"))


def test_the_loss_falls_and_the_record_is_complete(unbroken):
    _, progress = unbroken
    first, last = progress.history[0], progress.history[-1]
    assert last["valid_loss"] < first["valid_loss"]
    assert last["valid_loss"] < math.log(20) - 0.2  # better than the frequencies: it looks around
    assert 0.0 < last["valid_accuracy"] <= 1.0
    assert last["updates"] == 90 and last["tokens"] == progress.tokens == 90 * 8 * 12


def test_kill_9_resumes_to_the_same_result(killed_run, unbroken):
    folder = killed_run("test_mlm_pretraining")
    lines = []
    model, progress = run(folder, report=lines.append)
    assert lines[0].startswith("resuming after")
    assert same_weights(model, unbroken[0])
    assert without_time(progress) == without_time(unbroken[1])


def test_a_finished_run_is_not_trained_again_and_keeps_the_decoder_tied(tmp_path, unbroken):
    run(tmp_path)
    before = (tmp_path / CHECKPOINT_NAME).stat().st_mtime_ns
    again, progress = run(tmp_path)
    assert same_weights(again, unbroken[0])
    assert progress.segments == 3
    assert (tmp_path / CHECKPOINT_NAME).stat().st_mtime_ns == before
    words = again.bert.embeddings.word_embeddings.weight
    assert again.cls.predictions.decoder.weight is words


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    run(tmp_path, replace(CONFIG, updates=30))
    with pytest.raises(ValueError, match=r"another run: first_rate \(0.3 there, 0.2 here\)"):
        run(tmp_path, replace(CONFIG, updates=30, first_rate=0.2))


def test_bfloat16_and_whole_words_learn_too(tmp_path):
    masking = MaskingConfig(whole_words=True)
    _, progress = run(tmp_path, replace(CONFIG, bfloat16=True, masking=masking))
    assert progress.history[-1]["valid_loss"] < math.log(20) - 0.1  # better than the frequencies


def test_the_rate_of_masking_falls_over_the_horizon():
    config = replace(
        CONFIG, horizon=100, updates=60, segment=60, masking=MaskingConfig(0.1), first_rate=0.5
    )
    assert [config.mask_rate(t) for t in (0, 50, 100)] == pytest.approx([0.5, 0.3, 0.1])


def test_the_mean_rate_of_masking_is_that_of_all_steps():
    config = replace(
        CONFIG, horizon=100, updates=60, segment=60, masking=MaskingConfig(0.1), first_rate=0.5
    )
    rates = [config.mask_rate(t) for t in range(config.updates)]
    assert config.mean_mask_rate == pytest.approx(np.mean(rates))


def test_what_is_multiplied_is_what_torch_counts_with_the_head_at_masked_places():
    sizes, rate = EncoderConfig.of_width(128, 2, 16, 0.0), 0.25
    kind = EncoderKind(replace(CONFIG, model=sizes, first_rate=rate, masking=MaskingConfig(rate)))
    model, ids = build_encoder(sizes), torch.full((8, 16), 300)
    places = torch.arange(round(rate * ids.numel()))
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        MaskedPositionsModel(model)(ids, places)
    counts = counter.get_flop_counts()["Global"]
    products = sum(n for op, n in counts.items() if "addmm" in str(op))
    assert 2 * kind.multiplied(model) * ids.numel() == pytest.approx(products, rel=0.02)


def test_impossible_runs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="packing.length=13 exceeds model.max_length=12"):
        replace(CONFIG, packing=PackConfig(8, 13))
    with pytest.raises(ValueError, match="first_rate=1.5"):
        replace(CONFIG, first_rate=1.5)
    with pytest.raises(ValueError, match="vocabulary has 25 tokens"):
        run(tmp_path, replace(CONFIG, model=replace(CONFIG.model, vocab_size=30)))
    with pytest.raises(ValueError, match="too few for batch_size=8"):
        pretrain_encoder(CONFIG, text(0, 60), text(1), VOCABULARY, tmp_path)


def test_a_finished_run_becomes_a_folder_with_a_card(tmp_path):
    model = replace(CONFIG.model, vocab_size=8192)
    config = replace(CONFIG, model=model, updates=30, horizon=30)
    kind = EncoderKind(config)
    trained, progress = kind.train(text(0), text(1), tmp_path / "run", lambda _: None)
    facts = ({"train": text(0), "valid": text(1)}, "CC0", ["python", "here"], tmp_path)
    publish(kind, trained, progress, *facts)
    card = encoder_card(tmp_path / "bert")
    needed = {"command", "corpus", "commit", "config", "tokens_seen", "held_out", "hardware"}
    assert needed | {"training_seconds", "sha256", "licence_of_text", "history"} <= set(card)
    measured = card["held_out"]["valid"]
    assert measured["masked_tokens"] > 100 and measured["mlm_loss"] > 0
    assert "MLM loss" in summary(card["held_out"])
    loaded = load_encoder(tmp_path / "bert")
    assert loaded.config.vocab_size == 8192
    with pytest.raises(ValueError, match="finished 1 of 2 segments"):
        publish(EncoderKind(replace(config, updates=60, horizon=60)), trained, progress, *facts)


def test_a_run_may_start_from_counts(tmp_path):
    config = replace(CONFIG, start=StartConfig(), updates=30)
    _, counted = run(tmp_path / "counted", config)
    _, again = run(tmp_path / "again", config)
    assert without_time(counted) == without_time(again)
    with pytest.raises(ValueError, match="start"):
        run(tmp_path / "counted", replace(config, start=None))


def test_a_run_may_go_on_from_a_finished_one(tmp_path):
    config = replace(CONFIG, model=replace(CONFIG.model, vocab_size=8192), updates=30, horizon=30)
    kind = EncoderKind(config)
    trained, progress = kind.train(text(0), text(1), tmp_path / "first", lambda _: None)
    facts = ({"train": text(0), "valid": text(1)}, "CC0", ["python", "first"], tmp_path)
    publish(kind, trained, progress, *facts)
    start = EarlierRun.of(tmp_path / "bert")
    later = EncoderKind(replace(config, start=start, lr_max=1e-9))
    same, after = later.train(text(0), text(1), tmp_path / "second", lambda _: None)
    for (name, mine), theirs in zip(same.named_parameters(), trained.parameters(), strict=True):
        if "token_type" not in name:  # saved with two segments that are the same
            assert torch.allclose(mine, theirs, atol=2e-3)  # half precision lies between them
    assert after.history[0]["valid_loss"] == pytest.approx(
        progress.history[-1]["valid_loss"], abs=1e-2
    )
    assert same.config.hidden_dropout_prob == 0.1 == config.model.dropout
    earlier = later.facts["earlier"]
    assert earlier["command"] == ["python", "first"] and earlier["tokens_seen"] == progress.tokens

    with pytest.raises(ValueError, match=r"other sizes: n_layers \(1 there, 2 here\)"):
        wider = replace(config, start=start, model=replace(config.model, n_layers=2))
        EncoderKind(wider).train(text(0), text(1), tmp_path / "wider", lambda _: None)
    with pytest.raises(ValueError, match="another one than this run began with"):
        other = replace(config, start=replace(start, sha256="0"))
        EncoderKind(other).train(text(0), text(1), tmp_path / "other", lambda _: None)
