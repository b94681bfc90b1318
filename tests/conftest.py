"""What all tests stand on: one thread, fixed seeds, small sizes, no network, an empty cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when the library is imported

import pytest
import torch
from hypothesis import HealthCheck, settings

from ulmfit_lib.study.seeds import seed_everything

torch.set_num_threads(1)
settings.register_profile(
    "steady",  # on a slow or busy machine too: no test is about time
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the papers' data sets where they are not at hand."""
    if os.environ.get("ULMFIT_LIB_DATA"):
        return
    skip = pytest.mark.skip(reason="ULMFIT_LIB_DATA is not set")
    for item in items:
        if "needs_data" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def small_and_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The smoke scale, and a cache folder that starts empty and is shared by the session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ULMFIT_SCALE", "smoke")
        patch.setenv("ULMFIT_LIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, empty."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ULMFIT_LIB_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state."""
    seed_everything(0)


@pytest.fixture(scope="session", params=["bert", "roberta", "distilbert"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random checkpoint, of each kind in turn."""
    from tests.tiny_checkpoints import save_checkpoint  # imports transformers: not for every test

    return save_checkpoint(request.param, tmp_path_factory.mktemp(request.param))
