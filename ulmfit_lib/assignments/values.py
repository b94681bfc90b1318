"""Plain values as bytes: all that passes between the judge and a submission.

Numbers, text, lists, tuples, sets, dicts, tensors and arrays, as JSON; nothing that is read here
can run code, unlike a pickle. A function given to a submission passes as a number, and is called
by asking back. Introduced in the chapter *For instructors*.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

# What a tensor may hold, and how numpy names it.
_DTYPES = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.int64: "int64",
    torch.int32: "int32",
    torch.uint8: "uint8",
    torch.bool: "bool",
}
_TORCH = {name: dtype for dtype, name in _DTYPES.items()}
_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}

Keep = Callable[[Callable[..., Any]], int]  # remembers a function, answers its number
Stub = Callable[[int], Callable[..., Any]]  # the function that stands for a number


class NotAValueError(ValueError):
    """Something that cannot pass. Introduced in the chapter *For instructors*."""


def to_bytes(value: Any, keep: Keep | None = None) -> bytes:
    """``value`` as JSON. Introduced in the chapter *For instructors*.

    Args:
        value: plain values, nested as you like; a gradient stays behind.
        keep: remembers a function and answers its number; without it functions cannot pass.

    Raises:
        NotAValueError: there is something else in it; the message names its type.
    """
    try:
        return json.dumps(_pack(value, keep)).encode()
    except RecursionError as error:
        raise NotAValueError("it is nested too deeply, or contains itself") from error


def from_bytes(data: bytes, stub: Stub | None = None) -> Any:
    """What :func:`to_bytes` wrote. Introduced in the chapter *For instructors*.

    Args:
        data: from the other process; nothing in it is trusted.
        stub: makes the function that stands for a number; without it none is accepted.

    Raises:
        NotAValueError: ``data`` is nothing that :func:`to_bytes` writes.
    """
    try:
        return _unpack(json.loads(data), stub)
    except NotAValueError:
        raise
    except (ValueError, TypeError, KeyError, RuntimeError, RecursionError, OverflowError) as error:
        raise NotAValueError(f"not a message of this channel: {error}") from error


def _pack(value: Any, keep: Keep | None) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, np.generic):
        return _pack(value.item(), keep)
    if isinstance(value, Tensor | np.ndarray):
        return _pack_tensor(value)
    if isinstance(value, dict):
        return {"dict": [[_pack(k, keep), _pack(v, keep)] for k, v in value.items()]}
    for kind in _SEQUENCES.values():
        if isinstance(value, kind):
            return {kind.__name__: [_pack(item, keep) for item in value]}
    if callable(value) and keep is not None:
        return {"function": keep(value)}
    raise NotAValueError(
        f"a {type(value).__name__} is not a plain value: numbers, text, lists, tuples, sets, "
        "dicts and tensors are"
    )


def _pack_tensor(value: Tensor | np.ndarray) -> dict[str, Any]:
    tensor = value if isinstance(value, Tensor) else torch.from_numpy(np.ascontiguousarray(value))
    if tensor.dtype not in _DTYPES:
        raise NotAValueError(f"a tensor of {tensor.dtype}: use one of {', '.join(_TORCH)}")
    content = tensor.detach().cpu().contiguous().numpy().tobytes()
    kind = "tensor" if isinstance(value, Tensor) else "array"
    text = base64.b64encode(content).decode()
    return {kind: [_DTYPES[tensor.dtype], list(tensor.shape), text]}


def _unpack(packed: Any, stub: Stub | None) -> Any:
    if not isinstance(packed, dict):
        if isinstance(packed, list):
            raise NotAValueError("not a message of this channel: a bare list")
        return packed
    ((kind, content),) = packed.items()
    if kind == "dict":
        return {_unpack(k, stub): _unpack(v, stub) for k, v in content}
    if kind in _SEQUENCES:
        return _SEQUENCES[kind](_unpack(item, stub) for item in content)
    if kind in ("tensor", "array"):
        tensor = _unpack_tensor(*content)
        return tensor if kind == "tensor" else tensor.numpy()
    if kind == "function" and stub is not None:
        return stub(int(content))
    raise NotAValueError(f"not a message of this channel: {kind!r}")


def _unpack_tensor(dtype: str, shape: list[int], text: str) -> Tensor:
    array = np.frombuffer(base64.b64decode(text), dtype=dtype if dtype in _TORCH else "error")
    return torch.from_numpy(array.copy()).reshape([int(n) for n in shape])
