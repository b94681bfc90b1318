"""What a run cost: counted, measured or estimated, and always fit for a card."""

import json
import math
import subprocess
from types import SimpleNamespace

import pytest
import torch

from ulmfit_lib.training import run_cost as subject
from ulmfit_lib.training.run_cost import (
    board_watts,
    convergence,
    energy,
    matrix_peak,
    run_cost,
    tokens_per_second,
    utilisation,
)
from ulmfit_lib.training.segments import Progress


def history(losses, segment=100):
    return [{"updates": (i + 1) * segment, "valid_loss": loss} for i, loss in enumerate(losses)]


def test_the_facts_of_a_run_are_plain_json():
    progress = Progress(2, tokens=7200, seconds=3600.0, history=history([5.0, 4.5]))
    facts = run_cost(progress, parameters=1000, bfloat16=False)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert set(facts) == {"tokens_per_second", "utilisation", "energy", "convergence"}
    assert facts["tokens_per_second"] == tokens_per_second(progress) == 2.0
    assert facts["utilisation"]["flops_per_second"] == 6 * 1000 * 2.0


def test_utilisation_is_a_share_of_the_peak():
    assert utilisation(100.0, 50, 60_000.0)["share"] == 0.5


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_peak_is_measured(monkeypatch, bfloat16):
    monkeypatch.setitem(subject.PEAK_SIZES, "cpu", 32)
    monkeypatch.setattr(subject, "PEAK_SECONDS", 0.0)
    assert 0 < matrix_peak(bfloat16) < math.inf


def test_the_peak_is_that_of_the_fastest_product(monkeypatch):
    seconds = iter([9.0, 2.0])
    monkeypatch.setitem(subject.PEAK_SIZES, "cpu", 10)
    monkeypatch.setattr(subject, "PEAK_SECONDS", 0.0)
    monkeypatch.setattr(subject, "_seconds_of_product", lambda matrix: next(seconds))
    assert matrix_peak(False) == 2 * 10**3 / 2.0


def test_energy_is_that_of_all_busy_cores(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(subject, "process_count", lambda: 2)
    used = energy(1800.0)
    assert used["core_hours"] == 4.0
    assert used["kwh"] == pytest.approx(4.0 * subject.WATTS_PER_CORE / 1000)
    assert f"{subject.WATTS_PER_CORE:g} W a busy core" in used["assumption"]


def on_a_gpu(monkeypatch, answer):
    def nvidia_smi(command, text):
        assert command[:2] == ["nvidia-smi", "--id=GPU-abc"]
        if isinstance(answer, Exception):
            raise answer
        return answer

    board = SimpleNamespace(uuid="abc")
    monkeypatch.setattr(subject, "training_device", lambda: torch.device("cuda", 1))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: board)
    monkeypatch.setattr(subprocess, "check_output", nvidia_smi)


def test_a_gpu_uses_the_power_of_its_board(monkeypatch):
    on_a_gpu(monkeypatch, "700.00\n")
    assert energy(7200.0)["kwh"] == pytest.approx(1.4)
    assert energy(7200.0)["gpu_hours"] == 2.0
    assert "700 W" in energy(7200.0)["assumption"]


@pytest.mark.parametrize("answer", ["[N/A]\n", FileNotFoundError("nvidia-smi")])
def test_a_gpu_that_does_not_tell_its_power_gets_no_estimate(monkeypatch, answer):
    on_a_gpu(monkeypatch, answer)
    assert board_watts() is None
    assert energy(60.0)["kwh"] is None and "unknown" in energy(60.0)["assumption"]


def test_convergence_is_the_fall_over_the_last_tenth():
    fell = convergence(history([6.0 - 0.1 * i for i in range(20)]))
    assert fell == {"from_update": 1800, "to_update": 2000, "fall_in_nats": 0.2}
    assert convergence(history([5.0, 4.0, 4.5]))["fall_in_nats"] == -0.5
    assert convergence(history([5.0])) is None
