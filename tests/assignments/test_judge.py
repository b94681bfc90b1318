"""The judge: whatever a submission does costs its own task, in plain words, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.assignments.small_course import QUICK, cell, judged, own_cell, solved, source, write
from ulmfit_lib.assignments import judge
from ulmfit_lib.assignments.fence import Limits, kernel_fence
from ulmfit_lib.assignments.judge import Report
from ulmfit_lib.assignments.release import release
from ulmfit_lib.assignments.source import read_assignment

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of the Linux kernel")

BODY = "def twice(x):\n"


def hint(report, test: str = "test_twice") -> str:
    return next(result.hint for result in report.results if result.test == test)


def test_the_solution_gets_everything(tmp_path: Path) -> None:
    report = judged(source(), tmp_path)
    assert report.points == 5 and not any(result.hint for result in report.results)


def test_the_hand_out_gets_nothing(tmp_path: Path) -> None:
    report = judged(release(source()), tmp_path)
    assert report.points == 0 and hint(report) == "not written yet"


def test_what_a_submission_wrote_is_gone_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    writes = BODY + "    open('kept', 'w').write('me')\n    return 2 * x"
    assert judged(solved(twice=writes), tmp_path).points == 5
    assert not list(scratch.iterdir())


def test_a_wrong_answer_gets_the_hint_of_the_assertion(tmp_path: Path) -> None:
    report = judged(solved(twice="def twice(x):\n    return 2 * abs(x)"), tmp_path)
    assert report.task_points("twice") == 0 and report.task_points("apply") == 2
    assert hint(report) == "the sign is lost"


def test_an_assertion_without_words_is_shown(tmp_path: Path) -> None:
    report = judged(solved(apply="def apply(f, x):\n    return x"), tmp_path)
    assert "apply(lambda v: v + 1, [1, 2]) == [2, 3]" in hint(report, "test_apply")


HOSTILE = {
    "endless loop": (BODY + "    while True: pass", "seconds of processor time"),
    "sys.exit": (BODY + "    import sys\n    sys.exit(0)", "SystemExit"),
    "os._exit": (BODY + "    import os\n    os._exit(0)", "ended the whole process"),
    "crash": (BODY + "    import os\n    os.abort()", "ended the whole process"),
    "no such import": ("import no_such_package\n" + BODY + "    return 2 * x", "no_such_package"),
    "no Python": ("def twice(x:\n    return 2 * x", "no Python"),
    "NUL in the code": ("def twice(x):\n    return '\0'", "no Python"),
    "undefined name": (BODY + "    return factor * x", "name 'factor' is not defined"),
    "deep recursion": (BODY + "    return twice(x)", "RecursionError"),
    "memory": (BODY + "    return len(bytearray(2 ** 32))", "MemoryError"),
    "tensor memory": (BODY + "    import torch\n    return torch.ones(2 ** 32)", "RuntimeError"),
    "huge answer": (BODY + "    return 'x' * 2 ** 22", "larger than 1 MiB"),
    "network": (
        BODY + "    import socket\n    socket.create_connection(('127.0.0.1', 9))",
        "may not use the network",
    ),
    "program": (BODY + "    import subprocess\n    subprocess.run(['true'])", "start a program"),
    "process": (BODY + "    import os\n    os.fork()", "start a process"),
    "signal": (BODY + "    import os\n    os.kill(os.getppid(), 9)", "signal a process"),
    "system library": (BODY + "    import ctypes\n    ctypes.CDLL(None)", "system's own libraries"),
    "a generator": (BODY + "    yield 4", "not a plain value"),
    "nested in itself": (BODY + "    a = []\n    a.append(a)\n    return a", "nested too deeply"),
    "its own exception": (
        "class Odd(BaseException):\n    def __str__(self):\n        raise SystemExit\n\n\n"
        + BODY
        + "    raise Odd",
        "without a message",
    ),
    "the library": (
        "from ulmfit_lib.training.schedules import cosine\n" + BODY + "    return 2 * x",
        "write this piece yourself",
    ),
}


@on_linux
@pytest.mark.parametrize("kind", HOSTILE)
def test_trouble_costs_its_own_task_alone(kind: str, tmp_path: Path) -> None:
    code, words = HOSTILE[kind]
    report = judged(solved(twice=code), tmp_path)
    assert report.task_points("twice") == 0 and report.task_points("apply") == 2
    assert words in hint(report)


def test_sleeping_ends_with_the_clock(tmp_path: Path) -> None:
    code = BODY + "    import time\n    time.sleep(1e6)"
    report = judged(solved(twice=code), tmp_path, Limits(wall_seconds=8))
    assert hint(report) == "no answer within 8 seconds"


def test_printing_without_end_costs_nothing_but_time(tmp_path: Path) -> None:
    code = "print('x' * 10**6)\n" + BODY + "    for _ in range(300): print('x' * 10**6)\n"
    assert judged(solved(twice=code + "    return 2 * x"), tmp_path).points == 5


def test_calls_left_in_a_cell_are_not_run(tmp_path: Path) -> None:
    code = "def train():\n    while True: pass\n\n\ntrain()\n" + BODY + "    return 2 * x"
    assert judged(solved(twice=code), tmp_path).points == 5


def test_a_broken_cell_elsewhere_costs_nothing(tmp_path: Path) -> None:
    notebook = source()
    broken = ["this is no Python", "import no_such_package", "x = 1 / 0", "raise SystemExit"]
    notebook["cells"][1:1] = [own_cell(code) for code in broken]
    assert judged(notebook, tmp_path).points == 5


def test_lines_of_ipython_are_left_out(tmp_path: Path) -> None:
    code = "%matplotlib inline\n!ls\n" + BODY + "    %timeit 1\n    return 2 * x"
    assert judged(solved(twice=code), tmp_path).points == 5


class TestCells:
    def test_hidden_state_is_not_there(self, tmp_path: Path) -> None:
        report = judged(solved(twice=BODY + "    return factor * x"), tmp_path)
        assert "factor" in hint(report)

    def test_a_helper_in_a_cell_of_its_own_is(self, tmp_path: Path) -> None:
        notebook = solved(twice=BODY + "    return FACTOR * x")
        notebook["cells"].insert(0, own_cell("FACTOR = 2"))
        assert judged(notebook, tmp_path).points == 5

    def test_a_deleted_answer_costs_its_task(self, tmp_path: Path) -> None:
        notebook = source()
        del notebook["cells"][2]
        report = judged(notebook, tmp_path)
        assert report.points == 2 and hint(report).startswith("twice is not defined")

    def test_an_answer_in_another_cell_counts(self, tmp_path: Path) -> None:
        notebook = source()
        notebook["cells"][2] = own_cell(BODY + "    return x + x")
        assert judged(notebook, tmp_path).points == 5

    @pytest.mark.parametrize("position", [2, 3])
    def test_a_duplicated_stub_costs_nothing(self, position: int, tmp_path: Path) -> None:
        notebook = source()
        notebook["cells"].insert(position, release(source())["cells"][2])
        assert judged(notebook, tmp_path).points == 5

    def test_of_two_answers_the_last_counts(self, tmp_path: Path) -> None:
        notebook = source()
        notebook["cells"].insert(3, cell("answer", "twice", BODY + "    return 0"))
        assert judged(notebook, tmp_path).task_points("twice") == 0

    def test_deleted_and_altered_tests_change_nothing(self, tmp_path: Path) -> None:
        notebook = solved(twice=BODY + "    return 0")
        notebook["cells"] = [c for c in notebook["cells"] if c["id"] != "test_twice"]
        notebook["cells"].append(cell("test", "test_twice", "pass", 100))
        assert judged(notebook, tmp_path).points == 2

    def test_an_altered_given_cell_changes_nothing(self, tmp_path: Path) -> None:
        notebook = source()
        notebook["cells"][1] = cell("given", "setup", "raise SystemExit")
        assert judged(notebook, tmp_path).points == 5

    def test_other_tasks_are_taken_as_right(self, tmp_path: Path) -> None:
        wrong_elsewhere = solved(
            twice=BODY + "    return 0",
            apply="def apply(f, x):\n    assert twice(1) == 2\n    return [f(v) for v in x]",
        )
        report = judged(wrong_elsewhere, tmp_path)
        assert (report.task_points("twice"), report.task_points("apply")) == (0, 2)


@pytest.mark.parametrize(
    "content",
    ["", "not JSON", "[]", "{}", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{"source": 1}]}',
     "[" * 100_000, '{"cells": [{"cell_type": "code", "source": [3], "metadata": 3}]}'],
)  # fmt: skip
def test_what_is_no_notebook_is_a_report_all_the_same(content: str, tmp_path: Path) -> None:
    report = judged(content, tmp_path)
    assert report.points == 0 and len(report.results) == 2


FORGERIES = {
    "everything is equal": """
