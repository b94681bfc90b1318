"""What a training run cost, and whether it was at its end: facts for a card.

Throughput is counted, the machine's peak is measured, energy is estimated from
an assumption that the card states. Introduced in the chapter *Text and
language models*.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from typing import Any

import torch

from ulmfit_lib.training.processes import process_count, training_device
from ulmfit_lib.training.segments import Progress

WATTS_PER_CORE = 10.0  # of a busy processor core, with its share of memory and power supply
LAST_PART = 0.1  # of a run, over which its convergence is told
PEAK_SECONDS = 0.5  # for which products are timed
PEAK_SIZES = {"cpu": 1024, "cuda": 8192}  # rows and columns of the timed matrices
SECONDS_PER_HOUR = 3600


def run_cost(progress: Progress, parameters: float, bfloat16: bool) -> dict[str, Any]:
    """Throughput, utilisation, energy and convergence of a finished run, as a card holds them.

    Called in the run's own process: it takes the device, the threads and the
    number of processes for those of the run. Introduced in the chapter *Text
    and language models*.

    Args:
        progress: the run's record.
        parameters: numbers of the model that a token meets on average, as
            :func:`utilisation` takes them.
        bfloat16: whether the run's matrix products were in bfloat16.
    """
    rate = tokens_per_second(progress)
    return {
        "tokens_per_second": rate,
        "utilisation": utilisation(rate, parameters, process_count() * matrix_peak(bfloat16)),
        "energy": energy(progress.seconds),
        "convergence": convergence(progress.history),
    }


def tokens_per_second(progress: Progress) -> float:
    """Tokens read in a second of training, over all processes.

    Measuring and writing checkpoints is no part of that time.
    """
    return round(progress.tokens / max(progress.seconds, 1e-9), 1)


def utilisation(rate: float, parameters: float, peak: float) -> dict[str, float]:
    """The share of the machine's peak that the run's matrix products amount to.

    Six operations a parameter and token: two forward, four backward (Kaplan et
    al. 2020, section 2.1). Left out are attention between positions, the
    optimizer, softmax, dropout and element-wise work, so the machine did more.
    Counted though never multiplied are the biases.

    Args:
        rate: tokens per second, over all processes.
        parameters: numbers of the model's matrices, weighted with the share of
            tokens that they are multiplied with. An encoder's MLM head, the
            tied word vectors in it, meets masked tokens only, and a table
            that rows are merely read from counts nothing.
        peak: of all processes together, in operations per second.
    """
    achieved = 6.0 * parameters * rate
    return {
        "flops_per_second": achieved,
        "peak_flops_per_second": peak,
        "share": round(achieved / peak, 4),
    }


def matrix_peak(bfloat16: bool) -> float:
    """Operations per second of a large matrix product, measured now on this process's device.

    The fastest of the products that fit into half a second, on as many threads
    as torch has. On a machine that is busy with other work it is too low, and
    a utilisation too high.

    Args:
        bfloat16: multiply in bfloat16, else in 32 bits.
    """
    device = training_device()
    n = PEAK_SIZES[device.type]
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    matrix = torch.ones(n, n, dtype=dtype, device=device)
    _seconds_of_product(matrix)  # the first one loads the kernels
    fastest, end = float("inf"), time.monotonic() + PEAK_SECONDS
    while fastest == float("inf") or time.monotonic() < end:
        fastest = min(fastest, _seconds_of_product(matrix))
    return 2.0 * n**3 / fastest


def energy(seconds: float) -> dict[str, Any]:
    """An estimate of the electricity of a run, with the assumption it rests on.

    Args:
        seconds: of training; every process is taken to be busy for as long,
            with as many cores as it has threads, or with its GPU.

    Returns:
        ``kwh``, kilowatt-hours, None where a GPU does not tell its power;
        ``core_hours`` or ``gpu_hours``; and the ``assumption``.
    """
    hours = process_count() * seconds / SECONDS_PER_HOUR
    if training_device().type == "cuda":
        watts = board_watts()
        told = "unknown" if watts is None else f"{watts:g} W, its limit, for the whole time"
        kwh = None if watts is None else round(hours * watts / 1000, 4)
        facts = {"gpu_hours": round(hours, 3), "assumption": f"power of a GPU's board: {told}"}
        return {"kwh": kwh, **facts}
    hours *= torch.get_num_threads()
    assumption = f"{WATTS_PER_CORE:g} W a busy core, with its share of memory and power supply"
    kwh = round(hours * WATTS_PER_CORE / 1000, 4)
    return {"kwh": kwh, "core_hours": round(hours, 3), "assumption": assumption}


def board_watts() -> float | None:
    """The power limit of this process's GPU board in watts; None where it is not told."""
    uuid = torch.cuda.get_device_properties(training_device()).uuid
    query = ["nvidia-smi", f"--id=GPU-{uuid}", "--query-gpu=power.limit"]
    try:
        return float(subprocess.check_output([*query, "--format=csv,noheader,nounits"], text=True))
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def convergence(history: Sequence[dict[str, float]]) -> dict[str, Any] | None:
    """By how much the held-out loss still fell over the last tenth of a run.

    It is the fall under the run's own schedule: near its end the learning
    rate is low, so a small fall does not mean that a longer run would not be
    better.

    Args:
        history: a row of measurements for each checkpoint, in order.

    Returns:
        The first and last update compared and the fall in nats, negative
        where the loss rose; None where no checkpoint is so early.
    """
    start = (1 - LAST_PART) * history[-1]["updates"]
    earlier = [row for row in history if row["updates"] <= start]
    if not earlier:
        return None
    first, last = earlier[-1], history[-1]
    fall = round(first["valid_loss"] - last["valid_loss"], 4)
    return {"from_update": first["updates"], "to_update": last["updates"], "fall_in_nats": fall}


def _seconds_of_product(matrix: torch.Tensor) -> float:
    start = time.perf_counter()
    with torch.no_grad():
        matrix @ matrix
    if matrix.is_cuda:
        torch.cuda.synchronize(matrix.device)
    return time.perf_counter() - start
