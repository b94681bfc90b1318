"""Concat pooling: padding left out, one shot and in pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ulmfit_lib.models.pooling import RunningConcatPool, masked_concat_pool, masked_mean

H = 4
lengths_ = st.lists(st.integers(1, 30), min_size=1, max_size=6)


def outputs_and_mask(lengths: list[int], extra: int = 0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random hidden states (B, T, H) and a mask with ``lengths`` real positions."""
    generator = torch.Generator().manual_seed(seed)
    columns = torch.arange(max(lengths) + extra)
    outputs = torch.randn(len(lengths), len(columns), H, generator=generator)
    return outputs, columns < torch.tensor(lengths).unsqueeze(1)


def running(outputs: Tensor, mask: Tensor, chunk: int) -> Tensor:
    pool = RunningConcatPool(len(outputs), H, like=outputs)
    for start in range(0, outputs.shape[1], chunk):
        pool.add(outputs[:, start : start + chunk], mask[:, start : start + chunk])
    return pool.result()


def test_golden_values() -> None:
    outputs = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [9.0, 9.0]]])
    pooled = masked_concat_pool(outputs, torch.tensor([[True, True, False]]))
    assert pooled.tolist() == [[3.0, -2.0, 3.0, -2.0, 2.0, -3.0]]  # last, max, mean


@given(lengths_)
def test_each_row_is_pooled_as_if_it_were_alone(lengths: list[int]) -> None:
    outputs, mask = outputs_and_mask(lengths, extra=3)
    pooled = masked_concat_pool(outputs, mask)
    for row, n, states in zip(pooled, lengths, outputs, strict=True):
        real = states[:n]
        alone = torch.cat([real[-1], real.max(dim=0).values, real.mean(dim=0)])
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("garbage", [1e9, -1e9, torch.inf, torch.nan])
def test_trap_what_stands_at_padding_is_never_read(garbage: float) -> None:
    outputs, mask = outputs_and_mask([3, 7, 1], extra=2)
    spoilt = outputs.masked_fill(~mask.unsqueeze(-1), garbage)
    assert masked_concat_pool(spoilt, mask).equal(masked_concat_pool(outputs, mask))
    torch.testing.assert_close(running(spoilt, mask, 4), running(outputs, mask, 4))


def test_trap_the_maximum_of_negative_states_is_not_the_zero_of_padding() -> None:
    outputs, mask = outputs_and_mask([2, 5])
    pooled = masked_concat_pool(-outputs.abs() - 1, mask)
    assert (pooled[:, H : 2 * H] <= -1).all()


def test_trap_an_all_padding_row_is_refused() -> None:
    outputs, mask = outputs_and_mask([2, 5, 4])
    mask[1] = False
    with pytest.raises(ValueError, match=r"rows \[1\] of the batch are all padding"):
        masked_concat_pool(outputs, mask)
    with pytest.raises(ValueError, match=r"rows \[1\]"):
        running(outputs, mask, 2)


@given(lengths_, st.integers(1, 40), st.integers(0, 40))
def test_the_running_form_equals_the_one_shot_form(
    lengths: list[int], chunk: int, extra: int
) -> None:
    outputs, mask = outputs_and_mask(lengths, extra)
    one_shot = masked_concat_pool(outputs, mask)
    torch.testing.assert_close(running(outputs, mask, chunk), one_shot, atol=1e-5, rtol=0)


@given(lengths_, st.integers(0, 2**16))
def test_any_mask_will_do_not_just_a_prefix(lengths: list[int], seed: int) -> None:
    outputs, _ = outputs_and_mask(lengths)
    mask = torch.rand(outputs.shape[:2], generator=torch.Generator().manual_seed(seed)) < 0.5
    mask[:, 0] |= ~mask.any(dim=1)
    one_shot = masked_concat_pool(outputs, mask)
    torch.testing.assert_close(running(outputs, mask, 3), one_shot, atol=1e-5, rtol=0)
    last = [states[real][-1] for states, real in zip(outputs, mask, strict=True)]
    assert one_shot[:, :H].equal(torch.stack(last))


def test_rows_whose_documents_have_ended_are_left_as_they_are() -> None:
    outputs, mask = outputs_and_mask([9, 4, 2])
    pool = RunningConcatPool(3, H, like=outputs)
    pool.add(outputs[:, :2], mask[:, :2])
    pool.add(outputs[:2, 2:4], mask[:2, 2:4])
    pool.add(outputs[:1, 4:], mask[:1, 4:])
    torch.testing.assert_close(pool.result(), masked_concat_pool(outputs, mask))


def test_gradients_of_both_forms_agree_and_padding_gets_none() -> None:
    outputs, mask = outputs_and_mask([5, 8, 1], extra=2)
    weights = torch.randn(3, 3 * H, generator=torch.Generator().manual_seed(1))
    gradients = []
    for pool in (masked_concat_pool, lambda o, m: running(o, m, 3)):
        leaf = outputs.clone().requires_grad_()
        (pool(leaf, mask) * weights).sum().backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)
    assert (gradients[0][~mask] == 0).all()
    assert (gradients[0][mask] != 0).any(dim=1).all()


@pytest.mark.parametrize(
    ("outputs", "mask", "message"),
    [
        (torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool), "do not fit"),
        (torch.zeros(2, 3, 1), torch.ones(2, 4, dtype=torch.bool), "do not fit"),
        (torch.zeros(2, 3, 1), torch.ones(2, 3), "torch.float32"),
        (torch.zeros(2, 0, 1), torch.ones(2, 0, dtype=torch.bool), "T=0"),
    ],
)
def test_wrong_shapes_are_refused(outputs: Tensor, mask: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        masked_concat_pool(outputs, mask)


def test_more_rows_than_the_pool_has_are_refused() -> None:
    pool = RunningConcatPool(1, H, like=torch.zeros(1))
    with pytest.raises(ValueError, match="2 rows for a pool of 1"):
        pool.add(*outputs_and_mask([1, 1]))


def test_mean_leaves_out_what_is_masked():
    states = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert masked_mean(states, torch.tensor([[True, True, False]])).item() == 2.0