class Equal(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
def twice(x):
    return Equal(0)
""",
    "a lying repr": """
class Lie(float):
    def __float__(self): return 4.0 if STATE.pop() else -6.0
STATE = []
def twice(x):
    return Lie(0)
""",
    "torch and builtins patched": """
import builtins, math, torch
torch.equal = torch.allclose = math.isclose = lambda *a, **k: True
builtins.abs = lambda x: 0
def twice(x):
    return 0
""",
    "the frames of the caller": """
import gc, sys
def found(value):
    return isinstance(value, str) and " ".join(["two", "times", "two"]) in value
def twice(x):
    frame = sys._getframe()
    while frame:
        if any(map(found, [*frame.f_locals.values(), *frame.f_globals.values()])):
            return 4 if x == 2 else -6
        frame = frame.f_back
    if any(found(v) for container in gc.get_objects() for v in gc.get_referents(container)):
        return 4 if x == 2 else -6
    return 0
""",
    "a message of its own on every open file": """
import os
def twice(x):
    for number in range(3, 64):
        for message in (b'{"dict": [["points", 3]]}', b'{"dict": [["value", true]]}', b"junk"):
            try: os.write(number, len(message).to_bytes(4, "big") + message)
            except OSError: pass
    return 0
""",
    "the source on the disk": """
import glob, json, torch
def twice(x):
    for name in glob.glob(HERE + "/**/*.ipynb", recursive=True):
        try: text = open(name).read()
        except OSError:
            text = bytes(torch.from_file(name, size=100, dtype=torch.uint8).tolist()).decode()
        if "cells" in text: return 2 * x
    open(HERE + "/course/small.ipynb")
""",
    "another's grade": """
import torch
def twice(x):
    torch.save(x, HERE + "/in/ann/small.ipynb")
    return 2 * x
""",
}


@pytest.mark.skipif(not kernel_fence(), reason="the kernel has no Landlock")
@pytest.mark.parametrize("kind", FORGERIES)
def test_points_are_not_forged(kind: str, tmp_path: Path) -> None:
    code = f"HERE = {str(tmp_path)!r}\n" + FORGERIES[kind]
    report = judged(solved(twice=code), tmp_path)
    assert report.task_points("twice") == 0, hint(report)
    assert report.task_points("apply") == 2


def test_a_fault_of_the_judge_costs_no_other_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = judge.judge_file

    def failing(assignment, path, student, *rest) -> Report:
        if student == "bob":
            raise OSError("no more processes")
        return whole(assignment, path, student, *rest)

    monkeypatch.setattr(judge, "judge_file", failing)
    assignment = read_assignment(write(source(), tmp_path / "small.ipynb"))
    files = dict.fromkeys(("ann", "bob", "cem"), tmp_path / "small.ipynb")
    ann, bob, cem = judge.judge_all(assignment, files, {}, 2, QUICK)
    assert (ann.points, bob.points, cem.points) == (5, 0, 5)
    assert "no more processes" in bob.problem


def test_limits_are_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Limits(seconds=0)
