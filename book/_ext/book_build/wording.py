"""How the build and the pages write times, sizes and numbers."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """``8 s``, ``2 min 31 s`` or ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: int | None) -> str:
    """``912 MB`` or ``1.4 GB`` (powers of ten); ``not measured`` for ``None``."""
    if count is None:
        return "not measured"
    if count < 1e9:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e9:.1f} GB"
