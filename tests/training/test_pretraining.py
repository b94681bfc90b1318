"""Pre-training learns, and a run killed at any moment ends with the same numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ulmfit_lib.models.awd_lstm import AWDLSTMConfig, Dropouts
from ulmfit_lib.text.streams import StreamConfig
from ulmfit_lib.text.token_files import TokenFile
from ulmfit_lib.training.checkpoints import load_checkpoint
from ulmfit_lib.training.pretraining import (
    CHECKPOINT_NAME,
    PretrainConfig,
    pretrain,
)

CONFIG = PretrainConfig(
    model=AWDLSTMConfig(vocab_size=20, embedding_size=8, hidden_size=12, n_layers=2),
    dropouts=Dropouts(0.1, 0.1, 0.1, 0.1, 0.1),
    stream=StreamConfig(batch_size=4, bptt=10, seed=3),
    updates=120,
    segment=30,
    lr_max=3e-2,
    horizon=120,
    valid_tokens=400,
)


def text(seed, n=4000):
    """A stream whose next token is mostly the one after the last."""
    noise = np.random.default_rng(seed).random(n) < 0.1
    tokens = np.where(noise, 7, np.arange(n) % 20).astype(np.uint16)
    return TokenFile(tokens, n // 2, f"text {seed}")


def run(folder, config=CONFIG, report=lambda _: None):
    return pretrain(config, text(0), text(1), folder, report)


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unbroken"))


def test_the_loss_falls_and_the_record_is_complete(unbroken):
    _, progress = unbroken
    losses = [row["valid_loss"] for row in progress.history]
    assert len(losses) == 4
    assert losses[-1] < losses[0] - 0.1
    assert [row["updates"] for row in progress.history] == [30, 60, 90, 120]
    assert progress.tokens == progress.history[-1]["tokens"] > 120 * 4 * 5


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_an_interrupted_run_ends_with_the_same_numbers(tmp_path, direction):
    config = replace(CONFIG, stream=replace(CONFIG.stream, direction=direction))
    whole_model, whole = run(tmp_path / "whole", config)
    stops = iter(range(2))

    def stop_in_segment_three(line):
        if "segment 2" in line and next(stops, None) is not None:
            raise KeyboardInterrupt

    for _ in range(3):
        try:
            model, progress = pretrain(
                config, text(0), text(1), tmp_path / "b", stop_in_segment_three
            )
        except KeyboardInterrupt:
            continue
    strip = lambda rows: [{k: v for k, v in r.items() if k != "seconds"} for r in rows]  # noqa: E731
    assert strip(progress.history) == strip(whole.history)
    assert same_weights(model, whole_model)


def test_kill_9_resumes_to_the_same_result(killed_run, unbroken):
    folder = killed_run("test_pretraining")
    model, progress = run(folder)
    assert same_weights(model, unbroken[0])
    assert progress.history[-1]["valid_loss"] == unbroken[1].history[-1]["valid_loss"]


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, _ = run(tmp_path)
    before = (tmp_path / CHECKPOINT_NAME).stat().st_mtime_ns
    again, progress = run(tmp_path)
    assert same_weights(first, again)
    assert progress.segments == 4
    assert (tmp_path / CHECKPOINT_NAME).stat().st_mtime_ns == before


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match=r"another run: lr_max \(0.03 there, 0.02 here\)"):
        run(tmp_path, replace(CONFIG, lr_max=0.02))
    with pytest.raises(ValueError, match="train .text 0 there, text 5 here"):
        pretrain(CONFIG, text(5), text(1), tmp_path, report=lambda _: None)


def test_a_run_can_be_given_an_earlier_end(tmp_path):
    early = replace(CONFIG, updates=90, decay_from=60)
    whole, _ = run(tmp_path / "whole", early)

    def stop_after_two(line):
        if "segment 2" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(CONFIG, text(0), text(1), tmp_path / "cut", stop_after_two)
    # The checkpoint of segment 2 was not written: 30 of 120 updates are done.
    cut, progress = run(tmp_path / "cut", early)
    assert same_weights(whole, cut)
    assert progress.segments == 3
    with pytest.raises(ValueError, match="has done 90 updates of a run that decays from update 60"):
        run(tmp_path / "cut", CONFIG)


def test_the_rate_falls_over_the_horizon_or_to_an_earlier_end():
    config = replace(CONFIG, horizon=100, updates=60, segment=20, warmup=0.1, lr_max=1.0)
    assert config.lr(5) == pytest.approx(0.5)
    assert config.lr(55) == pytest.approx(0.5)
    early = replace(config, decay_from=40)
    assert early.lr(39) == config.lr(39)
    assert early.lr(50) == pytest.approx(early.lr(40) / 2)
    assert early.lr(60) == 0.0
    with pytest.raises(ValueError, match="ascending"):
        replace(config, decay_from=70)


def test_bfloat16_learns_the_same_task(tmp_path):
    _, progress = run(tmp_path, replace(CONFIG, bfloat16=True))
    assert progress.history[-1]["valid_loss"] < progress.history[0]["valid_loss"] - 0.1


def test_a_corpus_that_is_too_small_is_refused(tmp_path):
    with pytest.raises(ValueError, match="too few for batch_size=4"):
        pretrain(CONFIG, text(0, n=6), text(1), tmp_path, report=lambda _: None)


def test_updates_must_fill_whole_segments():
    with pytest.raises(ValueError, match="multiple of segment=30"):
        replace(CONFIG, updates=45)


SETTINGS = "betas bfloat16 clip dropouts horizon lr_max model seed segment stream valid_tokens"


def test_the_checkpoint_has_the_form_of_those_that_were_begun_long_ago(tmp_path):
    run(tmp_path)
    tensors, facts = load_checkpoint(tmp_path / CHECKPOINT_NAME)
    assert set(facts) == {"identity", "end", "progress"}
    assert set(facts["identity"]) == {"config", "train", "valid"}
    assert set(facts["identity"]["config"]) == {*SETTINGS.split(), "warmup", "weight_decay"}
    assert set(facts["progress"]) == {"segments", "tokens", "seconds", "history"}
    kinds = {name.split(".")[0] for name in tensors}
    assert kinds == {"model", "optimizer", "hidden"}
    assert {"model.decoder_bias", "optimizer.0.exp_avg", "hidden.0.h", "hidden.1.c"} <= set(tensors)
    assert tensors["hidden.0.h"].shape == (1, 4, 12)
