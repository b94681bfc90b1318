"""Two processes have the losses of one, for both kinds of model, and share checkpoints."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.test_mlm_pretraining import CONFIG as MLM
from tests.training.test_mlm_pretraining import VOCABULARY
from tests.training.test_mlm_pretraining import text as mlm_text
from tests.training.test_pretraining import CONFIG as AWD
from tests.training.test_pretraining import text as awd_text
from ulmfit_lib.models.awd_lstm import NO_DROPOUT
from ulmfit_lib.training.mlm_pretraining import pretrain_encoder
from ulmfit_lib.training.pretraining import pretrain
from ulmfit_lib.training.processes import all_rows, own_rows, shared_out, totals

ROOT = Path(__file__).parents[2]
# Without dropout, which each process draws for itself.
AWD_RUN = replace(AWD, dropouts=NO_DROPOUT, updates=30, segment=10, horizon=30)
MLM_RUN = replace(
    MLM, model=replace(MLM.model, dropout=0.0), updates=15, segment=5, horizon=15, valid_tokens=150
)


def both_runs(folder, report=lambda _: None):
    """The histories of a short run of each kind; an unfinished one is left in ``part``."""
    unfinished = replace(AWD_RUN, updates=20)
    pretrain(unfinished, awd_text(0), awd_text(1), folder / "part", lambda _: None)
    _, awd = pretrain(AWD_RUN, awd_text(0), awd_text(1), folder / "awd", report)
    _, mlm = pretrain_encoder(MLM_RUN, mlm_text(0), mlm_text(1), VOCABULARY, folder / "mlm", report)
    return {"awd": awd.history, "mlm": mlm.history}


SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.training.test_processes import both_runs
from ulmfit_lib.training.processes import process_count
folder = Path(sys.argv[1])
lines = []
histories = both_runs(folder, lines.append)
said = folder / ("said-" + os.environ["RANK"] + ".json")
said.write_text(json.dumps([lines, histories]))
assert process_count() == 2
"""


def on_two_processes(folder):
    """Run :func:`both_runs` under torchrun; lines and histories of each process."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, str(script), str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"said-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    return both_runs(one), on_two_processes(two), two


@pytest.mark.parametrize("kind", ["awd", "mlm"])
def test_two_processes_have_the_losses_of_one(runs, kind):
    alone, ((_, first), (_, second)), _ = runs
    assert len(alone[kind]) == 3
    for one, two, other in zip(alone[kind], first[kind], second[kind], strict=True):
        assert one["tokens"] == two["tokens"] == other["tokens"]
        for name in ("train_loss", "valid_loss"):
            assert two[name] == pytest.approx(one[name], rel=2e-4), name
            assert other[name] == pytest.approx(two[name], rel=1e-6), name


def test_only_the_first_process_reports(runs):
    _, ((lines, _), (silence, _)), _ = runs
    assert sum(line.startswith("segment") for line in lines) == 6
    assert silence == []


def test_one_process_goes_on_from_the_checkpoint_of_two(runs):
    alone, _, folder = runs
    lines = []
    _, progress = pretrain(AWD_RUN, awd_text(0), awd_text(1), folder / "part", lines.append)
    assert lines[0] == "resuming after 2 of 3 segments"
    for one, went_on in zip(alone["awd"], progress.history, strict=True):
        assert went_on["train_loss"] == pytest.approx(one["train_loss"], rel=2e-4)
        assert went_on["valid_loss"] == pytest.approx(one["valid_loss"], rel=2e-4)


def test_one_process_has_everything(make_stream):
    rows = torch.arange(6).view(3, 2)
    assert torch.equal(own_rows(rows), rows) and torch.equal(all_rows(rows, 1), rows)
    assert totals(1.5, 2) == [1.5, 2]
    stream = make_stream()
    assert shared_out(stream) is stream
