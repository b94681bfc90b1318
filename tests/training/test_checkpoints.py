"""Checkpoints are whole or refused, and carry tensors, facts and optimizer state."""

import pytest
import torch

from ulmfit_lib.text.running_text import DamagedFileError
from ulmfit_lib.training.checkpoints import (
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)


def trained(steps, model=None, optimizer=None):
    """A linear model after ``steps`` AdamW steps on fixed data."""
    torch.manual_seed(0)
    model = model or torch.nn.Linear(3, 2)
    optimizer = optimizer or torch.optim.AdamW(model.parameters(), lr=0.1)
    for i in range(steps):
        optimizer.zero_grad()
        model(torch.full((4, 3), float(i))).pow(2).mean().backward()
        optimizer.step()
    return model, optimizer


def test_what_goes_in_comes_out(tmp_path):
    tensors = {"a": torch.randn(2, 3), "b": torch.arange(4), "c": torch.randn(3, 2).T}
    save_checkpoint(tmp_path / "x", tensors, {"epoch": 3, "name": "é"})
    loaded = load_checkpoint(tmp_path / "x")
    assert loaded.facts == {"epoch": 3, "name": "é"}
    assert all(torch.equal(loaded.tensors[k], v) for k, v in tensors.items())


def test_the_optimizer_goes_on_as_if_never_stopped(tmp_path):
    model, optimizer = trained(3)
    save_checkpoint(tmp_path / "x", model.state_dict() | optimizer_tensors(optimizer), {})
    tensors = load_checkpoint(tmp_path / "x").tensors
    other = torch.nn.Linear(3, 2)
    other.load_state_dict({k: tensors[k] for k in ("weight", "bias")})
    restored = torch.optim.AdamW(other.parameters(), lr=0.1)
    restore_optimizer(restored, tensors)
    for m, o in [(model, optimizer), (other, restored)]:
        trained(2, m, o)
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(model.bias, other.bias)


def test_state_of_another_model_is_refused():
    _, optimizer = trained(1)
    lone = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))])
    with pytest.raises(ValueError, match="2 parameters, the model has 1"):
        restore_optimizer(lone, optimizer_tensors(optimizer))


@pytest.mark.parametrize("keep", [0, 7, 40, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path, keep):
    path = tmp_path / "x"
    save_checkpoint(path, {"a": torch.zeros(10)}, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedFileError, match="delete it to start anew"):
        load_checkpoint(path)


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path):
    save_checkpoint(tmp_path / "x", {"a": torch.zeros(2)}, {"n": 1})
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "x", {"a": torch.ones(2)}, {"n": object()})
    assert load_checkpoint(tmp_path / "x").facts == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        load_checkpoint(tmp_path / "none")
