"""What passes between the judge and a submission: plain values, and nothing that can run."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ulmfit_lib.assignments.values import NotAValueError, from_bytes, to_bytes

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


@given(plain)
def test_values_come_back_as_they_were(value: object) -> None:
    back = from_bytes(to_bytes(value))
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)])
def test_tensors_come_back_as_they_were(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.ones(shape, dtype=dtype)
    back = from_bytes(to_bytes([tensor]))[0]
    assert torch.equal(back, tensor) and back.dtype == dtype and back.shape == shape


def test_other_things_that_are_values() -> None:
    back = from_bytes(to_bytes((np.float32(0.5), np.arange(3), {1, 2}, {(1, 2): math.inf})))
    assert (
        back[0] == 0.5
        and back[1].tolist() == [0, 1, 2]
        and back[2:] == ({1, 2}, {(1, 2): math.inf})
    )
    assert math.isnan(from_bytes(to_bytes(math.nan)))
    parameter = torch.nn.Parameter(torch.ones(2))
    assert not from_bytes(to_bytes(parameter)).requires_grad


@pytest.mark.parametrize("thing", [object(), print, iter([]), torch.nn.Linear(1, 1), b"x", 1j])
def test_what_is_no_value_is_named(thing: object) -> None:
    with pytest.raises(NotAValueError, match=type(thing).__name__):
        to_bytes([thing])


@pytest.mark.parametrize(
    "message",
    [
        b"", b"junk", b"[1]", b"{}", b'{"list": 3}', b'{"a": 1, "b": 2}', b'{"object": 1}',
        b'{"function": 0}', b'{"tensor": ["object", [1], "AAAA"]}', b'{"dict": [[1]]}',
        b'{"tensor": ["float32", [9], "AAAA"]}', b'{"dict": [[{"list": []}, 1]]}',
        pickle.dumps(print), b"[" * 100_000, json.dumps(10**5).encode() * 2000,
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(NotAValueError):
        from_bytes(message)


def test_functions_pass_as_numbers() -> None:
    kept = []

    def keep(function: object) -> int:
        kept.append(function)
        return len(kept) - 1

    asked = from_bytes(to_bytes({"f": len}, keep), lambda number: lambda: number)
    assert asked["f"]() == 0 and kept == [len]
