"""The doctor sees what is off, says the remedy, and is quiet where all is well."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path

import pytest

from ulmfit_lib.study import doctor
from ulmfit_lib.study.doctor import Check, Status
from ulmfit_lib.text.python_sources import installed_versions

PINS = {"torch": "2.13.0", "Sphinx_Design": "0.8.0", "typer": "0.29.2"}
INSTALLED = {"torch": "2.13.0+cpu", "sphinx-design": "0.8.0", "typer": "0.29.2"}
ROW = "| `{}` | {:,} | `{}` |"


@pytest.fixture
def data_folder(tmp_path: Path) -> Path:
    """One data set of one file, and the table that lists it."""
    (tmp_path / "trec6").mkdir()
    content = b"one question\n"
    (tmp_path / "trec6" / "test.jsonl.xz").write_bytes(content)
    row = ROW.format("trec6/test.jsonl.xz", len(content), hashlib.sha256(content).hexdigest())
    (tmp_path / "README.md").write_text(
        f"# Data\n\n| file | bytes | sha256 |\n|---|---|---|\n{row}\n"
    )
    return tmp_path


def of_status(checks: list[Check], status: Status) -> list[Check]:
    return [check for check in checks if check.status is status]


def only(checks: list[Check], status: Status) -> Check:
    (found,) = of_status(checks, status)
    return found


def test_agreeing_pins_are_summed_up_and_the_main_ones_named() -> None:
    checks = doctor.check_packages(PINS, INSTALLED)
    assert not of_status(checks, Status.PROBLEM)
    assert [(c.name, c.detail) for c in checks] == [
        ("torch", "2.13.0+cpu"),
        ("packages", "3 of 3 are at their pinned versions"),
    ]


@pytest.mark.parametrize(
    ("package", "found", "told"),
    [
        ("typer", "0.28.0", "0.28.0; pinned: 0.29.2"),
        ("typer", None, "not installed; pinned: 0.29.2"),
        ("torch", "2.13.01", "2.13.01; pinned: 2.13.0"),
    ],
)
def test_a_package_off_its_pin_is_a_problem(package: str, found: str | None, told: str) -> None:
    installed = {name: v for name, v in (INSTALLED | {package: found}).items() if v}
    problem = only(doctor.check_packages(PINS, installed), Status.PROBLEM)
    assert (problem.name, problem.detail) == (package, told)
    assert "make environment" in problem.remedy and "pip install -r" in problem.remedy


def test_without_a_project_folder_there_are_no_pins_to_compare() -> None:
    (check,) = doctor.check_packages({}, INSTALLED)
    assert check.status is Status.NOTE and check.remedy


def test_the_projects_pins_hold_fastai_and_torch() -> None:
    pins = doctor.project_pins()
    assert pins["fastai"] == version("fastai")
    assert version("torch").startswith(pins["torch"])


@pytest.mark.parametrize(
    ("written", "plain"), [("Sphinx_Design", "sphinx-design"), ("a.-b", "a-b"), ("torch", "torch")]
)
def test_names_are_compared_as_pip_does(written: str, plain: str) -> None:
    assert doctor.plain_name(written) == plain


def test_another_python_is_a_problem() -> None:
    assert doctor.check_python((3, 11)).status is Status.OK
    assert doctor.check_python((3, 12)).status is Status.PROBLEM


def test_torchvision_is_a_problem() -> None:
    assert doctor.check_torchvision(False).status is Status.OK
    found = doctor.check_torchvision(True)
    assert found.status is Status.PROBLEM and "uninstall torchvision" in found.remedy


def test_what_is_left_of_a_package_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_removed-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "torch" in doctor.installed_packages()
    assert "torch" in installed_versions()


def test_the_device_is_named() -> None:
    check = doctor.check_device()
    assert check.status is Status.OK and check.detail.split(":")[0] in {
        "cpu",
        "cuda",
        "mps (Apple)",
    }


def test_more_threads_than_cores_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "usable_cores", lambda: 0)
    check = doctor.check_processor()
    assert check.status is Status.NOTE and "OMP_NUM_THREADS" in check.remedy


@pytest.mark.parametrize(
    ("flags", "fast"),
    [("fpu avx512f avx512_bf16", True), ("amx_bf16", True), ("fpu avx2", False), ("", False)],
)
def test_bfloat16_is_read_off_the_processor(flags: str, fast: bool) -> None:
    assert doctor.has_fast_bfloat16(flags) is fast


@pytest.mark.parametrize(
    ("total", "free", "status"),
    [(16e9, 8e9, Status.OK), (16e9, 1e9, Status.NOTE), (2e9, 1e9, Status.PROBLEM)],
)
def test_memory_is_compared_with_what_a_chapter_needs(
    total: float, free: float, status: Status
) -> None:
    check = doctor.check_memory(total, free)
    assert check.status is status and bool(check.remedy) is (status is not Status.OK)


def test_a_wrong_scale_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_scale() == Check("ULMFIT_SCALE", Status.OK, "smoke")
    monkeypatch.setenv("ULMFIT_SCALE", "huge")
    check = doctor.check_scale()
    assert check.status is Status.PROBLEM and "'huge'" in check.detail and check.remedy


def test_the_cache_is_measured_and_left_as_it_was(empty_cache: Path) -> None:
    empty_cache.mkdir()
    (empty_cache / "entry").write_bytes(bytes(3_000_000))
    check = doctor.check_cache()
    assert check.status is Status.OK and f"{empty_cache}: 3 MB" in check.detail
    assert [file.name for file in empty_cache.iterdir()] == ["entry"]


def test_a_cache_that_cannot_be_made_is_a_problem(empty_cache: Path) -> None:
    empty_cache.write_text("a file where the folder should be")
    check = doctor.check_cache()
    assert check.status is Status.PROBLEM and "ULMFIT_LIB_CACHE" in check.remedy


def test_no_data_folder_is_fine() -> None:
    assert [c.status for c in doctor.check_data("")] == [Status.OK]


def test_a_data_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (check,) = doctor.check_data(str(tmp_path / "nowhere"))
    assert check.status is Status.PROBLEM and "ULMFIT_LIB_DATA" in check.remedy


def test_whole_data_files_are_counted(data_folder: Path) -> None:
    checks = doctor.check_data(str(data_folder))
    assert {c.status for c in checks} == {Status.OK}
    assert "1 data sets: trec6" in checks[0].detail and checks[1].detail.startswith("1 files")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "trec6/test.jsonl.xz is missing"),
        (b"cut", "has 3 bytes"),
        (b"ONE question\n", "has the SHA-256"),
    ],
)
def test_a_damaged_data_file_is_a_problem(
    data_folder: Path, content: bytes | None, told: str
) -> None:
    file = data_folder / "trec6" / "test.jsonl.xz"
    file.unlink() if content is None else file.write_bytes(content)
    problem = only(doctor.check_data(str(data_folder)), Status.PROBLEM)
    assert told in problem.detail and "trec6/test.jsonl.xz" in problem.detail and problem.remedy


def test_a_data_folder_without_checksums_is_noted(data_folder: Path) -> None:
    (data_folder / "README.md").unlink()
    assert only(doctor.check_data(str(data_folder)), Status.NOTE)


@pytest.mark.needs_data
def test_the_data_at_hand_are_whole() -> None:
    checks = doctor.check_data(os.environ["ULMFIT_LIB_DATA"])
    assert not of_status(checks, Status.PROBLEM)


@pytest.mark.parametrize(
    ("hashes", "status"),
    [
        ({"awd_lstm_forward": ("ab" * 32, "ab" * 32)}, Status.OK),
        ({"awd_lstm_forward": ("ab" * 32, "cd" * 32)}, Status.PROBLEM),
        ({}, Status.PROBLEM),
    ],
)
def test_weights_are_compared_with_their_cards(
    monkeypatch: pytest.MonkeyPatch, hashes: dict[str, tuple[str, str]], status: Status
) -> None:
    monkeypatch.setattr("ulmfit_lib.models.pretrained.weight_hashes", lambda: hashes)
    (check,) = doctor.check_weights()
    assert check.status is status and bool(check.remedy) is (status is not Status.OK)


def test_a_missing_card_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_card() -> dict[str, tuple[str, str]]:
        raise FileNotFoundError("no model 'awd_lstm_forward'")

    monkeypatch.setattr("ulmfit_lib.models.pretrained.weight_hashes", no_card)
    (check,) = doctor.check_weights()
    assert check.status is Status.PROBLEM and "awd_lstm_forward" in check.detail


def test_only_problems_break() -> None:
    fine, noted = Check("a", Status.OK, ""), Check("b", Status.NOTE, "", "perhaps this")
    assert not doctor.is_broken([fine, noted])
    assert doctor.is_broken([fine, Check("c", Status.PROBLEM, "", "do this")])


def test_the_text_shows_each_remedy_below_its_problem() -> None:
    checks = [
        Check("Python", Status.OK, "3.11.7"),
        Check("data", Status.PROBLEM, "gone", "copy it"),
    ]
    assert doctor.as_text(checks).splitlines() == [
        "ok       Python  3.11.7",
        "problem  data    gone",
        "                 -> copy it",
        "",
        "1 to mend; the remedies stand above.",
    ]


def test_the_json_holds_every_field() -> None:
    read = json.loads(doctor.as_json([Check("data", Status.PROBLEM, "gone", "copy it")]))
    assert read == [{"name": "data", "status": "problem", "detail": "gone", "remedy": "copy it"}]


def test_the_whole_examination_looks_at_everything() -> None:
    names = {check.name for check in doctor.examine()}
    looked_at = {"Python", "torch", "fastai", "packages", "torchvision", "device", "processor"}
    assert looked_at | {"memory", "ULMFIT_SCALE", "cache", "data"} <= names
    assert any(name.startswith("weights") for name in names)
